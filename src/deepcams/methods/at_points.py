"""Methods in time that need no space: each point on its own, with two frames more than neighbouring ones.

:data:`AT_POINTS` holds their names; a new one is a class with a name, a kind and ``values``, and a line there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from deepcams.core.registry import Registry
from deepcams.core.sun import mean_solar_hours
from deepcams.core.times import HOUR_SECONDS
from deepcams.methods.four_frames import catmull_rom, pchip
from deepcams.methods.linear import straight

AT_POINTS = Registry(
    "method at a point",
    "deepcams.at_points",
    {
        "catmull-rom": "deepcams.methods.at_points:CatmullRom",
        "linear": "deepcams.methods.at_points:Linear",
        "linear-eq9": "deepcams.methods.at_points:LinearEq9",
        "pchip": "deepcams.methods.at_points:Pchip",
    },
)


@dataclass(frozen=True)
class Surrounded:
    """Four frames at some points, and where and when they are.

    Attributes:
        frames: (4, n), float64, ug m-3, >= 0: one step before, the two frames between which values are wanted, and
            one step after.
        seconds: (n,), seconds since 1970 UTC of the second frame.
        latitude, longitude: (n,), degrees.
        step: seconds between frames.
    """

    frames: np.ndarray
    seconds: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    step: int = 3 * HOUR_SECONDS

    def solar_hours(self, fraction: float) -> np.ndarray:
        """Return local mean solar times, (n,), hours in [0, 24), at a fraction of the step from the second frame."""
        return mean_solar_hours(self.times(fraction), self.longitude)

    def times(self, fraction: float) -> np.ndarray:
        """Return the times at a fraction of the step from the second frame, ``datetime64[ms]``."""
        since = 1000 * (np.asarray(self.seconds, np.float64) + fraction * self.step)
        return np.round(since).astype(np.int64).astype("datetime64[ms]")


class AtPoints(Protocol):
    """A method at points.

    Attributes:
        name: as in tables.
        kind: as those of other methods.
    """

    name: str
    kind: Literal["baseline", "training-free", "network"]

    def values(self, around: Surrounded, fractions: Sequence[float]) -> np.ndarray:
        """Return (len(fractions), n), float64, ug m-3, >= 0: values between the middle frames."""
        ...


class Linear:
    """See :class:`deepcams.methods.linear.Linear`."""

    name = "linear"
    kind: Literal["baseline"] = "baseline"

    def values(self, around: Surrounded, fractions: Sequence[float]) -> np.ndarray:
        """See :class:`AtPoints`."""
        return straight(around.frames[1], around.frames[2], fractions)


class LinearEq9:
    """See :class:`deepcams.methods.linear.LinearEq9`."""

    name = "linear-eq9"
    kind: Literal["baseline"] = "baseline"

    def values(self, around: Surrounded, fractions: Sequence[float]) -> np.ndarray:
        """See :class:`AtPoints`."""
        return straight(around.frames[2], around.frames[1], fractions)


class CatmullRom:
    """See :func:`deepcams.methods.four_frames.catmull_rom`."""

    name = "catmull-rom"
    kind: Literal["training-free"] = "training-free"

    def values(self, around: Surrounded, fractions: Sequence[float]) -> np.ndarray:
        """See :class:`AtPoints`."""
        return catmull_rom(around.frames, fractions)


class Pchip:
    """See :func:`deepcams.methods.four_frames.pchip`."""

    name = "pchip"
    kind: Literal["training-free"] = "training-free"

    def values(self, around: Surrounded, fractions: Sequence[float]) -> np.ndarray:
        """See :class:`AtPoints`."""
        return pchip(around.frames, fractions)
