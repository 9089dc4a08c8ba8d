"""Global maps of the simulated world: land, cities, mountains, and emissions by seed; cached."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from deepcams.core.grid import Grid
from deepcams.files import towns
from deepcams.files.atomic import UNFINISHED, replace_atomically
from deepcams.files.cache import cache_dir
from deepcams.files.land_mask import land_fraction
from deepcams.files.records import file_digest, fingerprint
from deepcams.methods.spatial.coarsen import area_mean
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
"""Step of the finest maps, degrees."""

EPOCH = 120.0
"""Duration of the rise of a generation of fires, and of its decay, hours."""

CACHE_BYTES = 1_000_000_000
"""Maximum size of the cached maps, bytes; the least recently used ones are removed first."""

_GEOGRAPHY = Path(__file__).with_name("geography.json")
_INDUSTRY = 1.4
"""Standard deviation of the logarithm of a city's emission relative to its population."""
_RURAL = 0.06
"""Background emission on land."""
_VILLAGES = 0.12
"""Emission between cities, scaled by population."""
_PATCHY = 1.5
"""Standard deviation of the logarithm of the patches of emission between cities."""

Arrays = dict[str, np.ndarray]


def cached_maps(make: Callable[..., Arrays]) -> Callable[..., dict[str, SphereMap]]:
    """Cache the global maps that a function makes: the last few in memory, all on disk.

    Without a usable cache the maps are recomputed. Several processes may make the same maps at once.

    Args:
        make: function that makes maps on ``globe_axes`` from a seed and, if they vary with time, an epoch number.
    """

    @lru_cache(maxsize=4)
    def maps(*key: int) -> dict[str, SphereMap]:
        name = "-".join([make.__name__, *map(str, key), _code()])
        path = cache_dir() / "simulated-world" / f"{name}.npz"
        try:
            with np.load(path) as file:
                found = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            found = {
                name: np.asarray(values, np.float32)
                for name, values in make(*key).items()
            }
            with suppress(OSError):
                _store(path, found)
        with suppress(OSError):
            os.utime(path)
        return {name: SphereMap(values) for name, values in found.items()}

    return maps


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a hash of the code, data and packages that determine the maps besides seed and time."""
    sources = [*sorted(Path(__file__).parent.glob("*.py")), _GEOGRAPHY, towns.FILE]
    packages = ("numpy", "scipy", "global-land-mask")
    return fingerprint(
        file_digest(*sources), *(version(package) for package in packages)
    )


def _store(path: Path, maps: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{UNFINISHED}")
    # A file left incomplete by a power failure fails its checksum, and is made again.
    with (
        replace_atomically(path, temporary, durable=False),
        temporary.open("wb") as file,
    ):
        np.savez(file, **maps)  # type: ignore[arg-type]
    by_use = sorted(path.parent.iterdir(), key=lambda other: -other.stat().st_mtime)
    total = 0
    for other in by_use:
        total += other.stat().st_size
        if total > CACHE_BYTES:
            other.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _geography() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_GEOGRAPHY.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Cities:
    """The world's cities of more than 15000 inhabitants, largest first.

    Attributes:
        latitude, longitude: degrees.
        population: inhabitants.
        emission: relative emission.
        names, timezones: name and IANA time zone of each.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    population: np.ndarray
    emission: np.ndarray
    names: tuple[str, ...]
    timezones: tuple[str, ...]


@lru_cache(maxsize=1)
def cities() -> Cities:
    """Return all cities of the world."""
    known = towns.cities()
    order = np.lexsort((known.number, -known.population))
    per_head = _geography()["per_head"]
    population = known.population[order].astype(float)
    share = np.array([per_head.get(country, 1.0) for country in known.country[order]])
    return Cities(
        known.latitude[order],
        known.longitude[order],
        population,
        population**0.95 * share / 4e5,
        tuple(known.name[order]),
        tuple(known.timezone[order]),
    )


def _splat(
    latitude: np.ndarray, longitude: np.ndarray, amount: np.ndarray
) -> np.ndarray:
    """Spread amounts at points bilinearly over the nodes around them, per area."""
    latitudes, longitudes = globe_axes(STEP)
    down = (90 - latitude) / STEP
    east = longitude / STEP
    row = np.floor(down).astype(int)
    column = np.floor(east).astype(int)
    result = np.zeros((latitudes.size, longitudes.size))
    for i in (0, 1):
        to_row = np.minimum(row + i, latitudes.size - 1)
        share_of_row = np.abs(1 - i - (down - row))
        for j in (0, 1):
            to_column = (column + j) % longitudes.size
            share = share_of_row * np.abs(1 - j - (east - column))
            np.add.at(result, (to_row, to_column), amount * share)
    area = np.maximum(np.cos(latitudes * DEGREE), 1e-2)
    return result / area[:, None]


def _near(
    points: np.ndarray, latitude: float, longitude: float, radius: float
) -> np.ndarray:
    x, y, z = unit_vectors(np.array(latitude), np.array(longitude))
    cosine = points[0] * x + points[1] * y + points[2] * z
    return np.asarray(np.exp((cosine - 1) / (radius * DEGREE) ** 2))


@lru_cache(maxsize=1)
def city_emission() -> np.ndarray:
    """Return the relative emission of cities on the 0.25 degree globe, float32: the same in all worlds."""
    known = cities()
    return _splat(known.latitude, known.longitude, known.emission).astype(np.float32)


def town_emission(seed: int) -> np.ndarray:
    """Return the relative emission of cities and their industry on the 0.25 degree globe, float32.

    A few places, different in each world, emit many times more than their population suggests: power plants, smelters,
    brick kilns. Farms, roads, villages and vegetation between the cities emit in patches, more where more people live.
    """
    known = cities()
    random = np.random.default_rng([seed, 9])
    factor = random.lognormal(-0.5 * _INDUSTRY**2, _INDUSTRY, known.emission.size)
    urban = _splat(known.latitude, known.longitude, known.emission * factor)
    latitudes, _ = globe_axes(STEP)
    grown = np.exp(-((latitudes / 50) ** 4))[:, None] * land_fraction()
    uneven = noise(random, STEP, {0.15: 0.7, 0.35: 0.8, 0.8: 0.8, 2.0: 0.8})
    patches = np.exp(_PATCHY * uneven - _PATCHY**2 / 2)
    villages = np.sqrt(np.maximum(blur(city_emission(), 2.5), 0))
    between = (_RURAL + _VILLAGES * villages) * grown * patches
    return np.asarray(urban + between, np.float32)


@lru_cache(maxsize=1)
def mountains() -> np.ndarray:
    """Return the ruggedness of the land on the 0.25 degree globe, float32: 1 in the Rockies, 0 in plains."""
    step = 1.5
    latitudes, longitudes = globe_axes(step)
    points = unit_vectors(latitudes[:, None], longitudes[None])
    high = np.zeros(points.shape[1:])
    for strength, radius, *line in _geography()["ranges"]:
        for (south, west), (north, east) in pairwise(line):
            length = np.hypot(north - south, east - west)
            for f in np.linspace(0, 1, 2 + int(length / radius)):
                latitude = south + f * (north - south)
                longitude = west + f * (east - west)
                near = _near(points, latitude, longitude, radius)
                high = np.maximum(high, strength * near)
    lattice = across_poles(high.astype(np.float32))
    fine = Nodes(*globe_axes(STEP)).interpolate(lattice, step)
    return np.asarray(np.clip(fine, 0, None) * land_fraction(), np.float32)


def dust_emission(seed: int) -> np.ndarray:
    """Return the relative emission of dust on the 0.25 degree globe: dry land, in patches, float32."""
    latitudes, longitudes = globe_axes(STEP)
    points = unit_vectors(latitudes[:, None], longitudes[None])
    dry = np.zeros(points.shape[1:])
    for latitude, longitude, radius, strength in _geography()["dry"]:
        dry += strength * _near(points, latitude, longitude, radius)
    random = np.random.default_rng([seed, 2])
    patches = noise(random, STEP, {0.5: 0.6, 1.5: 0.9, 4: 0.9})
    dust = dry * land_fraction() * np.exp(1.4 * patches - 1)
    return np.asarray(dust, np.float32)


def fire_emission(seed: int, epoch: int) -> np.ndarray:
    """Return the relative emission of the fires of one generation, on the 0.25 degree globe, float32.

    A few large fires and many small ones, clustered where vegetation burns; more in the dry season.
    """
    random = np.random.default_rng([seed, 3, epoch + 2**31])
    season = np.cos(
        2 * np.pi * (epoch * EPOCH / 8766 - 0.55)
    )  # +1 in the northern late summer
    latitude = []
    longitude = []
    amount = []
    land = land_fraction()
    for centre_latitude, centre_longitude, radius, number in _geography()["fires"]:
        sign = np.sign(centre_latitude)
        if abs(centre_latitude) <= 23:
            sign = -sign
        mean_number = number * np.exp(1.2 * sign * season) * 0.8
        for _ in range(random.poisson(mean_number)):
            place = random.standard_normal(2) * radius
            size = random.lognormal(0.0, 1.2)
            fires = 1 + random.poisson(6)
            at = place + random.standard_normal((fires, 2)) * 0.9
            fire_latitude = np.clip(centre_latitude + at[:, 0], -80, 80)
            fire_longitude = centre_longitude + at[:, 1] / np.cos(
                centre_latitude * DEGREE
            )
            row = np.rint((90 - fire_latitude) / STEP).astype(int)
            column = np.rint(fire_longitude / STEP).astype(int) % round(360 / STEP)
            latitude.append(fire_latitude)
            longitude.append(fire_longitude)
            burnt = size * random.lognormal(0.0, 1.0, fires)
            amount.append(burnt * (land[row, column] > 0.3))
    places = (np.concatenate(values) for values in (latitude, longitude, amount))
    return _splat(*places).astype(np.float32)


def smoothed(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a 0.25 degree map by ``sigma`` degrees; the result has a step as coarse as that allows."""
    if sigma < 0.9:
        return blur(values, sigma)
    coarse = Grid.globe(3 * STEP)
    # The mean over a cell already blurs the values by the cell's width.
    return blur(area_mean(values, coarse), np.sqrt(sigma**2 - coarse.step**2 / 12))
