"""Append later hours to a finished store; readers see the old store until the new one is complete.

Shards of new hours lie beyond the end given in the metadata, so they are invisible. If the last item was incomplete,
it is recomputed as a whole: its earlier hours stay the same unless later frames change them. Then the coordinates are
written, in chunks that also fit the old metadata, and the metadata last.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.progress import Progress, no_progress
from deepcams.core.times import stamp
from deepcams.core.url import Place
from deepcams.downscaling.job import Job, Summary, plan_job
from deepcams.files.lock import locked
from deepcams.files.records import refuse_changes
from deepcams.workers import ThisProcess, Workers
from deepcams.writers import Item, open_target
from deepcams.writers.layout import ITEM_HOURS
from deepcams.writers.target import REQUEST


def earlier_inputs(out: str | Place) -> list[str]:
    """Return those inputs of a store that still exist at their recorded paths."""
    record = open_target(out).records.get(REQUEST[0])
    inputs = [] if record is None else [str(one) for one in record.facts["inputs"]]
    return [one for one in inputs if "://" in one or Path(one).exists()]


@dataclass
class Extension:
    """A planned extension; nothing has been written. See :func:`plan_extension`.

    Attributes:
        job: the run that would write the whole store.
        before: existing times of the store.
    """

    job: Job
    before: np.ndarray

    def run(
        self, progress: Progress = no_progress, workers: Workers | None = None
    ) -> Summary:
        """Write the new hours, and the last existing ones if they change.

        Args:
            progress, workers: see :meth:`Job.run`.

        Raises:
            OutputError: the store was made with other settings, another process writes to it, or it cannot be
                written.
        """
        began, job = time.perf_counter(), self.job
        target, items = job.target, job.plan.items
        with locked(target.lock, target.path) as lock:
            target.guard = lock.check
            job.refuse_parts(None)
            self._refuse_other_settings()
            target.resume(job.layout, items)
            todo = self._todo()
            computed = job.fill(progress, workers or ThisProcess(), items, todo)
            if self.before.size < job.plan.times.size:
                target.restore_layout(job.layout, job.identity)
                job.keep_request()
            return job.finish(began, progress, items, computed)

    def _refuse_other_settings(self) -> None:
        path, found = self.job.target.path, self.job.target.identity()
        if found is None:
            raise OutputError(f"{path} is no output of deepcams; choose another name")
        same = {name: self.job.identity[name] for name in ("hours", "inputs")}
        do = "give the settings that it was made with"
        refuse_changes({**found, **same}, self.job.identity, path, do)

    def _todo(self) -> list[Item]:
        """Return the new items and existing ones that later frames change; outdated records are removed."""
        job, plan = self.job, self.job.plan
        todo = []
        for item in plan.items[
            _first_changed(self.before, plan.chain.reach, plan.chain.max_gap) :
        ]:
            if plan.times[item.start] < plan.field.time.values[0]:
                continue  # complete, and its input is absent
            record = job.target.record(item)
            now = job.inputs.fingerprint(plan.frames(item))
            if record is not None and record.inputs == now:
                continue
            if plan.times[item.start] <= self.before[-1]:
                end = stamp(self.before[-1])
                job.again[item.name] = f"the store ended at {end}; frames came later"
            job.target.forget(item)
            todo.append(item)
        return todo


def plan_extension(field: xr.DataArray, out: str | Place, **settings: Any) -> Extension:
    """Plan to append later hours to a store.

    Args:
        field: canonical input, lazy: the new frames, and the earlier ones from the store's last work item on (or all).
        out: a Zarr store written by :func:`deepcams.downscale_to`.
        settings: the settings of the store; see :func:`plan_job`.

    Raises:
        InputError: ``out`` is not a Zarr store, the hours do not continue those of the store, or the frames do not
            reach back far enough.
    """
    target = open_target(out)
    before, attributes = target.before()
    job = plan_job(field, out, before=before, **settings)
    first, times = job.plan.field.time.values[0], job.plan.times
    reach = job.plan.chain.reach
    gap = job.plan.chain.max_gap
    start = _first_changed(before, reach, gap) * ITEM_HOURS
    whole = before.size % ITEM_HOURS == 0 and not reach
    needed = before[-1] if whole else max(before[start] - reach * gap, before[0])
    if first > needed:
        raise InputError(
            f"--extend {out}",
            f"frames from {stamp(needed)} on, where the store is gone on with",
            f"frames from {stamp(first)} on",
            "give the files of before too",
        )
    if not np.array_equal(times[: before.size], before):
        raise InputError(
            f"--extend {out}",
            f"the store's hours ({_span(before)}) and later ones",
            f"frames that make {_span(times)}",
            "leave --period out, and give later frames only",
        )
    known = (target.identity() or {}).get("inputs", [])
    named = {one["name"]: one for one in [*known, *job.identity["inputs"]]}
    job.identity["inputs"] = [named[name] for name in sorted(named)]
    provenance = dict(job.layout.provenance)
    provenance["history"] += f"\n{attributes.get('history', '')}"
    provenance["date_created"] = attributes.get("date_created", "")
    inputs = [*earlier_inputs(out), *job.request["inputs"]]
    request = {**job.request, "inputs": list(dict.fromkeys(inputs))}
    layout = replace(job.layout, provenance=provenance)
    return Extension(replace(job, layout=layout, request=request), before)


def _first_changed(before: np.ndarray, reach: int, gap: np.timedelta64) -> int:
    """Return the number of the first item that later frames may change; they affect hours before the store's end."""
    last = before[-1] - reach * gap
    return int(max(np.searchsorted(before, last, side="right") - 1, 0) // ITEM_HOURS)


def _span(times: np.ndarray) -> str:
    return f"{stamp(times[0])} to {stamp(times[-1])}"
