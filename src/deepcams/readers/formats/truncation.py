"""Detection of truncated files from their headers and lengths, without reading values.

The libraries do not detect them: a truncated classic netCDF file reads as zeros, a GRIB file loses its last messages.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_UNKNOWN_LENGTH = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


class _ClassicHeader:
    """Parser of classic netCDF headers (CDF-1, CDF-2, CDF-5), after the netCDF format specification."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        version = file.read(4)[3]
        self._count = ">Q" if version == 5 else ">I"
        self._offset = ">I" if version == 1 else ">Q"

    def _number(self, layout: str) -> int:
        return int(struct.unpack(layout, self._take(struct.calcsize(layout)))[0])

    def _take(self, size: int) -> bytes:
        if size > self._size - self._file.tell():
            raise EOFError  # before memory is allocated for absent data
        return self._file.read(size)

    def _skip_name(self) -> None:
        self._take(-(-self._number(self._count) // 4) * 4)

    def _skip_attributes(self) -> None:
        self._number(">I")
        for _ in range(self._number(self._count)):
            self._skip_name()
            size = _TYPE_BYTES[self._number(">I")]
            self._take(-(-self._number(self._count) * size // 4) * 4)

    def needed(self) -> int:
        """Return the file size that the variables need, bytes."""
        records = self._number(self._count)
        if records in _UNKNOWN_LENGTH:
            records = 0
        self._number(">I")
        dimensions = []
        for _ in range(self._number(self._count)):
            self._skip_name()
            dimensions.append(self._number(self._count))
        self._skip_attributes()
        self._number(">I")
        needed, record_ends, record_sizes = 0, [], []
        for _ in range(self._number(self._count)):
            self._skip_name()
            shape = [
                dimensions[self._number(self._count)]
                for _ in range(self._number(self._count))
            ]
            self._skip_attributes()
            size = _TYPE_BYTES[self._number(">I")]
            self._number(
                self._count
            )  # vsize: overflows for large variables, so it is computed instead
            begin = self._number(self._offset)
            if shape and shape[0] == 0:  # the record dimension
                size *= math.prod(shape[1:])
                record_ends.append(begin + size)
                record_sizes.append(size)
            else:
                needed = max(needed, begin + size * math.prod(shape))
        if records and record_ends:
            stride = (
                record_sizes[0]
                if len(record_sizes) == 1
                else sum(-(-size // 4) * 4 for size in record_sizes)
            )
            needed = max(needed, max(record_ends) + (records - 1) * stride)
        return needed


def _hdf5_needed(file: BinaryIO) -> int:
    """Return the end-of-file address of an HDF5 superblock (HDF5 file format specification, version 3.0, II.A)."""
    head = file.read(64)
    at = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8])
    offset_size = head[13] if head[8] < 2 else head[9]
    if at is None or offset_size != 8 or len(head) < at + 8:
        return 0
    return int(struct.unpack_from("<Q", head, at)[0])


def _grib_needed(file: BinaryIO, size: int) -> int:
    """Return the offset at which the last GRIB message ends (each message declares its length)."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(16)
        start = head.find(b"GRIB")
        if start < 0:
            if head.strip(b"\0\r\n \t7"):
                break  # neither a message nor padding: the decoder reports it
            position += max(len(head) - 3, 1)
            continue
        if start:
            position += start
            continue
        if len(head) < 16:
            return position + 16
        if head[7] == 1:
            length = int.from_bytes(head[4:7], "big")
            if (
                length & 0x800000
            ):  # ECMWF's coding of GRIB 1 messages beyond 8 MiB, in units of 120 bytes
                length = (length & 0x7FFFFF) * 120 - 4
        else:
            length = int.from_bytes(head[8:16], "big")
        position += max(length, 8)
    return position


def shortfall(path: Path, kind: str) -> str:
    """Describe by how much a file is truncated; empty if it is complete.

    Args:
        path: the file.
        kind: ``netcdf3``, ``hdf5`` or ``grib``.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            if kind == "netcdf3":
                needed = _ClassicHeader(file).needed()
            elif kind == "hdf5":
                needed = _hdf5_needed(file)
            elif kind == "grib":
                needed = _grib_needed(file, size)
            else:
                return ""
        except (EOFError, IndexError, KeyError, struct.error):
            return "it ends within its header"
    return f"{size:,} of {needed:,} bytes" if needed > size else ""
