"""Whether a variable of an HDF5 file can be read to its last byte, found out without the library's lock.

The HDF5 library lets one thread in at a time, and decoding is most of what checking a file takes. So the library is
asked only where the compressed chunks lie; they are inflated here, which any number of threads may do at once. Each
chunk carries a check sum (zlib's Adler-32), so what inflates is what was written.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_PIECE = 1 << 17
_UNDEFINED_BYTE = 0x58
"""First byte of 1e15 as float32: what begins with a smaller one (its sign aside) is smaller than 6e14."""


@dataclass(frozen=True)
class Chunks:
    """Where the compressed chunks of a float32 variable lie.

    Attributes:
        places: offset and length of each in the file.
        bytes: of an inflated one.
        shuffled: whether its first bytes stand before its second bytes, and so on.
    """

    places: list[tuple[int, int]]
    bytes: int
    shuffled: bool

    @classmethod
    def of(cls, variable: Any) -> Chunks | None:
        """The chunks of an :class:`h5py.Dataset`; ``None`` where it is laid out otherwise than expected."""
        shape, chunk, filters = variable.shape, variable.chunks, variable.compression
        usual = (
            chunk is not None
            and filters == "gzip"
            and not variable.fletcher32
            and variable.scaleoffset is None
        )
        if (
            not usual
            or variable.dtype != np.dtype("<f4")
            or any(s % c for s, c in zip(shape, chunk, strict=True))
        ):
            return None
        infos = [variable.id.get_chunk_info(k) for k in range(variable.id.get_num_chunks())]
        size = int(np.prod(chunk))
        if len(infos) * size != variable.size or any(info.filter_mask for info in infos):
            return None
        return cls(
            [(info.byte_offset, info.size) for info in infos], 4 * size, bool(variable.shuffle)
        )

    def hold_values(self, path: Path) -> bool:
        """Inflate all of them.

        Returns:
            whether any value is defined (smaller than 6e14, and a number).

        Raises:
            zlib.error, ValueError, OSError: they are damaged.
        """
        found = [self._holds_values(path, offset, length) for offset, length in self.places]
        return any(found)

    def _holds_values(self, path: Path, offset: int, length: int) -> bool:
        found, done, inflate = False, 0, zlib.decompressobj()
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while (
                length and not inflate.eof
            ):  # piece by piece, which stays in the processor's cache
                packed = file.read(min(length, _PIECE))
                if not packed:
                    break
                length -= len(packed)
                piece = np.frombuffer(inflate.decompress(packed), np.uint8)
                # where the highest bytes of the values are in it
                first = max(3 * self.bytes // 4 - done, 0) if self.shuffled else (3 - done) % 4
                highest = piece[first :: 1 if self.shuffled else 4]
                found = found or bool(((highest & 0x7F) < _UNDEFINED_BYTE).any())
                done += piece.size
        if not inflate.eof or done != self.bytes:
            raise ValueError(f"{done:,} of {self.bytes:,} bytes")
        return found
