"""Hourly series of stations, as sorted rows and as a dense table, and what can be told from them alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepcams.core.times import HOUR_SECONDS

_SHORT = 2700  # seconds: a station whose stamps are usually nearer than this reports parts of hours
_GAP = 3  # hours: a run of equal values goes on over a gap that is no longer


@dataclass
class Hourly:
    """At most one value for a station and hour, sorted by both.

    Attributes:
        station: (n,), int32.
        slot: (n,), int64: the UTC hour that the value's interval ends in, hours since 1970: 3 is for (02:00, 03:00].
        end: (n,), int64: the interval's end, seconds since 1970 UTC; the interval is an hour.
        value: (n,), float64, ug m-3.
        merged: how many values are means of several rows.
    """

    station: np.ndarray
    slot: np.ndarray
    end: np.ndarray
    value: np.ndarray
    merged: int = 0

    @property
    def size(self) -> int:
        """Number of values."""
        return self.value.size

    def where(self, keep: np.ndarray) -> Hourly:
        """The values for which ``keep`` (boolean) holds."""
        return Hourly(
            self.station[keep], self.slot[keep], self.end[keep], self.value[keep], self.merged
        )


def hourly(station: np.ndarray, end: np.ndarray, value: np.ndarray, merge: bool = True) -> Hourly:
    """Bring rows to at most one a station and hour.

    A single row in an hour keeps its own end (a stamp of 03:30 stands for 02:30 to 03:30). Several become their mean
    over the whole hour. Where a station usually reports parts of hours, an hour needs three quarters of them.

    Args:
        station, end, value: rows sorted by station and end; ``end`` in seconds since 1970 UTC.
        merge: otherwise the first row of each hour stands for it, and nothing is left out.
    """
    slot = -(-end // HOUR_SECONDS)
    first = np.ones(station.size, bool)
    first[1:] = (station[1:] != station[:-1]) | (slot[1:] != slot[:-1])
    begin = np.flatnonzero(first)
    if begin.size == station.size or not merge:
        return Hourly(station[begin], slot[begin], end[begin], value[begin])
    number = np.diff(np.r_[begin, station.size])
    mean = np.add.reduceat(value, begin) / number
    step = _usual_steps(station, end)[station[begin]]
    parts = step < _SHORT
    several = (number > 1) | parts
    result = Hourly(
        station[begin],
        slot[begin],
        np.where(several, slot[begin] * HOUR_SECONDS, end[begin]),
        np.where(number > 1, mean, value[begin]),
        int((number > 1).sum()),
    )
    enough = ~parts | (number * np.maximum(step, 1) >= 0.75 * HOUR_SECONDS)
    return result if enough.all() else result.where(enough)


def _usual_steps(station: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Median distance of successive stamps of each station, seconds; an hour where there is none."""
    steps = np.full(int(station.max()) + 1, HOUR_SECONDS, np.int64)
    apart = np.diff(end)
    inside = (station[1:] == station[:-1]) & (apart > 0)
    owner, apart = station[1:][inside], apart[inside]
    order = np.lexsort((apart, owner))
    owner, apart = owner[order], apart[order]
    begin = np.flatnonzero(np.r_[True, np.diff(owner) != 0]) if owner.size else np.zeros(0, int)
    stop = np.r_[begin[1:], owner.size]
    steps[owner[begin]] = apart[(begin + stop) // 2]
    return steps


def dense(hours: Hourly) -> tuple[np.ndarray, np.ndarray, int]:
    """The values as a table.

    Returns:
        (stations, hours), float32, NaN where there is none; the stations' numbers, increasing; and the first slot,
        which begins a UTC day (the table ends with one).
    """
    if not hours.size:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64), 0
    numbers, row = np.unique(hours.station, return_inverse=True)
    first = (int(hours.slot.min()) - 1) // 24 * 24 + 1
    days = (int(hours.slot.max()) - first) // 24 + 1
    table = np.full((numbers.size, days * 24), np.nan, np.float32)
    table[row, hours.slot - first] = hours.value
    return table, numbers, first


def runs(hours: Hourly, length: int) -> np.ndarray:
    """Which values belong to runs of at least ``length`` equal ones above 0, with no gap of more than 3 hours."""
    if not hours.size:
        return np.zeros(0, bool)
    new = np.ones(hours.size, bool)
    new[1:] = (
        (hours.station[1:] != hours.station[:-1])
        | (hours.value[1:] != hours.value[:-1])
        | (hours.slot[1:] - hours.slot[:-1] > _GAP + 1)
    )
    begin = np.flatnonzero(new)
    number = np.diff(np.r_[begin, hours.size])
    return np.asarray(np.repeat(number >= length, number) & (hours.value > 0))
