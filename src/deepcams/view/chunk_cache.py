"""Cache of chunks for maps: only the chunks that a box touches are read, and recent ones are kept decompressed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from itertools import groupby
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.values import clean
from deepcams.readers.frames import stored_values
from deepcams.writers.layout import CHUNK, Layout

KEEP_BYTES = 128 << 20
"""Maximum size of the cached decompressed chunks, bytes."""
SLAB = 64
"""Number of times of a series read at once, unless the file's chunks are longer."""
FARTHEST_AHEAD = 24 * 31
"""Largest step between requested frames, in times, that is expected to be repeated; longer ones are jumps."""

_Key = tuple[int, int, int]


class Blocks:
    """Frames of a lazy field, cropped to a box; thread-safe.

    A block is as large as a chunk written by deepcams: 6 times, and about 100 x 180 nodes.

    Args:
        field: canonical field, lazy or not.
        values: the same values as an array that reads only what is indexed; default: the stored ones.
        keep_bytes: maximum size of the cache, bytes.
    """

    def __init__(
        self,
        field: xr.DataArray,
        values: Any = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.field, self.grid = field, grid_of(field)
        self._values = stored_values(field) if values is None else values
        _, self._tall, self._wide = Layout(
            str(field.name), field.time.values, self.grid
        ).chunks
        self._long = CHUNK[0]
        self._keep_bytes, self._held = keep_bytes, 0
        self._kept: OrderedDict[_Key, np.ndarray] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._last, self._asked = 0, 0
        self.blocks_read = 0

    def frame(self, at: int, rows: slice, columns: np.ndarray) -> np.ndarray:
        """Return one frame: float32, ug m-3, non-negative, missing values NaN.

        Args:
            at: index of the time.
            rows: rows of the grid, not empty.
            columns: indices into the grid's columns, in any order.

        Returns:
            (rows, columns).
        """
        with self._lock:
            self._asked += 1  # interrupts reading ahead
        block, inside = divmod(at, self._long)
        values = np.empty((rows.stop - rows.start, columns.size), np.float32)
        for (down, wide), piece in self._pieces(
            block, *self._touched(rows, columns)
        ).items():
            first, last = (
                max(rows.start, down * self._tall),
                min(rows.stop, (down + 1) * self._tall),
            )
            chosen = np.flatnonzero(columns // self._wide == wide)
            part = piece[inside, first - down * self._tall : last - down * self._tall]
            values[first - rows.start : last - rows.start, chosen] = part[
                :, columns[chosen] % self._wide
            ]
        clean(values)
        return values

    def _touched(self, rows: slice, columns: np.ndarray) -> tuple[range, list[int]]:
        downs = range(rows.start // self._tall, (rows.stop - 1) // self._tall + 1)
        return downs, np.unique(columns // self._wide).tolist()

    def read_ahead(self, at: int, rows: slice, columns: np.ndarray) -> None:
        """Prefetch what is likely to be requested after a frame: the frame one more step ahead, then its surroundings.

        It reads one row of blocks at a time, and stops as soon as another frame is requested.
        """
        with self._lock:
            mine, way = self._asked, at - self._last
            self._last = at
        way = way if 0 < abs(way) <= FARTHEST_AHEAD else 1
        here = at // self._long
        # The next block in the direction of the step, even if many steps ahead; then the one on the other side.
        ahead = (
            (at + way) // self._long
            if abs(way) >= self._long
            else here + (1 if way > 0 else -1)
        )
        downs, across = self._touched(rows, columns)
        for block in dict.fromkeys([ahead, here + 1, here - 1]):
            if not 0 <= block * self._long < self.field.sizes["time"]:
                continue
            for down in downs:
                with self._reading:
                    if self._asked != mine:
                        return
                    self._fetch(block, range(down, down + 1), across)
                    self._taken([(block, down, wide) for wide in across])

    def series(self, first: int, last: int, row: int, column: int) -> np.ndarray:
        """Return the values at one node for the times ``first`` to ``last`` (exclusive), see :meth:`frame`."""
        own = field_chunk(self.field)
        length = -(-SLAB // own) * own
        parts = []
        while first < last:
            end = min((first // length + 1) * length, last)
            part: Any = self._values[first:end, row, column]
            if hasattr(part, "dask"):
                part = part.compute(scheduler="synchronous")
            parts.append(np.array(part, np.float32))
            first = end
            time.sleep(0.001)  # let others read (HDF5 has a single lock)
        values = np.concatenate(parts) if parts else np.empty(0, np.float32)
        clean(values)
        return values

    def _pieces(
        self, block: int, downs: range, across: list[int]
    ) -> dict[tuple[int, int], np.ndarray]:
        """Return the blocks of one span of times; cached ones are returned without waiting for other reads."""
        keys = [(block, down, wide) for down in downs for wide in across]
        try:
            return self._taken(keys)
        except KeyError:
            with self._reading:
                self._fetch(block, downs, across)
                return self._taken(keys)

    def _taken(self, keys: list[_Key]) -> dict[tuple[int, int], np.ndarray]:
        with self._lock:
            found = {}
            for key in keys:
                found[key[1:]] = self._kept[key]
                self._kept.move_to_end(key)
            while self._held > self._keep_bytes and len(self._kept) > len(keys):
                self._held -= self._kept.popitem(last=False)[1].nbytes
            return found

    def _fetch(self, block: int, downs: range, across: list[int]) -> None:
        """Read the missing blocks; adjacent ones together, because each read costs as much as several blocks."""
        with self._lock:
            missing = {
                down: tuple(w for w in across if (block, down, w) not in self._kept)
                for down in downs
            }
        for wides, rows in groupby(downs, lambda down: missing[down]):
            band = list(rows)
            for _, run in groupby(enumerate(wides), lambda pair: pair[1] - pair[0]):
                self._read(block, band, [wide for _, wide in run])

    def _read(self, block: int, downs: list[int], wides: list[int]) -> None:
        """Read a rectangle of blocks and cache each."""
        tall, wide, start = self._tall, self._wide, block * self._long
        top, left = downs[0], wides[0]
        part = self._values[
            start : start + self._long,
            top * tall : (downs[-1] + 1) * tall,
            left * wide : (wides[-1] + 1) * wide,
        ]
        values = np.asarray(part, np.float32)
        self.blocks_read += len(downs) * len(wides)
        for down in downs:
            for across in wides:
                rows = slice((down - top) * tall, (down - top + 1) * tall)
                columns = slice((across - left) * wide, (across - left + 1) * wide)
                piece = values[:, rows, columns].copy()
                with self._lock:
                    self._kept[block, down, across] = piece
                    self._held += piece.nbytes


def field_chunk(field: xr.DataArray) -> int:
    """Return the number of times in a field's first chunk."""
    return int(field.chunks[0][0]) if field.chunks else 1
