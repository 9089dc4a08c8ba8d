"""Half-open periods in UTC, and how people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from deepcams.core.errors import InputError

_FORMS = "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDTHH[:MM], alone or as START..END"
_MOMENT = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d))?)?)?)?Z?$")


@dataclass(frozen=True, order=True)
class Period:
    """All moments t with ``start <= t < end``, in UTC.

    Attributes:
        start: first moment, ``datetime64[ns]``.
        end: first moment after the period, ``datetime64[ns]``.
    """

    start: np.datetime64
    end: np.datetime64

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", self.start.astype("datetime64[ns]"))
        object.__setattr__(self, "end", self.end.astype("datetime64[ns]"))
        if not self.start < self.end:
            raise _backwards("period", self.start, self.end)

    @classmethod
    def parse(cls, text: str, where: str = "period") -> Period:
        """Read ``2019``, ``2019-03``, ``2019-03-08``, ``2019-03-08T15`` or two of them as ``START..END``.

        Each form stands for all of its year, month, day, hour or minute; in ``START..END`` the end is
        included whole: ``2018..2020`` is three years.

        Args:
            text: what people wrote.
            where: the option or key that it stands in, for people.

        Raises:
            InputError: the text has none of these forms, or the end is before the start.
        """
        first, dots, last = text.strip().partition("..")
        start, first_end = _span(first, text, where)
        end = _span(last, text, where)[1] if dots else first_end
        if not start < end:
            raise _backwards(where, start, end)
        return cls(start, end)

    def contains(self, times: np.ndarray) -> np.ndarray:
        """Boolean mask of the ``datetime64`` times that lie in the period."""
        return (times >= self.start) & (times < self.end)

    def meets(self, other: Period) -> bool:
        """Whether some moment lies in both."""
        return bool(self.start < other.end and other.start < self.end)

    def __str__(self) -> str:
        return f"[{_text(self.start)}, {_text(self.end)})"


def _text(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[m]")).replace("T", " ")


def _backwards(where: str, start: np.datetime64, end: np.datetime64) -> InputError:
    return InputError(where, "an end after the start", f"{_text(start)}..{_text(end)}")


def _span(text: str, whole: str, where: str) -> tuple[np.datetime64, np.datetime64]:
    match = _MOMENT.match(text.strip())
    if match is None:
        raise InputError(where, _FORMS, repr(whole))
    year, month, day, hour, minute = match.groups()
    # the text with its gaps filled, and the unit of what was given: the span is one such unit
    text = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}"
    unit = "m" if minute else "h" if hour else "D" if day else "M" if month else "Y"
    try:
        start = np.datetime64(text, "m").astype(f"datetime64[{unit}]")
    except ValueError as error:
        raise InputError(where, _FORMS, repr(whole)) from error
    return start.astype("datetime64[ns]"), (start + 1).astype("datetime64[ns]")
