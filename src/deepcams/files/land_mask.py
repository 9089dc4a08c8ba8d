"""The land mask of the package global-land-mask, read without importing it, which would take 1 GB of memory."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepcams.files.atomic import write_atomically
from deepcams.files.cache import cache_dir

_PER_DEGREE = 120


def land_rows(per_degree: int) -> Iterator[np.ndarray]:
    """Yield the land fraction of square cells, row by row from the north.

    Args:
        per_degree: cells per degree; divides 120, the mask's own resolution.

    Yields:
        float64, (360 * per_degree,), 0..1, from 180 W eastward.
    """
    per = _PER_DEGREE // per_degree
    with zipfile.ZipFile(_source()) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        assert shape == (180 * _PER_DEGREE, 360 * _PER_DEGREE)
        for _ in range(180 * per_degree):
            strip = np.frombuffer(file.read(per * shape[1] * dtype.itemsize), dtype)
            ocean = np.add.reduce(strip.reshape(per, shape[1]), axis=0, dtype=np.uint16)
            yield 1 - ocean.reshape(-1, per).sum(axis=1) / per**2


def made_once(
    name: str,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    make: Callable[[], np.ndarray],
) -> np.ndarray:
    """Return an array derived from the mask; it is cached if the cache is writable.

    Args:
        name: file name in the cache; the size of the mask file is appended.
        shape, dtype: expected shape and type; a cached array that differs is made again.
        make: computes the array, within seconds.
    """
    cached = cache_dir() / f"{name}_{_source().stat().st_size}.npy"
    with suppress(OSError, ValueError, EOFError):
        found: np.ndarray = np.load(cached)
        if found.shape == shape and found.dtype == dtype:
            return found
    found = make()
    buffer = io.BytesIO()
    np.save(buffer, found)
    with suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            cached, buffer.getvalue()
        )  # several processes may do this at once
    return found


def _source() -> Path:
    spec = importlib.util.find_spec("global_land_mask")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (
        Path(next(iter(spec.submodule_search_locations)))
        / "globe_combined_mask_compressed.npz"
    )


@lru_cache(maxsize=1)
def land_fraction() -> np.ndarray:
    """Return the land fraction of each node's cell on the global 0.25 degree grid, (721, 1440), float32, 0..1.

    Columns begin at Greenwich; cells at the poles are half a row high.
    """
    return made_once("land_fraction", (721, 1440), np.float32, _land_fraction)


def _land_fraction() -> np.ndarray:
    """Compute :func:`land_fraction`: average the four 1/8 degree cells around each node; the mask starts at 180 W."""
    halves = np.array([row.astype(np.float32) for row in land_rows(8)])
    halves = np.roll(halves, halves.shape[1] // 2, axis=1)
    across = (halves + np.roll(halves, 1, axis=1))[:, ::2] / 2
    inner = (across[1:-1:2] + across[2::2]) / 2
    return np.concatenate([across[:1], inner, across[-1:]])


_LATTICE = 3
"""Spacing of the smoothed land fractions, in nodes of the 0.25 degree grid."""


@lru_cache(maxsize=1)
def _smoothed() -> np.ndarray:
    """Return land fractions in 1.5 degree squares around 0.75 degree nodes, (241, 481); Greenwich is first and last."""
    fine = np.pad(land_fraction().astype(np.float64), ((3, 3), (0, 0)), "edge")
    fine = np.concatenate([fine[:, -3:], fine, fine[:, :4]], axis=1)
    weights = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6  # ends lie on the square's edge
    for axis in (0, 1):
        fine = np.apply_along_axis(np.convolve, axis, fine, weights, "valid")
    return np.asarray(fine[::_LATTICE, ::_LATTICE])


def smoothed_land(latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> np.ndarray:
    """Return a smooth land fraction: the share of land in a 1.5 degree square around each location.

    Fractions are computed once, every 0.75 degrees, and interpolated bilinearly.

    Args:
        latitude, longitude: degrees; arrays that broadcast.

    Returns:
        float64, 0..1.
    """
    lattice, spacing = _smoothed(), _LATTICE / 4
    down = np.clip((90 - np.asarray(latitude, np.float64)) / spacing, 0, 240)
    across = np.asarray(longitude, np.float64) % 360 / spacing
    row = np.minimum(down.astype(int), 239)
    column = np.minimum(across.astype(int), 479)
    south, east = down - row, across - column
    upper, lower = (
        lattice[each, column] * (1 - east) + lattice[each, column + 1] * east
        for each in (row, row + 1)
    )
    return np.asarray(upper * (1 - south) + lower * south)
