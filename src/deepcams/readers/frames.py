"""Reading frames of a lazy field, each piece decompressed once however the work items overlap; their fingerprints."""

from __future__ import annotations

import hashlib

import numpy as np
import xarray as xr

from deepcams.core.field import field_like, grid_of

KEEP_BYTES = 96 << 20
"""Chunks up to this size are kept while the items that follow may need them."""


class Frames:
    """Reads frames of a lazy field into memory, and keeps the chunks that the last call used.

    Files are often compressed in chunks of many frames, of which one item needs a few.

    Args:
        field: canonical, lazy or not.
    """

    def __init__(self, field: xr.DataArray) -> None:
        self.field = field
        self._grid = grid_of(field)
        sizes = getattr(field.data, "chunks", ((field.sizes["time"],),))[0]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._kept: dict[int, np.ndarray] = {}

    def read(self, frames: np.ndarray) -> xr.DataArray:
        """The frames with these indices (increasing), values as they are in the input, float32."""
        piece = self.field.isel(time=frames)
        if isinstance(self.field.data, np.ndarray):
            return field_like(piece, np.asarray(piece.data, np.float32), self._grid)
        values = np.empty((frames.size, *self._grid.shape), np.float32)
        chunk_of = np.searchsorted(self._starts, frames, side="right") - 1
        used = np.unique(chunk_of).tolist()
        self._kept = {chunk: data for chunk, data in self._kept.items() if chunk in used}
        for chunk in used:
            inside = chunk_of == chunk
            values[inside] = self._chunk(chunk)[frames[inside] - self._starts[chunk]]
        return field_like(piece, values, self._grid)

    def _chunk(self, chunk: int) -> np.ndarray:
        import dask

        if chunk in self._kept:
            return self._kept[chunk]
        part = self.field.isel(time=slice(int(self._starts[chunk]), int(self._starts[chunk + 1])))
        with dask.config.set(
            scheduler="synchronous"
        ):  # a few small chunks: threads would only cost memory
            data = np.asarray(part.data, np.float32)
        if data.nbytes <= KEEP_BYTES:
            self._kept[chunk] = data
        return data


def digest(frame: np.ndarray, time: np.datetime64) -> str:
    """Fingerprint of one input frame: its time and its values, to the bit."""
    code = hashlib.blake2b(str(time).encode(), digest_size=16)
    code.update(np.ascontiguousarray(frame).data)
    return code.hexdigest()


def combine(digests: list[str]) -> str:
    """Fingerprint of several frames."""
    return hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest()
