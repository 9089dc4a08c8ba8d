"""GEOS-CF straight into a training store: some days are fetched, prepared and removed, then the next ones.

So half a terabyte of files is never on the disk at once. The files are in a hidden folder next to the store; its
records say which hours are in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from deepcams.core.box import Box
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.times import DAY
from deepcams.fetch.base import COMPLETE, STATE, Estimate, Summary
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.geos_cf_hours import hour_name
from deepcams.fetch.retry import RetryPolicy
from deepcams.fetch.status import Status, status
from deepcams.files.records import Record, Records, inside
from deepcams.methods.spatial.coarsen import Degradation
from deepcams.training.store.open import Prepared, existing, refuse_earlier
from deepcams.training.store.prepare import Preparation

DAYS = 4
"""Days whose files are on the disk at once."""
_HOUR_BYTES = 4.2e6
"""About what an hour of the globe takes in a store, fine and coarse."""
_MARGIN = 3.0
"""Degrees around a box whose values its coarse cells may depend on."""


def folder_of(store: Path) -> Path:
    """Return the hidden folder that belongs to a store."""
    return store.with_name(f".{store.name}.fetch")


@dataclass
class StoreFetch:
    """A fetch of GEOS-CF into a store.

    Args:
        request: what is wanted; ``out`` is the store.
        endpoints, policy, progress: see :class:`~deepcams.fetch.base.Fetch`.
        degradation: how fine becomes coarse.

    Attributes:
        bytes: that have come so far.
    """

    request: GeosCfRequest
    endpoints: Endpoints
    policy: RetryPolicy
    progress: Progress = no_progress
    degradation: Degradation = "area"
    bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._all = self._fetch_of(self.request.period)

    def _fetch_of(self, period: Period) -> GeosCf:
        box = self.request.bbox
        request = replace(
            self.request,
            period=period,
            out=folder_of(self.request.out),
            bbox=None if box is None else Box.checked(box, "--bbox").widened(_MARGIN),
        )
        return GeosCf(request, self.endpoints, self.policy)

    def estimate(self) -> Estimate:
        """Return what :meth:`run` would do; nothing is written."""
        missing = self._check()
        found = self._all.estimate()
        share = 1.0
        if self.request.bbox is not None:
            part = Grid.globe(0.25).select(self.request.bbox, "--bbox")[0]
            share = part.rows * part.columns / (721 * 1440)
        needed = _HOUR_BYTES * share * len(missing)
        return replace(found, where=str(self.request.out), bytes=needed)

    def run(self) -> Summary:
        """Fetch what the store lacks.

        Raises:
            FetchError, OutputError: see :class:`~deepcams.fetch.base.Fetch`; the store cannot take these hours.
        """
        missing, total = self._check(), self.request.hours().size
        if not self.request.out.exists():
            for record in self._all.records:
                if _is_stored(record):
                    self._all.records.forget(record.item)
        summary = Summary(
            str(self.request.out), "hours", total, kept=total - len(missing)
        )
        days = sorted(
            {time.astype("datetime64[D]").astype("datetime64[ns]") for time in missing}
        )
        for k in range(0, len(days), DAYS):
            some = days[k : k + DAYS]
            start = max(some[0], self.request.period.start)
            end = min(some[-1] + DAY, self.request.period.end)
            self._add(Period(start, end), summary, len(missing))
        return summary

    def _check(self) -> list[np.datetime64]:
        """Return the missing hours; refuse what the store could not take before anything is fetched for it.

        Raises:
            OutputError: it could not.
        """
        out = self.request.out
        self._all.check()
        missing = self._all.missing() if out.exists() else list(self.request.hours())
        before = existing(out)
        if before is not None and missing:
            refuse_earlier(out, before, missing[0])
        return missing

    def _add(self, period: Period, summary: Summary, total: int) -> None:
        """Fetch the hours of some days, prepare them into the store, and remove their files."""
        fetch, before = self._fetch_of(period), summary.fetched + len(summary.absent)

        def tell(stage: str, done: int, _: int) -> None:
            self.bytes = summary.bytes + fetch.bytes
            self.progress(stage, before + done, total)

        fetch.progress = tell
        done = fetch.run()
        summary.bytes += done.bytes
        summary.seconds += done.seconds
        summary.absent += done.absent
        found = [fetch.records.get(hour_name(time)) for time in fetch.request.hours()]
        waiting = [
            record for record in found if record is not None and "file" in record.facts
        ]
        if not waiting:
            return
        files: list[str | Path] = [
            inside(fetch.folder, record.facts["file"]) for record in waiting
        ]
        preparation = Preparation(
            files, self.request.out, self.degradation, bbox=self.request.bbox
        )
        preparation.run(lambda _, hours, of: tell(f"preparing {hours}/{of}", 0, 0))
        for record, file in zip(waiting, files, strict=True):
            kept = {key: value for key, value in record.facts.items() if key != "file"}
            fetch.records.put(replace(record, facts=kept))
            Path(file).unlink()
        summary.fetched += len(waiting)


def _is_stored(record: Record) -> bool:
    return record.facts.get("state") == COMPLETE and "file" not in record.facts


def store_status(
    store: Path,
    *,
    check: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Status:
    """Return the status of a store that was fetched: see :func:`~deepcams.fetch.status.status`.

    Hours that are recorded as stored, and that the store does not know, are gone; hours that it found unfit are not.
    """
    folder = folder_of(store)
    found = replace(status(folder, check=check, progress=progress), folder=str(store))
    records = Records(folder / STATE)
    stored = {record.item for record in records if _is_stored(record)}
    known = set[str]()
    if store.exists():
        known = {hour_name(time) for time in Prepared.open(store).times}
    last = max(known, default="")
    gone = sorted(name for name in stored - known if name > last)
    found.gone += gone
    if check:
        for name in gone:
            records.forget(name)
    return found
