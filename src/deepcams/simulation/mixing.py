"""Diurnal cycle of the simulated world: mixing depth over land, and the timing of emissions.

By day the mixed layer over land grows with the square root of the solar heat accumulated since the morning; when the
sun is low it collapses to a shallow layer until the next morning. Emissions are mixed through the deepest layer between
the time of emission and the time of observation: air mixed by day stays diluted when the layer collapses, and what
accumulates at night is diluted when the layer grows. Everything is a closed formula of place and time, without time
stepping.
"""

from __future__ import annotations

import math

import numpy as np

from deepcams.core.sun import declination_and_equation

_HEATING = 0.17
"""Sine of the solar elevation above which the ground heats the air: the layer grows from an hour after sunrise."""
_GROWTH = 640.0
"""Layer growth, metres per square root of an hour of full sun."""
_SHALLOW, _STIRRED = 110.0, 130.0
"""Nocturnal layer depth without wind, and its increase by a wind of 30 km/h, metres."""
_COLLAPSE = 4.0
"""Duration of the collapse of the layer when the sun is low, hours."""
_TYPICAL = 600.0
"""Reference depth, metres, at which concentrations equal those of the emission maps."""
_LONGEST = 0.92
"""Bound of the cosine of half the day length: inside the polar circles the layer has some night, too."""
_TURN = 2 * np.pi
_ORIGIN = np.datetime64("2000-01-01", "s")


class Day:
    """Diurnal evolution of the mixed layer at some places.

    Args:
        latitude: degrees, any shape.
        hour: local solar hours, 0..24, of the same shape.
        declination: solar declination, radians.
    """

    def __init__(
        self, latitude: np.ndarray, hour: np.ndarray, declination: float
    ) -> None:
        self.angle = (hour - 12) * (_TURN / 24)
        radians = np.deg2rad(latitude)
        self.level = np.sin(radians) * math.sin(declination) - _HEATING
        self.swing = np.maximum(np.cos(radians) * math.cos(declination), 1e-3)
        self.half_day = np.arccos(np.clip(-self.level / self.swing, -_LONGEST, 1.0))

    def _heat(self, until: np.ndarray) -> np.ndarray:
        """Return hours of full sun from the start of the day's heating to an hour angle."""
        gone = self.level * (until + self.half_day)
        gone = gone + self.swing * (np.sin(until) + np.sin(self.half_day))
        return np.asarray(np.maximum(gone, 0) * (24 / _TURN))

    def deepest(self) -> np.ndarray:
        """Return the maximum depth of the day's layer, metres."""
        return np.asarray(_GROWTH * np.sqrt(self._heat(self.half_day)))

    def since_deepest(self) -> np.ndarray:
        """Return hours since the layer was deepest, 0..24."""
        return np.asarray((self.angle - self.half_day) % _TURN * (24 / _TURN))

    def layer(self) -> np.ndarray:
        """Return the current mixing depth due to solar heating, metres; 0 at night."""
        day = np.abs(self.angle) < self.half_day
        grown = _GROWTH * np.sqrt(self._heat(np.where(day, self.angle, 0)))
        left = np.clip(1 - self.since_deepest() / _COLLAPSE, 0, 1)
        falling = self.deepest() * left * left * (3 - 2 * left)
        return np.asarray(np.where(day, grown, falling))


def declination(hours: float) -> float:
    """Return the sun's declination, radians, at hours since 2000-01-01 00:00 UTC."""
    time = _ORIGIN + np.timedelta64(round(3600 * hours), "s")
    return float(np.deg2rad(declination_and_equation(time)[0]))


def hours_of_the_air(
    positions: np.ndarray, speeds: np.ndarray, hours: float, ages: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the remaining concentration factor of earlier emissions over land, and the emission factor of their time.

    Args:
        positions: position of the air at each age, unit vectors, (ages, 3, ...).
        speeds: wind speeds there, in units of 30 km/h, (ages, ...).
        hours: time, hours since 2000-01-01 00:00 UTC.
        ages: ages in hours, the first of them 0.

    Returns:
        the logarithms of both factors, (ages, ...), float32.
    """
    x, y, z = np.moveaxis(positions, 1, 0)
    latitude = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    longitude = np.rad2deg(np.arctan2(y, x))
    turned = declination(hours)
    now = Day(latitude[0], (hours % 24 + longitude[0] / 15) % 24, turned)
    since, below = now.since_deepest(), now.layer()
    depth, busy = np.empty_like(speeds), np.empty_like(speeds)
    for k, age in enumerate(ages):
        hour = ((hours - age) % 24 + longitude[k] / 15) % 24
        then = Day(latitude[k], hour, turned)
        deepest = np.maximum(then.layer(), below)
        deepest = np.where(since < age, np.maximum(now.deepest(), deepest), deepest)
        depth[k] = np.hypot(_SHALLOW + _STIRRED * speeds[k], deepest)
        busy[k] = emitting(latitude[k], hour, turned)
    return np.log(_TYPICAL / depth), busy


def emitting(latitude: np.ndarray, hour: np.ndarray, declination: float) -> np.ndarray:
    """Return the logarithm of the diurnal emission factor: traffic with two daily peaks, heating on cold evenings.

    Args:
        latitude: degrees.
        hour: local solar hours, 0..24.
        declination: solar declination, radians.
    """
    cold = np.clip(np.abs(np.deg2rad(latitude)) - np.sign(latitude) * declination, 0, 1)
    night = _bump(hour, 2.5, 3.5)
    return (
        0.5 * _bump(hour, 8.0, 2.0)
        + (0.35 + 0.75 * cold) * _bump(hour, 19.5, 2.8)
        - 0.9 * night
        - 0.1 * cold * _bump(hour, 13.0, 3.0)
    )


def _bump(hour: np.ndarray, middle: float, width: float) -> np.ndarray:
    off = (hour - middle + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (off / width) ** 2))
