"""Coasts and countries' borders as lines on paper, without a download.

Coasts are contours of the land mask; borders, which come with the package, are those that Natural Earth (4.1, public
domain) draws at 1:50m: de facto, and no statement about any of them. Where cartopy once kept Natural Earth's own files
on this disk, narrow views are drawn from the finer ones.
"""

from __future__ import annotations

import os
import struct
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from deepcams.plotting.coastlines import land_lines
from deepcams.plotting.extent import View

_BORDERS = Path(__file__).with_name("borders.npz")
_PER_DEGREE = 100  # of the numbers in that file
_NARROW = 30.0  # degrees: what is narrower gains from 1:10m
_NAMES = {
    "coast": "physical/ne_10m_coastline.shp",
    "borders": "cultural/ne_10m_admin_0_boundary_lines_land.shp",
}
_NULL, _POLYLINE, _POLYGON = 0, 3, 5  # kinds of a shapefile's records


@lru_cache(maxsize=16)
def coast(view: View) -> list[np.ndarray]:
    """Coastlines of a view on paper, each (n, 2)."""
    fine = _from_disk("coast", view)
    if fine:
        return _on_paper(fine, view)
    return [_drawn(line, view) for line in land_lines(view.west, view.south, view.east, view.north)]


@lru_cache(maxsize=16)
def borders(view: View) -> list[np.ndarray]:
    """Borders between countries on land and across lakes, of a view on paper, each (n, 2)."""
    return _on_paper(_from_disk("borders", view) or shipped_borders(), view)


@lru_cache(maxsize=1)
def shipped_borders() -> tuple[np.ndarray, ...]:
    """The world's, each (n, 2): longitude -180..180 and latitude in degrees. None crosses the dateline."""
    with np.load(_BORDERS) as file:
        points = np.cumsum(file["steps"], axis=0) / _PER_DEGREE
        return tuple(np.split(points, np.cumsum(file["lengths"])[:-1]))


def _on_paper(lines: tuple[np.ndarray, ...], view: View) -> list[np.ndarray]:
    """Those that touch a view, each in the turn or the two turns of longitude in which they do."""
    low, high = (
        np.array([end(line, axis=0) for line in lines]).reshape(-1, 2) for end in (np.min, np.max)
    )
    rows = (high[:, 1] > view.south) & (low[:, 1] < view.north)
    if view.plane.polar and view.east - view.west > 359.9:  # every turn is the same place
        return [_drawn(lines[i], view) for i in np.flatnonzero(rows)]
    found = []
    for turn in (-360, 0, 360):
        inside = rows & (high[:, 0] + turn > view.west) & (low[:, 0] + turn < view.east)
        found += [_drawn(lines[i] + (turn, 0), view) for i in np.flatnonzero(inside)]
    return found


def _drawn(line: np.ndarray, view: View) -> np.ndarray:
    if view.projection == "plate-carree":
        return line
    return np.stack(view.plane.forward(line[:, 0], line[:, 1]), axis=1)


def _from_disk(what: str, view: View) -> tuple[np.ndarray, ...]:
    """Lines of Natural Earth at 1:10m, for a narrow view, where cartopy has them already; else none."""
    if view.east - view.west > _NARROW:
        return ()
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    kept = [
        os.environ.get("CARTOPY_DATA_DIR"),
        Path(sys.prefix) / "share/cartopy",
        Path(data) / "cartopy",
    ]
    for folder in kept:
        path = Path(folder) / "shapefiles/natural_earth" / _NAMES[what] if folder else None
        if path is not None and path.is_file():
            return read_lines(path)
    return ()


@lru_cache(maxsize=2)
def read_lines(path: Path) -> tuple[np.ndarray, ...]:
    """The lines of a shapefile, polygons as their rings, each (n, 2); none where it is damaged."""
    found: list[np.ndarray] = []
    try:
        raw, at = path.read_bytes(), 100
        while at + 12 <= len(raw):
            (words,) = struct.unpack_from(">i", raw, at + 4)  # length of what follows, in 16 bits
            (kind,) = struct.unpack_from("<i", raw, at + 8)
            if kind not in (_NULL, _POLYLINE, _POLYGON):
                return ()
            if kind != _NULL:
                parts, number = struct.unpack_from("<ii", raw, at + 44)
                starts = np.frombuffer(raw, "<i4", parts, at + 52)
                points = np.frombuffer(raw, "<f8", 2 * number, at + 52 + 4 * parts).reshape(-1, 2)
                found += np.split(points, starts[1:])
            at += 8 + 2 * words
            if words <= 0:
                return ()
    except (OSError, ValueError, struct.error):
        return ()
    return tuple(line for line in found if len(line) > 1 and np.isfinite(line).all())
