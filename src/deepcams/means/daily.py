"""Daily statistics of an hourly field: planned, then computed day by day from blocks of hours that are read once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import IMPLAUSIBLE, clean, grid_of, refuse_impossible
from deepcams.core.times import DAY, stamp
from deepcams.means.cells import Cells
from deepcams.means.levels import Level
from deepcams.readers.frames import read_block
from deepcams.readers.stored import Indexed
from deepcams.writers.layout import ITEM_HOURS

BAND = 40_000
"""Cells whose hours are added at once."""
MOST = 96
"""Values of a day, at most: counts are of 8 bits."""
BLOCK_BYTES = 100 << 20
"""Blocks of hours are at most so large, unless the file's own chunks are: a day of the 0.25 degree globe."""


@dataclass(frozen=True)
class DailyPlan:
    """The days to compute.

    Attributes:
        field: canonical, lazy.
        cells: of its grid, by distance from UTC.
        dates: the output's days, ``datetime64[D]``, without gaps.
        possible: values that a whole day has.
        needed: values that a day must have.
        levels: that hours are counted above.
        where: the input in the user's words.
    """

    field: xr.DataArray
    cells: Cells
    dates: np.ndarray
    possible: int
    needed: int
    levels: tuple[Level, ...]
    where: str

    @cached_property
    def times(self) -> np.ndarray:
        """Times of the field."""
        return np.asarray(self.field.time.values)


def needed_of(possible: int, percent: float) -> int:
    """Return how many values are a share of those that are possible, at least one: 18 of 24 are 75 %."""
    return max(math.ceil(round(possible * percent / 100, 9)), 1)


def plan_days(
    field: xr.DataArray,
    cells: Cells,
    levels: tuple[Level, ...],
    percent: float,
    where: str,
) -> DailyPlan:
    """Find the days of a field: from the first to the last that has enough values in some cell.

    Args:
        field: canonical, lazy.
        cells: of its grid.
        levels: that hours are counted above.
        percent: of a day's values that must be there.
        where: the input in the user's words.

    Raises:
        InputError: a cadence that does not divide the day, or no day with enough values.
    """
    times = field.time.values
    steps = np.diff(times)
    cadence = steps.min() if steps.size else DAY
    if cadence >= DAY or DAY % cadence or DAY // cadence > MOST:
        found = f"{times.size} times"
        if steps.size:
            found = f"times {cadence / np.timedelta64(1, 'h'):g} h apart"
        expected = "fields at an even part of the day (of 15 minutes to 12 hours)"
        raise InputError(where, expected, found)
    possible = int(DAY // cadence)
    needed = needed_of(possible, percent)
    whole: list[np.ndarray] = []
    for group in cells.groups:
        dates, counts = np.unique(group.dates(times), return_counts=True)
        whole.append(dates[counts >= needed])
    found_dates = np.concatenate(whole)
    if not found_dates.size:
        raise InputError(
            where,
            f"a day with {needed} of its {possible} values",
            f"{times.size} times from {stamp(times[0])} to {stamp(times[-1])} UTC",
            "give more files, or ask for less with --complete",
        )
    dates = np.arange(found_dates.min(), found_dates.max() + 1)
    return DailyPlan(field, cells, dates, possible, needed, levels, where)


@dataclass(frozen=True)
class DayMaps:
    """Statistics of one day, (rows, columns) each; missing where too few values are there.

    Attributes:
        mean, largest: ug m-3, float32.
        count: how many values there are, int8, never missing.
        above: of each level how many values are above it, int8, -1 is missing.
    """

    mean: np.ndarray
    largest: np.ndarray
    count: np.ndarray
    above: tuple[np.ndarray, ...]


class _Sums:
    """Sums of one day while its hours come in, arranged."""

    def __init__(self, shape: tuple[int, int], levels: Sequence[Level]) -> None:
        self.total = np.zeros(shape)
        self.largest = np.full(shape, -np.inf, np.float32)
        self.count = np.zeros(shape, np.int8)
        self.above = [np.zeros(shape, np.int8) for _ in levels]
        self._levels = [np.float32(level.value) for level in levels]

    def add(self, values: np.ndarray, place: slice) -> None:
        """Add hours of some cells: (hours, rows, columns)."""
        for rows, columns in _bands(values.shape[1], values.shape[2]):
            first = place.start + columns.start
            at = rows, slice(first, first + columns.stop - columns.start)
            self._add(np.ascontiguousarray(values[:, rows, columns]), at)

    def _add(self, values: np.ndarray, at: tuple[slice, slice]) -> None:
        """Add hours of cells that fit into a core's cache, and so are fetched from memory once."""
        total, top = values.sum(axis=0, dtype=np.float64), values.max(axis=0)
        if np.isnan(top).any():
            there = ~np.isnan(values)
            total = values.sum(axis=0, dtype=np.float64, where=there)
            top = np.fmax.reduce(values, axis=0)
            top[np.isnan(top)] = -np.inf
            self.count[at] += there.sum(axis=0, dtype=np.int8)
        else:
            self.count[at] += np.int8(len(values))
        self.total[at] += total
        np.maximum(self.largest[at], top, out=self.largest[at])
        highest = top.max()
        for level, above in zip(self._levels, self.above, strict=True):
            if highest <= level:
                return
            above[at] += (values > level).view(np.int8).sum(axis=0, dtype=np.int8)


def _bands(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut a map into pieces of some :data:`BAND` cells: rows, or columns of a single row."""
    down = max(BAND // columns, 1)
    across = columns if rows > 1 else BAND
    for row in range(0, rows, down):
        for column in range(0, columns, across):
            yield (
                slice(row, min(row + down, rows)),
                slice(column, min(column + across, columns)),
            )


class Daily:
    """Computes the days of a plan; days that follow each other share the hours that were read.

    Args:
        plan: the days.
    """

    def __init__(self, plan: DailyPlan) -> None:
        self.plan = plan
        self._starts = _block_starts(plan.field)
        self._blocks: dict[int, np.ndarray] = {}
        self._ahead: tuple[int, Future[np.ndarray]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Give another process the plan alone."""
        return {**vars(self), "_blocks": {}, "_ahead": None, "_pool": None}

    def compute(self, dates: np.ndarray) -> Iterator[DayMaps]:
        """Yield the maps of dates that follow each other.

        Raises:
            InputError: an infinite value, or one that no air can have.
        """
        for date in dates:
            yield self._day(date)

    def _day(self, date: np.datetime64) -> DayMaps:
        plan = self.plan
        hours = [group.hours(plan.times, date) for group in plan.cells.groups]
        first, stop = min(a for a, _ in hours), max(b for _, b in hours)
        sums = _Sums(plan.cells.arranged_shape, plan.levels)
        for start, block in self._read(first, stop):
            for group, (a, b) in zip(plan.cells.groups, hours, strict=True):
                part = block[max(a - start, 0) : max(b - start, 0)]
                if len(part):
                    sums.add(part[:, :, group.place], group.place)
        restore = plan.cells.restore
        few = sums.count < plan.needed
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (sums.total / sums.count).astype(np.float32)
        mean[few] = np.nan
        sums.largest[few] = np.nan
        for above in sums.above:
            above[few] = -1
        return DayMaps(
            restore(mean),
            restore(sums.largest),
            restore(sums.count),
            tuple(map(restore, sums.above)),
        )

    def _read(self, first: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the blocks that hold some hours, each with its first hour; the next one is read meanwhile."""
        if first >= stop:
            return
        ends = np.searchsorted(self._starts, [first, stop - 1], side="right") - 1
        wanted = range(int(ends[0]), int(ends[1]) + 1)
        self._blocks = {k: v for k, v in self._blocks.items() if k in wanted}
        for number in wanted:
            if number not in self._blocks:
                self._blocks[number] = self._next(number)
            yield int(self._starts[number]), self._blocks[number]

    def _next(self, number: int) -> np.ndarray:
        """Return a block, and begin to read the one after it."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "deepcams-read")
        if self._ahead is not None and self._ahead[0] == number:
            block = self._ahead[1].result()
        else:
            block = self._load(number)
        self._ahead = None
        if number + 2 < len(self._starts):
            self._ahead = number + 1, self._pool.submit(self._load, number + 1)
        return block

    def _load(self, number: int) -> np.ndarray:
        field = self.plan.field
        start, stop = (int(each) for each in self._starts[number : number + 2])
        values = read_block(field, slice(start, stop))

        def place(at: Sequence[int]) -> str:
            time, row, column = at
            node = field.latitude.values[row], field.longitude.values[column]
            moment = stamp(field.time.values[start + time])
            return f"{moment}, {node[0]:g} N {node[1]:g} E"

        # A NaN makes both false.
        if not (values.min() >= 0 and values.max() < IMPLAUSIBLE):
            refuse_impossible(values, self.plan.where, place)
            clean(values)
        return self.plan.cells.arrange(values)


def _block_starts(field: xr.DataArray) -> np.ndarray:
    """Return where blocks of hours begin, and the end: chunks of the file, as many as make a store's whole shards.

    A shard is read at once as a whole, but chunk by chunk where a part of it is asked for, which takes longer.
    """
    rows, columns = grid_of(field).shape
    most = max(BLOCK_BYTES // (4 * rows * columns), 1)
    most = most // ITEM_HOURS * ITEM_HOURS or most
    size = field.sizes["time"]
    if isinstance(field.data, Indexed):
        lengths = field.data.lengths
    elif field.chunks:
        lengths = field.chunks[0]
    else:
        lengths = (1,) * size
    starts = [0]
    ends = np.cumsum(lengths).tolist()
    for end, following in itertools.pairwise([*ends, size + most + 1]):
        if following - starts[-1] > most:
            starts.append(end)
    return np.array(starts)
