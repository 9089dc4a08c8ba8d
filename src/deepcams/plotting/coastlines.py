"""Coastlines for maps, without a download: contours of the land mask that the package global-land-mask brings."""

from __future__ import annotations

import importlib.util
import zipfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from deepcams.errors import OutputError
from deepcams.sources.archive import cache_dir
from deepcams.sources.simulation.files import appearing

PER_DEGREE = 10
"""Cells of :func:`land` per degree."""

_MASK_PER_DEGREE = 120
_LINES_ACROSS = 500
"""A map is drawn from about so many cells from west to east: more would be islets and lakes smaller than a line."""


@lru_cache(maxsize=1)
def land() -> np.ndarray:
    """Share of land in cells of 0.1 degrees, (1800, 3600), uint8, 0..255; from 90 N and 180 W.

    Made once, in seconds, and kept in the cache if that can be written to.
    """
    spec = importlib.util.find_spec("global_land_mask")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    source = Path(next(iter(spec.submodule_search_locations))) / "globe_combined_mask_compressed.npz"
    kept = cache_dir() / f"land_share_{source.stat().st_size}.npy"
    shape = (180 * PER_DEGREE, 360 * PER_DEGREE)
    with suppress(OSError, ValueError, EOFError):
        found: np.ndarray = np.load(kept)
        if found.shape == shape and found.dtype == np.uint8:
            return found
    share = _read(source, shape)
    with suppress(OutputError), appearing(kept) as beside, beside.open("wb") as file:
        np.save(file, share)
    return share


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read the 1/120 degree mask strip by strip: importing the package takes 1 GB of memory."""
    per = _MASK_PER_DEGREE // PER_DEGREE
    share = np.empty(shape, np.uint8)
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)
        found, _, dtype = np.lib.format.read_array_header_1_0(file)
        assert found == (shape[0] * per, shape[1] * per)
        for row in range(shape[0]):
            strip = np.frombuffer(file.read(per * found[1] * dtype.itemsize), dtype)
            ocean = np.add.reduce(strip.reshape(per, found[1]), axis=0, dtype=np.uint16)
            ocean = ocean.reshape(shape[1], per).sum(axis=1)
            share[row] = np.rint(255 * (1 - ocean / per**2))
    return share


def land_share(west: float, south: float, east: float, north: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What to draw the contour 0.5 of, for a view.

    Args:
        west, south, east, north: the view in degrees, west < east; any whole turns may be added to both.

    Returns:
        longitudes (increasing, in the view's turn), latitudes (decreasing), and the share of land at their crossings,
        0..1, a cell beyond the view on each side. Wide views get wider cells.
    """
    fitting = (1, 2, 3, 4, 5)
    cells = (east - west) * PER_DEGREE / _LINES_ACROSS
    wide = next((width for width in fitting if width >= cells), fitting[-1])
    share = land()
    rows, columns = share.shape[0] // wide, share.shape[1] // wide
    if wide > 1:
        share = share.reshape(rows, wide, columns, wide).mean(axis=(1, 3))
    step = wide / PER_DEGREE
    row = np.arange(max(int((90 - north) / step) - 1, 0), min(int((90 - south) / step) + 2, rows))
    column = np.arange(int(np.floor((west + 180) / step)) - 1, int(np.ceil((east + 180) / step)) + 2)
    part = share[row[:, None], column[None, :] % columns] / 255
    return -180 + step * (column + 0.5), 90 - step * (row + 0.5), part
