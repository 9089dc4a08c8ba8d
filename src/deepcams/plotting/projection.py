"""Map projections, and views: the part of the globe that a map shows, and the corresponding part of a grid.

Plate carree draws degrees directly. Robinson and Equal Earth show the globe; the polar ones a cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from deepcams.core.box import Box
from deepcams.core.errors import InputError, choose
from deepcams.core.grid import Grid

ProjectionName = Literal[
    "plate-carree", "robinson", "equal-earth", "north-polar", "south-polar"
]
PROJECTIONS: tuple[str, ...] = get_args(ProjectionName)

# Robinson (1974), every 5 degrees of latitude: length of the parallel, and its distance from the equator; in 1e-4.
_PARALLELS = "10000 9986 9954 9900 9822 9730 9600 9427 9216 8962 8679 8350 7986 7597 7186 6732 6213 5722 5322"
_HEIGHTS = "0 620 1240 1860 2480 3100 3720 4340 4958 5571 6176 6769 7346 7903 8435 8936 9394 9761 10000"
_EQUAL_EARTH = (
    1.340264,
    -0.081106,
    0.000893,
    0.003796,
)  # Savric, Patterson & Jenny 2018, eq. 11
_LATITUDES = np.linspace(
    -90, 90, 3601
)  # length of the table that inverts y to latitude
_CAP = 30.0  # edge latitude of a polar map of global data


class Projection:
    """One of :data:`PROJECTIONS`, about a central meridian.

    Args:
        name: name of the projection.
        centre: central longitude, degrees; for a polar one the meridian that points down (north) or up (south).

    Raises:
        InputError: the name is unknown.
    """

    def __init__(self, name: str, centre: float = 0.0) -> None:
        self.name, self.centre = choose("--projection", name, PROJECTIONS), centre
        self.polar = name.endswith("polar")
        self._sign = -1.0 if name == "south-polar" else 1.0
        if name == "robinson":
            self._across = np.deg2rad(0.8487 * _robinson(_PARALLELS))
            self._up = 1.3523 * np.sign(_LATITUDES) * _robinson(_HEIGHTS)
        elif name == "equal-earth":
            a1, a2, a3, a4 = _EQUAL_EARTH
            angle = np.arcsin(np.sqrt(3) / 2 * np.sin(np.deg2rad(_LATITUDES)))
            slope = 9 * a4 * angle**8 + 7 * a3 * angle**6 + 3 * a2 * angle**2 + a1
            self._across = np.deg2rad(2 * np.sqrt(3) / 3 * np.cos(angle) / slope)
            self._up = angle * (a4 * angle**8 + a3 * angle**6 + a2 * angle**2 + a1)

    def forward(
        self, longitude: np.ndarray | float, latitude: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Project degrees to x and y; longitudes are not wrapped."""
        turned = np.asarray(longitude, float) - self.centre
        latitude = np.asarray(latitude, float)
        if self.name == "plate-carree":
            return turned, latitude
        if self.polar:  # Lambert's azimuthal equal-area
            radius = 2 * np.sin(np.deg2rad(90 - self._sign * latitude) / 2)
            angle = np.deg2rad(turned)
            return radius * np.sin(angle), -self._sign * radius * np.cos(angle)
        across = np.interp(latitude, _LATITUDES, self._across)
        return turned * across, np.interp(latitude, _LATITUDES, self._up)

    def points(
        self, longitude: np.ndarray | float, latitude: np.ndarray | float
    ) -> np.ndarray:
        """Return :meth:`forward` as points, (..., 2); a number is broadcast to the shape of the other argument."""
        return np.stack(
            np.broadcast_arrays(*self.forward(longitude, latitude)), axis=-1
        )

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude (within 180 of the centre) and latitude of projected points; NaN off the map."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        if self.name == "plate-carree":
            return x + self.centre, np.where(abs(y) <= 90, y, np.nan)
        if self.polar:
            with np.errstate(invalid="ignore"):
                angle = np.rad2deg(np.arcsin(np.hypot(x, y) / 2))
            longitude = self.centre + np.rad2deg(np.arctan2(x, -self._sign * y))
            return longitude, self._sign * (90 - 2 * angle)
        latitude = np.interp(y, self._up, _LATITUDES, left=np.nan, right=np.nan)
        turned = x / np.interp(y, self._up, self._across)
        inside = np.isfinite(latitude) & (abs(turned) <= 180 + 1e-9)
        return np.where(inside, self.centre + turned, np.nan), np.where(
            inside, latitude, np.nan
        )


def _robinson(table: str) -> np.ndarray:
    """Interpolate one of Robinson's tables to all latitudes by a cubic spline.

    Aitken's scheme, which Robinson used, agrees within a line's width.
    """
    from scipy.interpolate import CubicSpline

    values = np.array(table.split(), float) / 1e4
    return np.asarray(CubicSpline(np.arange(0, 91, 5), values)(abs(_LATITUDES)))


@lru_cache(maxsize=32)
def _plane(name: str, centre: float) -> Projection:
    return Projection(name, centre)


@dataclass(frozen=True)
class View:
    """The part of the globe that a map shows: degrees, west < east, with the offset of 360 that suits the data."""

    west: float
    south: float
    east: float
    north: float
    projection: str = "plate-carree"

    @classmethod
    def of(
        cls,
        grid: Grid,
        box: Sequence[float] | None = None,
        projection: str = "plate-carree",
    ) -> View:
        """Return the view of a box (W S E N), or of all cells of a grid.

        The globe is shown from 180 W; a polar map shows a cap of it.

        Raises:
            InputError: the box is invalid or holds nothing of the grid, or the projection is unknown.
        """
        choose("--projection", projection, PROJECTIONS)
        limit = _CAP if box is None else 0.0
        if box is None:
            west, width = float(grid.longitude_bounds[0, 0]), grid.step * grid.columns
            south, north = (
                float(grid.latitude_bounds[-1, 1]),
                float(grid.latitude_bounds[0, 0]),
            )
            if grid.periodic:
                west = -180.0 - (grid.step / 2 if projection == "plate-carree" else 0.0)
        else:
            grid.select(box, "box")
            west, south, _, north = box = Box(*box)
            width = box.width
            if not grid.periodic:
                west = into_turn(west, float(grid.longitudes[0]) - grid.step)
        sides = {"north-polar": (limit, 90.0), "south-polar": (-90.0, -limit)}
        low, high = sides.get(projection, (-90.0, 90.0))
        if north <= low or south >= high:
            expected = f"data on the pole's side of {limit:g} degrees for {projection}"
            raise InputError("--projection", expected, f"{south:g} to {north:g} N")
        if box is None:
            south, north = max(south, low), min(north, high)
        return cls(west, south, west + width, north, projection)

    @property
    def plane(self) -> Projection:
        """The projection, centred on the view (a whole polar cap: on Greenwich)."""
        return _plane(self.projection, (self.west + self.east) / 2)

    @property
    def is_whole(self) -> bool:
        """Whether the view covers all longitudes."""
        return self.east - self.west > 359.9

    @property
    def is_cap(self) -> bool:
        """Whether the view is a circle around a pole."""
        return self.is_whole and self.projection.endswith("polar")

    @property
    def aspect(self) -> float:
        """Ratio of a drawn degree of latitude to one of longitude: true to scale in the middle, 1 on wide maps."""
        if self.projection != "plate-carree" or self.east - self.west > 180:
            return 1.0
        return float(min(1 / np.cos(np.deg2rad((self.south + self.north) / 2)), 2.5))

    @property
    def cap_edge(self) -> float:
        """Latitude of the edge of a polar map."""
        return self.south if self.projection == "north-polar" else self.north

    @property
    def border(self) -> np.ndarray:
        """The closed projected outline of the view, (n, 2)."""
        around = np.linspace(self.west, self.east, 361)
        up = np.linspace(self.south, self.north, 181)
        if self.is_cap:
            return self.plane.points(around, self.cap_edge)
        edges: list[tuple[np.ndarray | float, np.ndarray | float]] = [
            (around, self.south),
            (self.east, up),
            (around[::-1], self.north),
            (self.west, up[::-1]),
        ]
        return np.concatenate([self.plane.points(*edge) for edge in edges])

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Projected west, east, south and north limits: degrees in plate carree, else units of the projection."""
        if self.projection == "plate-carree":
            return self.west, self.east, self.south, self.north
        (x0, y0), (x1, y1) = self.border.min(axis=0), self.border.max(axis=0)
        return float(x0), float(x1), float(y0), float(y1)

    @property
    def height(self) -> float:
        """Height of a map of width 1."""
        x0, x1, y0, y1 = self.extent
        return (y1 - y0) / (x1 - x0) * self.aspect

    def holds(self, other: View) -> bool:
        """Return whether another view is within this one."""
        west = into_turn(other.west, self.west - 1e-9)
        across = (
            self.east - self.west >= 360
            or west + other.east - other.west <= self.east + 1e-6
        )
        return (
            across
            and self.south <= other.south + 1e-6
            and other.north <= self.north + 1e-6
        )


def into_turn(longitude: float, west: float) -> float:
    """Wrap a longitude to the 360 degrees from ``west``."""
    return west + (longitude - west) % 360


Nodes = tuple[slice, np.ndarray | None]
"""Rows and columns of a grid (may wrap around the globe); ``None`` for all columns."""


def window(grid: Grid, view: View) -> tuple[Grid, Nodes]:
    """Return the part of a grid that a view shows, with one extra cell on each side, and its nodes."""
    top = max(int(np.floor((90 - view.north) / grid.row_step)) - 1, grid.north)
    bottom = min(int(np.ceil((90 - view.south) / grid.row_step)) + 1, grid.south)
    rows = slice(top - grid.north, bottom + 1 - grid.north)
    first = int(np.floor(view.west / grid.step)) - 1
    stop = int(np.ceil(view.east / grid.step)) + 2
    if stop - first >= grid.around:
        return replace(grid, north=top, rows=bottom + 1 - top), (rows, None)
    wanted = (np.arange(first, stop) - grid.west) % grid.around
    columns = wanted[wanted < grid.columns]
    part = replace(
        grid,
        north=top,
        west=grid.west + int(columns[0]),
        rows=bottom + 1 - top,
        columns=columns.size,
    )
    return part.canonical(), (rows, columns)


def within(values: np.ndarray, grid: Grid, view: View) -> np.ndarray:
    """Return the values at nodes inside a view."""
    rows = (grid.latitudes > view.south - 1e-6) & (grid.latitudes < view.north + 1e-6)
    eastward = (grid.longitudes - view.west + 1e-6) % 360
    return values[np.ix_(rows, eastward < view.east - view.west + 2e-6)]
