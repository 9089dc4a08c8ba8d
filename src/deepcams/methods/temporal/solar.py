"""A curve through four frames whose blend of the middle two knows the sun.

Between two frames the sun rises, sets or does neither, and PM2.5 near the ground follows: emissions gather under a
shallow layer of air, which opens after sunrise and closes in the evening. What the straight line between two frames
misses is taken from the sun's mean elevation over the interval and from its change, so that a place in the tropics,
where the sun climbs steeply, and one in the north share one shape. The weights were fitted to both at once
(``benchmarks/sun.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deepcams.core.errors import notice
from deepcams.core.grid import Grid
from deepcams.core.species import GEOS_CF_NAMES, PM25, species_of
from deepcams.core.sun import sun_elevation
from deepcams.core.times import HOUR
from deepcams.files.land_mask import smoothed_land
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.four_frames import Cubic

STEP = 3 * HOUR
"""Between the frames that the weights were fitted to."""
MOST_SUM, MOST_SHIFT = 0.8, 0.6
"""Bounds of both parts of the modulation; together they keep weights >= 0 and their sum within 0.8 and 1.2."""
STEEP = 45.0
"""Degrees in three hours that the sun climbs at most, at the equator."""
FITTED, UNKNOWN = 55.0, 65.0
"""Degrees of latitude: up to the first the sun counts in full, from the second on (before polar day and night begin, at
66.6) it does not count."""


@dataclass(frozen=True)
class Shape:
    """What the sun does to the weights.

    Attributes:
        rising, falling: mean elevations of the sun, degrees, round which its climb or its descent counts.
        width: of the bumps round them, degrees: the standard deviation of a Gaussian.
        level: a coefficient each of :meth:`terms`: what both weights gain.
        shift: likewise: what the weight of the frame before gains and that of the frame after loses.
    """

    rising: tuple[float, ...]
    falling: tuple[float, ...]
    width: float
    level: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    def terms(self, before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
        """Return the sun's terms, of ``rising`` first, of the arguments' shape and type, 0..1.

        Args:
            before, after: the sun's elevation at both frames, degrees.
        """
        mean, change = (before + after) / 2, (after - before) / STEEP
        both = (
            (self.rising, np.maximum(change, 0)),
            (self.falling, np.maximum(-change, 0)),
        )
        return [
            steep * np.exp(-0.5 * np.square((mean - centre) / self.width))
            for centres, steep in both
            for centre in centres
        ]

    def modulation(
        self, before: np.ndarray, after: np.ndarray, share: np.ndarray | float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what multiplies ``t (1 - t)`` in the weights of the frames before and after.

        At t the weights are ``1 - t + t (1 - t) g`` and ``t + t (1 - t) h``: never below 0, their sum within 0.8 and
        1.2, and (1, 0) and (0, 1) at the frames.

        Args:
            before, after: the sun's elevation at both frames, degrees; of one shape.
            share: of the modulation that is used, 0..1; it broadcasts with them.

        Returns:
            g and h, each in [-1, 1], with g + h in [-0.8, 0.8].
        """
        terms = self.terms(before, after)
        level = bounded(self.level, terms, MOST_SUM) * share
        shift = bounded(self.shift, terms, MOST_SHIFT) * share
        return level / 2 + shift, level / 2 - shift


def bounded(
    coefficients: Sequence[float], terms: Sequence[np.ndarray], most: float
) -> np.ndarray:
    """Return the sum of coefficients times terms, bent so that it stays within -most and most."""
    total = sum((c * term for c, term in zip(coefficients, terms, strict=True)), 0.0)
    return np.asarray(most * np.tanh(total / most))


def fitted_share(latitude: np.ndarray) -> np.ndarray:
    """Return 1 in the latitudes of the fit (0 to 55, either side) and 0 beyond 65, smooth in between."""
    inside = (UNKNOWN - np.abs(np.asarray(latitude, np.float64))) / (UNKNOWN - FITTED)
    inside = np.clip(inside, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))


SHAPE = Shape(
    rising=(-15, 10, 35),
    falling=(-10, 15),
    width=10,
    level=(-0.113, 0.316, -0.105, 0.069, -0.055),
    shift=(0.162, 1.533, -1.334, -0.08, 1.13),
)
"""Fitted by ``benchmarks/sun.py`` to Kigali, July to October 2021, and Poland, 2017 to June 2018, alike; centres, width
and ridge chosen on Kigali, November 2021, and Poland, July to December 2018."""


class Sun(Cubic):
    """Cubic, its blend of the two middle frames modulated by the sun on land.

    Where the fit knows nothing it is that curve: at sea, beyond 65 degrees of latitude, for other species than PM2.5,
    for other steps than three hours, and where the time is not known.
    """

    name = "sun"

    def __init__(self) -> None:
        self._told: set[str] = set()

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Interpolate; see :meth:`TemporalDownscaler.between`."""
        made = super().between(interval, fractions)
        why = unfitted(interval)
        if why:
            if why not in self._told:
                self._told.add(why)
                notice(f"the sun's weights are not used: {why}; this is cubic's curve")
            return made
        share = used_share(interval)
        kind = made.dtype
        first, last = (
            sun_elevation(
                interval.time(end), interval.latitude, interval.longitude
            ).astype(kind)
            for end in (0, 1)
        )
        g, h = SHAPE.modulation(first, last, share.astype(kind))
        gain = (g * interval.before + h * interval.after).astype(kind, copy=False)
        for frame, t in zip(made, fractions, strict=True):
            frame += float(t * (1 - t)) * gain
            np.maximum(frame, 0, out=frame)
        return made


def used_share(interval: Interval) -> np.ndarray:
    """Return how much of the modulation is used at each place, 0..1, float64: on land, in the latitudes of the fit."""
    if interval.grid is not None:
        return _share_on(interval.grid)
    return _share(interval.latitude, interval.longitude)


@lru_cache(maxsize=2)
def _share_on(grid: Grid) -> np.ndarray:
    return _share(grid.latitudes[:, None], grid.longitudes)


def _share(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    return fitted_share(latitude) * smoothed_land(latitude, longitude)


def unfitted(interval: Interval) -> str:
    """Return why the weights do not hold for an interval; empty where they do."""
    name = interval.variable
    if species_of(name) is not PM25 and name.upper() not in GEOS_CF_NAMES:
        return (
            f"they were fitted on {PM25.label}, not on {name or 'an unknown variable'}"
        )
    if interval.step != STEP:
        return f"they were fitted on frames 3 h apart, not {interval.step / HOUR:g} h"
    if np.isnat(np.asarray(interval.start)).any():
        return "the time of the frames is not known"
    return ""
