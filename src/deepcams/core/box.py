"""Boxes on the globe: west, south, east and north edges in degrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from deepcams.core.errors import InputError

_EXPECTED = "W S E N in degrees with S < N (W > E crosses the dateline)"


class Box(NamedTuple):
    """A box in longitude and latitude; west > east crosses the dateline.

    Attributes:
        west, east: degrees east, -180..360; they differ.
        south, north: degrees north, -90..90, south < north.
    """

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def checked(cls, edges: Sequence[Any], where: str = "bbox") -> Box:
        """Make a box from four numbers.

        Args:
            edges: west, south, east, north, degrees.
            where: option or key that the numbers come from, named in error messages.

        Raises:
            InputError: there are not four numbers, or they do not form a valid box.
        """
        numbers = [
            edge
            for edge in edges
            if isinstance(edge, int | float) and not isinstance(edge, bool)
        ]
        if len(edges) != 4 or len(numbers) != 4:
            raise InputError(
                where,
                _EXPECTED,
                f"{tuple(edges)}",
            )
        box = cls(*(float(edge) for edge in numbers))
        on_globe = (
            -180 <= box.west <= 360
            and -180 <= box.east <= 360
            and -90 <= box.south < box.north <= 90
        )
        if not on_globe or box.west == box.east:
            raise InputError(
                where,
                _EXPECTED,
                f"{tuple(edges)}",
            )
        return box

    @property
    def width(self) -> float:
        """Degrees of longitude from west to east, above 0 and up to 360."""
        return 360.0 if self.east - self.west >= 360 else (self.east - self.west) % 360

    def contains(
        self, latitude: np.ndarray, longitude: np.ndarray, tolerance: float = 0.0
    ) -> np.ndarray:
        """Return a boolean mask of the points (degrees, longitudes modulo 360) inside the box or on its edges."""
        eastward = (np.asarray(longitude) - self.west + tolerance) % 360
        across = eastward <= self.width + 2 * tolerance
        along = (np.asarray(latitude) >= self.south - tolerance) & (
            np.asarray(latitude) <= self.north + tolerance
        )
        return np.asarray(across & along)

    def meets(self, other: Box) -> bool:
        """Return whether two boxes overlap; a shared edge alone does not count."""
        apart = (other.west - self.west) % 360
        overlap = apart < self.width or 360 - apart < other.width
        return overlap and min(self.north, other.north) > max(self.south, other.south)

    def widened(self, degrees: float) -> Box:
        """Return the box extended by ``degrees`` on each side, clipped at the poles and at 360 degrees of longitude."""
        south, north = max(self.south - degrees, -90.0), min(self.north + degrees, 90.0)
        if self.width + 2 * degrees >= 360:
            return Box(-180.0, south, 180.0, north)
        return Box(
            eastward(self.west - degrees), south, eastward(self.east + degrees), north
        )

    def split_at_dateline(self) -> list[Box]:
        """Return one or two boxes in -180..180 with west < east that cover the same area."""
        west, east = (
            edge if abs(edge) == 180 else eastward(edge)
            for edge in (self.west, self.east)
        )
        if west < east:
            return [Box(west, self.south, east, self.north)]
        return [
            Box(west, self.south, 180.0, self.north),
            Box(-180.0, self.south, east, self.north),
        ]


def eastward(longitude: Any) -> Any:
    """Return longitudes (degrees, a number or an array) wrapped to -180 <= longitude < 180."""
    degrees = np.asarray(longitude, float)
    # Values already in range are left alone: the modulo operation would lose their last digits.
    in_range = (degrees >= -180) & (degrees < 180)
    turned = np.where(in_range, degrees, (degrees + 180) % 360 - 180)
    return turned if turned.ndim else float(turned)
