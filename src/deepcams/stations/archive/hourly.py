"""Aggregation of station rows to hours, and tables of hours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.archive.sorted_copy import Rows

PART_SECONDS = 2700
"""Median interval, in seconds, below which a station is taken to report parts of hours."""


def hourly(rows: Rows, merge: bool = True) -> tuple[Rows, int]:
    """Aggregate rows to at most one per station and hour.

    A single row in an hour keeps its own end (a timestamp of 03:30 means 02:30 to 03:30). Several are averaged over the
    whole hour. For a station that usually reports parts of hours, an hour needs three quarters of them.

    Args:
        rows: sorted by station and end.
        merge: if False, the first row of each hour is used, and nothing is left out.

    Returns:
        the rows, and the number of hours that had several.
    """
    station, slot = rows.station, rows.slot
    first = np.ones(rows.size, bool)
    first[1:] = (station[1:] != station[:-1]) | (slot[1:] != slot[:-1])
    begin = np.flatnonzero(first)
    result = rows.where(begin)
    if begin.size == rows.size or not merge:
        return result, 0
    number = np.diff(np.r_[begin, rows.size])
    step = _usual_steps(station, rows.end)[result.station]
    parts = step < PART_SECONDS
    several = number > 1
    mean = np.add.reduceat(rows.value, begin) / number
    result.value = np.where(several, mean, result.value)
    result.end = np.where(several | parts, slot[begin] * HOUR_SECONDS, result.end)
    enough = ~parts | (number * np.maximum(step, 1) >= 0.75 * HOUR_SECONDS)
    return result.where(enough), int(several.sum())


def _usual_steps(station: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return each station's median interval between timestamps, seconds; an hour if it has only one."""
    apart = np.diff(end)
    inside = (station[1:] == station[:-1]) & (apart > 0)
    usual = (
        pd.Series(apart[inside]).groupby(station[1:][inside]).quantile(0.5, "higher")
    )
    every = pd.RangeIndex(int(station.max()) + 1)
    return usual.reindex(every, fill_value=HOUR_SECONDS).to_numpy(np.int64)


def dense(rows: Rows) -> tuple[np.ndarray, np.ndarray, int]:
    """Put hourly rows into a table.

    Returns:
        (stations, hours), float32, NaN where missing; the stations' numbers, increasing; and the first slot, which
        begins a UTC day (the table ends with one).
    """
    if not rows.size:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64), 0
    slot = rows.slot
    numbers, row = np.unique(rows.station, return_inverse=True)
    first = (int(slot.min()) - 1) // 24 * 24 + 1
    days = (int(slot.max()) - first) // 24 + 1
    table = np.full((numbers.size, days * 24), np.nan, np.float32)
    table[row, slot - first] = rows.value
    return table, numbers, first
