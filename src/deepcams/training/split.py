"""Split stores into training and validation: runs of hours without gaps, and rectangles of whole cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from deepcams.core.box import Box, eastward
from deepcams.core.errors import InputError
from deepcams.core.grid import FACTOR, Grid
from deepcams.core.period import Period
from deepcams.core.times import HOUR, stamp
from deepcams.training.options import Experiment, Part, Samples
from deepcams.training.store.hour_array import Resolution
from deepcams.training.store.open import Prepared

FACTORS: dict[Resolution, int] = {"coarse": 1, "fine": FACTOR}
"""Number of pixels along the edge of a coarse cell."""
_REACH = {"area": 0, "imresize": 2, "decimate": 0}
"""Coarse cells beyond a crop that a degradation uses."""


@dataclass(frozen=True)
class Window:
    """A rectangle of whole coarse cells of a store.

    Attributes:
        row, column: first cell, on the store's coarse grid.
        rows, columns: size; columns wrap around if the store is global.
        closed: whether it spans the globe, so that a crop may begin at any column.
    """

    row: int
    column: int
    rows: int
    columns: int
    closed: bool = False

    def widened(self, top: int, bottom: int, left: int, right: int) -> Window:
        """Extend the rectangle on each side."""
        rows, columns = self.rows + top + bottom, self.columns + left + right
        return Window(self.row - top, self.column - left, rows, columns)

    def grid(self, coarse: Grid) -> Grid:
        """Return the grid of the cells."""
        north, west = coarse.north + self.row, coarse.west + self.column
        return Grid(coarse.step, north, west, self.rows, self.columns).canonical()

    def read(self, store: Prepared, hour: int, resolution: Resolution) -> np.ndarray:
        """Read the cells of an hour; see :meth:`Prepared.read`."""
        return store.read(
            hour, self.row, self.column, self.rows, self.columns, resolution
        )

    def places(self, cells: int) -> tuple[int, int]:
        """Return the number of rows and columns at which a square of ``cells`` may begin (0: it does not fit)."""
        rows = max(self.rows - cells + 1, 0)
        columns = max(self.columns - cells + 1, 0)
        return rows, self.columns if self.closed and columns else columns


@dataclass(frozen=True)
class Portion:
    """One store's hours and regions on one side of the split.

    Attributes:
        store: the store.
        weight: sampling weight.
        runs: (n, 2), first hour (an index of ``store.times``) and number of hours of each run without a gap.
        windows: rectangles that may contain crops.
        where: path of its settings, for messages.
        magnitude: smallest and largest factor of the values of a training sample.
    """

    store: Prepared
    weight: float
    runs: np.ndarray
    windows: tuple[Window, ...]
    where: str
    magnitude: tuple[float, float] = (1.0, 1.0)
    _starts: dict[int, np.ndarray] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def hours(self) -> int:
        """Number of hours."""
        return int(self.runs[:, 1].sum())

    @property
    def longest(self) -> int:
        """Number of hours in the longest run; 0 without any."""
        return int(self.runs[:, 1].max(initial=0))

    def starts(self, span: int) -> np.ndarray:
        """Return all hours that are followed by ``span`` hours without a gap (span 0: all hours)."""
        if span not in self._starts:
            parts = [
                np.arange(first, first + max(count - span, 0))
                for first, count in self.runs
            ]
            self._starts[span] = np.concatenate(parts)
        return self._starts[span]


def find_windows(grid: Grid, regions: Sequence[Box], where: str) -> tuple[Window, ...]:
    """Return the whole cells inside each box; without boxes, the whole grid.

    Raises:
        InputError: a box contains no whole cell of the grid.
    """
    if not regions:
        return (Window(0, 0, grid.rows, grid.columns, grid.periodic),)
    found = []
    half = grid.step / 2
    for i, box in enumerate(regions):
        at = f"{where}.regions.{i}"
        # Nodes whose cells are inside; a cell at a pole ends at the pole.
        south = box.south + half if box.south > -90 else box.south
        north = box.north - half if box.north < 90 else box.north
        if south >= north or box.width <= grid.step:
            expected = f"a box that holds whole cells of {grid.step:g} degrees"
            raise InputError(at, expected, tuple(box))
        inner = Box(box.west, south, box.east, north)
        if box.width < 360:
            inner = Box(
                eastward(box.west + half), south, eastward(box.east - half), north
            )
        _, rows, columns = grid.select(inner, at)
        closed = grid.periodic and columns.size == grid.columns
        height = rows.stop - rows.start
        found.append(Window(rows.start, int(columns[0]), height, columns.size, closed))
    return tuple(found)


def find_runs(times: np.ndarray, periods: Sequence[str]) -> np.ndarray:
    """Return first hour and number of hours of each run without a gap within the periods, (n, 2)."""
    chosen = np.ones(times.size, bool)
    if periods:
        chosen = np.any(
            [Period.parse(text).contains(times) for text in periods], axis=0
        )
    at = np.flatnonzero(chosen)
    if not at.size:
        return np.empty((0, 2), np.int64)
    breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(times[at]) != HOUR)) + 1
    first = np.concatenate([[0], breaks])
    return np.stack([at[first], np.diff(np.append(first, at.size))], axis=1)


def find_portions(
    experiment: Experiment, stores: Sequence[Prepared], side: str
) -> list[Portion]:
    """Return each store's portion of one side of the split, except those of weight 0.

    Args:
        stores: stores in the order of ``experiment.data.stores``.
        side: "train" or "validation".

    Raises:
        InputError: hours are too few for a sample, a region is outside a store, or the crop exceeds the region.
    """
    found = []
    for i, (entry, store) in enumerate(
        zip(experiment.data.stores, stores, strict=True)
    ):
        weight = entry.weight if side == "train" else entry.weight_in_validation
        if not weight:
            continue
        part: Part = getattr(experiment.split_of(entry), side)
        where = f"data.stores.{i}.split.{side}" if entry.split else f"split.{side}"
        runs = find_runs(store.times, part.periods)
        windows = find_windows(store.coarse, part.regions, where)
        magnitude = entry.magnitude or (1.0, 1.0)
        portion = Portion(store, weight, runs, windows, where, magnitude)
        _check(portion, experiment.samples)
        found.append(portion)
    return found


def _check(portion: Portion, samples: Samples) -> None:
    store, temporal = portion.store, samples.task == "temporal"
    needed = samples.span.shortest + 1 if temporal else 1
    if portion.longest < needed:
        span = f"{store.times.size} hours, {stamp(store.times[0])}..{stamp(store.times[-1])}"
        expected = f"at least {needed} consecutive hours in {store.path} ({span})"
        raise InputError(f"{portion.where}.periods", expected, portion.longest)
    resolution: Resolution = "coarse"
    if samples.task == "joint" or (temporal and samples.resolution == "fine"):
        resolution = "fine"
    cells = cells_of(samples.crop, resolution) + 2 * reach(store, samples, resolution)
    if not any(all(window.places(cells)) for window in portion.windows):
        largest = max(
            portion.windows, key=lambda window: min(window.rows, window.columns)
        )
        size = f"{largest.rows} x {largest.columns} coarse cells"
        raise InputError(
            "samples.crop",
            f"a crop that fits into {portion.where}.regions of {store.path}, {size}",
            f"{samples.crop} pixels, which need {cells} x {cells} coarse cells",
        )


def cells_of(pixels: int, resolution: Resolution) -> int:
    """Return the number of coarse cells needed for a number of pixels."""
    return -(-pixels // FACTORS[resolution])


def reach(store: Prepared, samples: Samples, resolution: Resolution) -> int:
    """Return the number of cells read beyond a crop: more than 0 only if the degradation is not the store's own."""
    computed = samples.task == "spatial" or resolution == "coarse"
    if computed and store.degradation != samples.degradation:
        return _REACH[samples.degradation]
    return 0


def refuse_mixed(train: Sequence[Portion]) -> None:
    """Raise InputError if two versions of GEOS-CF are used for training: their PM2.5 are different quantities."""
    paths = {_family(portion): portion.store.path for portion in train}
    versions = sorted(family for family in paths if family.startswith("geos-cf"))
    if len(versions) > 1:
        found = ", ".join(f"{family} ({paths[family]})" for family in versions)
        do = "give one of them the weight 0; it may still be validated on"
        raise InputError("data.stores", "one version of GEOS-CF to train on", found, do)


def refuse_shared(train: Sequence[Portion], validation: Sequence[Portion]) -> None:
    """Raise InputError if two stores of the same origin share an hour and a cell across the split.

    Overlap within one store is checked in the experiment; this is about the same data in two stores.
    """
    for a in train:
        for b in validation:
            if a.store is b.store or _family(a) != _family(b):
                continue
            times = (portion.store.times[portion.starts(0)] for portion in (a, b))
            if np.intersect1d(*times).size and not set(_cells(a)).isdisjoint(_cells(b)):
                expected = (
                    "hours and places that no store of the same origin is trained on"
                )
                found = f"{b.store.path} and {a.store.path} share some"
                raise InputError(
                    b.where, expected, found, "separate their periods or their regions"
                )


def _family(portion: Portion) -> str:
    return str(portion.store.sources.get("family", ""))


def _cells(portion: Portion) -> Iterator[tuple[int, int]]:
    """Yield every cell of the windows, as row and column of the global grid."""
    grid = portion.store.coarse
    for window in portion.windows:
        for row in range(window.row, window.row + window.rows):
            for column in range(window.column, window.column + window.columns):
                yield grid.north + row, (grid.west + column) % grid.around
