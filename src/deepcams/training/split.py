"""What of a store belongs to training, and what to validation: hours without gaps, and rectangles of whole cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import FACTOR, Grid
from deepcams.core.period import Period
from deepcams.training.option_types import Bbox
from deepcams.training.options import Experiment, Part, Samples
from deepcams.training.store.open_store import Prepared

Resolution = Literal["coarse", "fine"]

HOUR = np.timedelta64(1, "h")
_REACH = {"area": 0, "imresize": 2, "decimate": 0}
"""Coarse cells beyond a crop that a degradation looks at."""


@dataclass(frozen=True)
class Window:
    """A rectangle of whole coarse cells of a store.

    Attributes:
        row, column: its first cell, counted on the store's coarse grid.
        rows, columns: its size; columns run on at the first where the store closes round the globe.
        closed: whether it goes round the globe, so that a crop may begin at any column.
    """

    row: int
    column: int
    rows: int
    columns: int
    closed: bool = False

    def places(self, cells: int) -> tuple[int, int]:
        """In how many rows and columns a square of so many cells may begin (0: it does not fit)."""
        across = self.columns - cells + 1
        return max(self.rows - cells + 1, 0), self.columns if self.closed and across > 0 else max(
            across, 0
        )


@dataclass(frozen=True)
class Portion:
    """One store's hours and places on one side of the split.

    Attributes:
        store: where values are read from.
        weight: how often samples are drawn from it.
        runs: (n, 2), the first hour (an index of ``store.times``) and the number of hours of each run without a gap.
        windows: where crops may lie.
        where: the path of its settings, for messages.
    """

    store: Prepared
    weight: float
    runs: np.ndarray
    windows: tuple[Window, ...]
    where: str
    _starts: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def hours(self) -> int:
        """Number of hours."""
        return int(self.runs[:, 1].sum())

    @property
    def longest(self) -> int:
        """Hours between the ends of the longest run."""
        return int(self.runs[:, 1].max()) - 1

    def starts(self, span: int) -> np.ndarray:
        """All hours from which ``span`` further ones follow without a gap (span 0: all hours)."""
        if span not in self._starts:
            parts = [np.arange(first, first + max(count - span, 0)) for first, count in self.runs]
            self._starts[span] = np.concatenate(parts)
        return self._starts[span]


def windows(grid: Grid, regions: Sequence[Bbox], where: str) -> tuple[Window, ...]:
    """The whole cells inside each box; the whole grid where there is none.

    Raises:
        InputError: a box in which no whole cell of the grid lies.
    """
    if not regions:
        return (Window(0, 0, grid.rows, grid.columns, grid.periodic),)
    found = []
    half = grid.step / 2
    for i, (west, south, east, north) in enumerate(regions):
        around = east - west >= 360
        inner = (
            west if around else west + half,
            south + half if south > -90 else south,  # at a pole the cell ends
            east if around else east - half,
            north - half if north < 90 else north,
        )
        at = f"{where}.regions.{i}"
        if inner[1] >= inner[3] or (not around and (east - west) % 360 <= grid.step):
            raise InputError(
                at, f"a box that holds whole cells of {grid.step:g} degrees", regions[i]
            )
        _, rows, columns = grid.select(inner, at)
        closed = grid.periodic and columns.size == grid.columns
        found.append(
            Window(rows.start, int(columns[0]), rows.stop - rows.start, columns.size, closed)
        )
    return tuple(found)


def runs(times: np.ndarray, periods: Sequence[str]) -> np.ndarray:
    """First hour and number of hours of each stretch within the periods that has no gap, (n, 2)."""
    chosen = np.ones(times.size, bool)
    if periods:
        chosen = np.any([Period.parse(text).contains(times) for text in periods], axis=0)
    at = np.flatnonzero(chosen)
    if not at.size:
        return np.empty((0, 2), np.int64)
    breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(times[at]) != HOUR)) + 1
    first = np.concatenate([[0], breaks])
    return np.stack([at[first], np.diff(np.append(first, at.size))], axis=1)


def portions(experiment: Experiment, stores: Sequence[Prepared], side: str) -> list[Portion]:
    """Each store's portion of one side of the split, those with a weight alone.

    Args:
        stores: in the order of ``experiment.data.stores``.
        side: "train" or "validation".

    Raises:
        InputError: too few hours for a sample, a region outside a store, or a crop larger than the region.
    """
    found = []
    for i, (entry, store) in enumerate(zip(experiment.data.stores, stores, strict=True)):
        weight = entry.weight if side == "train" else entry.weight_in_validation
        if not weight:
            continue
        part: Part = getattr(experiment.split_of(entry), side)
        where = f"{f'data.stores.{i}.split' if entry.split else 'split'}.{side}"
        portion = Portion(
            store,
            weight,
            runs(store.times, part.periods),
            windows(store.coarse, part.regions, where),
            where,
        )
        _check(portion, experiment)
        found.append(portion)
    return found


def _check(portion: Portion, experiment: Experiment) -> None:
    samples, store = experiment.samples, portion.store
    needed = samples.span.shortest + 1 if samples.task == "temporal" else 1
    longest = portion.longest + 1 if portion.runs.size else 0
    if longest < needed:
        span = (
            f"{store.times[0].astype('datetime64[m]')}..{store.times[-1].astype('datetime64[m]')}"
        )
        raise InputError(
            f"{portion.where}.periods",
            f"at least {needed} consecutive hours in {store.path} ({store.times.size} hours, {span})",
            longest,
        )
    resolution: Resolution = (
        "fine" if samples.task == "temporal" and samples.resolution == "fine" else "coarse"
    )
    cells = cells_of(samples.crop, resolution) + 2 * reach(store, samples, resolution)
    if not any(all(window.places(cells)) for window in portion.windows):
        largest = max(portion.windows, key=lambda w: min(w.rows, w.columns))
        raise InputError(
            "samples.crop",
            f"a crop that fits into {portion.where}.regions of {store.path}, "
            f"{largest.rows} x {largest.columns} coarse cells",
            f"{samples.crop} pixels, which need {cells} x {cells} coarse cells",
        )


def cells_of(pixels: int, resolution: Resolution) -> int:
    """Coarse cells that hold so many pixels."""
    return -(-pixels // FACTOR) if resolution == "fine" else pixels


def reach(store: Prepared, samples: Samples, resolution: Resolution) -> int:
    """Cells beyond a crop that are read for its values: a degradation that is not the store's own looks at them."""
    own = store.degradation == samples.degradation
    needed = samples.task == "spatial" or resolution == "coarse"
    return _REACH[samples.degradation] if needed and not own else 0


def refuse_mixed(train: Sequence[Portion]) -> None:
    """Raise InputError where two versions of GEOS-CF are trained on together: their PM2.5 are not the same quantity."""
    families = {
        str(portion.store.sources.get("family", "")): portion.store.path for portion in train
    }
    versions = sorted(family for family in families if family.startswith("geos-cf"))
    if len(versions) > 1:
        found = ", ".join(f"{family} ({families[family]})" for family in versions)
        do = "give one of them the weight 0; it may still be validated on"
        raise InputError("data.stores", "one version of GEOS-CF to train on", found, do)


def refuse_shared(train: Sequence[Portion], validation: Sequence[Portion]) -> None:
    """Raise InputError where two stores of the same origin share an hour and a cell across the split.

    Within one store the experiment itself has been checked; here it is the same data under two names.
    """
    for a in train:
        for b in validation:
            same = (
                a.store.sources.get("family") == b.store.sources.get("family")
                and a.store is not b.store
            )
            if not same or not np.intersect1d(_times(a), _times(b)).size:
                continue
            if _cells(a) & _cells(b):
                raise InputError(
                    b.where,
                    "hours and places that no store of the same origin is trained on",
                    f"{b.store.path} and {a.store.path} share some",
                    "separate their periods or their regions",
                )


def _times(portion: Portion) -> np.ndarray:
    return portion.store.times[portion.starts(0)]


def _cells(portion: Portion) -> set[tuple[int, int]]:
    """Every cell of the windows, as row and column counted on the globe."""
    grid = portion.store.coarse
    return {
        (grid.north + window.row + r, (grid.west + window.column + c) % grid.around)
        for window in portion.windows
        for r in range(window.rows)
        for c in range(window.columns)
    }
