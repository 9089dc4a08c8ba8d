"""Half-open periods in UTC, and their text form."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.times import stamp

_FORMS = "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDTHH[:MM], alone or as START..END"
_MOMENT = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d))?)?)?)?Z?$")


@dataclass(frozen=True, order=True)
class Period:
    """The half-open interval ``start <= t < end``, in UTC.

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

        Each form means its whole year, month, day, hour or minute; in ``START..END`` the end is
        included: ``2018..2020`` is three years.

        Args:
            text: in one of these forms.
            where: option or key it comes from, named in error messages.

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
        """Return a boolean mask of the ``datetime64`` times in the period."""
        return (times >= self.start) & (times < self.end)

    def meets(self, other: Period) -> bool:
        """Return whether the two periods overlap."""
        return bool(self.start < other.end and other.start < self.end)

    def __str__(self) -> str:
        return f"[{stamp(self.start)}, {stamp(self.end)})"


def _backwards(where: str, start: np.datetime64, end: np.datetime64) -> InputError:
    return InputError(where, "an end after the start", f"{stamp(start)}..{stamp(end)}")


def _span(text: str, whole: str, where: str) -> tuple[np.datetime64, np.datetime64]:
    match = _MOMENT.match(text.strip())
    if match is None:
        raise InputError(
            where,
            _FORMS,
            repr(whole),
        )
    year, month, day, hour, minute = match.groups()
    filled = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}"
    unit = "YMDhm"[sum(part is not None for part in match.groups()) - 1]
    try:
        start = np.datetime64(filled, "m").astype(f"datetime64[{unit}]")
    except ValueError as error:
        raise InputError(
            where,
            _FORMS,
            repr(whole),
        ) from error
    return start.astype("datetime64[ns]"), (start + 1).astype("datetime64[ns]")
