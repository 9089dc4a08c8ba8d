"""Samples: sample ``i`` of a seed is always the same, whoever reads it and whenever.

What a sample is made of (:class:`Draw`) follows from (seed, i) alone; reading it needs the stores. So any number of
workers and processes, and a training that goes on where it was, see the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import FACTOR, Grid, nodes_from_cells
from deepcams.methods import flow
from deepcams.methods.coarsen import METHODS
from deepcams.networks.base import SpatialSample, TemporalSample
from deepcams.networks.scaling import Scaling
from deepcams.training.flow_cache import WholeGuides
from deepcams.training.options import Samples
from deepcams.training.split import Portion, Resolution, Window, cells_of, reach

_STREAMS = {"train": 0, "validation": 1}
FLOW_MARGIN = 24
"""Pixels beyond a crop that flow may look at (as a guide, or as what is compared with), where the region has them."""


@dataclass(frozen=True)
class Draw:
    """What one sample is made of.

    Attributes:
        portion: number of the portion.
        hour: first (or only) hour, an index of the store's times.
        span, inner: temporal: hours between the known frames, and from the first one to the target.
        resolution: of a temporal sample.
        row, column, cells: the crop, in coarse cells of the store.
        window: which of the portion's windows it lies in.
        reverse, flip_rows, flip_columns, quarters: how it is turned.
    """

    portion: int
    hour: int
    span: int
    inner: int
    resolution: Resolution
    row: int
    column: int
    cells: int
    window: int
    reverse: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    quarters: int = 0


class Surroundings(NamedTuple):
    """Both known frames (2, h, w) on a larger ``grid``, and where the crop lies in them."""

    known: np.ndarray
    grid: Grid
    rows: slice
    columns: slice


class Values(NamedTuple):
    """A sample before scaling, ug m-3.

    Attributes:
        known: (2, H, W), the frames at t = 0 and 1; or (H, W), the coarse frame.
        t: where the target lies (1.0 for a spatial sample).
        target: (H, W), or (3H, 3W) cell-like.
        extra: guide (G, H, W), where the network wants it.
        grid: where ``known`` lies, as long as nothing is turned.
        around: temporal, validation: the known frames with their surroundings, for methods that look beyond the crop.
    """

    known: np.ndarray
    t: float
    target: np.ndarray
    extra: np.ndarray | None
    grid: Grid
    around: Surroundings | None = None


class SampleSet(Dataset[Any]):
    """Endlessly many samples of one side of a split.

    Args:
        samples: what a sample is.
        portions: where from.
        scaling: of the network.
        seed: which samples.
        side: "train", or "validation": nothing is turned or reversed.
        guide: "flow" where the network wants the guide.
        kept: folder for the guides of whole frames, where ``samples.guides`` asks for them.
    """

    def __init__(
        self,
        samples: Samples,
        portions: Sequence[Portion],
        scaling: Scaling,
        seed: int,
        side: str = "train",
        guide: str | None = None,
        kept: Path | None = None,
    ) -> None:
        self.samples, self.portions, self.scaling = samples, tuple(portions), scaling
        self.seed, self.side, self.guide = seed, side, guide
        weights = np.array([portion.weight for portion in portions], float)
        self._shares = np.cumsum(weights / weights.sum())
        self._whole = WholeGuides(kept) if guide and kept and samples.guides == "whole" else None

    def draw(self, i: int) -> Draw:
        """What sample ``i`` is made of."""
        rng = np.random.default_rng([_STREAMS[self.side], self.seed, i])
        samples = self.samples
        number = int(np.searchsorted(self._shares, rng.random(), side="right"))
        portion = self.portions[min(number, len(self.portions) - 1)]
        temporal = samples.task == "temporal"
        resolution: Resolution = "coarse"
        if temporal:
            both: tuple[Resolution, ...] = ("coarse", "fine")
            resolution = (
                both[rng.integers(2)] if samples.resolution == "both" else samples.resolution
            )
        span = inner = 0
        if temporal:
            span = int(
                rng.integers(samples.span.shortest, min(samples.span.longest, portion.longest) + 1)
            )
            inner = int(rng.integers(1, span))
        starts = portion.starts(span)
        hour = int(starts[rng.integers(starts.size)])
        cells = cells_of(samples.crop, resolution)
        window, row, column = self._place(portion, cells, resolution, rng)
        turned = self.side == "train"
        return Draw(
            min(number, len(self.portions) - 1),
            hour,
            span,
            inner,
            resolution,
            row,
            column,
            cells,
            window,
            reverse=turned and temporal and samples.reversal and bool(rng.integers(2)),
            flip_rows=turned and samples.flips and bool(rng.integers(2)),
            flip_columns=turned and samples.flips and bool(rng.integers(2)),
            quarters=int(rng.integers(4)) if turned and samples.rot90 else 0,
        )

    def _place(
        self, portion: Portion, cells: int, resolution: Resolution, rng: np.random.Generator
    ) -> tuple[int, int, int]:
        """A window and the first row and column of a crop in it; every place has the same chance."""
        margin = reach(portion.store, self.samples, resolution)
        places = [window.places(cells + 2 * margin) for window in portion.windows]
        chances = np.array([rows * columns for rows, columns in places], float)
        number = int(rng.choice(len(places), p=chances / chances.sum()))
        window, (rows, columns) = portion.windows[number], places[number]
        row = window.row + margin + int(rng.integers(rows))
        column = window.column + margin + int(rng.integers(columns))
        grid = portion.store.coarse
        return number, row, column % grid.columns if grid.periodic else column

    def describe(self, i: int) -> str:
        """Sample ``i`` for people: store, hours, crop."""
        draw = self.draw(i)
        store = self.portions[draw.portion].store
        stamp = str(store.times[draw.hour])[:16]
        when = (
            f"{stamp} UTC + {draw.inner} of {draw.span} h, {draw.resolution}"
            if draw.span
            else f"{stamp} UTC"
        )
        grid = _crop_grid(store.coarse, draw.row, draw.column, draw.cells)
        extent = f"{grid.latitudes[-1]:g}..{grid.latitudes[0]:g} N, {grid.longitudes[0]:g}..{grid.longitudes[-1]:g} E"
        return f"sample {i}: {store.path}, {when}, {extent}"

    def values(self, i: int) -> Values:
        """Sample ``i`` in ug m-3."""
        draw = self.draw(i)
        found = self._temporal(draw) if self.samples.task == "temporal" else self._spatial(draw)

        def turned(array: np.ndarray) -> np.ndarray:
            array = array[..., ::-1, :] if draw.flip_rows else array
            array = array[..., ::-1] if draw.flip_columns else array
            return np.ascontiguousarray(np.rot90(array, draw.quarters, axes=(-2, -1)))

        extra = None if found.extra is None else turned(found.extra)
        return found._replace(known=turned(found.known), target=turned(found.target), extra=extra)

    def __getitem__(self, i: int) -> Any:
        """Sample ``i``, scaled and without the batch dimension; or what is wrong with its data (an error object).

        An error is returned, not raised: between processes only its class would survive.
        """
        try:
            return self.scaled(self.values(i))
        except DeepcamsError as error:
            return error

    def scaled(self, values: Values) -> TemporalSample | SpatialSample:
        """The sample that a network sees, without the batch dimension."""

        def scaled(array: np.ndarray) -> torch.Tensor:
            return self.scaling.forward(torch.from_numpy(array))

        if self.samples.task == "temporal":
            t = torch.tensor(values.t, dtype=torch.float32)
            given: list[Any] = [
                scaled(values.known).unsqueeze(1),
                t,
                scaled(values.target).unsqueeze(0),
            ]
            return TemporalSample(
                *given, *([] if values.extra is None else [scaled(values.extra).unsqueeze(1)])
            )
        return SpatialSample(scaled(values.known).unsqueeze(0), scaled(values.target).unsqueeze(0))

    def _temporal(self, draw: Draw) -> Values:
        portion = self.portions[draw.portion]
        size = self.samples.crop
        widely = (self.guide and not self._whole) or self.side == "validation"
        margins = self._flow_margins(draw, portion.windows[draw.window]) if widely else (0, 0, 0, 0)
        top, bottom, left, right = margins
        row, column = draw.row - top, draw.column - left
        rows, columns = draw.cells + top + bottom, draw.cells + left + right
        hours = draw.hour, draw.hour + draw.inner, draw.hour + draw.span
        before, target, after = (
            self._frame(portion, hour, row, column, rows, columns, draw.resolution)
            for hour in hours
        )
        t = draw.inner / draw.span
        if draw.reverse:
            before, after, t = after, before, 1 - t
        finer = FACTOR if draw.resolution == "fine" else 1
        up, along = top * finer, left * finer
        cut = np.s_[..., up : up + size, along : along + size]
        wide = _crop_grid(portion.store.coarse, row, column, rows, columns)
        if finer > 1:  # cell-like: begins one fine node before the first coarse one
            step = wide.step / finer
            wide = Grid(
                step, finer * wide.north - 1, finer * wide.west - 1, finer * rows, finer * columns
            )
        extra = None
        if self._whole:
            place = draw.hour, draw.span, draw.inner, draw.resolution, draw.row, draw.column, size
            extra = self._whole.read(portion.store, *place)
            extra = extra[::-1].copy() if draw.reverse else extra  # what was before is now after
        elif self.guide:
            extra = flow.initial_estimate(before, after, t, wide)[cut]
        grid = Grid(wide.step, wide.north + up, wide.west + along, size, size)
        both = np.stack([before, after])
        around = Surroundings(both, wide, *cut[1:]) if self.side == "validation" else None
        return Values(both[cut], t, target[cut], extra, grid, around)

    def _flow_margins(self, draw: Draw, window: Window) -> tuple[int, int, int, int]:
        """Cells above, below, left and right of the crop that its window has, up to what flow looks at."""
        cells = cells_of(FLOW_MARGIN, draw.resolution)
        above = draw.row - window.row
        below = window.row + window.rows - draw.row - draw.cells
        if window.closed:
            left = right = min(cells, (window.columns - draw.cells) // 2)
        else:
            columns = self.portions[draw.portion].store.coarse.columns
            before = (draw.column - window.column) % columns
            left, right = min(cells, before), min(cells, window.columns - before - draw.cells)
        return min(cells, above), min(cells, below), left, right

    def _frame(
        self,
        portion: Portion,
        hour: int,
        row: int,
        column: int,
        rows: int,
        columns: int,
        resolution: Resolution,
    ) -> np.ndarray:
        """One hour's crop, by the experiment's degradation where coarse."""
        store = portion.store
        if resolution == "fine" or store.degradation == self.samples.degradation:
            return store.read(hour, row, column, rows, columns, resolution)
        return self._degraded(portion, hour, row, column, rows, columns)[0]

    def _degraded(
        self, portion: Portion, hour: int, row: int, column: int, rows: int, columns: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coarse values by another degradation than the store's, and the fine ones, of the crop."""
        store = portion.store
        more = reach(store, self.samples, "coarse")
        around = row - more, column - more, rows + 2 * more, columns + 2 * more
        fine = store.read(hour, *around, "fine")
        grid = _crop_grid(store.coarse, *around)
        coarse = METHODS[self.samples.degradation](nodes_from_cells(fine, grid), grid)
        inner = np.s_[more : more + rows, more : more + columns]
        cut = FACTOR * more
        return coarse[inner], fine[cut : cut + FACTOR * rows, cut : cut + FACTOR * columns]

    def _spatial(self, draw: Draw) -> Values:
        portion = self.portions[draw.portion]
        store = portion.store
        where = draw.hour, draw.row, draw.column, draw.cells, draw.cells
        if store.degradation == self.samples.degradation:
            coarse, fine = store.read(*where, "coarse"), store.read(*where, "fine")
        else:
            coarse, fine = self._degraded(portion, *where)
        grid = _crop_grid(store.coarse, draw.row, draw.column, draw.cells)
        return Values(coarse, 1.0, fine, None, grid)


def _crop_grid(coarse: Grid, row: int, column: int, rows: int, columns: int | None = None) -> Grid:
    """The grid of a crop of coarse cells."""
    return Grid(
        coarse.step, coarse.north + row, coarse.west + column, rows, columns or rows
    ).canonical()
