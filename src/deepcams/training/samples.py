"""Samples and batches: sample ``i`` of a seed is always the same, in any process and at any time.

The random choices of a sample (:class:`Draw`) depend only on (seed, i); reading it needs the stores. Batch ``k`` holds
the samples from ``k * batch`` on. So any number of workers and processes, and a resumed training, get the same samples
in the same order.
"""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import Grid, nodes_from_cells
from deepcams.core.stages import staged
from deepcams.core.times import stamp
from deepcams.methods.joint.neural_joint import scaled_planes
from deepcams.methods.spatial.coarsen import METHODS
from deepcams.methods.temporal import flow
from deepcams.networks.base import (
    JointNetwork,
    JointSample,
    Network,
    SpatialSample,
    TemporalSample,
)
from deepcams.networks.scaling import Scaling
from deepcams.training.distributed import Ranks
from deepcams.training.frame_cache import EstimateCache, FlowCache
from deepcams.training.options import Samples
from deepcams.training.split import FACTORS, Portion, Window, cells_of, reach
from deepcams.training.store.hour_array import Resolution
from deepcams.training.store.open import Prepared

_STREAMS = {"train": 0, "validation": 1}
_ALONE = 0.15
"""Fraction of joint training samples without the frames before and after."""
FLOW_MARGIN = 24
"""Margin around a crop, within the region, that flow may use (as estimate or baseline), pixels."""


@dataclass(frozen=True)
class Draw:
    """The random choices of one sample.

    Attributes:
        portion: index of the portion.
        hour: first (or only) hour, an index of the store's times.
        span, inner: temporal: hours between the known frames, and from the first one to the target.
        resolution: resolution of a temporal sample.
        row, column, cells: first row, first column and edge of the crop, in coarse cells of the store.
        window: index of the portion's window that contains it.
        reverse, flip_rows, flip_columns, quarters: reversal, mirroring and rotation.
        magnitude: factor applied to the values.
        around: joint: the known frames, as multiples of ``span`` from ``hour``.
        alone: joint: whether the network gets only the hour's own estimate, without the frames around.
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
    magnitude: float = 1.0
    around: tuple[int, ...] = ()
    alone: bool = False

    @property
    def crop(self) -> Window:
        """The crop."""
        return Window(self.row, self.column, self.cells, self.cells)

    def turn_motion(self, motion: np.ndarray) -> np.ndarray:
        """Mirror and rotate a motion, (2, H, W): its positions and its directions."""
        x, y = motion
        x = -x if self.flip_columns else x
        y = -y if self.flip_rows else y
        for _ in range(self.quarters):
            x, y = y, -x
        return self.turn(np.stack([x, y]))

    def change(self, array: np.ndarray) -> np.ndarray:
        """Mirror, rotate and scale an array, (.., H, W)."""
        array = self.turn(array)
        return array if self.magnitude == 1 else array * np.float32(self.magnitude)

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Mirror and rotate an array, (.., H, W)."""
        if self.flip_rows:
            array = array[..., ::-1, :]
        if self.flip_columns:
            array = array[..., ::-1]
        return np.ascontiguousarray(np.rot90(array, self.quarters, axes=(-2, -1)))


class Surroundings(NamedTuple):
    """Both known frames (2, h, w) on a larger ``grid``, and the slices of the crop in them."""

    known: np.ndarray
    grid: Grid
    rows: slice
    columns: slice


class Values(NamedTuple):
    """A sample before scaling, ug m-3.

    Attributes:
        known: (2, H, W), the frames at t = 0 and 1; or (H, W), the coarse frame; or the planes of a joint sample.
        t: time of the target (1.0 for a spatial sample).
        target: (H, W); for a spatial sample (3H, 3W), cell-like.
        estimate: (G, H, W), the initial estimate, if the network needs it.
        grid: grid of ``known`` before mirroring and rotation.
        around: temporal: the known frames with a margin, for methods that use values beyond the crop.
        motion: (2, H, W), pixels, if the network is taught by flow.
    """

    known: np.ndarray
    t: float
    target: np.ndarray
    estimate: np.ndarray | None
    grid: Grid
    around: Surroundings | None = None
    motion: np.ndarray | None = None


class SampleSet(Dataset[Any]):
    """An infinite sequence of samples of one side of a split.

    Args:
        samples: definition of a sample.
        portions: portions of stores to draw from.
        scaling: scaling of the network.
        seed: random seed.
        side: "train", or "validation", which has no augmentation.
        network: network, which determines whether an initial estimate or a context is needed.
        cache: folder for the estimates and motions of whole frames, for joint samples or ``samples.flow`` "whole".
        taught: whether samples include the motion of flow.
    """

    def __init__(
        self,
        samples: Samples,
        portions: Sequence[Portion],
        scaling: Scaling,
        seed: int,
        side: str = "train",
        network: Network | None = None,
        cache: Path | None = None,
        taught: bool = False,
    ) -> None:
        self.samples, self.portions, self.scaling = samples, tuple(portions), scaling
        self.seed, self.side, self.taught = seed, side, taught
        self.method: str | None = getattr(network, "estimate_method", None)
        self.temporal = samples.task == "temporal"
        self.estimates: EstimateCache | None = None
        if cache and isinstance(network, JointNetwork):
            self.estimates = EstimateCache(cache, network.estimate, network.context)
        weights = np.array([portion.weight for portion in portions], float)
        self._shares = np.cumsum(weights / weights.sum())
        self._flows = self.method is not None or taught
        wanted = self._flows and samples.flow == "whole"
        self._cache = FlowCache(cache) if cache and wanted else None

    def draw(self, i: int) -> Draw:
        """Return the random choices of sample ``i``."""
        rng = np.random.default_rng([_STREAMS[self.side], self.seed, i])
        samples = self.samples
        number = int(np.searchsorted(self._shares, rng.random(), side="right"))
        number = min(number, len(self.portions) - 1)
        portion = self.portions[number]
        resolution: Resolution = "coarse"
        span = inner = 0
        if samples.task == "joint":
            return self._joint_draw(number, rng)
        if self.temporal:
            resolutions: list[Resolution] = ["coarse", "fine"]
            if samples.resolution != "both":
                resolution = samples.resolution
            else:
                resolution = resolutions[rng.integers(2)]
            longest = min(samples.span.longest, portion.longest - 1)
            span = int(rng.integers(samples.span.shortest, longest + 1))
            inner = int(rng.integers(1, span))
        starts = portion.starts(span)
        hour = int(starts[rng.integers(starts.size)])
        cells = cells_of(samples.crop, resolution)
        window, row, column = self._place(portion, cells, resolution, rng)
        drawn = Draw(number, hour, span, inner, resolution, row, column, cells, window)
        return self._changed(drawn, rng) if self.side == "train" else drawn

    def _joint_draw(self, number: int, rng: np.random.Generator) -> Draw:
        """Draw an hour at or after one of a run's frames, ``span`` hours apart from the run's first hour on."""
        portion, samples = self.portions[number], self.samples
        span = int(rng.integers(samples.span.shortest, samples.span.longest + 1))
        frames = [
            (first + k * span, k, (count - 1) // span)
            for first, count in portion.runs.tolist()
            for k in range((count - 1) // span + 1)
        ]
        hour, k, last = frames[rng.integers(len(frames))]
        inner = int(rng.integers(span)) if k < last else 0
        around = tuple(j for j in (-1, 0, 1, 2) if 0 <= k + j <= last)
        cells = cells_of(samples.crop, "fine")
        window, row, column = self._place(portion, cells, "fine", rng)
        drawn = Draw(number, hour, span, inner, "fine", row, column, cells, window)
        drawn = replace(drawn, around=around)
        if self.side != "train":
            return drawn
        alone = bool(rng.random() < _ALONE)
        return self._changed(replace(drawn, alone=alone), rng)

    def _place(
        self,
        portion: Portion,
        cells: int,
        resolution: Resolution,
        rng: np.random.Generator,
    ) -> tuple[int, int, int]:
        """Draw a window, and the first row and column of a crop in it, uniformly over all positions."""
        margin = reach(portion.store, self.samples, resolution)
        places = [window.places(cells + 2 * margin) for window in portion.windows]
        chances = np.array([rows * columns for rows, columns in places], float)
        number = int(rng.choice(len(places), p=chances / chances.sum()))
        window, (rows, columns) = portion.windows[number], places[number]
        row = window.row + margin + int(rng.integers(rows))
        column = window.column + margin + int(rng.integers(columns))
        grid = portion.store.coarse
        return number, row, column % grid.columns if grid.periodic else column

    def _changed(self, draw: Draw, rng: np.random.Generator) -> Draw:
        """Draw the augmentation of a sample: reversal, mirroring, rotation, and factor of the values."""
        samples = self.samples
        turned = replace(
            draw,
            reverse=samples.task != "spatial"
            and samples.reversal
            and bool(rng.integers(2)),
            flip_rows=samples.flips and bool(rng.integers(2)),
            flip_columns=samples.flips and bool(rng.integers(2)),
            quarters=int(rng.integers(4)) if samples.rot90 else 0,
        )
        lowest, highest = self.portions[draw.portion].magnitude
        if lowest == highest:
            return replace(turned, magnitude=lowest)
        logarithm = rng.uniform(math.log(lowest), math.log(highest))
        return replace(turned, magnitude=math.exp(logarithm))

    def describe(self, i: int) -> str:
        """Describe sample ``i`` for messages: store, hours, crop."""
        draw = self.draw(i)
        store = self.portions[draw.portion].store
        when = f"{stamp(store.times[draw.hour])} UTC"
        if draw.span:
            when += f" + {draw.inner} of {draw.span} h, {draw.resolution}"
        return f"sample {i}: {store.path}, {when}, {draw.crop.grid(store.coarse).describe()}"

    @staged("read")
    def values(self, i: int) -> Values:
        """Read sample ``i``, in ug m-3, with its augmentation applied."""
        draw = self.draw(i)
        if self.estimates:
            return self._joint(draw, self.estimates)
        found = self._temporal(draw) if self.temporal else self._spatial(draw)
        estimate = None if found.estimate is None else draw.change(found.estimate)
        motion = None if found.motion is None else draw.turn_motion(found.motion)
        return found._replace(
            motion=motion,
            known=draw.change(found.known),
            target=draw.change(found.target),
            estimate=estimate,
        )

    def __getitem__(self, i: int) -> Any:
        """Return sample ``i``, scaled and without the batch dimension, or the error raised when reading it.

        The error is returned, not raised, because only its class would be passed between processes.
        """
        try:
            return self.scaled(self.values(i))
        except DeepcamsError as error:
            return error

    def scaled(self, values: Values) -> TemporalSample | SpatialSample | JointSample:
        """Scale values to the network's input, without the batch dimension."""
        if self.estimates:
            planes = torch.from_numpy(values.known)
            return JointSample(
                scaled_planes(planes[None], self.scaling)[0],
                self._scale(values.target).unsqueeze(0),
            )
        known, target = (
            self._scale(values.known),
            self._scale(values.target).unsqueeze(0),
        )
        if not self.temporal:
            return SpatialSample(known.unsqueeze(0), target)
        t = torch.tensor(values.t, dtype=torch.float32)
        estimate = motion = None
        if values.estimate is not None:
            estimate = self._scale(values.estimate).unsqueeze(1)
        if values.motion is not None:
            motion = torch.from_numpy(values.motion)
        return TemporalSample(known.unsqueeze(1), t, target, estimate, motion)

    def _joint(self, draw: Draw, cache: EstimateCache) -> Values:
        store = self.portions[draw.portion].store
        planes = cache.read(store, draw)
        if draw.reverse:
            planes[1:3] = planes[2:0:-1].copy()
        target = draw.crop.read(store, draw.hour + draw.inner, "fine")
        known = np.concatenate([draw.change(planes[:3]), draw.turn(planes[3:])])
        grid = draw.crop.grid(store.coarse)
        return Values(known, draw.inner / draw.span, draw.change(target), None, grid)

    def _scale(self, array: np.ndarray) -> torch.Tensor:
        return self.scaling.forward(torch.from_numpy(array))

    def _temporal(self, draw: Draw) -> Values:
        portion, size = self.portions[draw.portion], self.samples.crop
        margins = (0, 0, 0, 0)
        if self.side == "validation" or (self._flows and not self._cache):
            margins = self._flow_margins(draw)
        wide = draw.crop.widened(*margins)
        hours = (draw.hour, draw.hour + draw.inner, draw.hour + draw.span)
        before, target, after = (
            self._read(portion.store, hour, wide, draw.resolution) for hour in hours
        )
        t = draw.inner / draw.span
        if draw.reverse:
            before, after, t = after, before, 1 - t
        factor = FACTORS[draw.resolution]
        top, left = factor * margins[0], factor * margins[2]
        rows, columns = slice(top, top + size), slice(left, left + size)
        grid = wide.grid(portion.store.coarse)
        if draw.resolution == "fine":
            grid = grid.fine_cells(factor)
        estimate = self._estimate(draw, before, after, t, grid, rows, columns)
        motion = self._motion(draw, before, after, grid, rows, columns)
        known = np.stack([before, after])
        inner = Grid(grid.step, grid.north + top, grid.west + left, size, size)
        around = Surroundings(known, grid, rows, columns)
        return Values(
            known[:, rows, columns],
            t,
            target[rows, columns],
            estimate,
            inner,
            around,
            motion,
        )

    def _estimate(
        self,
        draw: Draw,
        before: np.ndarray,
        after: np.ndarray,
        t: float,
        grid: Grid,
        *inside: slice,
    ) -> np.ndarray | None:
        if self.method is None:
            return None
        if self._cache is None:
            found = flow.initial_estimate(before, after, t, grid)
            return found[:, *inside]
        store = self.portions[draw.portion].store
        carried = self._cache.read(store, draw, self.samples.crop)
        return carried[::-1].copy() if draw.reverse else carried

    def _motion(
        self,
        draw: Draw,
        before: np.ndarray,
        after: np.ndarray,
        grid: Grid,
        *inside: slice,
    ) -> np.ndarray | None:
        if not self.taught:
            return None
        if self._cache is None:
            found = flow.motion_of(before, after, grid, flow.CROP_MARGIN)
            return found[:, *inside]
        store = self.portions[draw.portion].store
        motion = self._cache.motion(store, draw, self.samples.crop)
        return -motion if draw.reverse else motion

    def _flow_margins(self, draw: Draw) -> tuple[int, int, int, int]:
        """Return the margin of flow above, below, left and right of the crop, limited by its window, in cells."""
        portion = self.portions[draw.portion]
        window = portion.windows[draw.window]
        cells = cells_of(FLOW_MARGIN, draw.resolution)
        above = draw.row - window.row
        below = window.rows - above - draw.cells
        left = (draw.column - window.column) % portion.store.coarse.columns
        right = window.columns - left - draw.cells
        if window.closed:
            left = right = (window.columns - draw.cells) // 2
        return min(cells, above), min(cells, below), min(cells, left), min(cells, right)

    def _spatial(self, draw: Draw) -> Values:
        store, crop = self.portions[draw.portion].store, draw.crop
        coarse = self._read(store, draw.hour, crop, "coarse")
        fine = crop.read(store, draw.hour, "fine")
        return Values(coarse, 1.0, fine, None, crop.grid(store.coarse))

    def _read(
        self,
        store: Prepared,
        hour: int,
        cells: Window,
        resolution: Resolution,
    ) -> np.ndarray:
        """Read one hour's cells; coarse ones by the experiment's degradation."""
        if resolution == "fine" or store.degradation == self.samples.degradation:
            return cells.read(store, hour, resolution)
        margin = reach(store, self.samples, resolution)
        around = cells.widened(margin, margin, margin, margin)
        fine, grid = around.read(store, hour, "fine"), around.grid(store.coarse)
        coarse = METHODS[self.samples.degradation](nodes_from_cells(fine, grid), grid)
        return coarse[margin : margin + cells.rows, margin : margin + cells.columns]


def numbers(batch: int, ranks: Ranks, step: int) -> list[int]:
    """Return the indices of this process's samples in a step."""
    return list(ranks.slice(range(step * batch, (step + 1) * batch)))


def collate(items: Sequence[Any]) -> Any:
    """Stack samples field by field (None stays None), or return an error among them."""
    for item in items:
        if isinstance(item, DeepcamsError):
            return item
    fields = zip(*items, strict=True)
    return type(items[0])(
        *(None if part[0] is None else torch.stack(part) for part in fields)
    )


def load_batches(
    samples: SampleSet,
    batch: int,
    ranks: Ranks,
    step: int,
    workers: int,
) -> Iterator[Any]:
    """Yield this process's batches from a step on, indefinitely; an unreadable sample yields its error.

    Args:
        samples: samples.
        batch: batch size over all processes.
        ranks: processes.
        step: first step.
        workers: number of reading processes; they are spawned (not forked), because this process has threads.
    """
    yield from DataLoader(
        samples,
        batch_sampler=(numbers(batch, ranks, k) for k in itertools.count(step)),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=ranks.device.type == "cuda",
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_leave_stopping_to_parent,
        prefetch_factor=4 if workers else None,
    )


def _leave_stopping_to_parent(_: int) -> None:
    """Ignore Ctrl-C, which is sent to all processes of the terminal; the training process ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
