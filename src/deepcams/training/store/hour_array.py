"""The arrays of a training store: one hour a shard, cut into chunks from which crops are read quickly.

A Zarr v3 group holds ``fine`` and ``coarse``, each a group with the variable and its coordinates. Slot k of the time
axis is the store's first hour plus k hours; an hour that is missing, or was skipped, has no shard and reads as NaN.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.files.atomic import sync
from deepcams.writers.layout import COORDINATES, EPOCH, variable_attributes

Resolution: TypeAlias = Literal["fine", "coarse"]

CHUNK = (103, 120)
"""Preferred chunk: 49 kB, which divide 721 x 1440 nodes without rest. Smaller ones cost more to find than to decode,
larger ones decode more that a crop does not need (docs/prepare.md has the measurements)."""
_WAITING = 2
"""Hours that may wait to be written while the next is read."""
_LEVEL = 1
_SHARD = "c.{}.0.0"
_EMPTY = 2**64 - 1  # offset and length of a chunk that is not stored
_HOUR = np.timedelta64(1, "h")
_MINUTE = np.timedelta64(1, "m")


def chunk_lengths(shape: tuple[int, int]) -> tuple[int, int]:
    """Even chunks near :data:`CHUNK` for a grid of ``shape``."""
    rows, columns = (
        -(-size // max(round(size / wanted), 1)) for size, wanted in zip(shape, CHUNK, strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class HourArray:
    """One resolution of a store: every hour's map of one variable.

    Attributes:
        folder: the Zarr array's folder.
        shape: rows and columns.
    """

    folder: Path
    shape: tuple[int, int]

    @cached_property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        return chunk_lengths(self.shape)

    @cached_property
    def _counts(self) -> tuple[int, int]:
        return -(-self.shape[0] // self.chunks[0]), -(-self.shape[1] // self.chunks[1])

    def shard(self, slot: int) -> Path:
        """The file that holds an hour."""
        return self.folder / _SHARD.format(slot)

    def lay_out(self, grid: Grid, name: str, attributes: dict[str, Any]) -> None:
        """Make the group with the array and its coordinates, without a single hour."""
        import zarr
        from zarr.codecs import BloscCodec

        group = zarr.create_group(
            self.folder.parent, zarr_format=3, attributes={"Conventions": "CF-1.11"}
        )
        for axis, values in (("latitude", grid.latitudes), ("longitude", grid.longitudes)):
            about = {key: value for key, value in COORDINATES[axis].items() if key != "bounds"}
            group.create_array(axis, data=values, dimension_names=(axis,), attributes=about)
        shard = tuple(n * c for n, c in zip(self._counts, self.chunks, strict=True))
        group.create_array(
            name,
            shape=(0, *self.shape),
            dtype="float32",
            chunks=(1, *self.chunks),
            shards=(1, *shard),
            compressors=BloscCodec(cname="zstd", clevel=_LEVEL, shuffle="bitshuffle"),
            fill_value=np.nan,
            dimension_names=("time", "latitude", "longitude"),
            chunk_key_encoding={"name": "default", "separator": "."},
            attributes=variable_attributes(name, attributes),
        )
        _write_times(group, np.empty(0, "datetime64[ns]"))

    def extend(self, times: np.ndarray) -> None:
        """Make room for the slots of ``times`` (all of them, from the first slot); hours that are there stay."""
        import zarr

        group: Any = zarr.open_group(self.folder.parent, mode="r+")
        array = group[self.folder.name]
        if array.shape[0] < times.size:
            array.resize((times.size, *self.shape))
        if group["time"].shape != (times.size,):
            _write_times(group, times)

    @cached_property
    def _writable(self) -> Any:
        import zarr

        return zarr.open_array(self.folder, mode="r+")

    def write(self, slot: int, values: np.ndarray) -> None:
        """Write an hour: (rows, columns), float32; the file appears when it is whole."""
        self._writable[slot] = values

    def read(self, slot: int, row: int, column: int, rows: int, columns: int) -> np.ndarray:
        """A window of an hour's map, which must lie inside it: (rows, columns), float32.

        Read without Zarr's own machinery (the layout of a shard is Zarr's: chunks in any order, then an index of
        offset and length each, then its check sum), which takes three times as long for a crop.

        Raises:
            InputError: the hour's file is not there or damaged.
        """
        from numcodecs.blosc import Blosc

        decode = Blosc().decode
        high, wide = self.chunks
        index_bytes = 16 * self._counts[0] * self._counts[1]
        out = np.empty((rows, columns), np.float32)
        path = self.shard(slot)
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(-index_bytes - 4, os.SEEK_END)
                index = np.frombuffer(file.read(index_bytes), "<u8").reshape(*self._counts, 2)
                for i in range(row // high, -(-(row + rows) // high)):
                    top, bottom = max(i * high, row), min((i + 1) * high, row + rows)
                    for j in range(column // wide, -(-(column + columns) // wide)):
                        left, right = max(j * wide, column), min((j + 1) * wide, column + columns)
                        there = out[top - row : bottom - row, left - column : right - column]
                        offset, length = index[i, j].tolist()
                        if offset == _EMPTY:
                            there[:] = np.nan
                            continue
                        chunk = np.frombuffer(decode(_chunk(file, offset, length)), "<f4").reshape(
                            high, wide
                        )
                        there[:] = chunk[
                            top - i * high : bottom - i * high, left - j * wide : right - j * wide
                        ]
        except (OSError, ValueError, RuntimeError) as error:
            found = "none" if isinstance(error, FileNotFoundError) else f"a damaged one ({error})"
            raise InputError(
                path, "a whole hour", found, "prepare the store again with --overwrite"
            ) from error
        return out


class HourWriter:
    """Writes hours one after another in a thread of its own, and forces them to disk when asked.

    Args:
        arrays: what to write to.
    """

    def __init__(self, arrays: Mapping[Resolution, HourArray]) -> None:
        self._arrays = arrays
        self._waiting: deque[Future[None]] = deque()
        self._written: list[int] = []
        self._pool = ThreadPoolExecutor(1, "deepcams-write")

    def __enter__(self) -> HourWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def put(self, slot: int, maps: Mapping[Resolution, np.ndarray]) -> None:
        """Have an hour written; waits while too many wait already."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, slot, maps))
        self._written.append(slot)

    def _write(self, slot: int, maps: Mapping[Resolution, np.ndarray]) -> None:
        for resolution, values in maps.items():
            self._arrays[resolution].write(slot, values)

    def size(self, slot: int) -> int:
        """Bytes that an hour takes on disk."""
        while self._waiting:
            self._waiting.popleft().result()
        return sum(array.shard(slot).stat().st_size for array in self._arrays.values())

    def settle(self) -> None:
        """Come back when all is on disk."""
        while self._waiting:
            self._waiting.popleft().result()
        for array in self._arrays.values():
            for slot in self._written:
                sync(array.shard(slot))
            if self._written:
                sync(array.folder)
        self._written.clear()


def _chunk(file: FileIO, offset: int, length: int) -> bytes:
    """A compressed chunk, if it is whole: Blosc's decoder trusts the length in its head (bytes 12 to 15)."""
    if offset + length > file.seek(0, os.SEEK_END):
        raise ValueError("its index points beyond its end")
    file.seek(offset)
    data = file.read(length)
    if length < 16 or int.from_bytes(data[12:16], "little") != length:
        raise ValueError("a chunk is not whole")
    return data


def _write_times(group: Any, times: np.ndarray) -> None:
    about = {key: value for key, value in COORDINATES["time"].items() if key != "bounds"}
    about["units"] = "minutes since 2003-01-01"
    values = ((times - EPOCH) // _MINUTE).astype(np.int64)
    group.create_array(
        "time",
        data=values,
        chunks=(max(values.size, 1),),
        dimension_names=("time",),
        attributes=about,
        overwrite=True,
    )
