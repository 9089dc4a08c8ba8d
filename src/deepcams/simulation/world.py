"""A simulated world with known truth: PM2.5 at any grid and cadence, a pure function of seed, place and time.

The air at a node carries the emissions along its trajectory: for each of a fixed set of ages the emission map, blurred
more for older air, is sampled at the position of the air at that age. Texture that moves with the air, a background,
and texture that stays in place are added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.species import PM25, species_of
from deepcams.core.times import HOUR
from deepcams.core.units import UNITS
from deepcams.files.land_mask import land_fraction
from deepcams.readers.protocols import Paths as InputPaths
from deepcams.simulation import emissions
from deepcams.simulation.arrays import NUMPY, Arrays
from deepcams.simulation.mixing import hours_of_the_air
from deepcams.simulation.sphere import (
    DEGREE,
    Nodes,
    Places,
    Points,
    SphereMap,
    across_poles,
    blur,
    globe_axes,
    noise,
)
from deepcams.simulation.winds import EARTH, Paths, Winds

T = TypeVar("T", int, float)

WORLD_VERSION = 3
"""Version of the world, incremented when its values change; files of different versions do not share a folder."""

YOUNG = (0.0, 0.5, 1.0, 1.6, 2.4, 3.4, 4.7, 6.2, 8.0)
OLD = (10.0, 13.5, 18.0, 24.0, 32.0)
"""Ages, hours, at which emissions are sampled: young ones at every node, old ones on a 0.75 degree lattice."""

_SIGMAS = (0.12, 0.14, 0.17, 0.21, 0.26, 0.33, 0.42, 0.55, 0.7, 0.9, 1.2, 1.6, 2.1, 2.8)
BLUR = dict(zip(YOUNG + OLD, _SIGMAS, strict=True))
"""Spread of emissions (sigma, degrees of arc) by age (hours)."""

LIFETIME = 36.0
"""Lifetime of a plume (decay to 1/e), hours."""

TEXTURE_EPOCH = 24.0
"""Hours between generations of moving texture; two of them overlap at any time."""
STIRRED = 48.0
"""Hours for which the winds have deformed a generation before its epoch begins."""

_AIR_MASSES = {0.5: 0.25, 1.0: 0.4, 2.0: 0.6, 4.0: 0.9, 8.0: 1.0}
_EDDIES = {0.15: 0.2, 0.3: 0.4, 0.6: 0.7, 1.2: 1.0}
_RELIEF = {0.12: 0.7, 0.3: 0.8, 0.8: 0.9, 2.0: 0.8}
"""Amplitudes by scale (degrees) of air masses, of small eddies in them, of relief, and of showers."""
_SHOWERS = {0.2: 0.4, 0.5: 0.7, 1.2: 1.0, 3.0: 0.8}
_AIR, _SMALL, _MEMORY, _FRONT, _WASHED = 0.37, 0.108, 0.45, 0.6, 0.66
_PLAIN, _RUGGED, _TRAPPED, _LEVELLED = 0.11, 0.64, 0.2, 0.66
_EVERYWHERE, _DRY, _POLAR = 0.7, 0.95, 0.4
_PEOPLE, _COAST = 1.2, 0.4
_CLEAN, _DRAWN, _MIXED = 3.1, 0.7, 0.18
_KINDS = {6.0: 0.6, 14.0: 1.0}
"""Amplitude by scale (degrees) of the strength of the diurnal cycle."""
_LAYER, _HABITS = (0.15, 0.95), (0.0, 1.4)
"""Ranges of the exponents of the layer's depth and of the emission timing, which make mornings weak or strong."""
_UPWIND = {0.0: 0.35, 0.5: 0.3, 1.0: 0.2, 1.6: 0.15}
"""Weight, by age (hours), of the ground below the air in the effect of relief, which makes streaks along the wind."""


def _shares(ages: tuple[float, ...]) -> dict[float, float]:
    """Return the hours of emission that each age represents (trapezoidal rule), with decay."""
    last = ages[-1] + (ages[-1] - ages[-2]) / 2
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(ages)), last]
    shares = {}
    for age, (before, after) in zip(ages, pairwise(edges), strict=True):
        left = float(np.exp(-age / LIFETIME) * (1 + age / 1.5) ** -0.4)
        shares[age] = (after - before) * left
    return shares


SHARES = _shares(YOUNG + OLD)


def _by_age(values: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    return {
        f"{kind} {age}": emissions.smoothed(values, sigma)
        for age, sigma in BLUR.items()
    }


@emissions.cached_maps
def _emitted(seed: int) -> dict[str, np.ndarray]:
    """Make emission maps of cities and dust by age (hours), and that of sea salt."""
    towns, dust = emissions.town_emission(seed), emissions.dust_emission(seed)
    sea = emissions.smoothed(1 - land_fraction(), 0.4)
    return {**_by_age(towns, "city"), **_by_age(dust, "dust"), "sea": sea}


@emissions.cached_maps
def _fires(seed: int, epoch: int) -> dict[str, np.ndarray]:
    return _by_age(emissions.fire_emission(seed, epoch), "fire")


@emissions.cached_maps
def _ground(seed: int) -> dict[str, np.ndarray]:
    """Make the maps that are constant in a world.

    texture: logarithm of a factor; valley: its increase at night; background: ug m-3; origin: logarithm of the
    background, blurred; land: fraction of land, blurred.
    """
    random = np.random.default_rng([seed, 4])
    land = land_fraction()
    near_land = blur(land, 0.5)
    latitudes, _ = globe_axes(emissions.STEP)
    fine = noise(random, emissions.STEP, _RELIEF)
    high = emissions.mountains()
    hills = noise(random, emissions.STEP, {3.0: 1.0, 8.0: 1.0})
    rugged = high + 0.35 / (1 + np.exp(-2.5 * (hills - 0.8)))
    broad = noise(random, emissions.STEP, {3.0: 1.0, 6.0: 1.0})
    # Relief acts less in the tropics, where deep convection mixes the air over it, and under the North's snow.
    polar = np.exp(-(((np.abs(latitudes) - 90) / 22) ** 2))[:, None]
    warm = np.exp(-((latitudes / 30) ** 4))[:, None]
    levelled = 1 - _LEVELLED * (warm + polar)
    uneven = fine * (_PLAIN + _RUGGED * rugged) * levelled
    relief = near_land * (uneven + 0.2 * broad - 0.35 * high)
    # Air is trapped at night in valleys, given by the relief, and in basins between mountain ranges.
    trapped = _TRAPPED * (0.3 + rugged) * noise(random, emissions.STEP, _RELIEF)
    people = blur(emissions.city_emission(), 4.0)
    broad = noise(random, emissions.STEP, {8.0: 1.0, 16.0: 1.0})
    clean = _CLEAN * np.exp(0.35 * broad) * (1 - 0.9 * polar) + 0.05
    clean *= (1 + 0.3 * np.tanh((latitudes - 5) / 12))[:, None]  # the North emits more
    ice = (1 / (1 + np.exp((latitudes + 63) / 2.5)))[:, None]

    def kind(between: tuple[float, float], of_world: float) -> np.ndarray:
        """Make a smooth map with values spread evenly between two bounds, different between worlds and places."""
        world = of_world * random.standard_normal()
        uneven = noise(random, emissions.STEP, _KINDS) * np.sqrt(1 - of_world**2)
        low, high = between
        return np.asarray(low + (high - low) / (1 + np.exp(-1.7 * (uneven + world))))

    background = (
        clean * (0.6 + 0.6 * blur(land, 2.0)) * (1 - 0.8 * ice) + _PEOPLE * people
    )
    return {
        "texture": relief + _COAST * (blur(land, 0.15) - 0.5),
        "valley": near_land * trapped,
        "background": background,
        "origin": np.log(blur(background, 2.0)),
        "land": blur(land, 0.3),
        "layer": blur(land, 0.8) * kind(_LAYER, 0.35),
        "habits": kind(_HABITS, 0.35),
    }


@emissions.cached_maps
def _moving_texture(seed: int, epoch: int) -> dict[str, np.ndarray]:
    """Make the texture of air masses at the start of an epoch, as the logarithm of a factor.

    It combines smooth patches and the background at the position of the air two days earlier; the winds stretch both
    to filaments and compress them to fronts.
    """
    random = np.random.default_rng([seed, 5, epoch + 2**31])
    patches = SphereMap(_AIR * noise(random, emissions.STEP, _AIR_MASSES))
    paths = Paths(_winds(seed), tuple(np.arange(0, STIRRED + 1, 3.0).tolist()), 1.25)
    far = _lattice(paths.at(epoch * TEXTURE_EPOCH)[0][-1])
    latitudes, longitudes = globe_axes(emissions.STEP)
    origin = _ground(seed)["origin"]

    def carried(nodes: Nodes) -> np.ndarray:
        there = Places.from_vectors(nodes.interpolate(far, paths.step))
        gone = origin.sample(there) - origin.sample(nodes.places())
        return np.asarray(patches.sample(there) + np.float32(_MEMORY) * gone)

    air = Nodes(latitudes, longitudes).by_bands(carried)
    small = noise(random, emissions.STEP, _EDDIES)
    # Convection near the equator, which follows the sun by some weeks, and weaker storms on the westerlies' side
    # wash the air in ragged patches.
    storms = np.exp(-(((np.abs(latitudes) - 45) / 14) ** 2))
    north = 4 + 6 * np.cos(2 * np.pi * (epoch * TEXTURE_EPOCH / 8766 - 0.62))
    wet = np.exp(-(((latitudes - north) / 10) ** 2)) + 0.25 * storms
    washed = 1 / (1 + np.exp(-5 * (noise(random, emissions.STEP, _SHOWERS) - 0.8)))
    warm = np.exp(-((latitudes / 22) ** 2))
    polar = np.exp(-(((np.abs(latitudes) - 90) / 22) ** 2))
    calm = 0.65 + 0.6 * warm - 0.2 * polar
    dry = np.exp(-(((np.abs(latitudes) - 26) / 12) ** 2))
    lively = _SMALL * (_EVERYWHERE + _DRY * dry - _POLAR * polar)
    stirred = air * calm[:, None] + small * lively[:, None]
    return {"texture": stirred - _WASHED * wet[:, None] * washed}


class Moment:
    """The world at one time, to be evaluated on any grid.

    Args:
        seed: seed of the world.
        hours: hours since 2000-01-01 00:00 UTC.
        arrays: array library for the nodes of a grid; single points always use NumPy.
    """

    def __init__(self, seed: int, hours: float, arrays: Arrays = NUMPY) -> None:
        hours = float(hours)  # a NumPy scalar would turn single precision into double
        self.seed = seed
        self.hours = hours
        self.arrays = arrays
        self.paths = Paths(_winds(seed), YOUNG + OLD + (40.0, 2 * TEXTURE_EPOCH))
        positions, velocities = self.paths.at(hours)
        aged = len(YOUNG + OLD)
        speeds = np.sqrt((velocities[:aged] ** 2).sum(axis=1)) * (EARTH / 30)
        dense, busy = hours_of_the_air(positions[:aged], speeds, hours, YOUNG + OLD)
        # x, y, z; wind speed (30 km/h); logarithms of how dense the air is and how much people emit
        met = np.concatenate(
            [positions[:aged], np.stack([speeds, dense, busy], axis=1)], axis=1
        )
        self._ages = {
            age: _lattice(there) for age, there in zip(YOUNG + OLD, met, strict=True)
        }
        self._textures = []
        epoch = int(np.floor(hours / TEXTURE_EPOCH))
        for back in (0, 1):
            age = hours - (epoch - back) * TEXTURE_EPOCH
            weight = float(np.sin(np.pi / 2 * age / TEXTURE_EPOCH))
            path = _lattice(self.paths.between(positions, velocities, age))
            texture = _moving_texture(seed, epoch - back)["texture"]
            self._textures.append((weight, path, texture))

    def values(self, grid: Grid) -> np.ndarray:
        """Return PM2.5 on ``grid``: (rows, columns), float32, ug m-3."""
        latitudes = grid.latitudes
        nodes = Nodes(latitudes, grid.longitudes % 360, self.arrays)
        aged = self._aged(nodes)
        result = nodes.by_bands(lambda band: self._at(band, aged))
        for row in np.flatnonzero(np.abs(latitudes) == 90):
            result[row] = self.points(latitudes[row : row + 1], np.zeros(1))[0]
        return result

    def points(self, latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
        """Return PM2.5 at single points (degrees, float64): (n,), float32, ug m-3."""
        where = Points(
            latitudes, np.where(np.abs(latitudes) == 90, 0, longitudes % 360)
        )
        return np.asarray(self._at(where, self._aged(where)))

    def _aged(self, where: Nodes) -> np.ndarray:
        """Return the contribution of the old ages on the lattice; only nodes needed for ``where`` are filled."""
        latitudes, longitudes = globe_axes(_OLD_STEP)
        lattice = np.full((latitudes.size, longitudes.size), np.nan, np.float32)
        numbers = across_poles(np.arange(lattice.size).reshape(lattice.shape))
        rows, columns = where.taps(_OLD_STEP)
        if isinstance(where, Points):
            needed = np.unique(numbers[rows[:, :, None], columns[:, None, :]])
            row, column = np.unravel_index(needed, lattice.shape)
            lattice[row, column] = self._old(Points(latitudes[row], longitudes[column]))
            return across_poles(lattice)
        needed = numbers[np.ix_(np.unique(rows), np.unique(columns))]
        row = np.unique(needed // longitudes.size)
        column = np.unique(needed % longitudes.size)
        nodes = Nodes(latitudes[row], longitudes[column], self.arrays)
        lattice[np.ix_(row, column)] = nodes.by_bands(self._old)
        return across_poles(lattice)

    def _old(self, where: Nodes) -> Any:
        kinds = self._kinds(where.places())
        return sum(self._sources(age, *self._then(age, where), *kinds) for age in OLD)

    def _kinds(self, place: Places) -> tuple[Any, Any]:
        """Return the exponents of the layer's depth and of the emission timing at the places."""
        ground = _ground(self.seed)
        return ground["layer"].sample(place), ground["habits"].sample(place)

    def _then(self, age: float, where: Nodes) -> tuple[Places, Any]:
        """Return the position of the air ``age`` hours ago, and the wind speed, density and emission factor there."""
        there = where.interpolate(self._ages[age], self.paths.step)
        return Places.from_vectors(there[:3], where.arrays), there[3:]

    def _sources(
        self, age: float, place: Places, met: Any, layer: Any, habits: Any
    ) -> Any:
        then, xp = self.hours - age, place.arrays.xp
        maps = _emitted(self.seed)
        speed, dense, busy = met
        afternoon = xp.cos(_solar(place, then) - 2 * np.pi * 15 / 24)
        gust = xp.clip(speed, None, 2.5)
        total = maps[f"city {age}"].sample(place) * (_CITY * xp.exp(habits * busy))
        dusty = gust * gust * gust * (1 + 0.5 * afternoon)
        total += _DUST * maps[f"dust {age}"].sample(place) * dusty
        epoch = int(np.floor(then / emissions.EPOCH))
        part = then / emissions.EPOCH - epoch
        burning = (0.55 + 0.45 * afternoon) ** 2
        for generation, wave in ((epoch, np.sin), (epoch - 1, np.cos)):
            weight = float(_FIRE * wave(np.pi / 2 * part) ** 2)
            total += (
                weight
                * _fires(self.seed, generation)[f"fire {age}"].sample(place)
                * burning
            )
        total *= xp.exp(layer * dense)
        if age >= _SEA_FROM:
            total += _SEA * maps["sea"].sample(place) * gust * gust
        return total * SHARES[age]

    def _at(self, where: Nodes, aged: np.ndarray) -> Any:
        place, arrays = where.places(), where.arrays
        xp = arrays.xp
        plume = where.interpolate(aged, _OLD_STEP, smooth=True)
        kinds = self._kinds(place)
        now = where.interpolate(self._ages[0.0][3:], self.paths.step)
        plume += self._sources(0.0, place, now, *kinds)
        ground = _ground(self.seed)
        # Effect of the ground below and upwind, as the logarithm of a factor.
        relief = _UPWIND[0.0] * ground["texture"].sample(place)
        for age in YOUNG[1:]:
            there, met = self._then(age, where)
            plume += self._sources(age, there, met, *kinds)
            if age in _UPWIND:
                relief += _UPWIND[age] * ground["texture"].sample(there)
        moving = 0
        for weight, path, texture in self._textures:
            there = Places.from_vectors(
                where.interpolate(path, self.paths.step), arrays
            )
            moving = moving + weight * texture.sample(there)
        # Air masses are nearly uniform, with steep fronts between them.
        moving = _FRONT * xp.tanh(moving / _FRONT)
        total = ground["background"].sample(place)
        # The same winds stretch plumes, in which the texture is stronger.
        total += plume * xp.exp(_DRAWN * moving)
        total *= xp.exp(moving)
        # The shallow nocturnal layer fills valleys, the deep one of the day empties them.
        night = now[1] * ground["land"].sample(place)
        total *= xp.exp(relief + night * (_MIXED + ground["valley"].sample(place)))
        return total


def _solar(place: Places, hours: float) -> Any:
    """Return local solar time at the places as an angle, radians."""
    return place.longitude * DEGREE + 2 * np.pi * ((hours / 24) % 1)


_OLD_STEP = 0.75
_CITY, _DUST, _FIRE, _SEA = 7.0, 6.0, 110.0, 0.13
_SEA_FROM = 2.5


@lru_cache(maxsize=4)
def _winds(seed: int) -> Winds:
    return Winds(seed)


def _lattice(values: np.ndarray) -> np.ndarray:
    return across_poles(values.astype(np.float32))


_ORIGIN = int(np.datetime64("2000-01-01T00:00", "ns").astype("int64"))
_HOUR = int(HOUR.astype("int64"))
_BLOCK_NODES = 4_200_000
"""Maximum number of nodes in a lazy block: four global hours at 0.25 degrees, 17 MB."""


@dataclass(frozen=True)
class SimulatedWorld:
    """Emissions of cities, fires, dust and sea salt, transported by smooth winds over a textured ground.

    The value at a node and time is independent of the region, the grid's step, the other requested times and the
    chunks, to the last bit on the same platform.

    Attributes:
        seed: chooses the world.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InputError("seed", "a whole number from 0", repr(self.seed))

    def field(
        self,
        grid: Grid,
        times: np.ndarray,
        mean: bool = False,
        arrays: Arrays | None = None,
    ) -> xr.DataArray:
        """Return the truth on ``grid`` at ``times``; lazy, one block for a day or a few hours of it.

        Args:
            grid: any regular grid, global or regional.
            times: ``datetime64``, strictly increasing.
            mean: means over the hour around each time (GEOS-CF stamps HH:30) instead of instants.
            arrays: array library, by default NumPy; others (PyTorch on a GPU, see
                :mod:`deepcams.simulation.arrays`) agree with it to about 1e-5 of the value, and to 3e-4 near
                the sharpest sources.

        Returns:
            canonical field (time, latitude, longitude), float32, ug m-3, all values positive.

        Raises:
            InputError: no times, or times that do not increase.
        """
        import dask.array as da

        times = np.atleast_1d(np.asarray(times, "datetime64[ns]"))
        if times.size == 0 or np.any(np.diff(times) <= np.timedelta64(0)):
            raise InputError(
                "times", "at least one time, strictly increasing", f"{times.size} times"
            )
        grid = grid.canonical()
        most = max(1, _BLOCK_NODES // (grid.rows * grid.columns))
        # No block extends beyond a day, so that daily files need no values of other days.
        blocks: list[int] = []
        for left in np.unique(times.astype("datetime64[D]"), return_counts=True)[
            1
        ].tolist():
            full, rest = divmod(left, most)
            blocks += [most] * full + [rest] * (rest > 0)
        stamps = da.from_array(  # type: ignore[no-untyped-call]
            times.astype("int64"), chunks=(tuple(blocks),)
        )
        data = da.map_blocks(  # type: ignore[no-untyped-call]
            _block,
            stamps,
            self.seed,
            grid,
            mean,
            arrays or NUMPY,
            dtype=np.float32,
            new_axis=[1, 2],
            chunks=(stamps.chunks[0], (grid.rows,), (grid.columns,)),
            meta=np.empty((0, 0, 0), np.float32),
        )
        attrs = {
            "units": UNITS,
            "standard_name": PM25.standard_name,
            "long_name": "Simulated particulate matter d <= 2.5 um",
            "cell_methods": "time: mean" if mean else "time: point",
            "source": f"deepcams simulated world, seed {self.seed}: no real data",
        }
        return field_like(
            xr.DataArray(0.0, name=PM25.name, attrs=attrs), data, grid, times
        )

    def values(
        self,
        grid: Grid,
        time: np.datetime64,
        mean: bool = False,
        arrays: Arrays | None = None,
    ) -> np.ndarray:
        """Return the truth on ``grid`` at one time: (rows, columns), float32, ug m-3; see :meth:`field`."""
        stamp = np.asarray([time], "datetime64[ns]").astype("int64")
        return _block(stamp, self.seed, grid.canonical(), mean, arrays or NUMPY)[0]


def hourly_mean(at: Callable[[T], np.ndarray], middle: T, half: T) -> np.ndarray:
    """Return the mean of single-precision values over an hour by Simpson's rule.

    Args:
        at: function that returns the values at a time; the middle is evaluated last, so that a cache keeps the end.
        middle: middle of the hour.
        half: half an hour.
    """
    before = at(middle - half)
    after = at(middle + half)
    return (before + np.float32(4) * at(middle) + after) * np.float32(1 / 6)


def _block(
    stamps: np.ndarray, seed: int, grid: Grid, mean: bool, arrays: Arrays
) -> np.ndarray:
    @lru_cache(maxsize=2)
    def at(stamp: int) -> np.ndarray:
        return Moment(seed, (stamp - _ORIGIN) / _HOUR, arrays).values(grid)

    result = np.empty((stamps.size, *grid.shape), np.float32)
    for k, stamp in enumerate(stamps.tolist()):
        result[k] = hourly_mean(at, stamp, _HOUR // 2) if mean else at(stamp)
    return result


def open_simulated(
    paths: InputPaths,
    *,
    variable: str | None = None,
    grid: Grid | None = None,
    seed: int = 0,
    hours: int = 1,
    mean: bool = False,
    arrays: Arrays | None = None,
) -> xr.DataArray:
    """Open a simulated field for a period, like a reader of files.

    Args:
        paths: the period as text, for instance ``2019-12-01..2019-12-02`` (nothing is read from disk).
        variable: only PM2.5 (``pm2p5``) is simulated.
        grid: grid of the field; default: the 0.25 degree globe.
        seed: seed of the world.
        hours: hours between times (3 for CAMS).
        mean: hourly means stamped in the middle of the hour instead of instants on the hour.
        arrays: array library (see :meth:`SimulatedWorld.field`).

    Raises:
        InputError: not exactly one period, another variable, or a step of less than an hour.
    """
    if not isinstance(paths, str):
        raise InputError(
            "simulated", "a period as text (2019-12-01..2019-12-02)", repr(paths)
        )
    if (
        variable is not None
        and variable.lower() != "pm25"
        and species_of(variable) != PM25
    ):
        raise InputError("simulated: variable", PM25.name, repr(variable))
    if hours < 1:
        raise InputError("hours", "at least 1", hours)
    period = Period.parse(paths)
    first = period.start + HOUR // 2 if mean else period.start
    times = np.arange(first, period.end, hours * HOUR)
    return SimulatedWorld(seed).field(grid or Grid.globe(0.25), times, mean, arrays)
