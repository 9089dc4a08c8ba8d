"""Reading what a map shows: the chunks that its box touches, each decompressed once while it may be needed again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import groupby

import numpy as np
import xarray as xr

from deepcams.field import SMALL_NEGATIVE, grid_of
from deepcams.store.layout import CHUNK, Layout

KEEP_BYTES = 256 << 20
"""Of decompressed chunks that are kept."""

_Key = tuple[int, int, int]


class Blocks:
    """Frames of a lazy field, cut to a box; safe for several threads.

    A block is as large as one of the chunks that deepcams writes: 6 times, and about 100 x 180 nodes.

    Args:
        field: canonical, lazy or not.
        keep_bytes: how much to keep of what was read.
    """

    def __init__(self, field: xr.DataArray, keep_bytes: int = KEEP_BYTES) -> None:
        self.field, self.grid = field, grid_of(field)
        _, self._tall, self._wide = Layout(str(field.name), field.time.values, self.grid).chunks
        self._long = CHUNK[0]
        self._keep_bytes, self._held = keep_bytes, 0
        self._kept: OrderedDict[_Key, np.ndarray] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self.blocks_read = 0

    def frame(self, time: int, rows: slice, columns: np.ndarray) -> np.ndarray:
        """One frame: float32, ug m-3, never negative, missing values NaN.

        Args:
            time: index.
            rows: of the grid, not empty.
            columns: indices into the grid's columns, in any order.

        Returns:
            (rows, columns).
        """
        block, inside = divmod(time, self._long)
        values = np.empty((rows.stop - rows.start, columns.size), np.float32)
        downs = range(rows.start // self._tall, (rows.stop - 1) // self._tall + 1)
        across = np.unique(columns // self._wide).tolist()
        pieces = self._pieces(block, downs, across)
        for (down, wide), piece in pieces.items():
            first, last = max(rows.start, down * self._tall), min(rows.stop, (down + 1) * self._tall)
            chosen = np.flatnonzero(columns // self._wide == wide)
            part = piece[inside, first - down * self._tall : last - down * self._tall]
            values[first - rows.start : last - rows.start, chosen] = part[:, columns[chosen] % self._wide]
        return values

    def next_times(self, time: int, rows: slice, columns: np.ndarray) -> None:
        """Read ahead: the block of times after the one that holds ``time``."""
        later = (time // self._long + 1) * self._long
        if later < self.field.sizes["time"]:
            self.frame(later, rows, columns)

    def series(self, first: int, last: int, row: int, column: int) -> np.ndarray:
        """The values at one node at the times ``first`` to ``last`` (exclusive), as :meth:`frame` has them."""
        with self._reading:
            part = self.field.isel(time=slice(first, last), latitude=row, longitude=column)
            return _clean(np.asarray(part.data, np.float32))

    def _pieces(self, block: int, downs: range, across: list[int]) -> dict[tuple[int, int], np.ndarray]:
        """The blocks of one span of times; what is kept is given at once, also while others are being read."""
        keys = [(block, down, wide) for down in downs for wide in across]
        with self._lock:
            missing = any(key not in self._kept for key in keys)
        if missing:
            with self._reading:
                self._fetch(block, downs, across)
                return self._taken(keys)
        try:
            return self._taken(keys)
        except KeyError:  # forgotten a moment ago
            with self._reading:
                self._fetch(block, downs, across)
                return self._taken(keys)

    def _taken(self, keys: list[_Key]) -> dict[tuple[int, int], np.ndarray]:
        with self._lock:
            found = {}
            for key in keys:
                self._kept.move_to_end(key)
                found[key[1:]] = self._kept[key]
            while self._held > self._keep_bytes and len(self._kept) > len(keys):
                self._held -= self._kept.popitem(last=False)[1].nbytes
            return found

    def _fetch(self, block: int, downs: range, across: list[int]) -> None:
        """Read what is missing, neighbouring blocks of a row in one."""
        start = block * self._long
        for down in downs:
            missing = [wide for wide in across if (block, down, wide) not in self._kept]
            for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
                wides = [wide for _, wide in run]
                part = self.field.isel(
                    time=slice(start, start + self._long),
                    latitude=slice(down * self._tall, (down + 1) * self._tall),
                    longitude=slice(wides[0] * self._wide, (wides[-1] + 1) * self._wide),
                )
                values = _clean(np.asarray(part.data, np.float32))
                self.blocks_read += len(wides)
                for k, wide in enumerate(wides):
                    piece = np.ascontiguousarray(values[:, :, k * self._wide : (k + 1) * self._wide])
                    with self._lock:
                        self._kept[block, down, wide] = piece
                        self._held += piece.nbytes


def _clean(values: np.ndarray) -> np.ndarray:
    """Small negatives become 0, lower and infinite values missing: what :func:`deepcams.field.load_values` does."""
    with np.errstate(invalid="ignore"):
        return np.where((values >= SMALL_NEGATIVE) & (values < np.inf), np.maximum(values, 0), np.float32(np.nan))
