"""Read a field's time series at stations, reading only the chunks that contain stations, with constant memory."""

from __future__ import annotations

import re
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

from deepcams.core.values import clean, refuse_impossible
from deepcams.files.atomic import UNFINISHED, atomic_path
from deepcams.files.records import fingerprint
from deepcams.readers.frames import lengths_of, read_block
from deepcams.stations.matching import Placement

MAKE_ROOM = "make room, or let DEEPCAMS_CACHE be a folder of another disk"
_TOGETHER = 96 << 20  # bytes of the field read at once
_BLOCK = 32 << 20  # bytes of series written at once
_SAVE_SECONDS = 5.0  # seconds of reading that a killed run may lose


class Series:
    """Values at points and times, stored on disk in consecutive files of some times each.

    A file's name contains its first time, its number of times and a checksum, so that an interrupted run can resume.

    Args:
        points: number of points.
        folder: folder in which the files are kept; default: a temporary one, removed with this object.
        name: prefix of the file names; existing complete files with it are used.

    Attributes:
        times: number of times so far.
        nodes_read: number of the field's values read for it.
    """

    def __init__(
        self, points: int, folder: Path | None = None, name: str = "series"
    ) -> None:
        if folder is None:
            temporary = TemporaryDirectory(prefix="deepcams-series-")
            folder = Path(temporary.name)
            weakref.finalize(self, temporary.cleanup)
        self._folder, self._name, self._points = folder, name, points
        self._blocks: list[
            tuple[Path, int, int]
        ] = []  # file, first time, number of times
        self.times = self.nodes_read = 0
        self._resume()

    def _resume(self) -> None:
        """Use the files that are consecutive from the first time on; remove others with this prefix."""
        named = re.compile(re.escape(self._name) + r"-(\d+)-(\d+)-([0-9a-f]{8})\.f4")
        unfinished = self._folder.glob(f".{self._name}-*{UNFINISHED}")
        for path in sorted([*self._folder.glob(f"{self._name}-*"), *unfinished]):
            parts = named.fullmatch(path.name)
            if parts is not None and int(parts[1]) == self.times:
                values = np.fromfile(path, np.float32)
                length = int(parts[2])
                if (
                    values.size == length * self._points
                    and _checksum(values) == parts[3]
                ):
                    self._add(path, length)
                    continue
            path.unlink()

    def _add(self, path: Path, length: int) -> None:
        self._blocks.append((path, self.times, length))
        self.times += length

    def append(self, values: np.ndarray) -> None:
        """Append the next times: (points, times), float32.

        Raises:
            OutputError: the values cannot be written.
        """
        values = np.ascontiguousarray(values, np.float32)
        length = values.shape[1]
        # Sorting by name gives the order in time.
        name = f"{self._name}-{self.times:09}-{length}-{_checksum(values)}.f4"
        with atomic_path(self._folder / name, do=MAKE_ROOM) as temporary:
            values.tofile(temporary)
        self._add(self._folder / name, length)

    def read(self, points: np.ndarray) -> np.ndarray:
        """Read the series of points: (points, times), float32."""
        result = np.empty((points.size, self.times), np.float32)
        if not points.size:
            return result
        low, high = int(points.min()), int(points.max()) + 1
        for path, first, length in self._blocks:
            part = np.fromfile(
                path, np.float32, (high - low) * length, offset=4 * low * length
            )
            result[:, first : first + length] = part.reshape(-1, length)[points - low]
        return result


def _checksum(values: np.ndarray) -> str:
    return f"{zlib.crc32(values.data):08x}"


def extract(
    field: xr.DataArray,
    placement: Placement,
    name: str,
    progress: Callable[[int], None],
    within: tuple[int, int],
    keep: Path | None = None,
) -> Series:
    """Read a field at the points of a placement.

    Args:
        field: canonical field, lazy or in memory. ``encoding["tile"]`` gives the rows and columns of its chunks;
            without it whole maps are read.
        placement: placement of the stations on its grid.
        name: name of the field for messages.
        progress: callback, called with the number of times read so far.
        within: range (first, stop) of the field's times to read.
        keep: folder in which the series is kept and resumed. The caller ensures that it belongs to exactly this field.

    Raises:
        InputError: an infinite or impossible value.
    """
    columns = field.shape[2]
    nodes, slot = np.unique(
        placement.rows * columns + placement.columns, return_inverse=True
    )
    slot = slot.reshape(placement.rows.shape)
    begin, end = within
    placed = placement.rows, placement.columns, placement.weights
    about = fingerprint(name, begin, end, field.time.values[begin:end], *placed)
    series = Series(len(placement.rows), keep, f"{name}-{about}")
    # Count all values, so that a resumed run gives the same report.
    series.nodes_read = nodes_read(field, nodes) * (end - begin)
    if series.times:
        progress(series.times)
    waiting = list[np.ndarray]()
    saved = time.monotonic()
    blocks = read_nodes(field, nodes, name, (begin + series.times, end))
    for stop, values in blocks:
        waiting.append(_points(values, slot, placement.weights))
        enough = sum(each.nbytes for each in waiting) > _BLOCK
        late = keep is not None and time.monotonic() - saved >= _SAVE_SECONDS
        if stop == end or enough or late:
            series.append(np.concatenate(waiting, axis=1))
            waiting.clear()
            saved = time.monotonic()
        progress(stop - begin)
    return series


def nodes_read(field: xr.DataArray, nodes: np.ndarray) -> int:
    """Return the number of a map's values in the tiles that contain nodes (numbered row by row)."""
    rectangles = _rectangles(nodes, _map(field), _tile(field))
    return sum((r.stop - r.start) * (c.stop - c.start) for _, r, c in rectangles)


def read_nodes(
    field: xr.DataArray, nodes: np.ndarray, name: str, within: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Read nodes of a field in blocks of times; only the tiles that contain them are read.

    Args:
        field: canonical field, lazy or in memory; ``encoding["tile"]`` as for :func:`extract`.
        nodes: row x columns + column of each node, increasing.
        name: name of the field for messages.
        within: range (first, stop) of the field's times to read.

    Yields:
        the stop index of the block, and its values: (times, nodes), float32, cleaned.

    Raises:
        InputError: an infinite or impossible value.
    """
    columns = field.shape[2]
    rectangles = _rectangles(nodes, _map(field), _tile(field))
    size = nodes_read(field, nodes)
    lengths = lengths_of(field)
    most = max(_TOGETHER // (4 * max(size, 1)), 1)
    places = [
        (nodes[group] // columns - r.start) * (c.stop - c.start)
        + nodes[group] % columns
        - c.start
        for group, r, c in rectangles
    ]
    for first, stop in _stretches(lengths, *within, most):
        values = np.empty((stop - first, nodes.size), np.float32)
        for (group, r, c), at in zip(rectangles, places, strict=True):
            part = read_block(field, slice(first, stop), r, c)
            values[:, group] = part.reshape(stop - first, -1).take(at, axis=1)
        yield stop, _cleaned(values, name)


def _map(field: xr.DataArray) -> tuple[int, int]:
    return field.sizes["latitude"], field.sizes["longitude"]


def _tile(field: xr.DataArray) -> tuple[int, int]:
    rows, columns = field.encoding.get("tile", _map(field))
    return rows, columns


def _rectangles(
    nodes: np.ndarray, shape: tuple[int, int], tile: tuple[int, int]
) -> list[tuple[np.ndarray, slice, slice]]:
    """Return, for each tile with nodes (adjacent tiles of a row joined): the nodes, and its rows and columns."""
    row, column = nodes // shape[1], nodes % shape[1]
    # An unused number between two rows of tiles keeps them from being joined.
    across = -(-shape[1] // tile[1]) + 1
    number = row // tile[0] * across + column // tile[1]
    used = np.unique(number)
    found = []
    for run in (
        np.split(used, np.flatnonzero(np.diff(used) > 1) + 1) if used.size else []
    ):
        north = int(run[0]) // across * tile[0]
        west, east = (
            int(run[0]) % across * tile[1],
            (int(run[-1]) % across + 1) * tile[1],
        )
        group = np.flatnonzero((number >= run[0]) & (number <= run[-1]))
        rows = slice(north, min(north + tile[0], shape[0]))
        found.append((group, rows, slice(west, min(east, shape[1]))))
    return found


def _stretches(
    lengths: tuple[int, ...], begin: int, end: int, most: int
) -> list[tuple[int, int]]:
    """Split ``begin`` to ``end`` into ranges of at most ``most`` times, of whole chunks if these are shorter."""
    edges = np.cumsum((0, *lengths))
    found = []
    while begin < end:
        inner = edges[(edges > begin) & (edges <= begin + most)]
        stop = min(int(inner[-1]) if inner.size else begin + most, end)
        found.append((begin, stop))
        begin = stop
    return found


def _cleaned(values: np.ndarray, name: str) -> np.ndarray:
    refuse_impossible(values, name, lambda at: "a station")
    clean(values)
    return values


def _points(values: np.ndarray, slot: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Interpolate (times, nodes) -> (points, times); nodes with weight 0 are ignored, even if missing."""
    if slot.shape[1] == 1:
        return np.ascontiguousarray(values[:, slot[:, 0]].T)
    total = np.zeros((slot.shape[0], values.shape[0]), np.float32)
    for k in range(slot.shape[1]):
        used = np.flatnonzero(weights[:, k] > 1e-12)
        total[used] += values[:, slot[used, k]].T * weights[used, k, None].astype(
            np.float32
        )
    return total
