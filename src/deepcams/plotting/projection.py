"""Map projections by their own formulas: what a view looks like on paper, and which place a point of the paper is.

Plate carree draws degrees as they are. Robinson and Equal Earth show the globe; the polar ones a cap.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from deepcams.core.errors import choose

ProjectionName = Literal["plate-carree", "robinson", "equal-earth", "north-polar", "south-polar"]
PROJECTIONS: tuple[str, ...] = get_args(ProjectionName)

# Robinson (1974): length of the parallel and its distance from the equator, every 5 degrees of latitude.
_PARALLELS = np.array(
    [
        1.0000,
        0.9986,
        0.9954,
        0.9900,
        0.9822,
        0.9730,
        0.9600,
        0.9427,
        0.9216,
        0.8962,
        0.8679,
        0.8350,
        0.7986,
        0.7597,
        0.7186,
        0.6732,
        0.6213,
        0.5722,
        0.5322,
    ]
)
_HEIGHTS = np.array(
    [
        0.0000,
        0.0620,
        0.1240,
        0.1860,
        0.2480,
        0.3100,
        0.3720,
        0.4340,
        0.4958,
        0.5571,
        0.6176,
        0.6769,
        0.7346,
        0.7903,
        0.8435,
        0.8936,
        0.9394,
        0.9761,
        1.0000,
    ]
)
_EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)  # Savric, Patterson & Jenny 2018, eq. 11
_LATITUDES = np.linspace(-90, 90, 3601)  # where what has no inverse in closed form is looked up


class Projection:
    """One of :data:`PROJECTIONS`, about a central meridian.

    Args:
        name: which.
        centre: longitude of the middle, degrees; for a polar one the meridian that points down (north) or up (south).

    Raises:
        InputError: the name is none of them.
    """

    def __init__(self, name: str, centre: float = 0.0) -> None:
        self.name, self.centre = choose("--projection", name, PROJECTIONS), centre
        self.polar = name.endswith("polar")
        self._sign = -1.0 if name == "south-polar" else 1.0
        if name == "robinson":
            size = abs(_LATITUDES)
            table = np.arange(0, 91, 5.0)
            self._across = np.deg2rad(0.8487 * _smooth(size, table, _PARALLELS))
            self._up = 1.3523 * np.sign(_LATITUDES) * _smooth(size, table, _HEIGHTS)
        elif name == "equal-earth":
            a1, a2, a3, a4 = _EQUAL_EARTH
            angle = np.arcsin(np.sqrt(3) / 2 * np.sin(np.deg2rad(_LATITUDES)))
            slope = 9 * a4 * angle**8 + 7 * a3 * angle**6 + 3 * a2 * angle**2 + a1
            self._across = np.deg2rad(2 * np.sqrt(3) / 3 * np.cos(angle) / slope)
            self._up = angle * (a4 * angle**8 + a3 * angle**6 + a2 * angle**2 + a1)

    def forward(
        self, longitude: np.ndarray | float, latitude: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Degrees (longitude in whichever turn is meant) to x and y on paper."""
        turned = np.asarray(longitude, float) - self.centre
        latitude = np.asarray(latitude, float)
        if self.name == "plate-carree":
            return turned, latitude
        if self.polar:  # Lambert's azimuthal equal-area
            radius = 2 * np.sin(np.deg2rad(90 - self._sign * latitude) / 2)
            angle = np.deg2rad(turned)
            return radius * np.sin(angle), -self._sign * radius * np.cos(angle)
        return turned * np.interp(latitude, _LATITUDES, self._across), np.interp(
            latitude, _LATITUDES, self._up
        )

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paper to degrees; NaN where there is no place, longitudes within half a turn of the centre."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        if self.name == "plate-carree":
            return x + self.centre, np.where(abs(y) <= 90, y, np.nan)
        if self.polar:
            radius = np.hypot(x, y)
            with np.errstate(invalid="ignore"):
                latitude = self._sign * (90 - 2 * np.rad2deg(np.arcsin(radius / 2)))
            return self.centre + np.rad2deg(np.arctan2(x, -self._sign * y)), latitude
        latitude = np.interp(y, self._up, _LATITUDES, left=np.nan, right=np.nan)
        turned = x / np.interp(y, self._up, self._across)
        inside = np.isfinite(latitude) & (abs(turned) <= 180 + 1e-9)
        return np.where(inside, self.centre + turned, np.nan), np.where(inside, latitude, np.nan)


def _smooth(at: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A smooth cubic through a table of even steps (Aitken's scheme is the same within a line's width)."""
    slopes = np.gradient(values, places, edge_order=2)
    step = places[1] - places[0]
    left = np.clip(np.searchsorted(places, at, side="right") - 1, 0, places.size - 2)
    share = (at - places[left]) / step
    rising = share**2 * (3 - 2 * share)
    bent = share * (1 - share) * step
    return np.asarray(
        values[left] * (1 - rising)
        + values[left + 1] * rising
        + bent * ((1 - share) * slopes[left] - share * slopes[left + 1])
    )
