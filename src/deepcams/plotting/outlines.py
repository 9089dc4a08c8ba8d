"""Coasts and countries' borders as lines, without a download: Natural Earth 4.1 (public domain).

They are drawn at 1:50m, coasts of wide maps at 1:110m. The borders are de facto ones, and no statement about any of
them. ``benchmarks/outlines.py`` makes the file.
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
_PER_DEGREE = 100  # of the numbers in that file
WIDE = 120.0
"""Degrees: wider maps are drawn with fewer details."""


@lru_cache(maxsize=3)
def world(kind: Kind) -> tuple[np.ndarray, ...]:
    """Return the lines of the globe, each (n, 2): longitude and latitude in degrees, without jumps."""
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
    """Return the lines that touch a box, in each turn of longitude in which they do.

    Args:
        kind: which lines; coasts of a box wider than :data:`WIDE` are the coarser ones.
        west, south, east, north: degrees, west < east, longitudes in any turn.
        once: return each line in a single turn, for a map round a pole.

    Returns:
        each (n, 2): longitude in the box's turn, and latitude.
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
    """Return the lines of a view on paper, each (n, 2)."""
    lines = lines_in(
        kind, view.west, view.south, view.east, view.north, once=view.is_cap
    )
    if view.projection == "plate-carree":
        return lines
    return [view.plane.points(line[:, 0], line[:, 1]) for line in lines]


def land(view: View) -> list[np.ndarray]:
    """Return the rings of land in a view in plate carree, each (n, 2); a lake is a ring the other way round."""
    rings = []
    for ring in on_paper("coasts", view):
        if not np.array_equal(ring[0], ring[-1]):  # Antarctica: closed round the pole
            ring = np.concatenate([ring, [(ring[-1, 0], -90), (ring[0, 0], -90)]])
        rings.append(ring)
    return rings
