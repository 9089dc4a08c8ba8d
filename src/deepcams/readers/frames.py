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
"""Largest chunk, bytes, that is cached for the following items."""


def stored_values(field: xr.DataArray) -> Any:
    """Return the lazy array of a field's stored values, which reads only indexed parts; else the field's own data."""
    values: Any = field.encoding.get("values")
    name = getattr(field.data, "name", None)
    same = name is not None and name == getattr(values, "name", None)
    return values if same else field.data


def lengths_of(field: xr.DataArray) -> tuple[int, ...]:
    """Return the lengths of the groups of consecutive times that should be read together."""
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
    """Read a part of a canonical field, and only that part if its files can be read directly.

    Args:
        field: canonical, lazy or not.
        times, rows: slices of step 1.
        columns: a slice, or indices (which may wrap round the globe).

    Returns:
        (times, rows, columns), float32, a copy, values not cleaned.
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
    """Reader of frames of a lazy field, with a cache of the chunks used by the last call.

    Files are often compressed in chunks of many frames, of which an item needs only a few.

    Args:
        field: canonical, lazy or not.
    """

    def __init__(self, field: xr.DataArray) -> None:
        self.field = field
        self._grid = grid_of(field)
        self._starts = np.concatenate([[0], np.cumsum(lengths_of(field))])
        self._kept: dict[int, np.ndarray] = {}

    def read(self, frames: np.ndarray) -> xr.DataArray:
        """Return the frames with these indices (increasing), float32, values not cleaned."""
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
            import dask  # slow to import

            # Threads would only increase memory use.
            with dask.config.set(scheduler="synchronous"):
                data = read_block(self.field, times)
        if data.nbytes <= KEEP_BYTES:
            self._kept[chunk] = data
        return data


def digest(frame: np.ndarray, time: np.datetime64) -> str:
    """Return the fingerprint of one input frame: its time and the exact bits of its values."""
    return fingerprint(str(time), np.ascontiguousarray(frame))


def combine(digests: list[str]) -> str:
    """Combine the fingerprints of several frames to one."""
    return fingerprint(*digests)
