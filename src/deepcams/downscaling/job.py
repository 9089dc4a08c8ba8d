"""Runs that write output: planned, checked, laid out, filled item by item, and resumable."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.grid import Grid
from deepcams.core.machine import peak_memory
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import AIR_DENSITY
from deepcams.core.stages import staged
from deepcams.core.times import MEAN_STAMP, stamp
from deepcams.core.url import Place, Url, place_of
from deepcams.core.values import tell_counts
from deepcams.downscaling.inputs import Inputs
from deepcams.downscaling.memory import keep_memory
from deepcams.downscaling.output_identity import (
    check_existing,
    check_folder,
    check_space,
    free_bytes,
    global_attributes,
    identify,
    keep_apart,
)
from deepcams.downscaling.plan import (
    Plan,
    compute_hours,
    count_frames,
    examine,
    plan_field,
)
from deepcams.files.atomic import os_errors_explained
from deepcams.files.lock import held_parts, locked, part_lock
from deepcams.files.records import Record
from deepcams.methods import build
from deepcams.methods.base import ANALYSIS, hour_status
from deepcams.methods.chains import NONE, TRAINING_FREE
from deepcams.readers import SOURCE
from deepcams.workers import Part, ThisProcess, Work, Workers, open_workers
from deepcams.writers import (
    BitRound,
    Contents,
    Item,
    Layout,
    Split,
    Target,
    open_target,
    split_hours,
)
from deepcams.writers.layout import status_attributes
from deepcams.writers.target import AGAIN, REQUEST, merge_records

WAIT_FOR_PARTS = 120.0
"""Timeout, seconds, while another part lays out the output, or until the lock of a killed one is stale."""


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        path: path or URL of the output.
        total: hours by status, counts, missing cells and maximum of the whole output, or of this part while others
            are unfinished.
        hours: number of hours that ``total`` covers.
        computed: number of hours computed by this run (the others were finished before).
        seconds: duration of the run.
        bytes: size on disk.
        left: number of unfinished hours of other parts.
    """

    path: Place
    total: Contents
    hours: int
    computed: int
    seconds: float
    bytes: int
    left: int = 0


@dataclass(frozen=True)
class Estimate:
    """The expected result of a run.

    Attributes:
        hours: number of output hours.
        missing: number of these hours in gaps.
        grid: output grid.
        bytes: size on disk, estimated from the compression of the first item.
        raw: uncompressed size, bytes.
        seconds: duration, estimated from computing and compressing the first item.
        memory: peak resident memory of the process, bytes: the peak so far plus one item that is written while the
            next is computed.
        free: free bytes on the output's disk; ``None`` in an object store.
    """

    hours: int
    missing: int
    grid: Grid
    bytes: int
    raw: int
    seconds: float
    memory: int
    free: int | None


@dataclass
class Job:
    """A planned run; nothing has been written. See :func:`plan_job`.

    Attributes:
        plan: plan of the work.
        target: the output.
        layout: structure of the output.
        identity: everything that determines the output.
        where: name of the input in messages.
        overwrite: whether to replace an output with other contents.
        request: inputs and settings, to plan the run again.
        again: reasons for recomputing finished items, by item name.
    """

    plan: Plan
    target: Target
    layout: Layout
    identity: dict[str, Any]
    where: str
    overwrite: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.plan, self.where)

    def estimate(self) -> Estimate:
        """Compute the first item that has data and extrapolate from it; nothing is written."""
        check_folder(self.target.path)
        check_existing(self.target, self.identity, self.overwrite)
        with_data = (item for item in self.plan.items if self.plan.frames(item).size)
        item = next(with_data, self.plan.items[0])
        start = time.perf_counter()
        values, _, _ = self.compute(item)
        size = self.target.measure(self.layout, values)
        seconds = time.perf_counter() - start
        hours = self.plan.times.size
        known = sum(map(self._known, self.plan.items))
        scale = known / item.hours
        grid = self.plan.crop.grid
        return Estimate(
            hours=hours,
            missing=hours - known,
            grid=grid,
            bytes=int(size * scale),
            raw=hours * grid.rows * grid.columns * 4,
            seconds=seconds * scale,
            memory=peak_memory() + (values.nbytes if len(self.plan.items) > 1 else 0),
            free=free_bytes(self.target.path),
        )

    def run(
        self,
        progress: Progress = no_progress,
        workers: Workers | None = None,
        part: Part | None = None,
    ) -> Summary:
        """Write what is missing.

        Args:
            progress: called with the stages ``downscale`` and ``write``, in hours.
            workers: workers that compute and write the items; ``None``: this process.
            part: process only these items. Other processes may process the other parts at the same time; the last one
                to end finishes the output.

        Raises:
            InputError: the input has invalid values.
            OutputError: the output exists with other contents or settings, another process writes to it, or it cannot
                be written.
        """
        check_folder(self.target.path)
        began = time.perf_counter()
        target, path = self.target, self.target.path
        workers = workers or ThisProcess()
        if part is None:
            with locked(target.lock, path) as lock:
                target.guard = lock.check
                self.refuse_parts(None)
                return self._run(began, progress, workers, self.plan.items)
        if self.overwrite:
            found = "--overwrite, with which each part would remove the others' work"
            raise InputError(
                f"--part {part}",
                "an output to go on with, or a new name",
                found,
                "remove the old output once, before the parts begin",
            )
        self.inputs.scan()  # before taking the lock
        with locked(part_lock(target.lock, str(part)), path, WAIT_FOR_PARTS) as own:
            with locked(target.lock, path, WAIT_FOR_PARTS) as lock:
                target.guard = lock.check
                others = self.refuse_parts(part)
                self._begin(alone=not others)
            target.guard = own.check
            items = part.of(self.plan.items)
            computed = self._fill(progress, workers, items, settle=False)
            with locked(target.lock, path, WAIT_FOR_PARTS) as lock:
                target.guard = lock.check
                return self.finish(began, progress, items, computed)

    def refuse_parts(self, part: Part | None) -> int:
        """Refuse to run if another process may write the same items; return the number of processes writing others."""
        held = held_parts(self.target.lock)
        held.pop(str(part), None)
        for other, who in held.items():
            if part is None or Part.parse(other).count != part.count:
                raise OutputError(
                    f"{self.target.path}: part {other} of it is being written now; {who}; wait for it, or choose "
                    "another name"
                )
        return len(held)

    def _run(
        self,
        began: float,
        progress: Progress,
        workers: Workers,
        items: Sequence[Item],
    ) -> Summary:
        target = self.target
        resumed = self._begin(alone=True)
        try:
            computed = self._fill(progress, workers, items, settle=True)
            return self.finish(began, progress, items, computed)
        except Exception:
            if not resumed and not any(target.record(item) for item in items):
                target.discard()
            raise

    def _begin(self, alone: bool) -> bool:
        """Lay out the output, or prepare to resume it; return whether it already existed."""
        resumed = check_existing(self.target, self.identity, self.overwrite)
        plan, target = self.plan, self.target
        self.inputs.scan()
        if not resumed:
            self._check_space()
        with os_errors_explained(target.path):
            if resumed:
                target.resume(self.layout, plan.items, alone)
            else:
                target.create(self.layout, plan.items, self.identity)
                self.keep_request()
        return resumed

    def _left(self) -> int:
        """Return the number of unfinished hours, without reading records, because other parts wait for the lock."""
        names = set(self.target.records.names())
        if not names and self.target.total(self.plan.items) is not None:
            return 0  # a single finished file has no records
        return sum(item.hours for item in self.plan.items if item.name not in names)

    def keep_request(self) -> None:
        """Record the request twice: it is needed for any repair."""
        for name in REQUEST:
            self.target.records.put(Record(name, facts=self.request))

    def finish(
        self, began: float, progress: Progress, items: Sequence[Item], computed: int
    ) -> Summary:
        """Finish the output if all parts are finished, and summarise these items."""
        plan, target = self.plan, self.target
        left = 0 if len(items) == len(plan.items) else self._left()
        if not left:
            with os_errors_explained(target.path):
                target.finish(progress)
        if left:
            found = [target.record(item) for item in items]
            own = [record for record in found if record is not None]
            record = merge_records(own) if len(own) == len(found) else None
        else:
            record = target.total(plan.items)
        if record is None:
            raise OutputError(
                f"{target.path}: items were removed during the run; run it again"
            )
        total = Contents.of(record)
        if not left and not any(total.hours[1:]):
            target.discard()
            raise InputError(
                self.where,
                "values",
                "missing ones and no other",
            )
        tell_counts(total.counts)
        seconds = time.perf_counter() - began
        hours = sum(total.hours)
        return Summary(
            target.path, total, hours, computed, seconds, target.size(), left
        )

    @staged("check")
    def _check_space(self) -> None:
        """Refuse to start if the disk cannot hold the output, estimated from one refined and compressed frame.

        Networks are replaced by the default method here: they are slow, and their frames compress similarly.
        """
        if free_bytes(self.target.path) is None:
            return
        chain = self.plan.chain
        if chain.weights:
            chain = build(NONE, TRAINING_FREE["spatial"] if chain.factor > 1 else NONE)
        known = [
            self.plan.frames(item)[self.plan.is_own(item)] for item in self.plan.items
        ]
        frame = np.concatenate(known)[:1]
        if not frame.size:
            return
        times = self.plan.field.time.values[frame]
        values = compute_hours(self.inputs.read(frame), chain, times, self.plan.crop)
        size = self.target.measure(self.layout, self.layout.rounding(values))
        check_space(self.target.path, size * sum(map(self._known, self.plan.items)))

    def _known(self, item: Item) -> int:
        """Return the number of hours of an item that are not in a gap."""
        plan = self.plan
        times, hours = plan.field.time.values, plan.hours(item)
        status = hour_status(times, hours, plan.chain.max_gap)
        return int(np.count_nonzero(status))

    def compute(self, item: Item) -> tuple[np.ndarray, np.ndarray, Record]:
        """Return an item's rounded values, the status of its hours, and its record."""
        plan, hours = self.plan, self.plan.hours(item)
        frames, own = plan.frames(item), plan.is_own(item)
        piece = self.inputs.read(frames)
        inputs = self.inputs.fingerprint(frames, piece)
        counts = count_frames(piece, own, plan)
        values = compute_hours(piece, plan.chain, hours, plan.crop)
        status, missing_cells, largest = examine(
            values, plan.field.time.values, hours, plan.chain.max_gap
        )
        if plan.chain.clips_fine:  # its input were fine analysis hours
            clipped = int((values[status == ANALYSIS] > plan.chain.clip_above).sum())
            counts = replace(counts, clipped=clipped)
        self.layout.rounding(values)
        missing, analysis, interpolated = np.bincount(status, minlength=3).tolist()
        contents = Contents(
            (missing, analysis, interpolated), counts, missing_cells, largest
        )
        neighbours = tuple(map(stamp, piece.time.values[~own]))
        facts = asdict(contents)
        if item.name in self.again:
            facts[AGAIN] = self.again[item.name]
        record = Record(item.name, inputs, neighbours=neighbours, facts=facts)
        return values, status, record

    def _fill(
        self,
        progress: Progress,
        workers: Workers,
        items: Sequence[Item],
        settle: bool,
    ) -> int:
        """Compute and write the unfinished items; return their number of hours."""
        todo = self.inputs.unfinished(self.target, items)
        return self.fill(progress, workers, items, todo, settle)

    def fill(
        self,
        progress: Progress,
        workers: Workers,
        items: Sequence[Item],
        todo: Sequence[Item],
        settle: bool = True,
    ) -> int:
        """Compute and write items.

        Args:
            progress, workers: see :meth:`run`.
            items: all items, for the progress total.
            todo: items to process.
            settle: whether no other process writes, so that complete files can be assembled.

        Returns:
            the number of hours of ``todo``.
        """
        total, hours = (sum(item.hours for item in each) for each in (items, todo))
        done = total - hours
        progress("downscale", done, total)
        with closing(workers.map(Downscaling(self), todo)) as written:
            for item, _ in written:
                if settle:
                    with os_errors_explained(self.target.path):
                        self.target.settle(item)
                done += item.hours
                progress("downscale", done, total)
        return hours


class Downscaling(Work[Item, tuple[np.ndarray, np.ndarray, Record], None]):
    """The work of a job as done by its workers."""

    def __init__(self, job: Job) -> None:
        self.job = job
        if isinstance(job.target.path, Url):
            self.writes_at_once = 2  # compress one while sending another

    def start(self) -> None:
        """Configure memory management in a worker process."""
        keep_memory()

    def compute(self, item: Item) -> tuple[np.ndarray, np.ndarray, Record]:
        """Compute an item."""
        return self.job.compute(item)

    def write(self, item: Item, made: tuple[np.ndarray, np.ndarray, Record]) -> None:
        """Write an item and its record."""
        with os_errors_explained(self.job.target.path):
            self.job.target.write(item, *made)


def plan_job(
    field: xr.DataArray,
    out: str | Place,
    *,
    rounding: float = 0.001,
    split: Split | None = None,
    overwrite: bool = False,
    inputs: Sequence[str | Place] = (),
    command: str = "deepcams.downscale_to",
    before: np.ndarray | None = None,
    **settings: Any,
) -> Job:
    """Plan a run without writing anything.

    Args:
        field: canonical input, lazy.
        out: a name ending in ``.zarr`` or ``.nc``, a folder, or the URL of a Zarr store (``s3://BUCKET/NAME.zarr``).
        rounding: bound on the relative error of bit-rounding; 0 turns it off.
        split: one netCDF file per ``day`` or ``month`` (the default) in a folder.
        overwrite: replace an output with other contents.
        inputs: the files that ``field`` was opened from, for provenance and reruns.
        command: command line for the history attribute.
        before: times of the store that the run extends (:mod:`deepcams.downscaling.extend`).
        settings: see :func:`deepcams.downscale`.

    Raises:
        InputError: an argument or the field is invalid.
    """
    keep_apart(place_of(out), [place_of(path) for path in inputs])
    target = open_target(out, split)
    bits = BitRound(rounding)
    plan = plan_field(field, split=target.split, **settings)
    if before is not None:
        times = np.concatenate([before[before < plan.times[0]], plan.times])
        plan = replace(plan, times=times, items=split_hours(times))
    form = target.path.suffix.lstrip(".")
    if target.split is not None:
        form = f"one netCDF a {target.split}"
    run = identify(plan, form, rounding, inputs)
    layout = Layout(
        str(plan.field.name),
        plan.times,
        plan.crop.grid,
        plan.field.attrs,
        global_attributes(plan, run, command),
        bits,
        plan.half_width,
        status=status_attributes(plan.chain.max_gap),
    )
    names = [place_of(path).name for path in inputs]
    where = ", ".join(names[:2]) + (", .." if len(names) > 2 else "")
    request = {
        "inputs": [str(_absolute(place_of(path))) for path in inputs],
        "mean_stamp": MEAN_STAMP.get(),
        "air_density": AIR_DENSITY.get(),
        "source": SOURCE.get(),
        "rounding": rounding,
        "split": split,
        "variable": str(field.name),
        **{name: _plain(value) for name, value in settings.items()},
    }
    return Job(plan, target, layout, run, where or "input", overwrite, request)


def _absolute(place: Place) -> Place:
    return place.absolute() if isinstance(place, Path) else place


def _plain(value: Any) -> Any:
    """Convert a setting to JSON types; paths of checkpoints become absolute."""
    if isinstance(value, str) and Path(value).suffix and Path(value).is_file():
        return str(Path(value).absolute())
    if isinstance(value, tuple):
        return list(value)
    return (
        value if value is None or isinstance(value, str | int | float) else str(value)
    )


def downscale_to(
    field: xr.DataArray,
    out: str | Place,
    *,
    progress: Progress = no_progress,
    workers: int | None = None,
    **settings: Any,
) -> Summary:
    """Downscale a field and write the result; an interrupted run is resumed.

    Args:
        field: canonical input, lazy.
        out: a name ending in ``.zarr`` or ``.nc``, a folder, or the URL of a Zarr store (``s3://BUCKET/NAME.zarr``).
        progress: called with the stages ``downscale`` and ``write``, in hours.
        workers: number of local processes. ``None``: the workers of the current ``distributed.Client`` if there is one,
            else this process.
        settings: see :func:`plan_job` and :func:`deepcams.downscale`.

    Raises:
        InputError, OutputError: see :func:`plan_job` and :meth:`Job.run`.
    """
    job = plan_job(field, out, **settings)
    with open_workers(workers) as opened:
        return job.run(progress, opened)
