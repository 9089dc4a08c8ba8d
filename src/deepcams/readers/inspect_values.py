"""What was seen of files when :func:`deepcams.readers.inspect.inspect` looked at them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Values:
    """Counts and range of values, in the units they are stored in; sums add.

    Attributes:
        total: values seen.
        missing: NaN or fill values.
        negative: below 0 (and finite).
        infinite: infinities.
        smallest, largest: among the finite ones; NaN where there are none.
    """

    total: int = 0
    missing: int = 0
    negative: int = 0
    infinite: int = 0
    smallest: float = math.nan
    largest: float = math.nan

    @classmethod
    def of(cls, values: np.ndarray) -> Values:
        """Count one piece."""
        missing, infinite = np.isnan(values), np.isinf(values)
        finite = values[~(missing | infinite)]
        ends = (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
        return cls(
            values.size, int(missing.sum()), int((finite < 0).sum()), int(infinite.sum()), *ends
        )

    def __add__(self, other: Values) -> Values:
        return Values(
            self.total + other.total,
            self.missing + other.missing,
            self.negative + other.negative,
            self.infinite + other.infinite,
            float(np.fmin(self.smallest, other.smallest)),
            float(np.fmax(self.largest, other.largest)),
        )


@dataclass(frozen=True)
class VariableSeen:
    """One variable: its names, shape and values; ``to_ug`` turns its units into ug m-3 (None: no concentration)."""

    name: str
    long_name: str
    units: str | None
    shape: dict[str, int]
    dtype: str
    to_ug: float | None
    values: Values | None = None


@dataclass(frozen=True)
class Gap:
    """Two times farther apart than the cadence, and how many times are missing between them."""

    after: str
    before: str
    missing: int


@dataclass(frozen=True)
class TimesSeen:
    """A time axis: how many different times, the ends, the commonest distance in hours, and what is irregular."""

    count: int
    first: str
    last: str
    cadence_hours: float | None
    gaps: tuple[Gap, ...] = ()
    repeated: int = 0
    calendar: str = "standard"


@dataclass(frozen=True)
class FileSeen:
    """One file; ``problem`` is the sentence why it could not be read (further)."""

    path: str
    bytes: int
    layout: str = ""
    grid: str = ""
    times: TimesSeen | None = None
    variables: tuple[VariableSeen, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Seen:
    """Everything about some files, one by one and together.

    Attributes:
        files: one by one.
        times: of all together.
        variables: of all together, values added up.
        opens_as: what :func:`deepcams.open_field` makes of them; empty where it refuses.
        problem: why it refuses.
        notes: what else is worth knowing.
    """

    files: tuple[FileSeen, ...]
    times: TimesSeen | None
    variables: tuple[VariableSeen, ...]
    opens_as: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not a number is None."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
