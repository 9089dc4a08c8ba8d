"""A lazy field computed block by block; what a killed run has computed of a file is not computed again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.simulation.folder import Progress

Blocks = Iterator[tuple[slice, np.ndarray]]
"""Which times, and their values (hours, rows, columns)."""
_SUM = 4  # bytes of a block's check sum


@contextmanager
def blocks_of(field: xr.DataArray, path: Path, world: str, progress: Progress) -> Iterator[Blocks]:
    """The field's own chunks in time, computed one by one, and kept beside its file until that is written.

    Args:
        field: canonical; lazy.
        path: of the file; it is not touched.
        world: everything that the field's values depend on besides their places and times; empty: nothing is kept.
        progress: called with the number of times done.
    """
    computed = path.with_name(f".{path.name}.computed")
    lengths = field.chunks[0] if field.chunks else (field.sizes["time"],)
    yield (
        _kept(field, lengths, computed, world, progress)
        if world
        else _plain(field, lengths, progress)
    )
    computed.unlink(missing_ok=True)


def _plain(field: xr.DataArray, lengths: tuple[int, ...], progress: Progress) -> Blocks:
    end = 0
    for length in lengths:
        times, end = slice(end, end + length), end + length
        yield times, field[times].values
        progress(end, field.sizes["time"])


def _kept(
    field: xr.DataArray, lengths: tuple[int, ...], computed: Path, world: str, progress: Progress
) -> Blocks:
    """:func:`_plain`, from a file of check sums and blocks as far as that goes; it may be cut off or damaged."""
    places = (field.time.values, field.latitude.values, field.longitude.values)
    digest = hashlib.sha256(f"{world} {lengths}".encode())
    for values in places:
        digest.update(np.ascontiguousarray(values).tobytes())
    head, end = digest.digest(), 0
    with computed.open("r+b" if computed.exists() else "w+b") as file:
        known = file.read(len(head)) == head
        if not known:
            file.seek(0)
            file.truncate()
            file.write(head)
        for length in lengths:
            times, end, at = slice(end, end + length), end + length, file.tell()
            shape = (length, *field.shape[1:])
            size = 4 * int(np.prod(shape))
            record = file.read(_SUM + size) if known else b""
            known = (
                len(record) == _SUM + size
                and zlib.crc32(record[_SUM:]).to_bytes(_SUM, "big") == record[:_SUM]
            )
            if known:
                values = np.frombuffer(record, np.float32, offset=_SUM).reshape(shape)
            else:
                values = np.ascontiguousarray(field[times].values, np.float32)
                file.seek(at)
                file.truncate()
                file.write(zlib.crc32(values.data).to_bytes(_SUM, "big"))
                file.write(values.data)
                file.flush()
            yield times, values
            progress(end, field.sizes["time"])
