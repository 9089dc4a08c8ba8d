"""The simulation experiment: hide part of the truth, restore it with methods, and score them.

The truth is processed in blocks of a few hours, so that a year needs no more memory than a day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, choose, notice
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTOR, Grid
from deepcams.core.period import Period
from deepcams.core.stages import stage
from deepcams.core.times import HOUR, stamp
from deepcams.core.values import load_values
from deepcams.evaluation.candidates import (
    CORRECT_BASELINE,
    Conserve,
    Method,
    Orders,
    Task,
    expand,
    make,
    make_all,
)
from deepcams.evaluation.diagnostics import diagnostics
from deepcams.evaluation.diagnostics.base import (
    SPAN,
    THRESHOLDS,
    Block,
    Diagnostic,
    Setting,
)
from deepcams.evaluation.frames import Table, extreme_threshold, score_sample
from deepcams.evaluation.tables import Row, defined
from deepcams.methods.base import Kind, TemporalDownscaler
from deepcams.methods.chains import check_factor
from deepcams.methods.spatial.coarsen import Degradation, coarsen
from deepcams.workers import ThisProcess, Work, Workers

Box = tuple[float, float, float, float]
Resolution = Literal["fine", "coarse"]
Weighting = Literal["plain", "area"]

MARGIN = 12.0
"""Default margin around a box that methods see but that is not scored, degrees."""


@dataclass(frozen=True)
class Experiment:
    """Settings of an experiment: what is hidden, and how methods are scored.

    Attributes:
        task: ``temporal``: the first of each 3 hours is kept and the two others are predicted. ``spatial``: each hour
            is coarsened and refined again. ``joint``: the first of each 3 hours is kept, coarsened, and the two others
            are predicted at the fine resolution.
        degradation: how fine fields are coarsened (:mod:`deepcams.methods.spatial.coarsen`).
        resolution: grid of the temporal task: the truth's own grid (``fine``), or the coarsened one (``coarse``).
        bbox: box of the scored nodes, W S E N in degrees; ``None`` for all.
        margin: margin around the box that methods may see, where data exist, degrees; 0 cuts at the box.
        weighting: ``plain`` (equal weights, as in the paper) or ``area``.
        clip: upper bound applied to both truth and method, ug m-3; ``None`` for no clipping.
        block: approximate number of frames in memory at once, not counting the two around them.
        thresholds: event thresholds, ug m-3, increasing.
        keep_every: in temporal tasks every so many frames one is kept and the others are predicted, whatever the
            truth's time step: with 2, a 3-hourly record can be the truth. Default: the first of each 3 hours.
        factor: fine nodes per coarse node, 3 or 5.
    """

    task: Task = "temporal"
    degradation: Degradation = "area"
    resolution: Resolution = "fine"
    bbox: Box | None = None
    margin: float = MARGIN
    weighting: Weighting = "plain"
    clip: float | None = None
    block: int = 12
    thresholds: tuple[float, ...] = THRESHOLDS
    keep_every: int | None = None
    factor: int = FACTOR

    def __post_init__(self) -> None:
        choose("--task", self.task, get_args(Task))
        choose("--degrade", self.degradation, get_args(Degradation))
        choose("--resolution", self.resolution, get_args(Resolution))
        choose("--weighting", self.weighting, get_args(Weighting))
        if self.clip is not None and not self.clip > 0:
            raise InputError("--clip", "a positive concentration in ug m-3", self.clip)
        if not 0 <= self.margin < 360:
            raise InputError("--margin", "0 to 360 degrees", self.margin)
        if self.block < 1:
            raise InputError("block", "at least 1 frame", self.block)
        if self.keep_every is not None and self.keep_every < 2:
            raise InputError("--keep-every", "2 frames or more", self.keep_every)
        if self.keep_every is not None and not self.in_time:
            do = "leave the option out"
            raise InputError("--keep-every", "a task in time", self.task, do)
        rising = all(a < b for a, b in pairwise((0.0, *self.thresholds)))
        if not (self.thresholds and rising and math.isfinite(self.thresholds[-1])):
            raise InputError(
                "--thresholds",
                "positive concentrations in ug m-3, each above the one before",
                ",".join(f"{each:g}" for each in self.thresholds) or "none",
            )
        if self.resolution == "coarse" and self.task != "temporal":
            raise InputError(
                "--resolution coarse",
                "the task temporal",
                self.task,
                "leave the option out",
            )
        check_factor(self.factor)
        if self.factor != FACTOR and not self.degraded:
            expected = "a task in space, or --resolution coarse"
            raise InputError("--factor", expected, self.task, "leave the option out")

    @property
    def in_time(self) -> bool:
        """Whether methods see only the kept frames."""
        return self.task != "spatial"

    @property
    def span(self) -> int:
        """Number of frames from one kept frame to the next."""
        return self.keep_every or SPAN

    def cadence(self, times: np.ndarray) -> np.timedelta64:
        """Return the time step of the truth in temporal tasks: an hour, or with ``keep_every`` the truth's own."""
        if self.keep_every is None or times.size < 2:
            return HOUR
        return np.diff(times).min()

    @property
    def degraded(self) -> bool:
        """Whether methods see coarse values."""
        return self.task != "temporal" or self.resolution == "coarse"

    def scored(self, grid: Grid) -> tuple[Grid, slice, np.ndarray]:
        """Return the scored part of a grid, with its rows and columns."""
        if self.bbox is None:
            return grid, slice(0, grid.rows), np.arange(grid.columns)
        return grid.select(self.bbox, "--bbox")

    def diagnostics(self, grid: Grid) -> list[Diagnostic]:
        """Return the diagnostics for the scored part of a grid."""
        part = self.scored(grid)[0]
        weights = part.row_areas[:, None] if self.weighting == "area" else None
        return diagnostics(
            Setting(
                part, self.in_time, weights, self.thresholds, self.span, self.factor
            )
        )


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Parse thresholds: numbers separated by commas.

    Raises:
        InputError: a threshold is not a number.
    """
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError as error:
        expected = "numbers with commas between, ug m-3"
        raise InputError("--thresholds", expected, repr(text)) from error


@dataclass(frozen=True)
class Result:
    """Scores and kinds of all methods.

    Attributes:
        experiment: settings of the experiment.
        table: scores by method and month.
        kinds: kind by method, in the requested order.
        baseline: baseline of the skill scores (may not be in ``kinds``).
        truth: one phrase on the truth: grid and times.
        scored: one phrase on the scored nodes.
        figures: figures of the diagnostics by method and key; NaN where undefined.
        details: rows by diagnostic, each with its method; undefined figures are ``None``.
        gaps: one phrase per diagnostic that is undefined or incomplete.
        cadence: time step of the truth in temporal tasks, hours.
    """

    experiment: Experiment
    table: Table
    kinds: dict[str, Kind]
    baseline: str
    truth: str
    scored: str
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    details: Mapping[str, list[Row]] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
    cadence: float = 1.0


def _cut(truth: xr.DataArray, bbox: Box) -> xr.DataArray:
    grid, rows, columns = grid_of(truth).select(bbox, "--bbox")
    part = truth.isel(latitude=rows, longitude=columns)
    return field_like(truth, part.data, grid)


def _with_margin(bbox: Box, margin: float) -> Box:
    west, south, east, north = bbox
    width = (east - west) % 360 or 360.0
    south, north = max(south - margin, -90.0), min(north + margin, 90.0)
    if width + 2 * margin >= 360:
        return 0.0, south, 360.0, north
    return (
        (west - margin + 180) % 360 - 180,
        south,
        (east + margin + 180) % 360 - 180,
        north,
    )


def what_methods_see(truth: xr.DataArray, experiment: Experiment) -> xr.DataArray:
    """Return the part of the truth that methods may see: the box and its margin, in whole cells if coarsened.

    Raises:
        InputError: the box contains no node, or no whole cell.
    """
    inside = experiment.scored(grid_of(truth))[0].shape
    if experiment.bbox is not None:
        try:
            truth = _cut(truth, _with_margin(experiment.bbox, experiment.margin))
        except InputError:  # with its margin the box may touch both ends of a region
            truth = _cut(truth, experiment.bbox)
    if not experiment.degraded:
        return truth
    factor = experiment.factor
    coarse, rows, columns = grid_of(truth).whole_cells(factor)
    seen = field_like(
        truth, truth.isel(latitude=rows, longitude=columns).data, coarse.refine(factor)
    )
    scored = experiment.scored(grid_of(seen))[0]
    if scored.shape != inside:
        notice(
            f"{inside[0] - scored.rows} rows and {inside[1] - scored.columns} columns at the edges make no whole "
            f"{factor} x {factor} cell and are not scored"
        )
    return seen


def blocks(times: np.ndarray, experiment: Experiment) -> list[slice]:
    """Return the blocks of frames that are processed together.

    In temporal tasks a block begins and ends with a kept frame; the first frame after each gap in the record is kept,
    and then every :attr:`Experiment.span`-th. Frames after the last kept frame of a run are not predicted.

    Raises:
        InputError: the record has too few consecutive frames for the task (four by default).
    """
    span, block = experiment.span, experiment.block
    if not experiment.in_time:
        return [
            slice(first, min(first + block, times.size))
            for first in range(0, times.size, block)
        ]
    found, start, left_out = [], 0, 0
    cadence = experiment.cadence(times)
    unit = "hours" if cadence == HOUR else "frames"
    block = -(-block // span) * span
    ends = [*(np.flatnonzero(np.diff(times) != cadence) + 1), times.size]
    for end in ends:
        last = start + (end - 1 - start) // span * span
        left_out += end - 1 - last
        found += [
            slice(first, min(first + block, last) + 1)
            for first in range(start, last, block)
        ]
        start = end
    if not found:
        raise InputError(
            "truth",
            f"at least {span + 1} consecutive {unit}",
            f"{times.size} times, none of them",
            "give hourly files, or frames of another cadence with --keep-every 2, or use --task spatial",
        )
    if left_out:
        notice(
            f"{left_out} {unit} at the ends of consecutive runs lie between no two kept frames and are not scored"
        )
    return found


def with_frames_around(
    times: np.ndarray, block: slice, experiment: Experiment
) -> np.ndarray:
    """Return the indices of a block's frames and, where the record has them, the kept frames before and after it."""
    inside = np.arange(block.start, block.stop)
    if not experiment.in_time:
        return inside
    span = experiment.span
    step = span * experiment.cadence(times)
    around = [
        at
        for at, edge in ((inside[0] - span, inside[0]), (inside[-1] + span, inside[-1]))
        if 0 <= at < times.size and abs(times[at] - times[edge]) == step
    ]
    return np.sort([*inside, *around])


def _results(
    source: xr.DataArray, methods: Sequence[Method], times: np.ndarray
) -> Iterator[tuple[Method, xr.DataArray]]:
    """Yield each method's result for the source; chains that begin with the same part share its result."""
    waiting = list(methods)
    while waiting:
        first, part = waiting[0].parts[0]
        begun = part.downscale(source, times)
        for method in [each for each in waiting if each.parts[0][0] == first]:
            result = begun
            for _, part in method.parts[1:]:
                result = part.downscale(result, times)
            yield method, result
            waiting.remove(method)


def score_block(
    seen: xr.DataArray,
    methods: Sequence[Method],
    experiment: Experiment,
    inside: slice = slice(None),
) -> Table:
    """Score methods on a block of frames in memory.

    Args:
        seen: truth that methods may see: one of :func:`blocks`, and in temporal tasks the kept frames around it.
        methods: methods to score.
        experiment: settings of the experiment.
        inside: slice of the block's frames in ``seen``.
    """
    coarse = seen
    if experiment.degraded:
        coarse = coarsen(seen, experiment.degradation, experiment.factor)
    target = (coarse if experiment.resolution == "coarse" else seen).isel(time=inside)
    kept = np.ones(seen.sizes["time"], bool)
    if experiment.in_time:
        kept[inside] = np.arange(target.sizes["time"]) % experiment.span == 0
    source = coarse.isel(time=np.flatnonzero(kept))
    grid = grid_of(target)
    _, rows, columns = experiment.scored(grid)
    true = np.asarray(target.data)[:, rows][:, :, columns]
    compared = experiment.diagnostics(grid)
    setting = compared[0].setting
    clip = experiment.clip
    clipped = true if clip is None else np.minimum(true, np.float32(clip))
    block = Block(setting, clipped, target.time.values)
    thresholds = {i: extreme_threshold(true[i]) for i in block.scored}
    months = target.time.values.astype("datetime64[M]").astype(str)
    table = Table()
    for method, result in _results(source, methods, target.time.values):
        if grid_of(result) != grid or not np.array_equal(
            result.time.values, target.time.values
        ):
            raise InputError(
                method.name,
                f"a result on {grid.describe()}, hourly",
                grid_of(result).describe(),
            )
        made = np.asarray(result.data)[:, rows][:, :, columns]
        for i in block.scored:
            scores = score_sample(
                true[i], made[i], setting.weights, clip=clip, threshold=thresholds[i]
            )
            table += Table({(method.name, str(months[i])): scores})
        if clip is not None:
            made = np.minimum(made, np.float32(clip))
        sums = {(method.name, each.name): each.sums(block, made) for each in compared}
        table += Table(sums=sums)
    return table


class Scoring(Work[slice, Table, Table]):
    """The scoring of blocks, for workers.

    Args:
        truth: canonical field, lazy.
        methods, experiment: see :func:`score_block`.
    """

    def __init__(
        self, truth: xr.DataArray, methods: Sequence[Method], experiment: Experiment
    ) -> None:
        self.truth, self.methods, self.experiment = truth, methods, experiment

    def compute(self, item: slice) -> Table:
        """Read a block's frames and score the methods on them."""
        frames = with_frames_around(self.truth.time.values, item, self.experiment)
        part = self.truth.isel(time=frames)
        values, _ = load_values(part, "truth")
        field = field_like(part, values, grid_of(part))
        first = int(frames[0] < item.start)
        inside = slice(first, first + item.stop - item.start)
        with stage("score"):
            return score_block(field, self.methods, self.experiment, inside)


def evaluate(
    truth: xr.DataArray,
    experiment: Experiment,
    methods: Sequence[str] | None = None,
    *,
    order: Orders = "both",
    conserve: Conserve = "as-named",
    variable: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
) -> Result:
    """Score methods against a known truth.

    Args:
        truth: canonical fine field; hourly for temporal tasks, unless ``keep_every`` is given. Lazy fields are read
            block by block.
        experiment: task and scoring.
        methods: names (see :mod:`deepcams.evaluation.candidates`); ``None`` for all that fit the task.
        order, conserve: expansion of names (see :func:`deepcams.evaluation.candidates.expand`).
        variable: variable of the truth, compared with that of each network; ``None``: not compared.
        progress: callback, called with the number of blocks done and in total.
        workers: workers that score the blocks; ``None``: this process. Scores are bit-identical.

    Raises:
        InputError: the truth does not fit the task, or a name is unknown.
    """
    task = experiment.task
    factor = experiment.factor if task != "temporal" else FACTOR
    chosen_names = expand(methods, task, order=order, conserve=conserve, factor=factor)
    # Check the truth before loading any checkpoint.
    seen = what_methods_see(truth, experiment)
    plan = blocks(seen.time.values, experiment)
    cadence = experiment.cadence(seen.time.values)
    chosen = make_all(
        chosen_names, asked_for=methods is not None, factor=factor, variable=variable
    )
    names = {method.name: method.kind for method in chosen}
    baseline = CORRECT_BASELINE[task]
    working = chosen if baseline in names else [make(baseline, factor=factor), *chosen]
    for method in working:
        for _, part in method.parts:
            if isinstance(part, TemporalDownscaler):
                part.max_gap = experiment.span * cadence
    table = Table()
    if progress:
        progress(0, len(plan))
    work = Scoring(seen, working, experiment)
    with closing((workers or ThisProcess()).map(work, plan)) as results:
        for done, (_, scores) in enumerate(results, 1):
            table += scores
            if progress:
                progress(done, len(plan))
    if not any(scores.samples for scores in table.scores.values()):
        raise InputError(
            "truth",
            "values to score",
            "only missing ones",
            "check the files, --period and --bbox",
        )
    grid = grid_of(seen)
    where = f"{grid.describe()}; {seen.sizes['time']} frames, {_span(seen)} UTC"
    if experiment.resolution == "coarse":
        grid = grid.whole_cells(experiment.factor)[0]
    scored = experiment.scored(grid)[0].describe()
    compared = experiment.diagnostics(grid)
    methods_and_baseline = list(dict.fromkeys([baseline, *names]))
    return Result(
        experiment,
        table,
        names,
        baseline,
        where,
        scored,
        *diagnosed(table, compared, methods_and_baseline),
        cadence=float(cadence / HOUR),
    )


def diagnosed(
    table: Table, compared: Sequence[Diagnostic], methods: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, list[Row]], tuple[str, ...]]:
    """Compute ``figures``, ``details`` and ``gaps`` of a :class:`Result` from the sums of diagnostics."""
    figures: dict[str, dict[str, float]] = {method: {} for method in methods}
    details: dict[str, list[Row]] = {each.name: [] for each in compared}
    gaps = []
    for each in compared:
        for method in methods:
            sums = table.sums[method, each.name]
            figures[method] |= each.figures(sums)
            rows = [{"method": method, **row} for row in each.table(sums)]
            details[each.name] += [defined(row) for row in rows]
            gaps.append(each.gap(sums))
    return figures, details, tuple(gap for gap in dict.fromkeys(gaps) if gap)


def _span(field: xr.DataArray) -> str:
    times = field.time.values
    return f"{stamp(times[0])} to {stamp(times[-1])}"


def open_truth(
    paths: Sequence[str | Path], period: str | None = None, variable: str | None = None
) -> xr.DataArray:
    """Open files as one canonical field, lazily.

    Args:
        paths: files, folders or globs, of any source that deepcams opens.
        period: times to use (:meth:`deepcams.core.period.Period.parse`).
        variable: variable to read; ``None``: PM2.5.

    Raises:
        InputError: the paths cannot be opened, or no time lies in the period.
    """
    from deepcams.readers.open import find_field_files, open_files

    field = open_files(find_field_files(list(paths)), variable, with_dask=False)
    if period is None:
        return field
    chosen = Period.parse(period, "--period")
    inside = chosen.contains(field.time.values)
    if not inside.any():
        expected = f"times of the truth, {_span(field)}"
        raise InputError("--period", expected, chosen, "choose a period within them")
    return field.isel(time=np.flatnonzero(inside))
