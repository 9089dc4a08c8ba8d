"""The simulated truth at any place and moment.

The air at a node carries what was emitted along the path it came by: for each age on a fixed ladder the emission map,
blurred the more the older the air, is read where the air was then. To that come texture that moves with the air, a
background, and texture that stays in place.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np

from deepcams.grid import Grid
from deepcams.sources.simulation import emissions
from deepcams.sources.simulation.sphere import (
    DEGREE,
    Interpolator,
    Places,
    SphereMap,
    across_poles,
    blur,
    globe_axes,
    noise,
)
from deepcams.sources.simulation.winds import EARTH, Paths, Winds

YOUNG = (0.0, 0.75, 1.5, 2.5, 3.75, 5.25, 7.25)
OLD = (10.0, 13.5, 18.0, 24.0, 32.0)
"""Ages (hours) at which emissions are read: the young ones at every node, the old ones on a 0.75 degree lattice."""

BLUR = {
    0.0: 0.12,
    0.75: 0.2,
    1.5: 0.28,
    2.5: 0.38,
    3.75: 0.5,
    5.25: 0.65,
    7.25: 0.9,
    10.0: 1.1,
    13.5: 1.4,
    18.0: 1.8,
    24.0: 2.3,
    32.0: 3.0,
}
"""Age (hours) -> how far the emission has spread (sigma, degrees of arc)."""

LIFETIME = 36.0
"""Hours in which a plume falls to 1/e."""

TEXTURE_EPOCH = 24.0
"""Hours between generations of moving texture; two of them overlap at any time."""

_BAND = 40_000  # nodes evaluated at once: temporaries stay in the processor's cache


def _shares(ages: tuple[float, ...]) -> dict[float, float]:
    """Hours of emission that each age stands for (trapezoids), with decay."""
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(ages)), ages[-1] + (ages[-1] - ages[-2]) / 2]
    return {
        age: (after - before) * float(np.exp(-age / LIFETIME))
        for age, before, after in zip(ages, edges, edges[1:], strict=False)
    }


SHARES = _shares(YOUNG + OLD)


class _Emitted:
    """Emission maps of one seed and one pair of fire generations, by age."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.city = {age: emissions.smoothed(emissions.city_emission(), sigma) for age, sigma in BLUR.items()}
        dust = emissions.dust_emission(seed)
        self.dust = {age: emissions.smoothed(dust, sigma) for age, sigma in BLUR.items()}
        self.sea = emissions.smoothed(1 - emissions.land_fraction(), 0.4)

    @lru_cache(maxsize=4)  # noqa: B019 - lives as long as its world's maps, which are cached too
    def fires(self, epoch: int) -> dict[float, SphereMap]:
        fire = emissions.fire_emission(self.seed, epoch)
        return {age: emissions.smoothed(fire, sigma) for age, sigma in BLUR.items()}


class _Ground:
    """What never changes: static texture and background of one seed, on the 0.25 degree globe."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng([seed, 4])
        land = emissions.land_fraction()
        near_land = blur(land, 0.5)
        latitudes, _ = globe_axes(emissions.STEP)
        fine = noise(random, emissions.STEP, {0.15: 0.4, 0.35: 0.6, 0.8: 0.8, 2.0: 1.0})
        rugged = 1 / (1 + np.exp(-2.5 * (noise(random, emissions.STEP, {3.0: 1.0, 8.0: 1.0}) - 0.6)))
        broad = noise(random, emissions.STEP, {3.0: 1.0, 6.0: 1.0})
        relief = fine * (0.02 + near_land * (0.12 + 0.55 * rugged)) + near_land * (0.25 * broad - 0.3 * rugged)
        self.texture = SphereMap(relief + 0.3 * (blur(land, 0.15) - 0.5))
        people = blur(emissions.city_emission(), 4.0)
        polar = np.exp(-(((np.abs(latitudes) - 90) / 22) ** 2))[:, None]
        broad = noise(random, emissions.STEP, {8.0: 1.0, 16.0: 1.0})
        clean = 4.5 * np.exp(0.35 * broad) * (1 - 0.93 * polar) + 0.05
        self.background = SphereMap(clean * (0.6 + 0.6 * blur(land, 2.0)) + 3.0 * people)
        self.land = SphereMap(blur(land, 0.3))


@lru_cache(maxsize=2)
def _emitted(seed: int) -> _Emitted:
    return _Emitted(seed)


@lru_cache(maxsize=2)
def _ground(seed: int) -> _Ground:
    return _Ground(seed)


@lru_cache(maxsize=4)
def _moving_texture(seed: int, epoch: int) -> SphereMap:
    random = np.random.default_rng([seed, 5, epoch + 2**31])
    return SphereMap(noise(random, emissions.STEP, {0.35: 0.2, 0.7: 0.3, 1.5: 0.5, 3.0: 0.8, 6.0: 1.0}))


class Moment:
    """The world at one moment, to be read on any grid.

    Args:
        seed: of the world.
        hours: since 2000-01-01 00:00 UTC.
    """

    def __init__(self, seed: int, hours: float) -> None:
        self.seed, self.hours = seed, hours
        self.paths = Paths(_winds(seed), YOUNG + OLD + (40.0, 2 * TEXTURE_EPOCH))
        positions, velocities = self.paths.at(hours)
        self._ages: dict[float, np.ndarray] = {}
        speeds = np.sqrt((velocities**2).sum(axis=1, keepdims=True)) * (EARTH / 30)
        for age, place, speed in zip(YOUNG + OLD, positions, speeds, strict=False):
            self._ages[age] = _lattice(np.concatenate([place, speed]))
        self._textures = []
        epoch = int(np.floor(hours / TEXTURE_EPOCH))
        for back in (0, 1):
            age = hours - (epoch - back) * TEXTURE_EPOCH
            weight = float(np.sin(np.pi / 2 * age / TEXTURE_EPOCH))
            where = _lattice(self.paths.between(positions, velocities, age))
            self._textures.append((weight, where, _moving_texture(seed, epoch - back)))

    def values(self, grid: Grid) -> np.ndarray:
        """PM2.5 on ``grid``: (rows, columns), float32, ug m-3."""
        latitudes, longitudes = grid.latitudes, grid.longitudes % 360
        result = np.empty(grid.shape, np.float32)
        path = Interpolator(self.paths.step, latitudes, longitudes)
        old = Interpolator(_OLD_STEP, latitudes, longitudes, smooth=True)
        aged, first_row, columns = self._old(old)
        old.columns = [np.searchsorted(columns, c) for c in old.columns]
        band = max(1, _BAND // grid.columns)
        for start in range(0, grid.rows, band):
            stop = min(start + band, grid.rows)
            place = Places(
                *(a.astype(np.float32) for a in np.broadcast_arrays(latitudes[start:stop, None], longitudes[None]))
            )
            plume = old.along(old.rows(aged, start, stop, first_row))
            result[start:stop] = self._band(place, path, start, stop, plume)
        for row in np.flatnonzero(np.abs(latitudes) == 90):
            result[row] = self._pole(latitudes[row])
        return result

    def _pole(self, latitude: float) -> np.float32:
        """One value for all longitudes: the mean of the nearest lattice's row would not do, it is read at Greenwich."""
        near = Grid(0.25, 0 if latitude > 0 else 720, 0, 1, 1)
        path = Interpolator(self.paths.step, near.latitudes, near.longitudes)
        old = Interpolator(_OLD_STEP, near.latitudes, near.longitudes, smooth=True)
        aged, first_row, columns = self._old(old)
        old.columns = [np.searchsorted(columns, c) for c in old.columns]
        place = Places(near.latitudes[:, None].astype(np.float32), near.longitudes[None].astype(np.float32))
        plume = old.along(old.rows(aged, 0, 1, first_row))
        value: np.float32 = self._band(place, path, 0, 1, plume)[0, 0]
        return value

    def _old(self, old: Interpolator) -> tuple[np.ndarray, int, np.ndarray]:
        """Sum over the old ages on the part of the lattice that ``old`` reads; its first row and its columns."""
        columns = np.unique(np.concatenate(old.columns))
        first, last = int(old.first_row.min()), int(old.first_row.max()) + 3
        poles = round(180 / _OLD_STEP)
        rows = np.arange(first, last + 1)
        down = np.where(rows < 0, -rows, np.where(rows > poles, 2 * poles - rows, rows))
        turned = (rows < 0) | (rows > poles)
        parts = []
        for beyond in (False, True):
            chosen = down[turned == beyond]
            if chosen.size:
                east = _OLD_STEP * ((columns + (round(180 / _OLD_STEP) if beyond else 0)) % round(360 / _OLD_STEP))
                parts.append((turned == beyond, self._old_at(90 - _OLD_STEP * chosen, east)))
        result = np.empty((rows.size, columns.size), np.float32)
        for where, part in parts:
            result[where] = part
        return result, first, columns

    def _old_at(self, latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
        path = Interpolator(self.paths.step, latitudes, longitudes)
        total = np.zeros((latitudes.size, longitudes.size), np.float32)
        band = max(1, _BAND // longitudes.size)
        for start in range(0, latitudes.size, band):
            stop = min(start + band, latitudes.size)
            for age in OLD:
                total[start:stop] += self._emitted(age, path, start, stop)
        return total

    def _emitted(self, age: float, path: Interpolator, start: int, stop: int) -> np.ndarray:
        """What reached the nodes ``age`` hours after its emission, ug m-3."""
        x, y, z, speed = path.along(path.rows(self._ages[age], start, stop, -2))
        place = Places.from_vectors(np.stack([x, y, z]))
        return self._sources(age, place, speed)

    def _sources(self, age: float, place: Places, speed: np.ndarray) -> np.ndarray:
        then = self.hours - age
        maps = _emitted(self.seed)
        solar = place.longitude * np.float32(DEGREE) + np.float32(2 * np.pi * ((then / 24) % 1))
        morning, afternoon = (
            np.cos(solar - np.float32(2 * np.pi * 8.5 / 24)),
            np.cos(solar - np.float32(2 * np.pi * 15 / 24)),
        )
        gust = np.minimum(speed, np.float32(2.5))
        total = maps.city[age].sample(place) * (np.float32(_CITY) * (1 + np.float32(0.35) * morning))
        dusty = gust * gust * gust * (1 + np.float32(0.5) * afternoon)
        total += np.float32(_DUST) * maps.dust[age].sample(place) * dusty
        epoch = int(np.floor(then / emissions.EPOCH))
        part = then / emissions.EPOCH - epoch
        burning = (np.float32(0.55) + np.float32(0.45) * afternoon) ** 2
        for generation, weight in ((epoch, np.sin(np.pi / 2 * part) ** 2), (epoch - 1, np.cos(np.pi / 2 * part) ** 2)):
            total += np.float32(_FIRE * weight) * maps.fires(generation)[age].sample(place) * burning
        if age >= _SEA_FROM:
            total += np.float32(_SEA) * maps.sea.sample(place) * gust * gust
        return total * np.float32(SHARES[age])

    def _band(self, place: Places, path: Interpolator, start: int, stop: int, plume: np.ndarray) -> np.ndarray:
        shape = plume.shape
        here = np.ones(shape, np.float32)
        speed = path.along(path.rows(self._ages[0.0][3], start, stop, -2)) * here
        plume = plume + self._sources(0.0, place, speed)
        for age in YOUNG[1:]:
            plume += self._emitted(age, path, start, stop)
        moving = np.zeros(shape, np.float32)
        for weight, where, texture in self._textures:
            there = Places.from_vectors(path.along(path.rows(where, start, stop, -2)))
            moving += np.float32(weight) * texture.sample(there)
        # Air masses meet in fronts: level within, steep between.
        moving = np.tanh(np.float32(1.7) * moving)
        ground = _ground(self.seed)
        total = ground.background.sample(place) * np.exp(np.float32(0.75) * moving)
        total += plume * np.exp(np.float32(0.6) * moving)
        solar = place.longitude * np.float32(DEGREE) + np.float32(2 * np.pi * ((self.hours / 24) % 1))
        mixed = np.cos(solar - np.float32(2 * np.pi * 15 / 24)) * ground.land.sample(place)
        total *= np.exp(ground.texture.sample(place) - np.float32(0.14) * mixed)
        return total


_OLD_STEP = 0.75
_CITY, _DUST, _FIRE, _SEA = 4.0, 2.5, 40.0, 0.08
_SEA_FROM = 2.5


@lru_cache(maxsize=4)
def _winds(seed: int) -> Winds:
    return Winds(seed)


def _lattice(values: np.ndarray) -> np.ndarray:
    return across_poles(values.astype(np.float32))
