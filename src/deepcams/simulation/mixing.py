"""The hours of the simulated world: how deep the air is mixed over land, and when people emit.

By day the layer over land grows with the square root of the heat that the sun has brought since the morning; when the
sun is low it collapses, and a shallow layer is left until the next morning. What is emitted at one moment and breathed
at another has been mixed through the deepest layer between the two: air that was mixed by day stays as clean when the
layer collapses, and what the night gathers is diluted when the layer opens. All of it is a closed formula of place and
moment, so nothing is stepped forward.
"""

from __future__ import annotations

import math

import numpy as np

from deepcams.core.sun import declination_and_equation

_HEATING = 0.17
"""Sine of the sun's elevation from which the ground heats the air: the layer opens an hour after sunrise."""
_GROWTH = 640.0
"""Metres of layer for the square root of an hour of full sun."""
_SHALLOW, _STIRRED = 110.0, 130.0
"""Depth of the layer at night without wind, metres, and what a wind of 30 km/h adds."""
_COLLAPSE = 4.0
"""Hours in which the layer collapses when the sun is low."""
_TYPICAL = 600.0
"""Depth (metres) at which a source's concentration is what the emission maps say."""
_LONGEST = 0.92
"""Bounds the cosine of half the day's length: inside the polar circles the layer has some hours of night, too."""
_TURN = 2 * np.pi
_ORIGIN = np.datetime64("2000-01-01", "s")


class Day:
    """What the sun does to the layer of some places in the course of a day.

    Args:
        latitude: degrees, any shape.
        hour: local solar hours, 0..24, of the same shape.
        declination: of the sun, radians.
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
        """Return hours of full sun from the begin of the day's heating to an hour angle."""
        gone = self.level * (until + self.half_day)
        gone = gone + self.swing * (np.sin(until) + np.sin(self.half_day))
        return np.asarray(np.maximum(gone, 0) * (24 / _TURN))

    def deepest(self) -> np.ndarray:
        """Return how far the day's layer grows, metres."""
        return np.asarray(_GROWTH * np.sqrt(self._heat(self.half_day)))

    def since_deepest(self) -> np.ndarray:
        """Return hours since the layer was deepest, 0..24."""
        return np.asarray((self.angle - self.half_day) % _TURN * (24 / _TURN))

    def layer(self) -> np.ndarray:
        """Return how deep the sun's heat mixes the air now, metres; 0 at night."""
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
    """Return how dense over land the air still is with what was emitted into it, and how much people emitted then.

    Args:
        positions: where the air was at each age, vectors of length 1, (ages, 3, ...).
        speeds: of the wind there, units of 30 km/h, (ages, ...).
        hours: of the moment, since 2000-01-01 00:00 UTC.
        ages: hours, the first of them 0.

    Returns:
        two logarithms of factors, (ages, ...), float32.
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
    """Return when people emit, as the logarithm of a factor: traffic by day with two peaks, heating in cold evenings.

    Args:
        latitude: degrees.
        hour: local solar hours, 0..24.
        declination: of the sun, radians.
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
