"""Windows of ten whole hours: over which stations report, and the sums of each region's stations over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP = 3
"""Hours between frames."""
LENGTH = 10
"""Hours of a window."""
FRAMES = (0, 3, 6, 9)
"""Hours of a window that methods see."""
HIDDEN = (4, 5)
"""Hours of a window that methods make."""


@dataclass
class Windows:
    """Windows of regions, sorted by region and hour, each region's hour once.

    Attributes:
        region: (n,), int64.
        begin: (n,), int64: the window's first hour, in hours since 1970 UTC: 3 is (02:00, 03:00].
        stations: (n,), int64: how many report over it.
        sums: (n, 6), sums over these stations at :data:`FRAMES`, then at :data:`HIDDEN`, ug m-3.
    """

    region: np.ndarray
    begin: np.ndarray
    stations: np.ndarray
    sums: np.ndarray

    def where(self, keep: np.ndarray) -> Windows:
        """Return the windows for which ``keep`` holds."""
        columns = (self.region, self.begin, self.stations, self.sums)
        return Windows(*(column[keep] for column in columns))

    def __add__(self, other: Windows) -> Windows:
        """Return the windows of both; sums over a window of both are added."""
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
    """Find all windows over which stations report, and add up each region's stations.

    Args:
        station, slot, value: (n,), one value a station and hour, sorted by both.
        region: (stations,), each one's region.
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
