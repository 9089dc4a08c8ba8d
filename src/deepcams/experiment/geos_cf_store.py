"""Fetch GEOS-CF directly into a training store: a few days are fetched, prepared and removed, then the next.

So the disk never holds half a terabyte of files at once. The files are in a hidden folder beside the store, whose
records list the hours in the store.
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
"""Largest number of days whose files are on the disk at once."""
_HOUR_BYTES = 4.2e6
"""Approximate size of one global hour in a store, fine and coarse together, bytes."""
_MARGIN = 3.0
"""Margin around a box whose values its coarse cells may depend on, degrees."""


def folder_of(store: Path) -> Path:
    """Return the hidden folder that belongs to a store."""
    return store.with_name(f".{store.name}.fetch")


@dataclass
class StoreFetch:
    """A fetch of GEOS-CF into a store.

    Args:
        request: requested data; ``out`` is the store.
        endpoints, policy, progress: see :class:`~deepcams.fetch.base.Fetch`.
        degradation: how fine fields are coarsened.

    Attributes:
        bytes: number of bytes received so far.
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
        """Estimate the cost of :meth:`run`; nothing is written."""
        missing = self._check()
        found = self._all.estimate()
        share = 1.0
        if self.request.bbox is not None:
            part = Grid.globe(0.25).select(self.request.bbox, "--bbox")[0]
            share = part.rows * part.columns / (721 * 1440)
        needed = _HOUR_BYTES * share * len(missing)
        return replace(found, where=str(self.request.out), bytes=needed)

    def run(self) -> Summary:
        """Fetch the hours missing from the store.

        Raises:
            FetchError: see :class:`~deepcams.fetch.base.Fetch`.
            OutputError: see there; or these hours cannot be added to the store.
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
        """Return the missing hours, after checking that they can be added to the store.

        Raises:
            OutputError: the hours cannot be added.
        """
        out = self.request.out
        self._all.check()
        missing = self._all.missing() if out.exists() else list(self.request.hours())
        before = existing(out)
        if before is not None and missing:
            refuse_earlier(out, before, missing[0])
        return missing

    def _add(self, period: Period, summary: Summary, total: int) -> None:
        """Fetch the hours of a period, prepare them into the store, and remove their files."""
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
    """Return the status of a fetched store: see :func:`~deepcams.fetch.status.status`.

    Hours recorded as stored but missing from the store are reported as gone, except those it rejected as unfit.
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
