"""Coastlines for maps, without a download: contours of the land mask that the package global-land-mask brings."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deepcams.files.land_mask import land_rows, made_once

PER_DEGREE = 10
"""Cells of :func:`land` per degree."""

_LINES_ACROSS = 500
"""A map is drawn from about so many cells from west to east: more would be islets and lakes smaller than a line."""


@lru_cache(maxsize=1)
def land() -> np.ndarray:
    """Share of land in cells of 0.1 degrees, (1800, 3600), uint8, 0..255; from 90 N and 180 W.

    Made once, in seconds, and kept in the cache if that can be written to.
    """
    return made_once("land_share", (180 * PER_DEGREE, 360 * PER_DEGREE), np.uint8, _read)


def _read() -> np.ndarray:
    return np.array([np.rint(255 * row).astype(np.uint8) for row in land_rows(PER_DEGREE)])


def land_share(
    west: float, south: float, east: float, north: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What to draw the contour 0.5 of, for a view.

    Args:
        west, south, east, north: the view in degrees, west < east; any whole turns may be added to both.

    Returns:
        longitudes (increasing, in the view's turn), latitudes (decreasing), and the share of land at their crossings,
        0..1, a cell beyond the view on each side. Wide views get wider cells.
    """
    fitting = (1, 2, 3, 4, 5)
    cells = (east - west) * PER_DEGREE / _LINES_ACROSS
    wide = next((width for width in fitting if width >= cells), fitting[-1])
    share = land()
    rows, columns = share.shape[0] // wide, share.shape[1] // wide
    if wide > 1:
        share = share.reshape(rows, wide, columns, wide).mean(axis=(1, 3))
    step = wide / PER_DEGREE
    row = np.arange(max(int((90 - north) / step) - 1, 0), min(int((90 - south) / step) + 2, rows))
    column = np.arange(
        int(np.floor((west + 180) / step)) - 1, int(np.ceil((east + 180) / step)) + 2
    )
    part = share[row[:, None], column[None, :] % columns] / 255
    return -180 + step * (column + 0.5), 90 - step * (row + 0.5), part


def land_lines(west: float, south: float, east: float, north: float) -> list[np.ndarray]:
    """The coastlines of a view, as :func:`land_share` takes it: each (n, 2), longitude and latitude in degrees."""
    from contourpy import contour_generator

    longitudes, latitudes, land = land_share(west, south, east, north)
    if min(land.shape) < 2 or not land.min() < 0.5 < land.max():
        return []
    return [np.asarray(line) for line in contour_generator(longitudes, latitudes, land).lines(0.5)]
