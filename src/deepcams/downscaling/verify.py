"""Verify a finished output against its records and its input, and recompute damaged work items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepcams.core.errors import DeepcamsError, InputError, OutputError
from deepcams.core.field import grid_of
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import AIR_DENSITY
from deepcams.core.times import MEAN_STAMP, long_means_opened, stamp
from deepcams.core.url import Place, place_of
from deepcams.core.values import load_values
from deepcams.downscaling.job import Job, Summary, plan_job
from deepcams.files.lock import locked
from deepcams.files.records import Record, Records, fingerprint
from deepcams.methods.spatial.coarsen import area_mean
from deepcams.readers import SOURCE
from deepcams.readers.open import find_field_files, open_coarse, open_field
from deepcams.workers import ThisProcess, Work, Workers
from deepcams.writers import (
    Contents,
    Item,
    Layout,
    Other,
    Split,
    Target,
    open_target,
    split_hours,
)
from deepcams.writers.layout import MEANS
from deepcams.writers.target import REQUEST, item_times

_TOLERANCE = 1e-5
"""Tolerated relative error of area means beyond bit-rounding, for float32 sums and the conserving step's own 1e-6."""


@dataclass(frozen=True)
class Damage:
    """One defect of an output.

    Attributes:
        what: description in one line, with the hours concerned.
        item: the work item; ``None`` for metadata or coordinates.
    """

    what: str
    item: Item | None = None


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        path: the output.
        hours: number of output hours.
        items: number of work items.
        conservation: text that says whether the area means of analysis hours were compared with the input.
        damages: the defects found.
    """

    path: Place
    hours: int
    items: int
    conservation: str
    damages: tuple[Damage, ...]


class Checking(Work[Item, list[str], list[str]]):
    """The check of each item.

    Args:
        target: the output, with its layout.
        job: the run that would write it; ``None`` if the input is unknown.
    """

    def __init__(self, target: Target, job: Job | None) -> None:
        self.target, self.job = target, job

    def compute(self, item: Item) -> list[str]:
        """Return the defects of an item."""
        return list(self._faults(item))

    def _faults(self, item: Item) -> Iterator[str]:
        try:
            record = self.target.records.get(item.name)
        except OutputError:
            yield "its record is damaged"
            record = None
        else:
            if record is None and not self._is_one_file():
                yield "not written"
                return
        try:
            if record is not None and self.target.digest(item) != record.digest:
                yield "changed since it was written"
            values, status = self.target.read(item)
        except Exception as error:  # each library raises its own types
            yield f"cannot be read ({type(error).__name__})"
            return
        yield from _faults_of_values(values, status, record)
        if self.job is not None:
            yield from self._faults_against_input(self.job, item, values, record)

    def _is_one_file(self) -> bool:
        """Return whether the output is a finished file, which holds the merged record of all items."""
        path = self.target.path
        return path.suffix == ".nc" and isinstance(path, Path) and path.is_file()

    def _faults_against_input(
        self, job: Job, item: Item, values: np.ndarray, record: Record | None
    ) -> Iterator[str]:
        plan = job.plan
        frames, own = plan.frames(item), plan.is_own(item)
        piece = job.inputs.read(frames)
        if (
            record is not None
            and job.inputs.fingerprint(frames, piece) != record.inputs
        ):
            yield "computed from other input values than the files hold now"
            return
        if not conserves(job) or not own.any():
            return
        coarse, _ = load_values(piece[own, *plan.crop.own], "input")
        grid = grid_of(piece[own, *plan.crop.own])
        at = np.isin(plan.hours(item), piece.time.values[own])
        mean = area_mean(values[at], grid, plan.chain.factor)
        with np.errstate(invalid="ignore"):
            apart = (
                np.abs(mean - coarse)
                > coarse * (job.layout.rounding.bound + _TOLERANCE) + 1e-6
            )
        if apart.any():
            yield f"{int(apart.sum())} area means are not those of the input"


def conserves(job: Job) -> bool:
    """Return whether a run keeps the area means of the input's cells."""
    parts = job.plan.chain.settings()["chain"]
    return job.plan.chain.factor > 1 and any("conserve" in part for part in parts)


def _faults_of_values(
    values: np.ndarray, status: np.ndarray, record: Record | None
) -> Iterator[str]:
    missing = np.isnan(values)
    empty = missing.all(axis=(1, 2))
    if (empty != (status == 0)).any():
        yield "its status does not fit its values"
    if np.isinf(values).any():
        yield "holds infinite values"
    with np.errstate(invalid="ignore"):
        if (values < 0).any():
            yield "holds negative values"
    if record is None:
        return
    contents = Contents.of(record)
    if tuple(np.bincount(status, minlength=3).tolist()) != contents.hours:
        yield "holds other hours than its record says"
    if int(missing[~empty].sum()) != contents.missing_cells:
        yield "holds other missing values than its record says"


def planned_again(path: Place, inputs: Sequence[str | Place] = ()) -> Job:
    """Plan the run that made an output again, from its recorded request.

    Args:
        path: the output.
        inputs: current paths of the input, if it was moved.

    Raises:
        InputError: there is no such record, or the input is not at its recorded path.
    """
    requests = [_request(path, name) for name in REQUEST]
    settings = next((dict(one.facts) for one in requests if one is not None), {})
    if not settings or not (inputs or settings["inputs"]):
        raise InputError(
            path,
            "an output that was made from files, with its records",
            "none",
            "give the command that made it again",
        )
    before, stamp_of_means = settings.pop("inputs"), settings.pop("mean_stamp")
    variable = settings.pop("variable")
    bbox = settings.pop("bbox", None)
    tokens = (
        MEAN_STAMP.set(stamp_of_means),
        AIR_DENSITY.set(settings.pop("air_density", None)),
        SOURCE.set(settings.pop("source", None)),
    )
    try:
        files = find_field_files([str(one) for one in inputs or before])
        job = plan_job(
            open_coarse(files, variable),
            path,
            inputs=[file.given for file in files],
            command=f"deepcams verify {path} --repair",
            bbox=None if bbox is None else tuple(bbox),
            **settings,
        )
    finally:
        MEAN_STAMP.reset(tokens[0])
        AIR_DENSITY.reset(tokens[1])
        SOURCE.reset(tokens[2])
    known = job.target.identity()
    if inputs and known is not None:  # fingerprints are checked anyway
        job.identity["inputs"] = known["inputs"]
    return job


def _request(path: Place, name: str) -> Record | None:
    try:
        return _records(path).get(name)
    except OutputError:
        return None


def _records(path: Place) -> Records:
    split: Split | None = None if path.suffix in {".zarr", ".nc"} else "month"
    return open_target(path, split).records


def verify(
    path: str | Place,
    *,
    inputs: Sequence[str | Place] = (),
    progress: Progress = no_progress,
    workers: Workers | None = None,
) -> Verification:
    """Verify a whole output: complete, finite, non-negative, conserving, and equal to its records.

    Args:
        path: a Zarr store, a netCDF file, or a folder of them, written by :func:`deepcams.downscale_to`.
        inputs: current paths of its input, if it was moved. Without input everything but conservation is checked.
        progress: called with the stage ``verify``, in items.
        workers: workers that read; ``None``: this process.

    Raises:
        InputError: the path is not an output of deepcams.
    """
    place = place_of(path)
    if not open_target(place, _split_of(place)).exists():
        raise InputError(place, "an output of deepcams downscale", "nothing")
    job, why = _job_of(place, inputs)
    damages: list[Damage] = []
    if place.suffix != ".nc":  # one file keeps none
        damages += _damage_of_requests(place)
    if job is not None:
        target, layout, items = job.target, job.layout, job.plan.items
        target.use(layout, items)
        damages += map(Damage, target.damage_of_layout())
    else:
        target = open_target(place, _split_of(place))
        if place.suffix == ".zarr":
            damages += map(Damage, target.damage_of_layout())
        found = _layout_of(place)
        if isinstance(found, str):
            damages.append(Damage(found))
            return Verification(place, 0, 0, f"not checked: {why}", tuple(damages))
        layout = found
        items = split_hours(layout.times, target.split, layout.item_times)
        target.use(layout, items)
    progress("verify", 0, len(items))
    work = Checking(target, job)
    with closing((workers or ThisProcess()).map(work, items)) as checked:
        for done, (item, faults) in enumerate(checked, 1):
            first, last = (stamp(layout.times[i]) for i in (item.start, item.stop - 1))
            damages += [Damage(f"{first} to {last}: {fault}", item) for fault in faults]
            progress("verify", done, len(items))
    damages += map(Damage, _damage_of_total(target, items))
    words = f"not checked: {why}"
    if MEANS in (target.identity() or {}):
        words = "of downscaling alone"
    elif job is not None:
        words = "checked against the input" if conserves(job) else "not promised"
    return Verification(place, layout.times.size, len(items), words, tuple(damages))


def _damage_of_requests(place: Place) -> Iterator[Damage]:
    """Check the recorded requests that repairs need; means have none, because their input is itself an output."""
    if MEANS in (open_target(place, _split_of(place)).identity() or {}):
        return
    for name in REQUEST:
        if _request(place, name) is None:
            yield Damage(f"{place}: the record {name} is damaged or missing")


def _damage_of_total(target: Target, items: Sequence[Item]) -> Iterator[str]:
    """Compare a single file as a whole with the record stored in it."""
    if target.path.suffix != ".nc":
        return
    total = target.total(tuple(items))
    if total is None:
        return
    try:
        digest = fingerprint(*(target.digest(item) for item in items))
    except Exception:  # already reported for each item
        return
    if digest != total.digest:
        yield f"{target.path}: changed since it was written"


def _job_of(place: Place, inputs: Sequence[str | Place]) -> tuple[Job | None, str]:
    """Return the run that made an output, or ``None`` and the reason why it cannot be planned again."""
    try:
        return planned_again(place, inputs), ""
    except DeepcamsError as error:
        if inputs:
            raise
        return None, str(error)


def _layout_of(place: Place) -> Layout | str:
    """Return an output's layout as seen by readers, or the reason why it cannot be read."""
    try:
        with long_means_opened():
            field = open_field(str(place))
    except InputError as error:
        return str(error)
    identity = open_target(place, _split_of(place)).identity() or {}
    layout = Layout(str(field.name), field.time.values, grid_of(field), field.attrs)
    variables = [each.split() for each in identity.get(MEANS, {}).get("variables", [])]
    others = (Other(name, dtype, {}) for name, dtype in variables[1:])
    return replace(layout, others=tuple(others), item_times=item_times(identity))


def _split_of(place: Place) -> Split | None:
    """Return how a folder is divided into files, derived from their names."""
    if place.suffix in {".zarr", ".nc"} or not isinstance(place, Path):
        return None
    days = any(re.search(r"_\d{8}\.nc$", file.name) for file in place.glob("*.nc"))
    return "day" if days else "month"


def repair(
    found: Verification,
    *,
    inputs: Sequence[str | Place] = (),
    progress: Progress = no_progress,
    workers: Workers | None = None,
) -> Summary:
    """Recompute the damaged items, and only those.

    Args:
        found: result of :func:`verify`.
        inputs, progress, workers: see :func:`verify`; ``progress`` is called with the stages of ``downscale``.

    Raises:
        InputError: the input is unknown, so that nothing can be computed.
        OutputError: the output is a single netCDF file, which is only written as a whole, or it cannot be written.
    """
    if MEANS in (open_target(found.path, _split_of(found.path)).identity() or {}):
        _forget_damaged(found)
    job = planned_again(found.path, inputs)
    target = job.target
    if found.path.suffix == ".nc":
        raise OutputError(
            f"{found.path}: one netCDF file is written as a whole; give the command that made it again with "
            "--overwrite"
        )
    items = {damage.item for damage in found.damages if damage.item is not None}
    with locked(target.lock, found.path) as lock:
        target.guard = lock.check
        target.resume(job.layout, job.plan.items)
        if any(damage.item is None for damage in found.damages):
            target.restore_layout(job.layout, job.identity)
            job.keep_request()
        for item in sorted(items, key=lambda item: item.index):
            target.forget(item)
    return job.run(progress, workers)


def _forget_damaged(found: Verification) -> None:
    """Remove the records of damaged parts of means, so that their own command recomputes them.

    Raises:
        OutputError: always, with what to do.
    """
    target = open_target(found.path)
    items = [damage.item for damage in found.damages if damage.item is not None]
    do = "with --overwrite"
    if found.path.suffix == ".zarr" and len(items) == len(found.damages):
        do = "and what is damaged is computed again"
        with locked(target.lock, found.path):
            for item in items:
                target.forget(item)
    raise OutputError(
        f"{found.path}: means are made again by their own command; give it once more, {do}"
    )
