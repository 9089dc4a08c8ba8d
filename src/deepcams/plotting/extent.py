"""What a map shows of the globe, and what of a grid lies in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.plotting.projection import Projection

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east crosses the dateline."""

_CAP = 30.0  # latitude to which a polar map of the whole globe reaches


@dataclass(frozen=True)
class View:
    """What a map shows: degrees, west < east, in whichever turn of longitude suits the data."""

    west: float
    south: float
    east: float
    north: float
    projection: str = "plate-carree"

    @classmethod
    def of(cls, grid: Grid, box: Box | None = None, projection: str = "plate-carree") -> View:
        """A box, or all cells of a grid; the globe is shown from 180 W, and of it a polar map shows a cap.

        Raises:
            InputError: the box is no box or holds nothing of the grid; no such projection.
        """
        polar = _plane(projection, 0.0).polar
        if box is None:
            west = -180 - grid.step / 2 if grid.periodic else float(grid.longitude_bounds[0, 0])
            south, north = float(grid.latitude_bounds[-1, 1]), float(grid.latitude_bounds[0, 0])
            if polar:
                south, north = (
                    (max(south, _CAP), north)
                    if projection == "north-polar"
                    else (south, min(north, -_CAP))
                )
                if south >= north:
                    raise InputError(
                        "--projection", f"data near the pole for {projection}", grid.describe()
                    )
            if grid.periodic and projection != "plate-carree":
                west = -180.0
            return cls(west, south, west + grid.step * grid.columns, north, projection)
        grid.select(box, "box")
        west, south, east, north = box
        if polar and (north <= 0 if projection == "north-polar" else south >= 0):
            raise InputError(
                "--projection",
                f"a box on the pole's side of the equator for {projection}",
                f"{box}",
            )
        width = 360.0 if east - west >= 360 else (east - west) % 360
        west = west if grid.periodic else into_turn(west, float(grid.longitudes[0]) - grid.step)
        return cls(west, south, west + width, north, projection)

    @property
    def plane(self) -> Projection:
        """The projection about the middle of the view (a whole polar cap: about Greenwich)."""
        return _plane(self.projection, (self.west + self.east) / 2)

    @property
    def aspect(self) -> float:
        """How much longer a degree of latitude is drawn than one of longitude: true in the middle, 1 on wide maps."""
        if self.projection != "plate-carree" or self.east - self.west > 180:
            return 1.0
        return float(min(1 / np.cos(np.deg2rad((self.south + self.north) / 2)), 2.5))

    @property
    def border(self) -> np.ndarray:
        """The edge of the view on paper, closed, (n, 2)."""
        around = np.linspace(self.west, self.east, 361)
        up = np.linspace(self.south, self.north, 181)
        longitude = np.concatenate(
            [around, np.full(181, self.east), around[::-1], np.full(181, self.west)]
        )
        latitude = np.concatenate(
            [np.full(361, self.south), up, np.full(361, self.north), up[::-1]]
        )
        if (
            _plane(self.projection, 0.0).polar and self.east - self.west > 359.9
        ):  # a circle has no other edges
            end = self.south if self.projection == "north-polar" else self.north
            longitude, latitude = around, np.full(361, end)
        return np.stack(self.plane.forward(longitude, latitude), axis=1)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north end of the paper: degrees on plate carree, else units of the projection."""
        if self.projection == "plate-carree":
            return self.west, self.east, self.south, self.north
        (x0, y0), (x1, y1) = self.border.min(axis=0), self.border.max(axis=0)
        return float(x0), float(x1), float(y0), float(y1)

    @property
    def height(self) -> float:
        """Of a map that is 1 wide."""
        x0, x1, y0, y1 = self.extent
        return (y1 - y0) / (x1 - x0) * self.aspect

    def holds(self, other: View) -> bool:
        """Whether another view lies within this one."""
        west = into_turn(other.west, self.west - 1e-9)
        across = self.east - self.west >= 360 or west + other.east - other.west <= self.east + 1e-6
        return across and self.south <= other.south + 1e-6 and other.north <= self.north + 1e-6


@lru_cache(maxsize=32)
def _plane(name: str, centre: float) -> Projection:
    return Projection(name, centre)


def into_turn(longitude: float, west: float) -> float:
    """The same longitude within the 360 degrees from ``west``."""
    return west + (longitude - west) % 360


def window(grid: Grid, view: View) -> tuple[Grid, slice, np.ndarray | None]:
    """What of a grid a view shows, with a cell beyond on each side.

    Returns:
        the grid of that part, its rows, and its columns (``None``: all), which may wrap.
    """
    top = max(int(np.floor((90 - view.north) / grid.step)) - 1, grid.north)
    bottom = min(int(np.ceil((90 - view.south) / grid.step)) + 1, grid.south)
    rows = slice(top - grid.north, bottom + 1 - grid.north)
    first = int(np.floor(view.west / grid.step)) - 1
    stop = int(np.ceil(view.east / grid.step)) + 2
    if stop - first >= grid.around:
        return replace(grid, north=top, rows=bottom + 1 - top), rows, None
    wanted = (np.arange(first, stop) - grid.west) % grid.around
    columns = wanted[wanted < grid.columns]
    part = Grid(grid.step, top, grid.west + int(columns[0]), bottom + 1 - top, columns.size)
    return part.canonical(), rows, columns


def within(values: np.ndarray, grid: Grid, view: View) -> np.ndarray:
    """The values at nodes inside a view."""
    south, north = max(view.south, -90.0), min(view.north, 90.0)
    west = (view.west + 180) % 360 - 180
    east = (
        360.0 + west if view.east - view.west >= 360 - grid.step else (view.east + 180) % 360 - 180
    )
    if east > 360:
        west, east = 0.0, 360.0
    _, rows, columns = grid.select((west, south, east, north), "box")
    return values[rows][:, columns]
