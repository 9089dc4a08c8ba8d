"""Smooth, time-dependent winds as an analytic function of the seed, and the paths along them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from deepcams.simulation.sphere import globe_axes, unit_vectors

EARTH = 6371.0
"""Radius of the Earth, km."""

_CALM, _STORMY = 0.7, 0.6
"""Strength of the eddies at the equator, and the factor of its increase s² (1.5 - s²) with the sine of latitude s."""
_JET = 500.0
"""Amplitude of the westerlies s⁴ (1 - s²), km/h on the equator's circumference."""


class Winds:
    """Jets and trade winds with superposed travelling eddies.

    Stream function and velocity potential are sums of waves ``sin(k.x + w t + p)`` in three dimensions, evaluated on
    the sphere, so that no place is special: no pole, no dateline. The rotational wind is ``x × grad psi``, the
    divergent one the tangential part of ``grad chi``; cyclones are stronger in mid-latitudes than in the tropics.

    Args:
        seed: seed of the world.
        eddies: number of waves; every fourth also has a divergent wind.
        speed: root mean square speed of the eddies at 35 degrees, km/h.
        divergent: fraction of the divergent wind in a wave that has one.
    """

    def __init__(
        self, seed: int, eddies: int = 28, speed: float = 27.0, divergent: float = 0.35
    ) -> None:
        random = np.random.default_rng([seed, 1])
        direction = random.standard_normal((eddies, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        # radians per Earth radius: wavelengths of 2200 to 10000 km
        number = 4 * 4.5 ** random.uniform(0, 1, eddies)
        self.waves = direction * number[:, None]
        self.phases = random.uniform(0, 2 * np.pi, eddies)
        period = random.uniform(40, 140, eddies)  # hours
        self.rates = 2 * np.pi / period * random.choice([-1.0, 1.0], eddies)
        # |x × k| has a mean square of 2/3 |k|^2, the cosine of 1/2.
        share = number**-0.5
        share /= np.sqrt((share**2).mean())
        self.amplitudes = speed / EARTH * np.sqrt(3 / eddies) * share / number
        self.divergent = divergent

    def __call__(self, points: np.ndarray, hours: float) -> np.ndarray:
        """Return the velocity on the unit sphere: points (3, ...) float32 -> (3, ...), per hour."""
        x, y, z = points
        single = np.float32
        rotational = np.zeros_like(points)
        gradient = np.zeros_like(points)
        waves = zip(self.waves, self.rates, self.phases, self.amplitudes, strict=True)
        for number, (wave, rate, phase, amplitude) in enumerate(waves):
            kx, ky, kz = wave.astype(single)
            moved = single((rate * hours + phase) % (2 * np.pi))
            slope = single(amplitude) * np.cos(kx * x + ky * y + kz * z + moved)
            push = np.multiply.outer(wave.astype(single), slope)
            rotational += push
            if number % 4 == 0:
                gradient += push
        outward = x * gradient[0] + y * gradient[1] + z * gradient[2]
        result = np.cross(points, rotational, axis=0)
        result = result + single(self.divergent) * (gradient - outward * points)
        sine = z * z
        result *= single(_CALM) + single(_STORMY) * sine * (single(1.5) - sine)
        # Easterly trades (-16 km/h), westerlies (35 km/h at 50 degrees), easterlies again near the poles.
        turn = (single(-16) + single(_JET) * sine * sine * (1 - sine)) / single(EARTH)
        result[0] -= turn * y
        result[1] += turn * x
        return np.asarray(result)


class Paths:
    """Backward trajectories of the air over a lattice of places, at given ages before a time.

    Attributes:
        step: step of the lattice, degrees.
        ages: ages in hours, increasing, from 0.
    """

    def __init__(
        self, winds: Winds, ages: tuple[float, ...], step: float = 2.5
    ) -> None:
        self.winds = winds
        self.ages = ages
        self.step = step
        latitudes, longitudes = globe_axes(step)
        self.start = unit_vectors(latitudes[:, None], longitudes[None]).astype(
            np.float32
        )

    def at(self, hours: float) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and velocities of air arriving at ``hours``: both (ages, 3, rows, columns), float32."""
        points = self.start
        velocity = self.winds(points, hours)
        positions = [points]
        velocities = [velocity]
        for before, after in pairwise(self.ages):
            length = after - before
            middle = _on_sphere(points - velocity * (length / 2))
            halfway = self.winds(middle, hours - (before + length / 2))
            points = _on_sphere(points - halfway * length)
            velocity = self.winds(points, hours - after)
            positions.append(points)
            velocities.append(velocity)
        return np.stack(positions), np.stack(velocities)

    def between(
        self, positions: np.ndarray, velocities: np.ndarray, age: float
    ) -> np.ndarray:
        """Interpolate the position at any age up to the last by cubic Hermite splines, (3, rows, columns)."""
        k = min(max(int(np.searchsorted(self.ages, age)) - 1, 0), len(self.ages) - 2)
        length = self.ages[k + 1] - self.ages[k]
        f = (age - self.ages[k]) / length
        a = (1 + 2 * f) * (1 - f) ** 2
        b = f * (1 - f) ** 2
        c = f * f * (3 - 2 * f)
        d = f * f * (f - 1)
        # Velocities point forward in time, ages backward.
        before = a * positions[k] - b * length * velocities[k]
        return np.asarray(
            before + c * positions[k + 1] - d * length * velocities[k + 1]
        )


def _on_sphere(points: np.ndarray) -> np.ndarray:
    x, y, z = points
    return np.asarray(points / np.sqrt(x * x + y * y + z * z))
