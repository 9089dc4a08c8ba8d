"""Coasts and country borders as lines, shipped with the package: Natural Earth 4.1 (public domain).

They are drawn at 1:50m, coasts of wide maps at 1:110m. Borders are de facto borders and imply no opinion on their
status. ``benchmarks/outlines.py`` makes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from deepcams.plotting.projection import View

Kind = Literal["coasts", "wide_coasts", "borders"]

_FILE = Path(__file__).with_name("outlines.npz")
_PER_DEGREE = 100  # resolution of the coordinates in the file
WIDE = 120.0
"""Width, degrees, above which maps are drawn with less detail."""


@lru_cache(maxsize=3)
def world(kind: Kind) -> tuple[np.ndarray, ...]:
    """Return all lines of the globe, each (n, 2): longitude and latitude in degrees, without jumps of 360."""
    with np.load(_FILE) as file:
        points = np.cumsum(file[f"{kind}_steps"], axis=0) / _PER_DEGREE
        return tuple(np.split(points, np.cumsum(file[f"{kind}_lengths"])[:-1]))


@lru_cache(maxsize=3)
def _bounds(kind: Kind) -> np.ndarray:
    """Return west, south, east and north ends of each line, (lines, 4)."""
    return np.array([(*line.min(axis=0), *line.max(axis=0)) for line in world(kind)])


def lines_in(
    kind: Kind, west: float, south: float, east: float, north: float, once: bool = False
) -> list[np.ndarray]:
    """Return the lines that meet a box, repeated with every offset of 360 degrees for which they do.

    Args:
        kind: kind of lines; for a box wider than :data:`WIDE` coarser coasts are used.
        west, south, east, north: degrees, west < east, longitudes with any offset of 360.
        once: return each line only once, for a map around a pole.

    Returns:
        each (n, 2): longitude with the box's offset, and latitude.
    """
    if kind == "coasts" and east - west > WIDE:
        kind = "wide_coasts"
    lows, souths, highs, norths = _bounds(kind).T
    turns: Sequence[int] = [0]
    if not once:
        turns = range(
            int((west - highs.max()) // 360), int((east - lows.min()) // 360) + 1
        )
    found = []
    for turn in turns:
        shift = 360 * turn
        inside = (norths > south) & (souths < north)
        inside &= (highs + shift > west) & (lows + shift < east)
        found += [world(kind)[i] + np.array([shift, 0]) for i in np.flatnonzero(inside)]
    return found


@lru_cache(maxsize=32)
def on_paper(kind: Kind, view: View) -> list[np.ndarray]:
    """Return the lines of a view in projected coordinates, each (n, 2)."""
    lines = lines_in(
        kind, view.west, view.south, view.east, view.north, once=view.is_cap
    )
    if view.projection == "plate-carree":
        return lines
    return [view.plane.points(line[:, 0], line[:, 1]) for line in lines]


def land(view: View) -> list[np.ndarray]:
    """Return the rings of land in a plate carree view, each (n, 2); lakes have the opposite orientation."""
    rings = []
    for ring in on_paper("coasts", view):
        if not np.array_equal(ring[0], ring[-1]):  # Antarctica: closed around the pole
            ring = np.concatenate([ring, [(ring[-1, 0], -90), (ring[0, 0], -90)]])
        rings.append(ring)
    return rings
