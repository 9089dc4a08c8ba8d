"""Outliers against the median and the median absolute deviation (MAD) of 15 days (360 hours), as Hassani et al. 2025.

The window is that of the value's UTC day and the seven days before and after it: one window a station and day, so
that a year of the world's stations takes minutes.
"""

from __future__ import annotations

import numpy as np

from deepcams.stations.hourly import Hourly, dense

WINDOW_DAYS = 15
SCALE = 1.4826
"""Makes the MAD of normally distributed values their standard deviation."""
_FLOOR = 1.0  # ug m-3: smaller MADs are those of the instrument's own steps
_FEWEST = 48  # values in a window to judge by
_TOGETHER = 8_000_000  # values that are sorted at a time


def outliers(hours: Hourly, deviations: float) -> np.ndarray:
    """Which values lie more than ``deviations`` scaled MADs from their window's median: (n,), boolean."""
    table, numbers, first = dense(hours)
    if not table.size:
        return np.zeros(hours.size, bool)
    days = table.shape[1] // 24
    beside = WINDOW_DAYS // 2
    padded = np.pad(table, ((0, 0), (24 * beside, 24 * beside)), constant_values=np.nan)
    far = np.zeros(table.shape, bool)
    size = max(_TOGETHER // (days * WINDOW_DAYS * 24), 1)
    for at in range(0, numbers.size, size):
        part = padded[at : at + size]
        windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW_DAYS * 24, axis=1)[:, ::24]
        known = np.sort(windows, axis=2)  # missing ones last
        number = (~np.isnan(known)).sum(axis=2)
        middle = _median(known, number)
        known -= middle[..., None]
        np.abs(known, out=known)
        known.sort(axis=2)
        limit = deviations * SCALE * np.maximum(_median(known, number), _FLOOR)
        limit[number < _FEWEST] = np.inf
        values = table[at : at + size].reshape(-1, days, 24)
        with np.errstate(invalid="ignore"):
            far[at : at + size] = (abs(values - middle[..., None]) > limit[..., None]).reshape(
                -1, days * 24
            )
    return np.asarray(far[np.searchsorted(numbers, hours.station), hours.slot - first])


def _median(ordered: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Median of the first ``number`` along the last axis; NaN of none."""
    low, high = np.maximum((number - 1) // 2, 0)[..., None], np.maximum(number // 2, 0)[..., None]
    low, high = np.minimum(low, ordered.shape[-1] - 1), np.minimum(high, ordered.shape[-1] - 1)
    both = np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1)
    return np.asarray(both[..., 0] / 2)
