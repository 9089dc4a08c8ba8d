"""Fetch of GEOS-CF into a folder: one file per hour over HTTPS, or only PM2.5 over OPeNDAP.

The time axis of the OPeNDAP record is broken (no calendar, corrupt values), so hours are counted from its known start.
It is requested one day at a time, sequentially.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.core.times import DAY, HOUR
from deepcams.fetch.base import (
    Estimate,
    Fetch,
    Summary,
    answer,
    raise_failures,
)
from deepcams.fetch.download import Http, check_space, free_space, partial_of
from deepcams.fetch.endpoints import (
    GEOS_CF_KINDS,
    GEOS_CF_SPANS,
    geos_cf_file,
    geos_cf_url,
)
from deepcams.fetch.geos_cf_hours import STEP, day_of, hour_name, read_hour, write_hour
from deepcams.fetch.opendap import OpendapRecord
from deepcams.fetch.retry import AbsentError, RetryableError
from deepcams.readers.geos_cf import TITLE

Box = tuple[float, float, float, float]

_CHECKING = 4
"""Number of additional threads, so that files are verified while others are downloaded."""
_ABSENT = "absent"
_GLOBE_BYTES = {"https": 20e6, "opendap": 2.2e6}
"""Approximate size of an hour's global file, bytes: five species (HTTPS), only PM2.5 (OPeNDAP)."""


@dataclass(frozen=True)
class GeosCfRequest:
    """The GEOS-CF data to fetch.

    Attributes:
        period: period of the mid-hours (HH:30).
        out: a folder.
        version: 1 or 2; never mixed in one folder.
        bbox: W S E N in degrees; only PM2.5 inside it is kept.
        via: HTTPS files, or OPeNDAP (version 1 only).
        at_once: number of connections.
    """

    period: Period
    out: Path
    version: int = 1
    bbox: Box | None = None
    via: Literal["https", "opendap"] = "https"
    at_once: int = 4

    def hours(self) -> np.ndarray:
        """Return all stamps, ``datetime64[ns]``.

        Raises:
            InputError: the version does not cover the period, or the period holds no HH:30.
        """
        if self.version not in GEOS_CF_SPANS:
            raise InputError("--version", "1 or 2", self.version)
        if self.via == "opendap" and self.version != 1:
            why = "OPeNDAP has version 1 only"
            raise InputError("--via", "https for version 2", "opendap", why)
        if self.bbox is not None:
            Grid.globe(STEP).select(self.bbox, "--bbox")
        first = (
            self.period.start.astype("datetime64[h]").astype("datetime64[ns]")
            + HOUR // 2
        )
        times = np.arange(first, self.period.end, HOUR)
        times = times[self.period.contains(times)]
        begin, end = GEOS_CF_SPANS[self.version]
        found = str(self.period)
        if times.size:
            after = np.datetime64(end) + DAY if end else np.datetime64("9999")
            if times[0] >= np.datetime64(begin) and times[-1] < after:
                return times
        else:
            found += ", which holds no HH:30"
        expected = f"hours of version {self.version}, {begin} to {end or 'today'}"
        raise InputError("--period", expected, found)

    @property
    def hour_bytes(self) -> float:
        """Approximate size of an hour's file, bytes."""
        if self.bbox is None:
            return _GLOBE_BYTES[self.via]
        part = Grid.globe(STEP).select(self.bbox, "--bbox")[0]
        return _GLOBE_BYTES["opendap"] * part.rows * part.columns / (721 * 1440)


@dataclass
class GeosCf(Fetch[GeosCfRequest]):
    """A fetch of GEOS-CF."""

    _kind: str | None = field(default=None, init=False)
    _grid: Grid | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _probing: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def identity(self) -> dict[str, Any]:
        """Return provider, version and box."""
        box = list(self.request.bbox) if self.request.bbox else None
        return {"provider": "geos-cf", "version": self.request.version, "bbox": box}

    def missing(self) -> list[np.datetime64]:
        """Return the hours that are not complete."""
        return [
            time for time in self.request.hours() if not self.complete(hour_name(time))
        ]

    def check(self) -> None:
        """Refuse a request that cannot be completed."""
        super().check()
        self.request.hours()

    def _estimate(self) -> Estimate:
        """Query the size of the first missing file, if files are kept whole."""
        request, missing = self.request, self.missing()
        each, judged = request.hour_bytes, "as a rule"
        if request.via == "https" and request.bbox is None and missing:
            first, why = answer(lambda: self._length(missing[0]))
            if why:
                judged = f"as a rule, for the server does not tell: {why}"
            elif first is not None:
                each, judged = float(first), "as the first one"
        requests, at_once, root = len(missing), request.at_once, self._root()
        if request.via == "opendap":
            requests, at_once = len({day_of(time) for time in missing}), 1
        words = [
            f"{request.hours().size:,} hours of GEOS-CF version {request.version}, "
            f"{len(missing):,} of them not there yet",
            f"{requests:,} requests to {root}, {at_once} at once",
            f"about {size(each)} an hour, {judged}",
        ]
        return Estimate(
            str(request.out), words, each * len(missing), free_space(request.out)
        )

    def _root(self) -> str:
        if self.request.via == "opendap":
            return self.endpoints.geos_cf_opendap
        return (
            self.endpoints.geos_cf_v1
            if self.request.version == 1
            else self.endpoints.geos_cf_v2
        )

    def _length(self, time: np.datetime64) -> int | None:
        with Http(self.policy, 1) as http:
            for _, url in self._urls(time):
                try:
                    return http.size(url, geos_cf_file(self.request.version, time))
                except AbsentError:
                    continue
        return None

    def _urls(self, time: np.datetime64) -> Iterator[tuple[str, str]]:
        """Yield the possible folder kinds of an hour with its URL, the one that answered before first."""
        version = self.request.version
        for kind in sorted(GEOS_CF_KINDS[version], key=lambda kind: kind != self._kind):
            yield kind, geos_cf_url(self.endpoints, version, time, kind)

    def _fetch(self) -> Summary:
        request, missing = self.request, self.missing()
        total = int(request.hours().size)
        check_space(request.out, request.hour_bytes * len(missing))
        absent: list[str] = []

        def tell(done: int) -> None:
            self.progress("fetching", done, len(missing))

        if request.via == "opendap":
            self._fetch_record(missing, absent, tell)
        else:
            with Http(self.policy, request.at_once) as http:
                failures = self.in_parallel(
                    missing,
                    lambda time: self._one(http, time, absent),
                    request.at_once + _CHECKING,
                    tell,
                )
            raise_failures(failures, f"{len(failures)} of {len(missing)}")
        return Summary(
            str(request.out),
            "hours",
            total,
            fetched=len(missing) - len(absent),
            kept=total - len(missing),
            absent=sorted(absent),
        )

    def _one(self, http: Http, time: np.datetime64, absent: list[str]) -> None:
        # Until it is known which folder has the files, hours are tried one at a time.
        with self._probing if self._kind is None else nullcontext():
            found = self._download(http, time)
        if found is None:
            self._note_absent(time, absent)
            return
        partial, url = found
        if self.request.bbox is not None:
            self._cut(partial, time)
        grid = self._grid
        assert grid is not None
        server_grid = [grid.step, grid.north, grid.west, grid.rows, grid.columns]
        final = self.request.out / geos_cf_file(self.request.version, time)
        self.finish(hour_name(time), partial, final, url=url, server_grid=server_grid)

    def _note_absent(self, time: np.datetime64, absent: list[str]) -> None:
        self.note(hour_name(time), _ABSENT)
        absent.append(hour_name(time))

    def _download(self, http: Http, time: np.datetime64) -> tuple[Path, str] | None:
        """Return an hour's verified partial file and its folder kind, or ``None`` if the server does not have it."""
        version = self.request.version
        final = self.request.out / geos_cf_file(version, time)
        for kind, url in self._urls(time):
            try:
                partial = http.download(
                    url,
                    final,
                    final.name,
                    lambda path: self._verify(path, time),
                    came=self.came,
                )
            except AbsentError:
                continue
            self._kind = kind
            return partial, url
        return None

    def _verify(self, path: Path, time: np.datetime64) -> None:
        """Check an hour's file, and that its grid equals that of the other hours."""
        grid = read_hour(path, time, self.request.version).grid
        with self._lock:
            if self._grid is None:
                self._grid = self._grid_before() or grid
            if grid != self._grid:
                raise RetryableError(
                    f"what came is on another grid than the other hours ({grid.describe()})"
                )

    def _grid_before(self) -> Grid | None:
        for record in self.records:
            if "server_grid" in record.facts:
                return Grid(*record.facts["server_grid"])
        return None

    def _cut(self, partial: Path, time: np.datetime64) -> None:
        """Crop a file to the box."""
        assert self.request.bbox is not None
        whole = read_hour(partial, time, self.request.version)
        grid, rows, columns = whole.grid.select(self.request.bbox, "--bbox")
        source = whole.source
        if not source.startswith("NASA GEOS-CF"):
            source = f"simulated, no GEOS-CF data: {source}"
        part = partial.with_suffix(".cut")
        values = whole.values[rows][:, columns]
        write_hour(part, values, grid, time, self.request.version, source)
        part.replace(partial)

    def _fetch_record(
        self,
        missing: list[np.datetime64],
        absent: list[str],
        tell: Callable[[int], None],
    ) -> None:
        """Fetch hours over OPeNDAP."""
        request, done = self.request, 0
        with Http(self.policy, 1) as http:
            record = OpendapRecord(self.endpoints.geos_cf_opendap, http, request.bbox)
            for day in sorted({day_of(time) for time in missing}):
                times = [time for time in missing if day_of(time) == day]
                for time, values in zip(
                    times, record.hours(times, self.came), strict=True
                ):
                    if np.isfinite(values).any():
                        final = request.out / geos_cf_file(1, time)
                        hidden, source = (
                            partial_of(final),
                            f"{TITLE.format(1)}, over OPeNDAP",
                        )
                        write_hour(hidden, values, record.grid, time, 1, source)
                        self.finish(hour_name(time), hidden, final, url=record.url)
                    else:
                        self._note_absent(time, absent)
                    done += 1
                    tell(done)
