"""Smooth, divergence-free, time-dependent winds as an analytic function of the seed, and the paths along them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from deepcams.sources.simulation.sphere import globe_axes, unit_vectors

EARTH = 6371.0
"""Radius, km."""


class Winds:
    """Jets and trades, and travelling eddies on them.

    The stream function is a sum of waves ``sin(k.x + w t + p)`` in three dimensions, seen on the sphere only, so that
    it has no special place: no pole, no dateline. The wind ``x × grad psi`` has no divergence.

    Args:
        seed: of the world.
        eddies: number of waves.
        speed: root mean square speed of the eddies, km/h.
    """

    def __init__(self, seed: int, eddies: int = 28, speed: float = 27.0) -> None:
        random = np.random.default_rng([seed, 1])
        direction = random.standard_normal((eddies, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        number = 4 * 4.5 ** random.uniform(0, 1, eddies)  # radians per Earth radius: wavelengths of 2200 to 10000 km
        self.waves = direction * number[:, None]
        self.phases = random.uniform(0, 2 * np.pi, eddies)
        period = random.uniform(40, 140, eddies)  # hours
        self.rates = 2 * np.pi / period * random.choice([-1.0, 1.0], eddies)
        # |x × k| has a mean square of 2/3 |k|^2, the cosine of 1/2.
        share = number**-0.5
        share /= np.sqrt((share**2).mean())
        self.amplitudes = speed / EARTH * np.sqrt(3 / eddies) * share / number

    def __call__(self, points: np.ndarray, hours: float) -> np.ndarray:
        """Angular velocity seen as motion on the unit sphere: points (3, ...) float32 -> (3, ...), per hour."""
        x, y, z = points
        single = np.float32
        ax, ay, az = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for (kx, ky, kz), rate, phase, amplitude in zip(
            self.waves, self.rates, self.phases, self.amplitudes, strict=True
        ):
            moved = single((rate * hours + phase) % (2 * np.pi))
            slope = single(amplitude) * np.cos(single(kx) * x + single(ky) * y + single(kz) * z + moved)
            ax += single(kx) * slope
            ay += single(ky) * slope
            az += single(kz) * slope
        # Easterly trades (-20 km/h), westerlies (about 40 km/h at 45 degrees), little at the poles.
        turn = (-20 + 175 * z**2 - 165 * z**4) / single(EARTH)
        return np.stack([y * az - z * ay - turn * y, z * ax - x * az + turn * x, x * ay - y * ax])


class Paths:
    """Where the air over a lattice of places was, at given ages before a moment.

    Attributes:
        step: of the lattice, degrees.
        ages: hours, increasing, from 0.
    """

    step = 2.5

    def __init__(self, winds: Winds, ages: tuple[float, ...]) -> None:
        self.winds, self.ages = winds, ages
        latitudes, longitudes = globe_axes(self.step)
        self.start = unit_vectors(latitudes[:, None], longitudes[None]).astype(np.float32)

    def at(self, hours: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities of the air that arrives at ``hours``: both (ages, 3, rows, columns), float32."""
        points = self.start
        velocity = self.winds(points, hours)
        positions, velocities = [points], [velocity]
        for before, after in pairwise(self.ages):
            length = after - before
            middle = _on_sphere(points - velocity * (length / 2))
            points = _on_sphere(points - self.winds(middle, hours - (before + length / 2)) * length)
            velocity = self.winds(points, hours - after)
            positions.append(points)
            velocities.append(velocity)
        return np.stack(positions), np.stack(velocities)

    def between(self, positions: np.ndarray, velocities: np.ndarray, age: float) -> np.ndarray:
        """Position at any age up to the last: cubic Hermite between the known ones, (3, rows, columns)."""
        k = min(max(int(np.searchsorted(self.ages, age)) - 1, 0), len(self.ages) - 2)
        length = self.ages[k + 1] - self.ages[k]
        f = (age - self.ages[k]) / length
        a, b = (1 + 2 * f) * (1 - f) ** 2, f * (1 - f) ** 2
        c, d = f * f * (3 - 2 * f), f * f * (f - 1)
        # Velocities point forward in time, ages backward.
        before = a * positions[k] - b * length * velocities[k]
        return np.asarray(before + c * positions[k + 1] - d * length * velocities[k + 1])


def _on_sphere(points: np.ndarray) -> np.ndarray:
    x, y, z = points
    return np.asarray(points / np.sqrt(x * x + y * y + z * z))
