"""Daily statistics of an hourly field, computed day by day from blocks of hours; each block is read once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.times import DAY, stamp
from deepcams.core.values import IMPLAUSIBLE, clean, refuse_impossible
from deepcams.means.cells import Cells, local_dates
from deepcams.means.levels import Level
from deepcams.readers.frames import read_block
from deepcams.readers.stored import Indexed
from deepcams.writers.layout import ITEM_HOURS

MOST = 96
"""Largest number of values per day, because counts are int8."""
BLOCK_BYTES = 100 << 20
"""Largest size of a block of hours, unless the file's chunks are larger: one day of the 0.25 degree globe."""


@dataclass(frozen=True)
class DailyPlan:
    """The days to compute.

    Attributes:
        field: canonical field, lazy.
        cells: cells of its grid, grouped by UTC offset.
        dates: days of the output, ``datetime64[D]``, without gaps.
        possible: number of values in a complete day.
        needed: smallest number of values for a day to count.
        levels: levels above which hours are counted.
        where: name of the input for messages.
    """

    field: xr.DataArray
    cells: Cells
    dates: np.ndarray
    possible: int
    needed: int
    levels: tuple[Level, ...]
    where: str

    over: ClassVar[Literal["day"]] = "day"

    @property
    def span(self) -> str:
        """Range and number of the hours, as text."""
        first, last = (
            str(each.astype("datetime64[m]")) for each in self.times[[0, -1]]
        )
        return f"{first}Z to {last}Z ({self.times.size})"

    def computer(self) -> Daily:
        """Return the object that computes the days."""
        return Daily(self)

    def sample(self, start: int, stop: int) -> np.ndarray:
        """Return the noon (UTC) hour of the middle day of a range of days: (1, rows, columns), float32."""
        noon = self.dates[(start + stop) // 2].astype("datetime64[ns]") + DAY // 2
        at = min(int(np.searchsorted(self.times, noon)), self.times.size - 1)
        return read_block(self.field, slice(at, at + 1))

    @cached_property
    def times(self) -> np.ndarray:
        """Times of the field."""
        return np.asarray(self.field.time.values)


def needed_of(possible: int, percent: float) -> int:
    """Return the number of values that make up a percentage of the possible ones, at least 1: 75 % of 24 is 18."""
    return max(math.ceil(round(possible * percent / 100, 9)), 1)


def plan_days(
    field: xr.DataArray,
    cells: Cells,
    levels: tuple[Level, ...],
    percent: float,
    where: str,
) -> DailyPlan:
    """Find the days of a field: from the first to the last day with enough values in any cell.

    Args:
        field: canonical field, lazy.
        cells: cells of its grid.
        levels: levels above which hours are counted.
        percent: required percentage of a day's values.
        where: name of the input for messages.

    Raises:
        InputError: the time step does not divide the day, or no day has enough values.
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
    for offset in cells.offsets:
        dates, counts = np.unique(local_dates(times, offset), return_counts=True)
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


def status_of(count: np.ndarray, needed: int, possible: int) -> int:
    """Return 0 if no cell has enough values, 1 if every cell has all values, else 2."""
    if int(count.max()) < needed:
        return 0
    return 1 if int(count.min()) == possible else 2


class _Sums:
    """Running sums of one day over sorted cells."""

    def __init__(self, size: int, levels: Sequence[Level]) -> None:
        self.total = np.zeros(size)
        self.largest = np.full(size, -np.inf, np.float32)
        self.count = np.zeros(size, np.int8)
        self.above = [np.zeros(size, np.int8) for _ in levels]
        self._levels = [np.float32(level.value) for level in levels]

    def add(self, values: np.ndarray, start: int) -> None:
        """Add hours of consecutive cells (hours, cells), beginning at cell ``start``."""
        at = slice(start, start + values.shape[1])
        total, top = values.sum(axis=0, dtype=np.float64), values.max(axis=0)
        highest = top.max()
        if np.isnan(highest):
            there = ~np.isnan(values)
            total = values.sum(axis=0, dtype=np.float64, where=there)
            top = np.fmax.reduce(values, axis=0)
            top[np.isnan(top)] = -np.inf
            highest = top.max()
            self.count[at] += there.sum(axis=0, dtype=np.int8)
        else:
            self.count[at] += np.int8(len(values))
        self.total[at] += total
        np.maximum(self.largest[at], top, out=self.largest[at])
        # Levels increase: only cells above one level can be above the next.
        cells: np.ndarray | None = None
        for level, above in zip(self._levels, self.above, strict=True):
            if highest <= level:
                return
            high = np.flatnonzero(top > level)
            if 2 * high.size < top.size:
                values, top = values.take(high, axis=1), top[high]
                cells = high if cells is None else cells[high]
            number = (values > level).view(np.int8).sum(axis=0, dtype=np.int8)
            above[at][slice(None) if cells is None else cells] += number

    def finish(self, needed: int) -> Iterator[np.ndarray]:
        """Yield mean, largest (float32), count and number above each level (int8); masked where values are too few."""
        few = self.count < needed
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self.total / self.count).astype(np.float32)
        mean[few] = np.nan
        self.largest[few] = np.nan
        for above in self.above:
            above[few] = -1
        maps: list[np.ndarray] = [mean, self.largest, self.count, *self.above]
        yield from maps


class Daily:
    """Computes the days of a plan; each hour is read once and added to the sums of all dates it belongs to.

    Args:
        plan: the days.
    """

    def __init__(self, plan: DailyPlan) -> None:
        self.plan = plan
        self._starts = _block_starts(plan.field)
        self._sums: dict[np.datetime64, _Sums] = {}
        self._date: np.datetime64 | None = None
        self._block = 0
        self._ahead: tuple[int, Future[np.ndarray]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without running sums and threads."""
        state: dict[str, Any] = {
            "_sums": {},
            "_date": None,
            "_ahead": None,
            "_pool": None,
        }
        return {**vars(self), **state}

    def compute(self, index: int, out: Sequence[np.ndarray]) -> int:
        """Compute a day; cheapest when days are computed in order.

        Args:
            index: index of the day.
            out: output maps (rows, columns): mean and largest value (float32, ug m-3), number of values, number above
                each level (int8). NaN or -1 where there are too few values; the number of values is never missing.

        Returns:
            see :func:`status_of`.

        Raises:
            InputError: a value is infinite, negative or implausibly large.
        """
        plan = self.plan
        date = plan.dates[index]
        start = date.astype("datetime64[ns]")
        ends = start - max(plan.cells.offsets), start + DAY - min(plan.cells.offsets)
        first, stop = np.searchsorted(plan.times, ends).tolist()
        if date != self._date:
            self._sums = {}
            self._date = date
            self._block = int(np.searchsorted(self._starts, first, side="right")) - 1
        while self._block < len(self._starts) - 1 and self._starts[self._block] < stop:
            self._add(self._block)
            self._block += 1
        sums = self._sums.pop(date, None) or _Sums(plan.cells.size, plan.levels)
        for arranged, map_ in zip(sums.finish(plan.needed), out, strict=True):
            plan.cells.restore(arranged, map_)
        self._date = date + np.timedelta64(1, "D")
        return status_of(sums.count, plan.needed, plan.possible)

    def _add(self, number: int) -> None:
        """Add a block of hours to the sums of their dates, one day's length at a time, so that a cell has two dates."""
        start = int(self._starts[number])
        block = self._next(number)
        times = self.plan.times[start : start + len(block)]
        first = 0
        while first < len(block):
            stop = int(np.searchsorted(times, times[first] + DAY))
            self._add_hours(block[first:stop], times[first:stop])
            first = stop

    def _add_hours(self, values: np.ndarray, times: np.ndarray) -> None:
        plan = self.plan
        parts = {each: self._parts(each, times) for each in plan.cells.offsets}
        for tile in plan.cells.tiles:
            cells = tile.arrange(values)
            for group in tile.groups:
                for sums, hours in parts[group.offset]:
                    first = tile.place.start + group.place.start
                    sums.add(cells[hours, group.place], first)

    def _parts(
        self, offset: np.timedelta64, times: np.ndarray
    ) -> list[tuple[_Sums, slice]]:
        """Return the sums of each local date of consecutive times at a UTC offset, with the slice of its hours."""
        plan, found = self.plan, []
        dates = local_dates(times, offset)
        edges = [0, *(np.flatnonzero(np.diff(dates)) + 1).tolist(), len(dates)]
        for first, stop in itertools.pairwise(edges):
            date = dates[first]
            if self._date <= date <= plan.dates[-1]:
                if date not in self._sums:
                    self._sums[date] = _Sums(plan.cells.size, plan.levels)
                found.append((self._sums[date], slice(first, stop)))
        return found

    def _next(self, number: int) -> np.ndarray:
        """Return a block and start to prefetch the next one."""
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

        # NaN makes both comparisons false.
        if not (values.min() >= 0 and values.max() < IMPLAUSIBLE):
            refuse_impossible(values, self.plan.where, place)
            clean(values)
        return values


def _block_starts(field: xr.DataArray) -> np.ndarray:
    """Return the start of each block of hours, and the end of the last: whole chunks, or whole shards of a Zarr store.

    Reading a whole shard is one access; reading part of it takes one access per chunk and is slower.
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
