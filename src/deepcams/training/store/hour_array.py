"""Arrays of a training store: one shard per hour, chunked for fast reading of crops.

A Zarr v3 group holds ``fine`` and ``coarse``, each a group with the variable and its coordinates. Slot k of the time
axis is the store's first hour plus k hours; hours that are missing or left out have no shard and read as NaN.

Crops are read by :meth:`HourArray.read` instead of Zarr: for 288 x 288 nodes it takes 1.5 to 1.8 ms, Zarr 12 ms, and
Zarr with the codec pipeline of zarrs 0.2.3 2.4 ms; training reads three such crops per sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.stages import heard, staged
from deepcams.core.times import MINUTE
from deepcams.files.atomic import sync
from deepcams.files.records import damaged_explained
from deepcams.writers.layout import COORDINATES, EPOCH, variable_attributes

Resolution: TypeAlias = Literal["fine", "coarse"]

CHUNK = (103, 120)
"""Preferred chunk: 49 kB, which divides 721 x 1440 nodes evenly. Smaller chunks take longer to find than to decode;
larger ones decode more values that a crop does not need (measurements in docs/prepare.md)."""
_EMPTY = 2**64 - 1
"""Index entry (offset and length) of a chunk that is not stored."""


@dataclass(frozen=True)
class HourArray:
    """One resolution of a store: hourly maps of one variable.

    Attributes:
        folder: folder of the Zarr array.
        shape: number of rows and columns.
    """

    folder: Path
    shape: tuple[int, int]

    @cached_property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of a chunk: equal parts of the map of about :data:`CHUNK`."""
        high, wide = (
            -(-size // max(round(size / wanted), 1))
            for size, wanted in zip(self.shape, CHUNK, strict=True)
        )
        return high, wide

    @cached_property
    def _counts(self) -> tuple[int, int]:
        return -(-self.shape[0] // self.chunks[0]), -(-self.shape[1] // self.chunks[1])

    def shard(self, slot: int) -> Path:
        """Return the path of an hour's shard."""
        return self.folder / f"c.{slot}.0.0"

    def lay_out(self, grid: Grid, attributes: dict[str, Any]) -> None:
        """Create the group with the array and its coordinates, without hours."""
        import zarr
        from zarr.codecs import BloscCodec

        name = self.folder.name
        group = zarr.create_group(
            self.folder.parent, zarr_format=3, attributes={"Conventions": "CF-1.11"}
        )
        for axis, values in (
            ("latitude", grid.latitudes),
            ("longitude", grid.longitudes),
        ):
            group.create_array(
                axis, data=values, dimension_names=(axis,), attributes=_coordinate(axis)
            )
        shard = tuple(n * c for n, c in zip(self._counts, self.chunks, strict=True))
        group.create_array(
            name,
            shape=(0, *self.shape),
            dtype="float32",
            chunks=(1, *self.chunks),
            shards=(1, *shard),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
            fill_value=np.nan,
            dimension_names=("time", "latitude", "longitude"),
            chunk_key_encoding={"name": "default", "separator": "."},
            attributes=variable_attributes(name, attributes),
        )
        _write_times(group, np.empty(0, "datetime64[ns]"))

    def extend(self, times: np.ndarray) -> None:
        """Extend the time axis to ``times`` (all times from the first slot); existing hours are kept."""
        import zarr

        with damaged_explained(self.folder.parent):
            group: Any = zarr.open_group(self.folder.parent, mode="r+")
            array = group[self.folder.name]
            if array.shape[1:] != self.shape:
                raise ValueError(f"maps of {array.shape[1:]}, not {self.shape}")
            if array.shape[0] < times.size:
                array.resize((times.size, *self.shape))
            if group["time"].shape != times.shape:
                _write_times(group, times)

    @cached_property
    def _writable(self) -> Any:
        import zarr

        return zarr.open_array(self.folder, mode="r+")

    def write(self, slot: int, values: np.ndarray) -> None:
        """Write an hour atomically: (rows, columns), float32."""
        with damaged_explained(self.folder):
            self._writable[slot] = values

    def read_wrapped(
        self, slot: int, row: int, column: int, rows: int, columns: int
    ) -> np.ndarray:
        """Read a window whose columns may wrap around, for global maps."""
        around = self.shape[1]
        column %= around
        inside = min(columns, around - column)
        part = self.read(slot, row, column, rows, inside)
        if inside == columns:
            return part
        return np.concatenate(
            [part, self.read(slot, row, 0, rows, columns - inside)], axis=1
        )

    def read(
        self, slot: int, row: int, column: int, rows: int, columns: int
    ) -> np.ndarray:
        """Read a window of an hour's map, which must lie inside it: (rows, columns), float32.

        A shard holds chunks in any order, then an index with offset and length of each, then the index's checksum.

        Raises:
            InputError: the hour's file is missing or damaged.
        """
        from numcodecs.blosc import Blosc

        decode = Blosc().decode
        out = np.empty((rows, columns), np.float32)
        path = self.shard(slot)
        try:
            with path.open("rb", buffering=0) as file:
                index = self._read_index(file)
                for i, down, out_rows in _pieces(row, rows, self.chunks[0]):
                    for j, along, out_columns in _pieces(
                        column, columns, self.chunks[1]
                    ):
                        offset, length = index[i, j].tolist()
                        part = out[out_rows, out_columns]
                        if offset == _EMPTY:
                            part[:] = np.nan
                            continue
                        data = _chunk(file, offset, length, self.chunks)
                        chunk = np.frombuffer(decode(data), "<f4")
                        part[:] = chunk.reshape(self.chunks)[down, along]
        except (OSError, ValueError, RuntimeError) as error:
            found = f"a damaged one ({error})"
            if isinstance(error, FileNotFoundError):
                found = "none"
            do = "prepare the store again with --overwrite"
            raise InputError(path, "a whole hour", found, do) from error
        return out

    def _read_index(self, file: FileIO) -> np.ndarray:
        """Read the index of a shard: offset and length of each chunk, (chunk rows, chunk columns, 2)."""
        count = 16 * self._counts[0] * self._counts[1]
        file.seek(-count - 4, os.SEEK_END)
        return np.frombuffer(file.read(count), "<u8").reshape(*self._counts, 2)


class HourWriter:
    """Writes hours sequentially in a separate thread, and syncs them to disk on request.

    Args:
        arrays: output array of each resolution.
    """

    def __init__(self, arrays: Mapping[Resolution, HourArray]) -> None:
        self._arrays = arrays
        self._last: Future[None] | None = None
        self._written: list[int] = []
        self._pool = ThreadPoolExecutor(1, "deepcams-write")

    def __enter__(self) -> HourWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def put(self, slot: int, maps: Mapping[Resolution, np.ndarray]) -> None:
        """Start to write an hour, after waiting for the previous one."""
        self._wait()
        if heard():
            self._write(slot, maps)
        else:
            self._last = self._pool.submit(self._write, slot, maps)
        self._written.append(slot)

    @staged("write")
    def _write(self, slot: int, maps: Mapping[Resolution, np.ndarray]) -> None:
        for resolution, values in maps.items():
            self._arrays[resolution].write(slot, values)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def size(self, slot: int) -> int:
        """Return the size of an hour on disk, bytes."""
        self._wait()
        return sum(array.shard(slot).stat().st_size for array in self._arrays.values())

    @staged("sync")
    def settle(self) -> None:
        """Wait until all hours are on disk."""
        self._wait()
        for array in self._arrays.values():
            for slot in self._written:
                sync(array.shard(slot))
            sync(array.folder)
        self._written.clear()


def _pieces(start: int, count: int, length: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield, for each chunk that overlaps a window: its index, the slice in the chunk, the slice in the window."""
    for k in range(start // length, -(-(start + count) // length)):
        first, last = max(k * length, start), min((k + 1) * length, start + count)
        yield (
            k,
            slice(first - k * length, last - k * length),
            slice(first - start, last - start),
        )


def _chunk(file: FileIO, offset: int, length: int, shape: tuple[int, int]) -> bytes:
    """Read and check a compressed chunk, because Blosc's decoder trusts the lengths in its header (bytes 4 to 15)."""
    if offset + length > file.seek(0, os.SEEK_END):
        raise ValueError("its index points beyond its end")
    file.seek(offset)
    data = file.read(length)
    if length < 16 or int.from_bytes(data[12:16], "little") != length:
        raise ValueError("a chunk is not whole")
    if int.from_bytes(data[4:8], "little") != 4 * shape[0] * shape[1]:
        raise ValueError("a chunk has another size")
    return data


def _coordinate(axis: str) -> dict[str, Any]:
    return {key: value for key, value in COORDINATES[axis].items() if key != "bounds"}


def _write_times(group: Any, times: np.ndarray) -> None:
    values = ((times - EPOCH) // MINUTE).astype(np.int64)
    group.create_array(
        "time",
        data=values,
        chunks=(max(values.size, 1),),
        dimension_names=("time",),
        attributes={**_coordinate("time"), "units": "minutes since 2003-01-01"},
        overwrite=True,
    )
