"""A cubic curve through four frames with weights modulated by the sun's elevation.

PM2.5 near the ground follows the sun: emissions accumulate in a shallow boundary layer, which deepens after sunrise and
becomes shallow again in the evening. The deviation from linear interpolation is modelled from the sun's mean elevation
over the interval and its change, so that the same shape holds in the tropics, where the sun climbs steeply, and in the
north. The weights were fitted to both together (``benchmarks/sun.py``).
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
"""Time between the frames used to fit the weights."""
MOST_SUM, MOST_SHIFT = 0.8, 0.6
"""Bounds of both parts of the modulation; they keep weights >= 0 and their sum within 0.8..1.2."""
STEEP = 45.0
"""Largest rise of the sun in three hours (at the equator), degrees."""
FITTED, UNKNOWN = 55.0, 65.0
"""Latitudes in degrees: up to the first the modulation is used in full, from the second (before polar day and night
begin, at 66.6) not at all."""


@dataclass(frozen=True)
class Shape:
    """Parameters of the sun's effect on the weights.

    Attributes:
        rising, falling: centres of Gaussians in the sun's mean elevation, for a rising and a setting sun, degrees.
        width: standard deviation of the Gaussians, degrees.
        level: coefficient of each of :meth:`terms`: increase of both weights.
        shift: coefficient of each of :meth:`terms`: weight moved from the frame after to the frame before.
    """

    rising: tuple[float, ...]
    falling: tuple[float, ...]
    width: float
    level: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()

    def terms(self, before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
        """Return the sun's terms, those of ``rising`` first, of the arguments' shape and dtype, 0..1.

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
        """Return the factors of ``t (1 - t)`` in the weights of the frames before and after.

        At t the weights are ``1 - t + t (1 - t) g`` and ``t + t (1 - t) h``: they are >= 0, their sum is within
        0.8..1.2, and they are (1, 0) and (0, 1) at the frames.

        Args:
            before, after: the sun's elevation at both frames, degrees, of the same shape.
            share: fraction of the modulation to use, 0..1, broadcastable to them.

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
    """Return the sum of coefficients times terms, smoothly limited to -most..most."""
    total = sum((c * term for c, term in zip(coefficients, terms, strict=True)), 0.0)
    return np.asarray(most * np.tanh(total / most))


def fitted_share(latitude: np.ndarray) -> np.ndarray:
    """Return 1 in the latitudes of the fit (up to 55 degrees N or S) and 0 beyond 65, smooth in between."""
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
"""Shape fitted by ``benchmarks/sun.py`` to Kigali (July to October 2021) and Poland (2017 to June 2018) with equal
weight; centres, width and ridge were chosen on Kigali (November 2021) and Poland (July to December 2018)."""


class Sun(Cubic):
    """:class:`Cubic` with weights of the two middle frames modulated by the sun on land.

    It equals that curve outside the fit: at sea, beyond 65 degrees of latitude, for species other than PM2.5, for steps
    other than three hours, and if the time is unknown.
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
    """Return the fraction of the modulation used at each location, 0..1, float64; above 0 only on land in the fit."""
    if interval.grid is not None:
        return _share_on(interval.grid)
    return _share(interval.latitude, interval.longitude)


@lru_cache(maxsize=2)
def _share_on(grid: Grid) -> np.ndarray:
    return _share(grid.latitudes[:, None], grid.longitudes)


def _share(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    return fitted_share(latitude) * smoothed_land(latitude, longitude)


def unfitted(interval: Interval) -> str:
    """Return why the weights do not apply to an interval; empty if they do."""
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
