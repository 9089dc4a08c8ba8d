"""Blocks of pairs, each a 10 degree box and a week, that are resampled to compare two products.

Errors within one week and region are correlated across stations: resampling stations or hours would give intervals that
are too narrow. Neighbouring blocks are still slightly correlated.
"""

from __future__ import annotations

import numpy as np

from deepcams.core.times import DAY_SECONDS

DEGREES = 10
"""Size of a region, degrees; boxes of latitude and longitude begin at multiples of it."""
FEWEST = 8
"""Smallest number of blocks for an interval."""
_ACROSS = 360 // DEGREES
_MONDAY = 3  # days from the Monday before 1970 to its first day


def regions_of(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the region of each place: (n,), int64, numbered from 0 in the order of rows from the south.

    Args:
        latitude, longitude: (n,), degrees; places without coordinates are put into the first region.
    """
    up = np.floor((np.nan_to_num(latitude) + 90) / DEGREES)
    right = np.floor(np.nan_to_num(longitude) % 360 / DEGREES)
    box = np.minimum(up, 180 // DEGREES - 1) * _ACROSS + right
    return np.asarray(np.unique(box, return_inverse=True)[1], np.int64)


def week_of(seconds: np.ndarray) -> np.ndarray:
    """Return the week (from Monday 00:00 UTC) of times in seconds since 1970 UTC, counted from that of 1970-01-01."""
    return np.asarray((seconds // DAY_SECONDS + _MONDAY) // 7)


class Weeks:
    """The weeks that may contain pairs of some months.

    Args:
        months: months since January 1970, increasing.
    """

    def __init__(self, months: np.ndarray) -> None:
        ends = np.array([months[0], months[-1] + 1]).astype("datetime64[M]")
        seconds = ends.astype("datetime64[s]").astype(np.int64)
        self.first, last = week_of(seconds - np.array([0, 1])).tolist()
        self.number = last - self.first + 1
