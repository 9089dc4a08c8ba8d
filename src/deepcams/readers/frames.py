"""Read blocks of a lazy field into memory: whole frames for work items, parts of frames for maps and series."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import field_like, grid_of
from deepcams.core.stages import staged
from deepcams.files.records import fingerprint
from deepcams.readers.stored import Indexed

KEEP_BYTES = 96 << 20
"""Chunks up to this size are kept while the items that follow may need them."""


def stored_values(field: xr.DataArray) -> Any:
    """Return the array of a field's stored values, which reads only what it is indexed with; else the field's own."""
    values: Any = field.encoding.get("values")
    name = getattr(field.data, "name", None)
    same = name is not None and name == getattr(values, "name", None)
    return values if same else field.data


def lengths_of(field: xr.DataArray) -> tuple[int, ...]:
    """Return the numbers of consecutive times that should be read at once."""
    if isinstance(field.data, Indexed):
        return field.data.lengths
    chunks = getattr(field.data, "chunks", ((field.sizes["time"],),))
    return tuple(chunks[0])


@staged("read")
def read_block(
    field: xr.DataArray,
    times: slice,
    rows: slice = slice(None),
    columns: slice | np.ndarray = slice(None),
) -> np.ndarray:
    """Read a part of a canonical field, and no more than that where its files can be read directly.

    Args:
        field: canonical, lazy or not.
        times, rows: which; slices of step 1.
        columns: a slice, or indices (which may wrap round the globe).

    Returns:
        (times, rows, columns), float32, a copy, values as they are in the input.
    """
    values = stored_values(field)
    if values is not field.data:
        return np.asarray(values[times, rows, columns], np.float32)
    if not isinstance(columns, np.ndarray):
        return np.array(field.data[times, rows, columns], np.float32)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1)
    parts = [
        field.data[times, rows, int(run[0]) : int(run[-1]) + 1]
        for run in runs
        if run.size
    ]
    return np.concatenate([np.array(part, np.float32) for part in parts], axis=2)


class Frames:
    """Reads frames of a lazy field into memory, and keeps the chunks that the last call used.

    Files are often compressed in chunks of many frames, of which one item needs a few.

    Args:
        field: canonical, lazy or not.
    """

    def __init__(self, field: xr.DataArray) -> None:
        self.field = field
        self._grid = grid_of(field)
        self._starts = np.concatenate([[0], np.cumsum(lengths_of(field))])
        self._kept: dict[int, np.ndarray] = {}

    def read(self, frames: np.ndarray) -> xr.DataArray:
        """Return the frames with these indices (increasing), values as they are in the input, float32."""
        piece = self.field.isel(time=frames)
        if isinstance(self.field.data, np.ndarray):
            return field_like(piece, np.asarray(piece.data, np.float32), self._grid)
        values = np.empty((frames.size, *self._grid.shape), np.float32)
        chunk_of = np.searchsorted(self._starts, frames, side="right") - 1
        used = np.unique(chunk_of).tolist()
        self._kept = {
            chunk: data for chunk, data in self._kept.items() if chunk in used
        }
        for chunk in used:
            inside = chunk_of == chunk
            values[inside] = self._chunk(chunk)[frames[inside] - self._starts[chunk]]
        return field_like(piece, values, self._grid)

    def _chunk(self, chunk: int) -> np.ndarray:
        if chunk in self._kept:
            return self._kept[chunk]
        times = slice(int(self._starts[chunk]), int(self._starts[chunk + 1]))
        if isinstance(self.field.data, Indexed):
            data = read_block(self.field, times)
        else:
            import dask  # takes long to import

            # Threads would only cost memory.
            with dask.config.set(scheduler="synchronous"):
                data = read_block(self.field, times)
        if data.nbytes <= KEEP_BYTES:
            self._kept[chunk] = data
        return data


def digest(frame: np.ndarray, time: np.datetime64) -> str:
    """Return the fingerprint of one input frame: its time and its values, to the bit."""
    return fingerprint(str(time), np.ascontiguousarray(frame))


def combine(digests: list[str]) -> str:
    """Return the fingerprint of several frames."""
    return fingerprint(*digests)
