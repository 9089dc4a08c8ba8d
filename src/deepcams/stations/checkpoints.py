"""Finished pieces of a long comparison, in a folder: where it is stopped or killed, they need not be made again.

A piece is one file, named by a fingerprint of all that it follows from; it gets its name when it is whole, and a
checksum tells whether it still is. So a piece is either right or not there.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from deepcams.files.atomic import UNFINISHED, atomic_path

VERSION = 1
"""Counts up when the pieces' layout changes."""


def fingerprint(*about: object) -> str:
    """A name for exactly these values: arrays by their type, shape and bytes, anything else by its text."""
    digest = hashlib.sha256(str(VERSION).encode())
    for each in about:
        if isinstance(each, np.ndarray):
            digest.update(f"\0{each.dtype} {each.shape}\0".encode())
            digest.update(each.tobytes())
        else:
            digest.update(f"\0{each}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _atomic_path(path: Path) -> AbstractContextManager[Path]:
    do = "make room, or let DEEPCAMS_CACHE be a folder of another disk"
    return atomic_path(
        path, do=do
    )  # not forced to disk: a checksum tells what a power cut has left


def save_piece(folder: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays under a name.

    Raises:
        OutputError: they cannot be written.
    """
    with _atomic_path(folder / f"{name}.npz") as path, path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # of no array's name is "allow_pickle"


def load_piece(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under a name, in their order; ``None`` where there are none, or they are damaged."""
    try:
        with np.load(folder / f"{name}.npz") as kept:
            return {each: kept[each] for each in kept.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


class Blocks:
    """Values at points and times on disk, a block of times after the other.

    Args:
        folder: of the blocks.
        name: that their files begin with; blocks of this name that lie there are gone on with.
        points: how many.

    Attributes:
        times: how many there are so far.
    """

    def __init__(self, folder: Path, name: str, points: int) -> None:
        self._folder, self._name, self._points, self.times = folder, name, points, 0
        self._blocks: list[tuple[Path, int, int]] = []  # file, first time, how many
        self._take_up()

    def _take_up(self) -> None:
        """Find the blocks that follow each other from the first time on; what else has the name goes."""
        named = re.compile(re.escape(self._name) + r"-(\d+)-(\d+)-([0-9a-f]{8})\.f4")
        strays = self._folder.glob(f".{self._name}-*{UNFINISHED}")
        for path in sorted([*self._folder.glob(f"{self._name}-*"), *strays]):
            parts = named.fullmatch(path.name)
            if parts is not None and int(parts[1]) == self.times:
                values = np.fromfile(path, np.float32)
                if values.size == int(parts[2]) * self._points and zlib.crc32(values.data) == int(
                    parts[3], 16
                ):
                    self._add(path, int(parts[2]))
                    continue
            path.unlink()

    def _add(self, path: Path, length: int) -> None:
        self._blocks.append((path, self.times, length))
        self.times += length

    def append(self, values: np.ndarray) -> None:
        """Add the next times: (points, times), float32.

        Raises:
            OutputError: they cannot be written.
        """
        values = np.ascontiguousarray(values, np.float32)
        length = values.shape[1]
        # In their names' order blocks follow each other.
        path = (
            self._folder / f"{self._name}-{self.times:09}-{length}-{zlib.crc32(values.data):08x}.f4"
        )
        with _atomic_path(path) as temporary:
            values.tofile(temporary)
        self._add(path, length)

    def read(self, points: np.ndarray) -> np.ndarray:
        """The series of some points: (points, times), float32."""
        result = np.empty((points.size, self.times), np.float32)
        if not points.size:
            return result
        low, high = int(points.min()), int(points.max()) + 1
        for path, first, length in self._blocks:
            part = np.fromfile(
                path, np.float32, (high - low) * length, offset=4 * low * length
            ).reshape(-1, length)
            result[:, first : first + length] = part[points - low]
        return result
