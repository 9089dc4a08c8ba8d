"""A field's time series at stations: only the chunks that hold stations are read, and memory stays level."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import SMALL_NEGATIVE
from deepcams.stations.checkpoints import Blocks, fingerprint
from deepcams.stations.matching import Placement

_TOGETHER = 96 << 20  # bytes of the field that are read at a time
_BLOCK = 32 << 20  # bytes of series that go to disk at a time
_PATIENCE = 5.0  # seconds of reading that may be lost where a run is killed


class Series:
    """Values at points and times, in files.

    Args:
        points: how many.
        folder: that the files lie in, and stay; default a temporary one, which goes with this.
        name: see :class:`Blocks`.

    Attributes:
        blocks: the values.
        nodes_read: values of the field that were read for it.
    """

    def __init__(self, points: int, folder: Path | None = None, name: str = "series") -> None:
        self.nodes_read = 0
        if folder is None:
            temporary = TemporaryDirectory(prefix="deepcams-series-")
            folder = Path(temporary.name)
            weakref.finalize(self, temporary.cleanup)
        self.blocks = Blocks(folder, name, points)

    def read(self, points: np.ndarray) -> np.ndarray:
        """The series of some points: (points, times), float32."""
        return self.blocks.read(points)


def extract(
    field: xr.DataArray,
    placement: Placement,
    name: str,
    progress: Callable[[int], None] | None = None,
    within: tuple[int, int] | None = None,
    keep: Path | None = None,
) -> Series:
    """Read a field at the points of a placement.

    Args:
        field: canonical; backed by Dask or in memory. ``encoding["tile"]`` tells how many rows and columns its store
            keeps together; without it whole maps are read.
        placement: of the stations on its grid.
        name: of the field, for messages.
        progress: called with the number of times read so far.
        within: first and stop of the field's times that are read; default all.
        keep: folder where what has been read stays; what lies there already is not read again. The caller answers for
            its being of this very field.

    Raises:
        InputError: an infinite value.
    """
    rows, columns = field.shape[1:]
    tile_rows, tile_columns = field.encoding.get("tile", (rows, columns))
    nodes, slot = np.unique(placement.rows * columns + placement.columns, return_inverse=True)
    slot = slot.reshape(placement.rows.shape)
    groups, corners = _rectangles(nodes, columns, tile_rows, tile_columns)
    begin, end = within or (0, field.shape[0])
    # Which points, and which times: all that the series follows from but the field itself.
    about = fingerprint(
        name,
        begin,
        end,
        field.time.values[begin:end],
        placement.rows,
        placement.columns,
        placement.weights,
    )
    series = Series(len(placement.rows), keep, f"{name}-{about}")
    size = sum(_size(corner, rows, columns) for corner in corners)
    lengths = field.chunks[0] if field.chunks is not None else (field.shape[0],)
    # As if all were read now: that a run was stopped is to be seen nowhere.
    series.nodes_read = size * (end - begin)
    held, flushed = list[np.ndarray](), time.monotonic()
    if series.blocks.times and progress is not None:
        progress(series.blocks.times)
    most = max(_TOGETHER // (4 * max(size, 1)), 1)
    for first, stop in _stretches(lengths, begin + series.blocks.times, end, most):
        values = np.empty((stop - first, nodes.size), np.float32)
        for group, (r, c) in zip(groups, corners, strict=True):
            # One slice of what Dask opened, computed on its own: of more than that it would read whole maps.
            part = np.asarray(field.data[first:stop, r, c])
            values[:, group] = part[
                :, nodes[group] // columns - r.start, nodes[group] % columns - c.start
            ]
        held.append(_points(_mended(values, name), slot, placement.weights))
        patient = keep is None or time.monotonic() - flushed < _PATIENCE
        if stop == end or not patient or sum(each.nbytes for each in held) > _BLOCK:
            series.blocks.append(np.concatenate(held, axis=1))
            held, flushed = [], time.monotonic()
        if progress is not None:
            progress(stop - begin)
    return series


def _rectangles(
    nodes: np.ndarray, columns: int, tile_rows: int, tile_columns: int
) -> tuple[list[np.ndarray], list[tuple[slice, slice]]]:
    """The tiles that hold nodes, neighbours along a row in one: which nodes lie in each, and its rows and columns."""
    across = -(-columns // tile_columns)
    # A spare number between two rows of tiles keeps them apart.
    tile = (nodes // columns // tile_rows) * (across + 1) + (nodes % columns) // tile_columns
    used, which = np.unique(tile, return_inverse=True)
    run = np.cumsum(np.r_[0, np.diff(used) > 1])
    groups, corners = [], []
    for number in range(int(run[-1]) + 1 if used.size else 0):
        first, last = (int(k) for k in used[run == number][[0, -1]])
        row, west, east = (
            first // (across + 1) * tile_rows,
            first % (across + 1),
            last % (across + 1),
        )
        groups.append(np.flatnonzero(run[which] == number))
        corners.append(
            (slice(row, row + tile_rows), slice(west * tile_columns, (east + 1) * tile_columns))
        )
    return groups, corners


def _size(corner: tuple[slice, slice], rows: int, columns: int) -> int:
    return len(range(rows)[corner[0]]) * len(range(columns)[corner[1]])


def _stretches(lengths: tuple[int, ...], begin: int, end: int, most: int) -> list[tuple[int, int]]:
    """Stretches from ``begin`` to ``end`` of at most so many times, of whole chunks where these are not longer."""
    edges = np.cumsum((0, *lengths))
    found = []
    while begin < end:
        inner = edges[(edges > begin) & (edges <= begin + most)]
        stop = min(int(inner[-1]) if inner.size else begin + most, end)
        found.append((begin, stop))
        begin = stop
    return found


def _mended(values: np.ndarray, name: str) -> np.ndarray:
    """As :func:`deepcams.core.field.load_values`: small negatives are 0, lower ones missing, infinities refused."""
    with np.errstate(invalid="ignore"):
        if np.isinf(values).any():
            raise InputError(
                name, "finite values", "an infinite one at a station", "mask it in the input"
            )
        values[values < SMALL_NEGATIVE] = np.nan
        values[values < 0] = 0
    return values


def _points(values: np.ndarray, slot: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(times, nodes) -> (points, times); a node with no weight does not count, even if it is missing."""
    if slot.shape[1] == 1:
        return np.ascontiguousarray(values[:, slot[:, 0]].T)
    total = np.zeros((slot.shape[0], values.shape[0]), np.float32)
    for k in range(slot.shape[1]):
        used = np.flatnonzero(weights[:, k] > 1e-12)
        total[used] += values[:, slot[used, k]].T * weights[used, k, None].astype(np.float32)
    return total
