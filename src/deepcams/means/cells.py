"""Cells grouped by their distance from UTC, so that each group's day is one stretch of hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.sun import nautical_hours
from deepcams.core.times import DAY, MINUTE

Days = Literal["utc", "nautical", "zones"]

DAY_WORDS: dict[str, str] = {
    "utc": "UTC",
    "nautical": "nautical time: whole hours by longitude, round(longitude / 15)",
    "zones": "the time zones' standard time, without summer time",
}


def offsets(grid: Grid, days: Days, year: int) -> np.ndarray:
    """Return how far each cell's days are ahead of UTC.

    Args:
        grid: of the cells.
        days: whose days.
        year: of ``zones``, whose standard time (:mod:`deepcams.files.time_zones`).

    Returns:
        (rows, columns), int16, minutes.

    Raises:
        MissingExtraError: ``zones``, and tzfpy is not installed.
    """
    if days == "utc":
        return np.zeros(grid.shape, np.int16)
    if days == "nautical":
        minutes = (60 * nautical_hours(grid.longitudes)).astype(np.int16)
        return np.broadcast_to(minutes, grid.shape).copy()
    from deepcams.files.time_zones import offset_minutes

    return offset_minutes(grid.latitudes, grid.longitudes, year)


@dataclass(frozen=True)
class Group:
    """Cells of one distance from UTC.

    Attributes:
        offset: how far their days are ahead of UTC.
        place: where they are on the last axis of arranged values.
    """

    offset: np.timedelta64
    place: slice

    def dates(self, times: np.ndarray) -> np.ndarray:
        """Return the dates of moments: a moment belongs to the date that it has on the cells' clocks.

        Args:
            times: ``datetime64[ns]``, UTC; of means, the middle of each.
        """
        return np.asarray((times + self.offset).astype("datetime64[D]"))

    def hours(self, times: np.ndarray, date: np.datetime64) -> tuple[int, int]:
        """Return the places of a date's moments among increasing times, half-open."""
        start = date.astype("datetime64[ns]") - self.offset
        first, stop = np.searchsorted(times, [start, start + DAY])
        return int(first), int(stop)


class Cells:
    """The cells of a grid in an order in which each group is one slice.

    Columns stay as they are where each has one distance from UTC, which costs no copy.

    Args:
        minutes: see :func:`offsets`.

    Attributes:
        groups: in the order of the arranged cells.
    """

    def __init__(self, minutes: np.ndarray) -> None:
        self.shape: tuple[int, int] = (minutes.shape[0], minutes.shape[1])
        self._order: np.ndarray | None = None
        line = minutes[0]
        if not (minutes == line).all():
            flat = minutes.ravel()
            self._order = np.argsort(flat, kind="stable")
            line = flat[self._order]
        starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1)).tolist()
        stops = [*starts[1:], line.size]
        self.groups = tuple(
            Group(int(line[start]) * MINUTE, slice(start, stop))
            for start, stop in zip(starts, stops, strict=True)
        )

    @property
    def arranged_shape(self) -> tuple[int, int]:
        """Shape of a map in this order."""
        return self.shape if self._order is None else (1, self.shape[0] * self.shape[1])

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Put values (times, rows, columns) into this order: (times, *arranged_shape)."""
        if self._order is None:
            return values
        flat = values.reshape(len(values), -1)
        return flat.take(self._order, axis=1)[:, None]

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Put an arranged map back: (rows, columns)."""
        if self._order is None:
            return values
        restored = np.empty(values.size, values.dtype)
        restored[self._order] = values.ravel()
        return restored.reshape(self.shape)
