"""Blocks of pairs, a box of 10 degrees and a week each: what is resampled where two products are compared.

Errors of one week in one region hang together, at all its stations: resampled stations, or hours, would make intervals
that are too narrow. Blocks of neighbours still hang together a little.
"""

from __future__ import annotations

import numpy as np

from deepcams.core.times import DAY_SECONDS

DEGREES = 10
"""Side of a region: boxes of latitude and longitude that begin at multiples of it."""
FEWEST = 8
"""Blocks that an interval needs."""
_ACROSS = 360 // DEGREES
_MONDAY = 3  # days from the Monday before 1970 to its first day


def regions_of(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the region of each place: (n,), int64, numbered from 0 in the order of rows from the south.

    Args:
        latitude, longitude: (n,), degrees; without coordinates a place counts as in the first region.
    """
    up = np.floor((np.nan_to_num(latitude) + 90) / DEGREES)
    right = np.floor(np.nan_to_num(longitude) % 360 / DEGREES)
    box = np.minimum(up, 180 // DEGREES - 1) * _ACROSS + right
    return np.asarray(np.unique(box, return_inverse=True)[1], np.int64)


def week_of(seconds: np.ndarray) -> np.ndarray:
    """Return the weeks of moments (seconds since 1970 UTC), from Monday 00:00 UTC: weeks since that of 1970-01-01."""
    return np.asarray((seconds // DAY_SECONDS + _MONDAY) // 7)


class Weeks:
    """The weeks that pairs of some months may lie in.

    Args:
        months: months since January 1970, increasing.
    """

    def __init__(self, months: np.ndarray) -> None:
        ends = np.array([months[0], months[-1] + 1]).astype("datetime64[M]")
        seconds = ends.astype("datetime64[s]").astype(np.int64)
        self.first, last = week_of(seconds - np.array([0, 1])).tolist()
        self.number = last - self.first + 1
