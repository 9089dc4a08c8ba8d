"""Maps on the sphere, sampled point by point so that a value never depends on the other requested points.

All operations are elementwise (no matrix products, no sums over the requested nodes): a node's value is identical to
the last bit whether it is evaluated alone or with the whole globe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from deepcams.simulation.arrays import NUMPY, Arrays

DEGREE = np.pi / 180


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return unit vectors (3, ...), float64, of degrees that broadcast; exact at the poles."""
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
    """Return latitudes (north to south, both poles) and longitudes (from 0) of a global map, degrees."""
    return 90 - step * np.arange(round(180 / step) + 1), step * np.arange(
        round(360 / step)
    )


class SphereMap:
    """A global map, sampled bilinearly at any point.

    Args:
        values: (rows, columns) on ``globe_axes(step)``; the pole rows are made single-valued (their mean).
    """

    def __init__(self, values: np.ndarray) -> None:
        values = np.array(values, np.float32)
        for pole in (0, -1):
            values[pole] = values[pole].mean()
        self.rows, self.columns = values.shape
        self.step = 180 / (self.rows - 1)
        closed = np.concatenate([values, values[:, :1]], axis=1)
        self._flat: dict[str, Any] = {NUMPY.name: closed.ravel()}

    def sample(self, where: Places) -> Any:
        """Return values at ``where``: float32, of the places' shape."""
        corner, down, east = where.on(self.step, self.rows, self.columns)
        arrays = where.arrays
        if arrays.name not in self._flat:
            self._flat[arrays.name] = arrays.put(self._flat[NUMPY.name])
        flat = self._flat[arrays.name]

        def along_row(west: Any) -> Any:
            values = arrays.xp.take(flat, west)
            values += east * (arrays.xp.take(flat, west + 1) - values)
            return values

        upper = along_row(corner)
        lower = along_row(corner + (self.columns + 1))
        lower -= upper
        lower *= down
        upper += lower
        return upper


class Places:
    """Points at which maps are sampled; indices into maps of the same step are computed once.

    Args:
        latitude, longitude: degrees, float32 or float64, same shape; longitudes modulo 360.
        arrays: array library of the coordinates.
    """

    def __init__(self, latitude: Any, longitude: Any, arrays: Arrays = NUMPY) -> None:
        self.latitude = latitude
        self.longitude = longitude
        self.arrays = arrays
        self._indices: dict[float, tuple[Any, Any, Any]] = {}

    @classmethod
    def from_vectors(cls, points: Any, arrays: Arrays = NUMPY) -> Places:
        """Make places from non-zero vectors (3, ...)."""
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
            down = xp.asarray(down - row, dtype=xp.float32)
            east = self.longitude * (1 / step)
            column = xp.asarray(xp.floor(east), dtype=xp.int32)
            east = xp.asarray(east - column, dtype=xp.float32)
            column %= columns
            corner = xp.asarray(row, dtype=xp.int64) * (columns + 1) + column
            self._indices[step] = (corner, down, east)
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
    spectrum = np.fft.rfft(values.astype(np.float32), axis=1)
    spectrum = spectrum * _along_rows(rows, columns, sigma)
    smooth = np.fft.irfft(spectrum, n=columns, axis=1).astype(np.float32)
    reach = min(int(4 * sigma / step) + 2, rows - 1)
    extended = across_poles(smooth, reach)
    blurred = gaussian_filter1d(extended, sigma / step, axis=0, truncate=4.0)
    return np.asarray(blurred[reach : reach + rows])


def _along_rows(rows: int, columns: int, sigma: float) -> np.ndarray:
    """Return the transform of the Gaussian along each row, in which nodes are closer together towards the poles."""
    latitudes = 90 - 180 / (rows - 1) * np.arange(rows)
    # the floor only turns a pole's row into its mean
    cosine = np.maximum(np.cos(latitudes * DEGREE), 1e-3)
    wave = np.arange(columns // 2 + 1) * DEGREE
    width = sigma * wave[None] / cosine[:, None]
    return np.asarray(np.exp(-0.5 * width**2), np.float32)


def noise(
    random: np.random.Generator, step: float, spectrum: dict[float, float]
) -> np.ndarray:
    """Make a smooth homogeneous Gaussian random map: a sum of octaves, with zero mean and unit variance.

    Args:
        random: random generator.
        step: step of the map, degrees.
        spectrum: amplitude of each octave by scale (degrees of arc, the Gaussian's sigma).
    """
    rows, columns = (axis.size for axis in globe_axes(step))
    total = np.zeros((rows, columns), np.float32)
    for sigma, amplitude in spectrum.items():
        octave = blur(random.standard_normal(total.shape, np.float32), sigma)
        # Remaining variance after the blur, by row: the mean squared transform, then the squared kernel.
        transform = _along_rows(rows, columns, sigma).astype(np.float64) ** 2
        both_sides = 2 * transform.sum(axis=1) - transform[:, 0] - transform[:, -1]
        left = gaussian_filter1d(
            both_sides / columns, sigma / step / np.sqrt(2), mode="mirror"
        )
        left /= max(2 * np.sqrt(np.pi) * sigma / step, 1.0)
        spread = np.sqrt(left).astype(np.float32)
        total += amplitude * octave / spread[:, None]
    variance = sum(a * a for a in spectrum.values())
    return total / np.float32(np.sqrt(variance))


class Nodes:
    """Points to evaluate: all pairs of some latitudes and longitudes.

    Args:
        latitudes, longitudes: degrees, float64, one-dimensional NumPy arrays.
        arrays: array library for the points.
    """

    def __init__(
        self, latitudes: np.ndarray, longitudes: np.ndarray, arrays: Arrays = NUMPY
    ) -> None:
        self.latitudes = latitudes
        self.longitudes = longitudes
        self.arrays = arrays

    def places(self) -> Places:
        """Return the points, for sampling maps."""
        both = np.meshgrid(self.latitudes, self.longitudes, indexing="ij")
        latitude, longitude = (self.arrays.put(np.array(a, np.float32)) for a in both)
        return Places(latitude, longitude, self.arrays)

    def by_bands(self, work: Callable[[Nodes], Any]) -> np.ndarray:
        """Apply ``work`` to all nodes in bands of rows that fit the library; return a NumPy array."""
        band = max(1, self.arrays.nodes // self.longitudes.size)
        parts = []
        for start in range(0, self.latitudes.size, band):
            rows = self.latitudes[start : start + band]
            found = work(Nodes(rows, self.longitudes, self.arrays))
            parts.append(self.arrays.get(found))
        return np.concatenate(parts)

    def taps(self, step: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows (n, 4), those of :func:`across_poles`, and columns (n, 4) around each point."""
        rows = np.floor((90 - self.latitudes) / step)
        columns = np.floor(self.longitudes / step)
        steps = np.arange(4)
        row = rows.astype(np.intp)[:, None] + (steps + 1)
        column = columns.astype(np.intp)[:, None] + (steps - 1)
        return row, column % round(360 / step)

    def _weights(self, step: float, smooth: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights (4, n) of the lattice nodes along latitude and along longitude."""
        kernel = _bspline if smooth else _catmull_rom
        down = (90 - self.latitudes) / step
        east = self.longitudes / step
        along_latitude = kernel(down - np.floor(down))
        along_longitude = kernel(east - np.floor(east))
        return along_latitude.astype(np.float32), along_longitude.astype(np.float32)

    def interpolate(
        self, lattice: np.ndarray, step: float, smooth: bool = False
    ) -> Any:
        """Interpolate a lattice at the points, from 4 x 4 of its nodes, along latitude first.

        Args:
            lattice: NumPy array (..., rows, columns) on ``globe_axes(step)``, extended by :func:`across_poles`.
            smooth: the positive, smoothing cubic B-spline instead of the interpolating Catmull-Rom cubic.

        Returns:
            (..., latitudes, longitudes), float32.
        """
        rows, columns = self.taps(step)
        down, east = self._weights(step, smooth)
        put = self.arrays.put
        values = put(lattice)
        weights = put(down)[..., None]
        along = _mixed((values[..., put(row), :] for row in rows.T), weights)
        shown = (self.arrays.columns(along, put(column)) for column in columns.T)
        return _mixed(shown, put(east))


class Points(Nodes):
    """Single points to evaluate with NumPy; results are identical to those of :class:`Nodes` to the last bit.

    Args:
        latitudes, longitudes: degrees, float64, (n,).
    """

    def places(self) -> Places:
        """Return the points, for sampling maps."""
        return Places(
            self.latitudes.astype(np.float32), self.longitudes.astype(np.float32)
        )

    def interpolate(
        self, lattice: np.ndarray, step: float, smooth: bool = False
    ) -> np.ndarray:
        """Interpolate a lattice at the points: (..., rows, columns) -> (..., n); see :meth:`Nodes.interpolate`."""
        rows, columns = self.taps(step)
        down, east = self._weights(step, smooth)

        def along(column: np.ndarray) -> Any:
            return _mixed((lattice[..., row, column] for row in rows.T), down)

        return np.asarray(_mixed((along(column) for column in columns.T), east))


def _mixed(parts: Iterable[Any], weights: Any) -> Any:
    """Return the weighted sum of arrays of any library; the arrays are overwritten."""
    total = None
    for part, weight in zip(parts, weights, strict=True):
        part *= weight
        if total is None:
            total = part
        else:
            total += part
    return total


def across_poles(lattice: np.ndarray, rows: int = 2) -> np.ndarray:
    """Add rows beyond each pole, two by default: (..., n, columns) -> (..., n + 2 rows, columns)."""
    half = lattice.shape[-1] // 2
    north = np.roll(lattice[..., rows:0:-1, :], half, axis=-1)
    south = np.roll(lattice[..., -2 : -rows - 2 : -1, :], half, axis=-1)
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
