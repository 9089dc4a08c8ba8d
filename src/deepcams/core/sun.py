"""Position of the sun: its elevation, and local solar time, for any times and places.

Positions follow the low-precision formulae of the Astronomical Almanac (Michalsky 1988, doi
10.1016/0038-092X(88)90045-X), accurate to 0.01 degrees from 1950 to 2050. Arguments broadcast; terms that depend on the
time, the latitude or the longitude alone are computed before broadcasting, so a global grid costs one product and one
arc sine per node (``latitude`` of shape (rows, 1), ``longitude`` of shape (columns,)).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepcams.core.box import eastward
from deepcams.core.times import HOUR

_EPOCH = np.datetime64(0, "ns")
_J2000 = 10957.5
"""Days from the first moment of 1970 to noon of 2000-01-01."""


def mean_solar_hours(times: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
    """Return local mean solar times; the true sun is up to 16.5 minutes ahead or behind (the equation of time).

    Args:
        times: ``datetime64`` of any unit, UTC.
        longitude: degrees east; broadcasts with ``times``.

    Returns:
        float64, hours in [0, 24).
    """
    turned = _hours(times) + np.asarray(longitude, np.float64) / 15
    return np.asarray(turned % 24)


def nautical_hours(longitude: npt.ArrayLike) -> np.ndarray:
    """Return the offset of nautical time from UTC: zones of 15 degrees, the first centred on Greenwich.

    Args:
        longitude: degrees east, modulo 360.

    Returns:
        float64, whole hours, -12 (at 180) to 12; 7.5 E belongs to the zone east of it.
    """
    return np.asarray(np.floor(np.asarray(eastward(longitude)) / 15 + 0.5))


def declination_and_equation(times: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the declination of the sun and the equation of time.

    Args:
        times: ``datetime64`` of any unit, UTC.

    Returns:
        the declination, -23.5..23.5, and the equation of time (how far the sun is ahead of the mean sun), -3.6..4.2:
        float64, degrees, of the shape of ``times``.
    """
    days = _hours(times) / 24 - _J2000
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    ecliptic = np.deg2rad(
        mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    oblique = np.deg2rad(23.439 - 4e-7 * days)
    declination = np.arcsin(np.sin(oblique) * np.sin(ecliptic))
    ascension = np.arctan2(np.cos(oblique) * np.sin(ecliptic), np.cos(ecliptic))
    ahead = (mean_longitude - np.rad2deg(ascension) + 180) % 360 - 180
    return np.rad2deg(declination), ahead


def sun_elevation(
    times: npt.ArrayLike, latitude: npt.ArrayLike, longitude: npt.ArrayLike
) -> np.ndarray:
    """Return the geometric elevation of the sun's centre above the horizon; no refraction (0.6 degrees at sunrise).

    Args:
        times: ``datetime64`` of any unit, UTC.
        latitude, longitude: degrees north and east; all three broadcast.

    Returns:
        float64, degrees in [-90, 90], within 0.02 of the full theory from 1950 to 2050.
    """
    declination, ahead = declination_and_equation(times)
    # The hour angle is 0 at true noon, which is 12 h mean solar time minus the equation of time.
    greenwich = (_hours(times) % 24 - 12) * 15 + ahead
    turn = np.deg2rad(greenwich + np.asarray(longitude, np.float64))
    north, down = np.deg2rad(np.asarray(latitude, np.float64)), np.deg2rad(declination)
    sine = np.sin(north) * np.sin(down) + np.cos(north) * np.cos(down) * np.cos(turn)
    return np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


def _hours(times: npt.ArrayLike) -> np.ndarray:
    """Return hours since 1970, float64; NaN for NaT."""
    return np.asarray((np.asarray(times, "datetime64") - _EPOCH) / HOUR)
