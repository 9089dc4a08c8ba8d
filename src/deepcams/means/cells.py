"""Cells grouped by their distance from UTC, so that each group's day is one stretch of hours."""

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
"""Cells whose hours are added at once."""

DAY_WORDS: dict[str, str] = {
    "utc": "UTC",
    "nautical": "nautical time: whole hours by longitude, round(longitude / 15)",
    "zones": "the time zones' standard time, without summer time",
}


def offsets(grid: Grid, days: Days, year: int) -> np.ndarray:
    """Return how far each cell's days are ahead of UTC.

    Args:
        grid: of the cells.
        days: whose days.
        year: of ``zones``, whose standard time (:mod:`deepcams.files.time_zones`).

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
    """Return the dates of moments: a moment belongs to the date that it has on the cells' clocks.

    Args:
        times: ``datetime64[ns]``, UTC; of means, the middle of each.
        offset: how far the clocks are ahead of UTC.
    """
    return np.asarray((times + offset).astype("datetime64[D]"))


@dataclass(frozen=True)
class Group:
    """Cells of one distance from UTC.

    Attributes:
        offset: how far their days are ahead of UTC.
        place: where they are among the arranged cells of their tile.
    """

    offset: np.timedelta64
    place: slice


@dataclass(frozen=True)
class Tile:
    """A rectangle of cells whose hours fit into a core's cache, arranged so that each group is one slice.

    Attributes:
        rows, columns: where it is on the map.
        place: where its cells are among all that are arranged.
        groups: in the order of its arranged cells.
        order: which cell, counted row by row, comes where; ``None``: they are in order.
        back: where each cell, counted row by row, is found.
    """

    rows: slice
    columns: slice
    place: slice
    groups: tuple[Group, ...]
    order: np.ndarray | None
    back: np.ndarray | None

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Take its cells from (times, rows, columns): (times, cells), a copy only where it must be."""
        cells = values[:, self.rows, self.columns].reshape(len(values), -1)
        return (
            cells if self.order is None else cells.take(self.order, axis=1, mode="clip")
        )

    def restore(self, arranged: np.ndarray, out: np.ndarray) -> None:
        """Put its part of arranged cells into a map (rows, columns)."""
        cells = arranged[self.place]
        if self.back is not None:
            cells = cells.take(self.back, mode="clip")  # the mode is the fastest
        part = out[self.rows, self.columns]
        part[...] = cells.reshape(part.shape)


class Cells:
    """The cells of a grid, tile by tile.

    Args:
        minutes: see :func:`offsets`.

    Attributes:
        size: how many cells there are.
        tiles: that cover the grid.
        offsets: each distance from UTC that occurs.
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
        """Put arranged cells back into a map (rows, columns)."""
        for tile in self.tiles:
            tile.restore(arranged, out)


def _strips(minutes: np.ndarray) -> list[slice]:
    """Cut a map where the distance from UTC changes in most rows: as at sea, where few cells need to be arranged."""
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
