"""The run that writes: planned, checked, laid out, filled item by item, and gone on with after any interruption."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core import text as amounts
from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import as_field, tell_counts
from deepcams.core.period import Period
from deepcams.downscaling.fingerprints import Fingerprints
from deepcams.downscaling.output_identity import global_attributes, identity, keep_apart
from deepcams.downscaling.plan import Plan, compute_hours, count_frames, examine, plan_work
from deepcams.files.atomic import os_errors_explained
from deepcams.files.flock import alone
from deepcams.methods import build
from deepcams.methods.base import ANALYSIS, hour_status
from deepcams.methods.chains import BEST, NONE, TRAINING_FREE, Order
from deepcams.readers.frames import Frames
from deepcams.writers import BitRound, Item, Layout, Record, Target, differences, open_target
from deepcams.writers.layout import Split

Progress = Callable[[str, int, int], None]
"""Called with what is being done (``downscale`` or ``write``), hours done, and hours in all."""


@dataclass(frozen=True)
class Summary:
    """What a run has done.

    Attributes:
        path: where the output is.
        total: the merged records of all items: hours by status, counts, missing cells, maximum.
        hours: hours in the output.
        computed: hours that this run computed (the others were there).
        seconds: how long it took.
        bytes: size on disk.
    """

    path: Path
    total: Record
    hours: int
    computed: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a run would do.

    Attributes:
        hours: output hours.
        missing: how many of them lie in gaps.
        rows, columns, step: output grid, nodes and degrees.
        bytes: size on disk, from the compression of the first item's values.
        raw: size uncompressed.
        seconds: time, from computing and compressing the first item.
        free: free bytes where the output would go.
    """

    hours: int
    missing: int
    rows: int
    columns: int
    step: float
    bytes: int
    raw: int
    seconds: float
    free: int


@dataclass
class Job:
    """A planned run; nothing has been written. See :func:`prepare`."""

    plan: Plan
    target: Target
    layout: Layout
    identity: dict[str, Any]
    rounding: BitRound
    where: str
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.frames = Frames(self.plan.field)
        self._fingerprints = Fingerprints(self.plan, self.frames)

    def estimate(self) -> Estimate:
        """Compute the first item that has data and tell what the whole would take; nothing is written."""
        self._check_folder()
        self._existing()
        item = next(
            (item for item in self.plan.items if self.plan.frames(item).size), self.plan.items[0]
        )
        start = time.perf_counter()
        values, _, _ = self._compute(item)
        size = self.target.measure(self.layout, values)
        seconds = time.perf_counter() - start
        missing = sum(i.hours - self._known(i) for i in self.plan.items)
        scale = (self.plan.times.size - missing) / item.hours
        rows, columns = self.plan.crop.grid.shape
        raw = self.plan.times.size * rows * columns * 4
        free = shutil.disk_usage(_folder(self.target.path)).free
        step = self.plan.crop.grid.step
        return Estimate(
            self.plan.times.size,
            missing,
            rows,
            columns,
            step,
            int(size * scale),
            raw,
            seconds * scale,
            free,
        )

    def run(self, progress: Progress | None = None) -> Summary:
        """Write what is missing.

        Raises:
            InputError: bad values in the input.
            OutputError: the output exists with other contents or settings, another process writes to it, or it cannot
                be written.
        """
        self._check_folder()
        with alone(self.target.lock, self.target.path):
            return self._run(progress)

    def _run(self, progress: Progress | None) -> Summary:
        """:meth:`run`, while no other process does."""
        began = time.perf_counter()
        there = self._existing()
        plan, target = self.plan, self.target
        self._fingerprints.scan(self.where)
        with os_errors_explained(target.path):
            if there:
                target.resume(self.layout, plan.items)
            else:
                self._check_space()
                target.create(self.layout, plan.items, self.identity)
        try:
            computed = self._fill(progress)
            with os_errors_explained(target.path):
                target.finish(
                    lambda hours: progress("write", hours, plan.times.size) if progress else None
                )
        except Exception:
            if not there and not any(target.record(item) for item in plan.items):
                target.discard()
            raise
        total = target.total(plan.items)
        if total is None:
            raise OutputError(
                f"{target.path}: items have gone missing while the run went on; run it again"
            )
        if not any(total.hours[1:]):
            target.discard()
            raise InputError(self.where, "values", "missing ones and no other")
        tell_counts(total.counts)
        seconds = time.perf_counter() - began
        return Summary(target.path, total, plan.times.size, computed, seconds, target.size())

    def _check_folder(self) -> None:
        path = self.target.path
        if not path.parent.is_dir():
            raise OutputError(f"{path}: the folder {path.parent} does not exist; create it first")

    def _existing(self) -> bool:
        """Whether to go on with what is there; raises if it may not be touched."""
        path = self.target.path
        if not self.target.exists() or self.overwrite:
            return False
        found = self.target.identity()
        if found is None:
            raise OutputError(
                f"{path} exists and is no output of this command; choose another name or use --overwrite"
            )
        changed = differences(found, self.identity)
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise OutputError(
                f"{path} exists with other settings or inputs: {'; '.join(changed[:3])}{more}; "
                "choose another name, or replace it with --overwrite"
            )
        return True

    def _check_space(self) -> None:
        """Stop before the start where the disk cannot hold the estimate: one frame, refined and compressed.

        Networks are slow, and their frames compress like those of the default method, which stands in for them.
        """
        chain = self.plan.chain
        if chain.weights:
            chain = build(NONE, TRAINING_FREE["spatial"] if chain.factor > 1 else NONE)
        item = next((item for item in self.plan.items if self.plan.own(item).size), None)
        if item is None:
            return
        frame = self.plan.own(item)[:1]
        times = self.plan.field.time.values[frame]
        values = compute_hours(self.frames.read(frame), chain, times, self.plan.crop)
        size = self.target.measure(self.layout, self.rounding(values)) * sum(
            map(self._known, self.plan.items)
        )
        free = shutil.disk_usage(_folder(self.target.path)).free
        if size > free:
            raise OutputError(
                f"{self.target.path}: expected about {amounts.size(size)} of free space, found {amounts.size(free)}; "
                "free some, choose another disk, a --bbox or a --period"
            )

    def _known(self, item: Item) -> int:
        """Hours of an item that are not in a gap."""
        hours = self.plan.times[item.start : item.stop]
        return int(np.count_nonzero(hour_status(self.plan.field.time.values, hours)))

    def _compute(self, item: Item) -> tuple[np.ndarray, np.ndarray, Record]:
        plan, hours = self.plan, self.plan.times[item.start : item.stop]
        frames = plan.frames(item)
        piece = self.frames.read(frames)
        code = self._fingerprints.of(frames, piece)
        counts = count_frames(piece, np.flatnonzero(np.isin(frames, plan.own(item))), plan)
        values = compute_hours(piece, plan.chain, hours, plan.crop)
        facts = examine(values, plan.field.time.values, hours)
        if plan.chain.clips_fine:  # what a network in time was given are the fine analysis hours
            clipped = int((values[facts.status == ANALYSIS] > plan.chain.clip_above).sum())
            counts = replace(counts, clipped=clipped)
        self.rounding(values)
        by_status = np.bincount(facts.status, minlength=3)
        record = Record(
            code,
            (int(by_status[0]), int(by_status[1]), int(by_status[2])),
            counts,
            facts.missing_cells,
            facts.largest,
        )
        return values, facts.status, record

    def _fill(self, progress: Progress | None) -> int:
        """Compute and write the unfinished items; writing one goes on while the next is computed."""
        todo = self._fingerprints.unfinished(self.target)
        total, hours = self.plan.times.size, sum(item.hours for item in todo)
        done = total - hours
        if progress is not None:
            progress("downscale", done, total)
        writing: Future[None] | None = None
        with ThreadPoolExecutor(1, "deepcams-write") as pool:
            for item in todo:
                values, status, record = self._compute(item)
                with os_errors_explained(self.target.path):
                    if writing is not None:
                        writing.result()
                    writing = pool.submit(self.target.write, item, values, status, record)
                del values
                done += item.hours
                if progress is not None:
                    progress("downscale", done, total)
            with os_errors_explained(self.target.path):
                if writing is not None:
                    writing.result()
        return hours


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def prepare(
    field: xr.DataArray,
    out: str | Path,
    *,
    temporal: str = BEST,
    spatial: str = BEST,
    conserve: bool = True,
    order: Order = "spatial-first",
    bbox: Sequence[float] | None = None,
    period: Period | str | None = None,
    rounding: float = 0.001,
    split: Split | None = None,
    overwrite: bool = False,
    inputs: Sequence[str | Path] = (),
    command: str = "deepcams.downscale_to",
    **options: Any,
) -> Job:
    """Plan a run without touching anything.

    Args:
        field: canonical input, lazy.
        out: a name ending in ``.zarr`` or ``.nc``, or a folder.
        temporal, spatial, conserve, order, bbox, period, options: see :func:`deepcams.downscale`.
        rounding: bound on the relative error of bit-rounding; 0 turns it off.
        split: one netCDF a ``day`` or a ``month`` (the default) in a folder.
        overwrite: replace an output with other contents.
        inputs: the files that ``field`` was opened from, for provenance and reruns.
        command: what was called, for the history.

    Raises:
        InputError: an argument or the field is not what was expected.
    """
    field = as_field(field)
    keep_apart(Path(out), [Path(p) for p in inputs])
    chain = build(
        temporal,
        spatial,
        conserve=conserve,
        order=order,
        **{"variable": str(field.name), **options},
    )
    target = open_target(out, split)
    bits = BitRound(rounding)
    period = Period.parse(period, "--period") if isinstance(period, str) else period
    plan = plan_work(field, chain, bbox=bbox, period=period, split=target.split)
    form = (
        target.path.suffix.lstrip(".") if target.split is None else f"one netCDF a {target.split}"
    )
    run = identity(plan, form, bits, inputs)
    layout = Layout(
        str(plan.field.name),
        plan.times,
        plan.crop.grid,
        plan.field.attrs,
        global_attributes(plan, run, command),
        bits,
        plan.half_width,
    )
    where = (
        ", ".join(Path(p).name for p in inputs[:2]) + (", .." if len(inputs) > 2 else "") or "input"
    )
    return Job(plan, target, layout, run, bits, where, overwrite)


def downscale_to(
    field: xr.DataArray, out: str | Path, *, progress: Progress | None = None, **settings: Any
) -> Summary:
    """Downscale a field and write the result; what an earlier, interrupted run has written is kept.

    Args:
        field: canonical input, lazy.
        out: a name ending in ``.zarr`` or ``.nc``, or a folder.
        progress: called after each work item.
        settings: see :func:`prepare`.

    Raises:
        InputError, OutputError: see :func:`prepare` and :meth:`Job.run`.
    """
    return prepare(field, out, **settings).run(progress)
