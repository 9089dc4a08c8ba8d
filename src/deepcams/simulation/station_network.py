"""Locations of simulated stations, and their measurements of the simulated truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepcams.core.box import Box
from deepcams.core.errors import InputError
from deepcams.simulation.emissions import cities

FIRST_ID = 5_000_000
"""First station number; stations are numbered by the rank of their city."""
TWIN_ID = 500_000
"""Offset of the number of a station's second listing by another provider."""

_BIAS, _SCATTER, _NOISE = (
    0.15,
    0.12,
    0.8,
)  # log of the instrument's factor, of each hour's; ug m-3
_ABSENT = 0.02  # fraction of hours not reported


@dataclass(frozen=True)
class Station:
    """One simulated station.

    Attributes:
        id: station number.
        name: name of its city.
        latitude, longitude: degrees, longitude in -180..180.
        timezone: IANA name.
        twin_of: number of the station of which this is a second listing, or ``None``.
    """

    id: int
    name: str
    latitude: float
    longitude: float
    timezone: str
    twin_of: int | None = None


def place_stations(
    seed: int,
    number: int,
    bbox: tuple[float, float, float, float] | None = None,
    twins: float = 0.0,
) -> list[Station]:
    """Place stations in cities, preferring large ones; a larger number keeps the same stations and adds others.

    Args:
        seed: seed of the world.
        number: number of stations without twins.
        bbox: W S E N in degrees (W > E crosses the dateline).
        twins: fraction of stations that are listed a second time within 100 m.

    Raises:
        InputError: the box has fewer cities than stations.
    """
    known = cities()
    random = np.random.default_rng([seed, 6])
    # Gumbel trick: the largest keys are a weighted draw without replacement, nested in the number.
    keys = 0.5 * np.log(np.maximum(known.population, 1)) + random.gumbel(
        size=known.population.size
    )
    offset = random.normal(0, 0.03, (2, keys.size))
    doubled = random.random(keys.size)
    latitude = np.round(np.clip(known.latitude + offset[0], -89.9, 89.9), 4)
    longitude = known.longitude + offset[1] / np.cos(np.deg2rad(known.latitude))
    longitude = np.round((longitude + 180) % 360 - 180, 4)
    inside = (
        np.ones(keys.size, bool)
        if bbox is None
        else Box(*bbox).contains(latitude, longitude)
    )
    if not 0 < number <= inside.sum():
        raise InputError(
            "stations",
            f"a number from 1 to the {inside.sum()} cities of the area",
            number,
        )
    chosen = np.flatnonzero(inside)[np.argsort(-keys[inside], kind="stable")[:number]]
    result = []
    for k in sorted(chosen.tolist()):
        place = float(latitude[k]), float(longitude[k])
        station = Station(FIRST_ID + k, known.names[k], *place, known.timezones[k])
        result.append(station)
        if doubled[k] < twins:
            north_by = 0.0002 + 0.0006 * doubled[k] / twins  # 20 to 90 m
            twin = replace(
                station,
                id=station.id + TWIN_ID,
                name=f"{station.name} (2)",
                latitude=round(min(station.latitude + north_by, 90), 6),
                twin_of=station.id,
            )
            result.append(twin)
    return result


def measure(
    seed: int, station: Station, truth: np.ndarray, hours: np.ndarray
) -> np.ndarray:
    """Return a station's reports of true hourly means; independent of the other hours and stations requested.

    Args:
        seed: seed of the world.
        station: the station (a twin reports the same as its original).
        truth: (n,), ug m-3.
        hours: (n,), whole hours since 2000-01-01 UTC at which the means begin.

    Returns:
        (n,), ug m-3 with one decimal, never negative; NaN where nothing is reported.
    """
    factor = np.random.default_rng([seed, 7, station.twin_of or station.id]).normal(
        0, _BIAS
    )
    draws = _draws(seed, station, hours)
    # Box-Muller: two normal draws from two uniform ones
    length = np.sqrt(-2 * np.log(1 - draws[:, 0]))
    angle = 2 * np.pi * draws[:, 1]
    gain = np.exp(factor + _SCATTER * length * np.cos(angle))
    value = truth * gain + _NOISE * length * np.sin(angle)
    reported = np.round(np.maximum(value, 0), 1)
    return np.where(absent(seed, station, hours), np.nan, reported)


def absent(seed: int, station: Station, hours: np.ndarray) -> np.ndarray:
    """Return a mask of the ``hours`` that a station does not report: (n,), boolean."""
    return np.asarray(_draws(seed, station, hours)[:, 2] < _ABSENT)


def _draws(seed: int, station: Station, hours: np.ndarray) -> np.ndarray:
    number = station.twin_of or station.id
    return np.array(
        [
            np.random.default_rng([seed, 8, number, int(hour)]).random(3)
            for hour in hours
        ]
    )
