"""Cells grouped by their UTC offset, so that the day of each group is one contiguous range of hours."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.sun import nautical_hours
from deepcams.core.times import MINUTE

Days = Literal["utc", "nautical", "zones"]

TILE = 20_000
"""Largest number of cells processed at once."""

DAY_WORDS: dict[str, str] = {
    "utc": "UTC",
    "nautical": "nautical time: whole hours by longitude, round(longitude / 15)",
    "zones": "the time zones' standard time, without summer time",
}


def offsets(grid: Grid, days: Days, year: int) -> np.ndarray:
    """Return the UTC offset of each cell's days.

    Args:
        grid: grid of the cells.
        days: definition of the day.
        year: year whose standard time ``zones`` uses (:mod:`deepcams.files.time_zones`).

    Returns:
        (rows, columns), int16, minutes.

    Raises:
        MissingExtraError: ``zones``, and tzfpy is not installed.
    """
    if days == "utc":
        return np.zeros(grid.shape, np.int16)
    if days == "nautical":
        minutes = (60 * nautical_hours(grid.longitudes)).astype(np.int16)
        return np.broadcast_to(minutes, grid.shape).copy()
    from deepcams.files.time_zones import offset_minutes

    return offset_minutes(grid.latitudes, grid.longitudes, year)


def local_dates(times: np.ndarray, offset: np.timedelta64) -> np.ndarray:
    """Return the local dates of UTC times.

    Args:
        times: ``datetime64[ns]``, UTC; for means, the middle of each averaging period.
        offset: local time minus UTC.
    """
    return np.asarray((times + offset).astype("datetime64[D]"))


@dataclass(frozen=True)
class Group:
    """Cells with the same UTC offset.

    Attributes:
        offset: local time minus UTC.
        place: their slice of the sorted cells of the tile.
    """

    offset: np.timedelta64
    place: slice


@dataclass(frozen=True)
class Tile:
    """A rectangle of cells whose hours fit into a core's cache, sorted so that each group is one slice.

    Attributes:
        rows, columns: position on the map.
        place: slice of the tile in the sorted cells of the whole grid.
        groups: groups, in the order of the sorted cells.
        order: row-major index of each sorted cell; ``None`` if row-major order is already sorted.
        back: inverse of ``order``: sorted position of each cell in row-major order.
    """

    rows: slice
    columns: slice
    place: slice
    groups: tuple[Group, ...]
    order: np.ndarray | None
    back: np.ndarray | None

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Return the tile's cells of (times, rows, columns), sorted: (times, cells), a view where possible."""
        cells = values[:, self.rows, self.columns].reshape(len(values), -1)
        return (
            cells if self.order is None else cells.take(self.order, axis=1, mode="clip")
        )

    def restore(self, arranged: np.ndarray, out: np.ndarray) -> None:
        """Write the tile's part of sorted cells into a map (rows, columns)."""
        cells = arranged[self.place]
        if self.back is not None:
            cells = cells.take(self.back, mode="clip")  # fastest mode
        part = out[self.rows, self.columns]
        part[...] = cells.reshape(part.shape)


class Cells:
    """The cells of a grid, tile by tile.

    Args:
        minutes: see :func:`offsets`.

    Attributes:
        size: number of cells.
        tiles: tiles that cover the grid.
        offsets: all UTC offsets that occur.
    """

    def __init__(self, minutes: np.ndarray) -> None:
        self.size = minutes.size
        self.offsets = tuple(each * MINUTE for each in np.unique(minutes).tolist())
        tiles: list[Tile] = []
        start = 0
        for columns in _strips(minutes):
            width = columns.stop - columns.start
            down = max(TILE // width, 1)
            for row in range(0, len(minutes), down):
                rows = slice(row, min(row + down, len(minutes)))
                own = minutes[rows, columns].ravel()
                tiles.append(_tile(rows, columns, start, own))
                start += own.size
        self.tiles = tuple(tiles)

    def restore(self, arranged: np.ndarray, out: np.ndarray) -> None:
        """Write sorted cells into a map (rows, columns)."""
        for tile in self.tiles:
            tile.restore(arranged, out)


def _strips(minutes: np.ndarray) -> list[slice]:
    """Split a map at columns where the UTC offset changes in most rows (as at sea), so that few cells need sorting."""
    changes = (np.diff(minutes, axis=1) != 0).mean(axis=0) > 0.5
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), minutes.shape[1]]
    return [slice(*ends) for ends in itertools.pairwise(edges)]


def _tile(rows: slice, columns: slice, start: int, minutes: np.ndarray) -> Tile:
    order = back = None
    if (minutes != minutes[0]).any():
        order = np.argsort(minutes, kind="stable")
        back = np.argsort(order)
        minutes = minutes[order]
    starts = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1)).tolist()
    groups = tuple(
        Group(int(minutes[first]) * MINUTE, slice(first, stop))
        for first, stop in itertools.pairwise([*starts, minutes.size])
    )
    return Tile(rows, columns, slice(start, start + minutes.size), groups, order, back)
