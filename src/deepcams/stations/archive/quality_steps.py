"""The steps of quality control that mask bad rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.archive.hourly import dense
from deepcams.stations.archive.sorted_copy import Rows

GAP_HOURS = 3
"""Longest gap within a run of equal values, hours."""
WINDOW_DAYS = 15
MAD_SCALE = 1.4826
"""Ratio of standard deviation to MAD for normally distributed values."""
SMALLEST_MAD = 1.0
"""Lower bound of the MAD, ug m-3; smaller ones reflect the instrument's resolution."""
FEWEST_IN_WINDOW = 48
_SORTED_TOGETHER = 8_000_000  # values


def lost_stations(rows: Rows, bad: np.ndarray) -> int:
    """Return the number of stations without any good row."""
    return int(pd.Series(bad).groupby(rows.station).all().sum())


def repeated(rows: Rows) -> np.ndarray:
    """Find rows that have the station, time and value of an earlier row."""
    again = np.flatnonzero((np.diff(rows.station) == 0) & (np.diff(rows.end) == 0))
    near = np.union1d(again, again + 1)
    columns = {
        "station": rows.station[near],
        "end": rows.end[near],
        "value": rows.value[near],
    }
    bad = np.zeros(rows.size, bool)
    bad[near] = pd.DataFrame(columns).duplicated()
    return bad


def runs(rows: Rows, length: int) -> np.ndarray:
    """Find hourly values in runs of at least ``length`` equal values above 0, with no gap of more than 3 hours."""
    if not rows.size:
        return np.zeros(0, bool)
    changes = (np.diff(rows.station) != 0) | (np.diff(rows.value) != 0)
    begin = np.flatnonzero(np.r_[True, changes | (np.diff(rows.slot) > GAP_HOURS + 1)])
    number = np.diff(np.r_[begin, rows.size])
    return np.asarray(np.repeat(number >= length, number) & (rows.value > 0))


def outliers(rows: Rows, deviations: float) -> np.ndarray:
    """Find hourly values more than ``deviations`` scaled MADs from the median of their window.

    The window is the value's UTC day and the seven days before and after it: one window per station and day, so that a
    year of the world's stations takes minutes.

    Returns:
        (n,), boolean.
    """
    table, numbers, first = dense(rows)
    if not table.size:
        return np.zeros(rows.size, bool)
    days = table.shape[1] // 24
    margin = 24 * (WINDOW_DAYS // 2)
    padded = np.pad(table, ((0, 0), (margin, margin)), constant_values=np.nan)
    far = np.zeros(table.shape, bool)
    size = max(_SORTED_TOGETHER // (days * WINDOW_DAYS * 24), 1)
    for at in range(0, numbers.size, size):
        part = padded[at : at + size]
        windows = np.lib.stride_tricks.sliding_window_view(
            part, WINDOW_DAYS * 24, axis=1
        )[:, ::24]
        known = np.sort(windows, axis=2)  # NaN sorts last
        number = (~np.isnan(known)).sum(axis=2)
        middle = _median(known, number)
        known -= middle[..., None]
        np.abs(known, out=known)
        known.sort(axis=2)
        limit = (
            deviations * MAD_SCALE * np.maximum(_median(known, number), SMALLEST_MAD)
        )
        limit[number < FEWEST_IN_WINDOW] = np.inf
        values = table[at : at + size].reshape(-1, days, 24)
        with np.errstate(invalid="ignore"):
            beyond = abs(values - middle[..., None]) > limit[..., None]
        far[at : at + size] = beyond.reshape(-1, days * 24)
    return np.asarray(far[np.searchsorted(numbers, rows.station), rows.slot - first])


def _median(ordered: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the median of the first ``number`` values along the last axis; NaN if there are none."""
    last = ordered.shape[-1] - 1
    middle = [
        np.clip(at, 0, last)[..., None] for at in ((number - 1) // 2, number // 2)
    ]
    low, high = (np.take_along_axis(ordered, at, -1)[..., 0] for at in middle)
    return np.asarray((low + high) / 2)


def incomplete(rows: Rows, reported: Rows, share: float) -> np.ndarray:
    """Find values in station months with too few of the hours between the month's first and last report."""

    def months(hours: Rows) -> np.ndarray:
        begin = ((hours.slot - 1) * HOUR_SECONDS).astype("datetime64[s]")
        month = begin.astype("datetime64[M]").astype(np.int64)
        return np.asarray(hours.station.astype(np.int64) * 100_000 + month)

    own = months(rows)
    reports = pd.Series(reported.slot).groupby(months(reported))
    hours = (reports.last() - reports.first() + 1).reindex(own).to_numpy()
    return np.asarray(
        pd.Series(own).groupby(own).transform("size").to_numpy() < share * hours
    )
