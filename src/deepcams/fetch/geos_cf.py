"""GEOS-CF: one file an hour over HTTPS, or PM2.5 alone over OPeNDAP; into a folder, or straight into a store."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError, OutputError
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.fetch.base_fetch import Fetch
from deepcams.fetch.download import AbsentError, Transfer, space
from deepcams.fetch.endpoints import GEOS_CF_KINDS, GEOS_CF_SPANS, geos_cf_file, geos_cf_url
from deepcams.fetch.hours import Box, check_hour, cut, open_hour
from deepcams.fetch.manifest import checksum, settle
from deepcams.fetch.opendap import Opendap
from deepcams.fetch.parallel import Estimate, Summary, Told, free_at, in_parallel
from deepcams.fetch.retry import FetchError, RefusedError, TryAgainError
from deepcams.files.atomic import os_errors_explained

Via = Literal["https", "opendap"]
_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
CHECKING = 4
"""Files that are checked and put to disk beside those that come."""
BATCH = 96
"""Hours that stand on the disk at once while a store is filled."""
_GLOBE_BYTES = {"https": 20e6, "opendap": 2.2e6, "store": 4.2e6}
"""About what an hour of the globe takes: a file with five species; PM2.5 alone; fine and coarse in a store."""


@dataclass(frozen=True)
class GeosCfRequest:
    """What is wanted of GEOS-CF.

    Attributes:
        period: of the hours' middles (HH:30).
        out: a folder, or ``NAME.zarr``: a store as ``deepcams prepare`` makes it.
        version: 1 or 2; never mixed in one folder or store.
        bbox: W S E N in degrees; only PM2.5 inside it is kept.
        via: HTTPS files, or OPeNDAP (version 1 only).
        at_once: connections.
        degradation: how a store's coarse fields are made.
    """

    period: Period
    out: Path
    version: int = 1
    bbox: Box | None = None
    via: Via = "https"
    at_once: int = 4
    degradation: Literal["area", "imresize", "decimate"] = "area"

    @property
    def to_store(self) -> bool:
        """Whether the hours go straight into a store."""
        return self.out.suffix == ".zarr"

    @property
    def folder(self) -> Path:
        """Where files and the manifest lie."""
        return self.out.with_name(f".{self.out.name}.fetch") if self.to_store else self.out

    def hours(self) -> np.ndarray:
        """All stamps, ``datetime64[ns]``.

        Raises:
            InputError: the version does not cover the period, or it holds no HH:30.
        """
        if self.version not in GEOS_CF_SPANS:
            raise InputError("--version", "1 or 2", self.version)
        if self.via == "opendap" and self.version != 1:
            raise InputError(
                "--via", "https for version 2", "opendap", "OPeNDAP has version 1 only"
            )
        first = self.period.start.astype("datetime64[h]").astype("datetime64[ns]") + _HOUR // 2
        times = np.arange(first, self.period.end, _HOUR)
        times = times[self.period.contains(times)]
        begin, end = GEOS_CF_SPANS[self.version]
        if (
            not times.size
            or times[0] < np.datetime64(begin)
            or (end and times[-1] > np.datetime64(end) + 24 * _HOUR)
        ):
            found = f"{self.period}" if times.size else f"{self.period}, which holds no HH:30"
            raise InputError(
                "--period", f"hours of version {self.version}, {begin} to {end or 'today'}", found
            )
        if self.bbox is not None:
            Grid.globe(0.25).select(self.bbox, "--bbox")
        return times


@dataclass
class GeosCf(Fetch[GeosCfRequest]):
    """A fetch of GEOS-CF."""

    _kind: str | None = None
    _grid: Grid | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _probing: threading.Lock = field(default_factory=threading.Lock)
    _doing: str = "fetching"

    def _folder(self) -> Path:
        return self.request.folder

    def _identity(self) -> dict[str, Any]:
        request = self.request
        return {
            "provider": "geos-cf",
            "version": request.version,
            "bbox": list(request.bbox) if request.bbox else None,
            "store": request.out.name if request.to_store else None,
        }

    def _todo(self) -> tuple[np.ndarray, list[np.datetime64]]:
        times = self.request.hours()
        if self.request.to_store and not self.request.out.exists():
            # the store was removed: what the manifest knows to be in it is not there
            return times, list(times)
        return times, [time for time in times if self.manifest.complete(_name(time)) is None]

    def _expected(self) -> Estimate:
        """One small request at most."""
        self._check()
        times, todo = self._todo()
        request = self.request
        each, judged = _GLOBE_BYTES["store" if request.to_store else request.via], "as a rule"
        if request.via == "https" and request.bbox is None and not request.to_store and todo:
            try:
                with Transfer(self.patience, 1) as transfer:
                    if first := self._first_size(transfer, todo[0]):
                        each, judged = first, "as the first one"
            except RefusedError:
                raise
            except FetchError as error:
                judged = f"as a rule, for the server does not tell: {error}"
        if request.bbox is not None:
            part = Grid.globe(0.25).select(request.bbox, "--bbox")[0]
            each = (
                _GLOBE_BYTES["store" if request.to_store else "opendap"]
                * part.rows
                * part.columns
                / (721 * 1440)
            )
        calls = -(-len(todo) // 24) if request.via == "opendap" else len(todo)
        words = [
            f"{times.size:,} hours of GEOS-CF version {request.version}, {len(todo):,} of them not there yet",
            f"{calls:,} requests to {self._root()}, {request.at_once if request.via == 'https' else 1} at once",
            f"about {size(each)} an hour, {judged}",
        ]
        return Estimate(str(request.out), words, each * len(todo), free_at(request.out))

    def _root(self) -> str:
        if self.request.via == "opendap":
            return self.endpoints.geos_cf_opendap
        return self.endpoints.geos_cf_v1 if self.request.version == 1 else self.endpoints.geos_cf_v2

    def _first_size(self, transfer: Transfer, time: np.datetime64) -> int | None:
        for kind in GEOS_CF_KINDS[self.request.version]:
            try:
                url = geos_cf_url(self.endpoints, self.request.version, time, kind)
                return transfer.size(url, geos_cf_file(self.request.version, time))
            except AbsentError:
                continue
        return None

    def _check(self) -> None:
        todo = self._todo()[1]  # a period that the version does not have claims no folder
        if self.request.to_store:
            self._begin_store(todo)

    def _complete(self) -> Summary:
        request = self.request
        times, todo = self._todo()
        summary = Summary(
            str(request.out), "hours", int(times.size), kept=int(times.size) - len(todo)
        )
        space(request.folder, self.estimate_bytes(len(todo)))
        if request.to_store:
            self._through_store(todo, summary)
        else:
            self._fetch(todo, 0, len(todo), summary)
        return summary

    def estimate_bytes(self, hours: int) -> float:
        """About what so many hours need where files lie."""
        request = self.request
        each = _GLOBE_BYTES[
            "opendap" if request.bbox is not None or request.via == "opendap" else "https"
        ]
        if request.bbox is not None:
            part = Grid.globe(0.25).select(request.bbox, "--bbox")[0]
            each *= part.rows * part.columns / (721 * 1440)
        return each * (min(hours, BATCH) if request.to_store else hours) if hours else 0.0

    def _fetch(self, todo: list[np.datetime64], before: int, total: int, summary: Summary) -> None:
        """Bring hours into the folder."""
        request = self.request
        absent: list[str] = []

        def tell(done: int) -> None:
            self.progress(Told(before + done, total, self.came.bytes, self._doing))

        try:
            if request.via == "opendap":
                days = [
                    [t for t in todo if t.astype("datetime64[D]") == day] for day in _days(todo)
                ]
                with Transfer(self.patience, 1) as transfer:
                    service = Opendap(
                        self.endpoints.geos_cf_opendap, transfer, request.bbox, request.to_store
                    )
                    done = 0
                    for day in days:
                        for time, partial in service.day(day, request.folder, self.came):
                            if partial is None:
                                self.manifest.put(_name(time), "absent")
                                absent.append(_name(time))
                            else:
                                self._keep(
                                    time,
                                    partial,
                                    request.folder / geos_cf_file(1, time),
                                    service.url,
                                )
                            done += 1
                            tell(done)
            else:
                with Transfer(self.patience, request.at_once) as transfer:
                    workers = (
                        request.at_once + CHECKING
                    )  # while some are checked, as many as wanted come
                    in_parallel(
                        todo, lambda t: self._one(transfer, t, absent), workers, self.patience, tell
                    )
        finally:
            summary.absent += sorted(absent)
        summary.fetched += len(todo) - len(absent)

    def _one(self, transfer: Transfer, time: np.datetime64, absent: list[str]) -> None:
        # until it is known which folder answers, one hour at a time tries them
        with self._probing if self._kind is None else nullcontext():
            found = self._bring(transfer, time)
        if found is None:
            self.manifest.put(_name(time), "absent")
            absent.append(_name(time))
            return
        whole, url = found
        digest = transfer.digests.pop(whole, None)
        if self.request.bbox is not None and not self.request.to_store:
            whole, digest = self._cut(whole, time), None
        self._keep(
            time, whole, self.request.folder / geos_cf_file(self.request.version, time), url, digest
        )

    def _bring(self, transfer: Transfer, time: np.datetime64) -> tuple[Path, str] | None:
        """An hour's verified file and where it was; ``None`` where the server does not have it."""
        version = self.request.version
        final = self.request.folder / geos_cf_file(version, time)
        tried = GEOS_CF_KINDS[version]
        kinds = (
            (self._kind, *(k for k in tried if k != self._kind))
            if self._kind is not None
            else tried
        )
        for kind in kinds:
            url = geos_cf_url(self.endpoints, version, time, kind)
            try:
                whole = transfer.download(
                    url, final, final.name, lambda p: self._verify(p, time), came=self.came
                )
            except AbsentError:
                continue
            self._kind = kind
            return whole, url
        return None

    def _verify(self, path: Path, time: np.datetime64) -> None:
        grid = check_hour(path, time, self.request.version)
        with self._lock:
            if self._grid is None:
                self._grid = self._grid_before() or grid
            if grid != self._grid:
                raise TryAgainError(
                    f"what came is on another grid than the other hours ({grid.describe()})"
                )

    def _grid_before(self) -> Grid | None:
        for _, about in self.manifest.items("complete"):
            if "server_grid" in about:
                return Grid(*about["server_grid"])
        return None

    def _cut(self, whole: Path, time: np.datetime64) -> Path:
        assert self.request.bbox is not None
        field = open_hour(whole, time, self.request.version)
        part = whole.with_name(f"{whole.name}.cut")
        with os_errors_explained(part):
            cut(field, self.request.bbox, part, time, self.request.version)
        whole.unlink()
        return part

    def _keep(
        self, time: np.datetime64, partial: Path, final: Path, url: str, digest: str | None = None
    ) -> None:
        digest, length = digest or checksum(partial), partial.stat().st_size
        grid: dict[str, Any] = {}
        if self._grid is not None:
            g = self._grid
            grid = {"server_grid": [g.step, g.north, g.west, g.rows, g.columns]}
        settle(partial, final)
        state = "fetched" if self.request.to_store else "complete"
        self.manifest.put(
            _name(time), state, file=final.name, bytes=length, sha256=digest, url=url, **grid
        )

    def _begin_store(self, times: list[np.datetime64]) -> None:
        """Refuse what the store could not take before anything is fetched for it."""
        from deepcams.training.store.open import first_hour, identity_of

        out = self.request.out
        if not out.parent.is_dir():
            raise OutputError(f"{out}: the folder {out.parent} does not exist; create it first")
        before = identity_of(out)
        if before is None:
            if out.exists():
                raise OutputError(f"{out} exists and is no training store; choose another name")
        elif times and times[0] < first_hour(before).astype("datetime64[D]"):
            raise OutputError(
                f"{out} begins on {str(first_hour(before))[:10]}: expected later hours to extend it, found "
                f"{str(times[0])[:10]}; fetch all of them into another store"
            )

    def _through_store(self, todo: list[np.datetime64], summary: Summary) -> None:
        """Fetch some days, prepare them into the store, remove them; what is prepared is not fetched again."""
        from deepcams.training.store.prepare import Preparation

        request, days, before = self.request, _days(todo), 0
        for k in range(0, len(days), max(BATCH // 24, 1)):
            chosen = set(days[k : k + max(BATCH // 24, 1)])
            batch = [time for time in todo if time.astype("datetime64[D]") in chosen]
            self._doing = "fetching"
            # what a killed run left behind is not fetched again
            self._fetch(
                [time for time in batch if self._waiting(time) is None], before, len(todo), summary
            )
            there = {time: file for time in batch if (file := self._waiting(time)) is not None}
            before += len(batch)
            if not there:
                continue

            def tell(phase: str, done: int, total: int, at: int = before) -> None:
                self.progress(Told(at, len(todo), self.came.bytes, f"preparing {done}/{total}"))

            files: list[str | Path] = list(there.values())
            Preparation(files, request.out, request.degradation, bbox=request.bbox).run(tell)
            for time in there:
                about = self.manifest.get(_name(time)) or {}
                kept = {
                    key: about[key]
                    for key in ("bytes", "sha256", "url", "server_grid")
                    if key in about
                }
                self.manifest.put(_name(time), sure=False, **kept)
            self.manifest.sync()
            for file in there.values():
                file.unlink()

    def _waiting(self, time: np.datetime64) -> Path | None:
        """The hour's file, fetched and not yet in the store."""
        about = self.manifest.get(_name(time))
        if about is None or about["state"] != "fetched":
            return None
        path = self.request.folder / about["file"]
        return path if path.is_file() and path.stat().st_size == about["bytes"] else None


def _name(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]"))


def _days(times: list[np.datetime64]) -> list[np.datetime64]:
    return sorted({time.astype("datetime64[D]") for time in times})
