"""Maps on the sphere, sampled point by point so that a value never depends on what else is asked for.

Everything here acts element by element (no matrix products, no sums over the requested nodes): a node's value is
the same to the last bit whether it is evaluated alone or with the whole globe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from deepcams.simulation.arrays import NUMPY, Arrays

DEGREE = np.pi / 180


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Points on the unit sphere: degrees, broadcast against each other -> (3, ...), float64; exact at the poles."""
    latitude, longitude = np.broadcast_arrays(latitude, longitude)
    cosine = np.where(np.abs(latitude) == 90, 0.0, np.cos(latitude * DEGREE))
    return np.stack(
        [
            cosine * np.cos(longitude * DEGREE),
            cosine * np.sin(longitude * DEGREE),
            np.sin(latitude * DEGREE),
        ]
    )


def globe_axes(step: float) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes (north to south, both poles) and longitudes (from 0) of a global map with this step, degrees."""
    return 90 - step * np.arange(round(180 / step) + 1), step * np.arange(round(360 / step))


class SphereMap:
    """A global map, sampled bilinearly at any point.

    Args:
        values: (rows, columns) on ``globe_axes(step)``; the pole rows are made single-valued (their mean).
    """

    def __init__(self, values: np.ndarray) -> None:
        values = np.array(values, np.float32)
        values[0], values[-1] = values[0].mean(), values[-1].mean()
        self.rows, self.columns = values.shape
        self.step = 180 / (self.rows - 1)
        flat = np.ascontiguousarray(np.concatenate([values, values[:, :1]], axis=1)).ravel()
        self._flat: dict[str, Any] = {NUMPY.name: flat}

    def sample(self, where: Places) -> Any:
        """Return values at ``where``: float32, of the places' shape."""
        corner, down, east = where.on(self.step, self.rows, self.columns)
        width, arrays = self.columns + 1, where.arrays
        take = arrays.take
        if arrays.name not in self._flat:
            self._flat[arrays.name] = arrays.put(self._flat[NUMPY.name])
        flat = self._flat[arrays.name]
        upper = take(flat, corner)
        upper += east * (take(flat, corner + 1) - upper)
        lower = take(flat, corner + width)
        lower += east * (take(flat, corner + (width + 1)) - lower)
        lower -= upper
        lower *= down
        upper += lower
        return upper


class Places:
    """Points of the sphere to sample maps at; indices into maps of the same step are computed once.

    Args:
        latitude, longitude: degrees, float32 or float64, same shape; longitude in any turn.
        arrays: whose arrays they are.
    """

    def __init__(self, latitude: Any, longitude: Any, arrays: Arrays = NUMPY) -> None:
        self.latitude, self.longitude, self.arrays = latitude, longitude, arrays
        self._indices: dict[float, tuple[Any, Any, Any]] = {}

    @classmethod
    def from_vectors(cls, points: Any, arrays: Arrays = NUMPY) -> Places:
        """Make places of vectors (3, ...) of any length but 0."""
        x, y, z = points
        xp = arrays.xp
        latitude = xp.arctan2(z, xp.sqrt(x * x + y * y))
        longitude = xp.arctan2(y, x)
        return cls(latitude / DEGREE, longitude / DEGREE, arrays)

    def on(self, step: float, rows: int, columns: int) -> tuple[Any, Any, Any]:
        """Return flat indices of north-west corners in a map of (rows, columns + 1), and fractions down and east."""
        if step not in self._indices:
            xp = self.arrays.xp
            down = (90 - self.latitude) * (1 / step)
            row = xp.clip(xp.asarray(down, dtype=xp.int32), 0, rows - 2)
            east = self.longitude * (1 / step)
            column = xp.asarray(xp.floor(east), dtype=xp.int32)
            east -= column
            column %= columns
            corner = xp.asarray(row, dtype=xp.int64) * (columns + 1) + column
            single = (xp.asarray(values, dtype=xp.float32) for values in (down - row, east))
            self._indices[step] = (corner, *single)
        return self._indices[step]


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a global map by a Gaussian of ``sigma`` degrees of arc, across the dateline and the poles.

    Args:
        values: (rows, columns) on ``globe_axes(step)``.

    Returns:
        float32, of the same shape.
    """
    rows, columns = values.shape
    step = 180 / (rows - 1)
    spectrum = np.fft.rfft(values.astype(np.float32), axis=1) * _along_rows(rows, columns, sigma)
    smooth = np.fft.irfft(spectrum, n=columns, axis=1).astype(np.float32)
    reach = min(int(4 * sigma / step) + 2, rows - 1)
    half = columns // 2
    north = np.roll(smooth[1 : reach + 1][::-1], half, axis=1)
    south = np.roll(smooth[-reach - 1 : -1][::-1], half, axis=1)
    extended = np.concatenate([north, smooth, south])
    result: np.ndarray = gaussian_filter1d(extended, sigma / step, axis=0, truncate=4.0)[
        reach : reach + rows
    ]
    return result


def _along_rows(rows: int, columns: int, sigma: float) -> np.ndarray:
    """Transform of the Gaussian along each row, whose nodes lie the closer the nearer the pole."""
    latitudes = 90 - 180 / (rows - 1) * np.arange(rows)
    cosine = np.maximum(
        np.cos(latitudes * DEGREE), 1e-3
    )  # the floor only turns a pole's row into its mean
    wave = np.arange(columns // 2 + 1) * DEGREE
    return np.asarray(np.exp(-0.5 * (sigma * wave[None] / cosine[:, None]) ** 2), np.float32)


def noise(random: np.random.Generator, step: float, spectrum: dict[float, float]) -> np.ndarray:
    """Make a smooth Gaussian random map, alike everywhere: a sum of octaves, of zero mean and unit variance.

    Args:
        random: where the randomness comes from.
        step: of the map, degrees.
        spectrum: scale (degrees of arc, the Gaussian's sigma) -> amplitude of that octave.
    """
    latitudes, longitudes = globe_axes(step)
    rows, columns = latitudes.size, longitudes.size
    total = np.zeros((rows, columns), np.float32)
    for sigma, amplitude in spectrum.items():
        octave = blur(random.standard_normal(total.shape, np.float32), sigma)
        # What the blur leaves of unit variance, row by row: the mean squared transform, then the squared kernel.
        transform = _along_rows(rows, columns, sigma).astype(np.float64) ** 2
        left = (2 * transform.sum(axis=1) - transform[:, 0] - transform[:, -1]) / columns
        left = gaussian_filter1d(left, sigma / step / np.sqrt(2), mode="mirror")
        left /= max(2 * np.sqrt(np.pi) * sigma / step, 1.0)
        total += amplitude * octave / np.sqrt(left).astype(np.float32)[:, None]
    return total / np.float32(np.sqrt(sum(a * a for a in spectrum.values())))


class Nodes:
    """Points to evaluate: all pairs of some latitudes and longitudes.

    Args:
        latitudes, longitudes: degrees, float64, one-dimensional; NumPy's.
        arrays: what to compute with at the points.
    """

    def __init__(
        self, latitudes: np.ndarray, longitudes: np.ndarray, arrays: Arrays = NUMPY
    ) -> None:
        self.latitudes, self.longitudes, self.arrays = latitudes, longitudes, arrays

    def places(self) -> Places:
        """Return the points, for sampling maps."""
        both = np.meshgrid(self.latitudes, self.longitudes, indexing="ij")
        latitude, longitude = (self.arrays.put(np.array(a, np.float32)) for a in both)
        return Places(latitude, longitude, self.arrays)

    def taps(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the first row and first column of the 4 x 4 lattice nodes around each latitude and each longitude."""
        return _first(90 - self.latitudes, step), _first(self.longitudes, step)

    def _stencil(
        self, step: float, smooth: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return :meth:`taps` and the weights (4, n) of the lattice nodes along latitude and along longitude."""
        down = _weights(90 - self.latitudes, step, smooth)
        east = _weights(self.longitudes, step, smooth)
        return *self.taps(step), down, east

    def interpolate(self, lattice: np.ndarray, step: float, smooth: bool = False) -> Any:
        """Read a lattice at the points, from 4 x 4 of its nodes, along latitude first.

        Args:
            lattice: (..., rows, columns) on ``globe_axes(step)``, with :func:`across_poles`; NumPy's.
            smooth: the positive, smoothing cubic B-spline instead of the interpolating Catmull-Rom cubic.

        Returns:
            (..., latitudes, longitudes), float32.
        """
        row, column, down, east = self._stencil(step, smooth)
        put = self.arrays.put
        values, weights = put(lattice), put(down)[..., None]
        along = values[..., put(row + 2), :] * weights[0]
        for k in range(1, 4):
            along += values[..., put(row + (2 + k)), :] * weights[k]
        around, weights = lattice.shape[-1], put(east)
        result = self.arrays.columns(along, put(column % around))
        result *= weights[0]
        for k in range(1, 4):
            part = self.arrays.columns(along, put((column + k) % around))
            part *= weights[k]
            result += part
        return result


class Points(Nodes):
    """Single points to evaluate with NumPy; the same arithmetic as :class:`Nodes`: the same values to the last bit.

    Args:
        latitudes, longitudes: degrees, float64, (n,).
    """

    def places(self) -> Places:
        """Return the points, for sampling maps."""
        return Places(self.latitudes.astype(np.float32), self.longitudes.astype(np.float32))

    def interpolate(self, lattice: np.ndarray, step: float, smooth: bool = False) -> np.ndarray:
        """Read a lattice at the points: (..., rows, columns) -> (..., n); see :meth:`Nodes.interpolate`."""
        row, column, down, east = self._stencil(step, smooth)
        around = lattice.shape[-1]

        def along(k: int) -> np.ndarray:
            at = (column + k) % around
            total = lattice[..., row + 2, at] * down[0]
            for j in range(1, 4):
                total += lattice[..., row + (2 + j), at] * down[j]
            return np.asarray(total)

        result = along(0) * east[0]
        for k in range(1, 4):
            result += along(k) * east[k]
        return np.asarray(result)


def _first(distance: np.ndarray, step: float) -> np.ndarray:
    return np.asarray(np.floor(distance / step), np.intp) - 1


def _weights(distance: np.ndarray, step: float, smooth: bool) -> np.ndarray:
    f = distance / step
    f = f - np.floor(f)
    weights = _bspline(f) if smooth else _catmull_rom(f)
    return weights.astype(np.float32)


def across_poles(lattice: np.ndarray) -> np.ndarray:
    """Add two rows beyond each pole: (..., rows, columns) -> (..., rows + 4, columns)."""
    half = lattice.shape[-1] // 2
    north = np.roll(lattice[..., 2:0:-1, :], half, axis=-1)
    south = np.roll(lattice[..., -2:-4:-1, :], half, axis=-1)
    return np.concatenate([north, lattice, south], axis=-2)


def _catmull_rom(f: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ]
    )


def _bspline(f: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            (1 - f) ** 3 / 6,
            (4 - 6 * f**2 + 3 * f**3) / 6,
            (1 + 3 * f + 3 * f**2 - 3 * f**3) / 6,
            f**3 / 6,
        ]
    )
