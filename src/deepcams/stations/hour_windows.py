"""Windows of ten complete hours, and the sums over each region's stations in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = 3
"""Interval between frames, hours."""
LENGTH = 10
"""Length of a window, hours."""
FRAMES = (0, 3, 6, 9)
"""Hours of a window that are given to methods."""
HIDDEN = (4, 5)
"""Hours of a window that methods predict."""


@dataclass
class Windows:
    """Windows of regions, sorted by region and hour, without duplicates.

    Attributes:
        region: (n,), int64.
        begin: (n,), int64, first hour of the window, in hours since 1970 UTC: 3 is (02:00, 03:00].
        stations: (n,), int64, number of stations with all its hours.
        sums: (n, 6), sums over these stations at :data:`FRAMES`, then at :data:`HIDDEN`, ug m-3.
    """

    region: np.ndarray
    begin: np.ndarray
    stations: np.ndarray
    sums: np.ndarray

    def where(self, keep: np.ndarray) -> Windows:
        """Return the windows selected by ``keep``."""
        columns = (self.region, self.begin, self.stations, self.sums)
        return Windows(*(column[keep] for column in columns))

    def __add__(self, other: Windows) -> Windows:
        """Return the windows of both; sums of common windows are added."""
        both = [
            np.concatenate([one, two])
            for one, two in zip(
                (self.region, self.begin, self.stations, self.sums),
                (other.region, other.begin, other.stations, other.sums),
                strict=True,
            )
        ]
        return _each_once(*both)


def _each_once(
    region: np.ndarray, begin: np.ndarray, stations: np.ndarray, sums: np.ndarray
) -> Windows:
    order = np.lexsort((begin, region))
    region, begin = region[order], begin[order]
    new = np.ones(order.size, bool)
    new[1:] = (np.diff(region) != 0) | (np.diff(begin) != 0)
    at = np.flatnonzero(new)
    if at.size:
        stations = np.add.reduceat(stations[order], at)
        sums = np.add.reduceat(sums[order], at, axis=0)
    return Windows(region[at], begin[at], stations, sums)


def find_windows(
    station: np.ndarray, slot: np.ndarray, value: np.ndarray, region: np.ndarray
) -> Windows:
    """Find all windows with complete hours, and sum over each region's stations.

    Args:
        station, slot, value: (n,), one value per station and hour, sorted by both.
        region: (stations,), region of each station.
    """
    reach = LENGTH - 1
    whole = (slot[reach:] - slot[:-reach] == reach) & (
        station[reach:] == station[:-reach]
    )
    at = np.flatnonzero(whole)
    return _each_once(
        region[station[at]].astype(np.int64),
        slot[at].astype(np.int64),
        np.ones(at.size, np.int64),
        value[at[:, None] + np.array(FRAMES + HIDDEN)],
    )
