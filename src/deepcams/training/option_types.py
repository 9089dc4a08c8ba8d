"""The kinds of values that settings are made of; each carries the words by which a wrong one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from deepcams.core.errors import InputError
from deepcams.core.period import Period

Bbox = tuple[float, float, float, float]


@dataclass(frozen=True)
class Expected:
    """What a field expects, in words, for messages."""

    words: str


def _period(text: Any) -> str:
    text = (
        str(text) if isinstance(text, int) and not isinstance(text, bool) else text
    )  # YAML reads 2019 as a number
    if not isinstance(text, str):
        raise ValueError("no period")
    try:
        Period.parse(text)
    except InputError as error:
        raise ValueError(str(error)) from error
    return text


def _bbox(box: Any) -> Any:
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise ValueError("no box")
    if any(isinstance(edge, bool) or not isinstance(edge, int | float) for edge in box):
        raise ValueError("no numbers")
    west, south, east, north = box
    if not (
        -90 <= south < north <= 90 and -180 <= west <= 360 and -180 <= east <= 360 and west != east
    ):
        raise ValueError("no box on the globe")
    return tuple(box)


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0), Expected("a positive number")]
NotNegative = Annotated[Number, Field(ge=0), Expected("a number of at least 0")]
Share = Annotated[Number, Field(ge=0, lt=1), Expected("a number from 0 to less than 1")]
Factor = Annotated[Number, Field(gt=0, le=1), Expected("a number above 0 and up to 1")]
Count = Annotated[int, Strict(), Field(gt=0), Expected("a whole number of at least 1")]
Whole = Annotated[int, Strict(), Field(ge=0), Expected("a whole number of at least 0")]
Hours = Annotated[int, Strict(), Field(ge=2, le=24), Expected("a whole number of hours, 2 to 24")]
YesNo = Annotated[bool, Strict(), Expected("true or false")]
Text = Annotated[str, Strict(), Expected("a text")]
Name = Annotated[
    str, Strict(), Field(pattern=r"^[\w][\w.-]*$"), Expected("a name of letters, digits, - _ and .")
]
PeriodText = Annotated[
    str,
    BeforeValidator(_period),
    Expected("a period (2019, 2019-03, 2019-03-08, alone or as START..END)"),
]
Box = Annotated[Bbox, BeforeValidator(_bbox), Expected("a box [W, S, E, N] in degrees, S < N")]


class Options(BaseModel):
    """Base of all: frozen, and nothing that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
