"""GEOS-CF into a folder: one file an hour over HTTPS, or PM2.5 alone over OPeNDAP.

The OPeNDAP record's own time axis is broken (no calendar, corrupt values), so hours are counted from its known
beginning. It is asked for a day of hours at a time, one request after another.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.core.times import DAY, HOUR
from deepcams.fetch.base import (
    READING,
    Estimate,
    Fetch,
    Summary,
    answer,
    kind_at,
    raise_failures,
    read_alone,
)
from deepcams.fetch.download import Http, check_space, found_in, free_space, partial_of
from deepcams.fetch.endpoints import (
    GEOS_CF_KINDS,
    GEOS_CF_SPANS,
    OPENDAP_ORIGIN,
    geos_cf_file,
    geos_cf_url,
    geos_cf_variable,
)
from deepcams.fetch.retry import AbsentError, RetryableError
from deepcams.files.atomic import os_errors_explained
from deepcams.readers.formats.detect import DataFile, looks_like
from deepcams.readers.geos_cf import TITLE, UNDEFINED, open_geos_cf_files

Box = tuple[float, float, float, float]

STEP = 0.25
PAUSE = 1.0
"""Seconds between two OPeNDAP requests: the service falls over under many in a row."""
LEAST, MOST = 0.0, 1e5
"""ug m-3: values beyond were damaged on their way."""
_CHECKING = 4
"""Files that are verified while as many as wanted come."""
_ABSENT = "absent"
_GLOBE_BYTES = {"https": 20e6, "opendap": 2.2e6}
"""About how long an hour's file of the globe is: five species; PM2.5 alone."""


@dataclass(frozen=True)
class GeosCfRequest:
    """What is wanted of GEOS-CF.

    Attributes:
        period: of the hours' middles (HH:30).
        out: a folder.
        version: 1 or 2; never mixed in one folder.
        bbox: W S E N in degrees; only PM2.5 inside it is kept.
        via: HTTPS files, or OPeNDAP (version 1 only).
        at_once: connections.
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
            InputError: the version does not cover the period, or it holds no HH:30.
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
        """About how long an hour's file is."""
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
        """Provider, version and box."""
        box = list(self.request.bbox) if self.request.bbox else None
        return {"provider": "geos-cf", "version": self.request.version, "bbox": box}

    def missing(self) -> list[np.datetime64]:
        """Return the hours that are not complete."""
        return [
            time for time in self.request.hours() if not self.complete(hour_name(time))
        ]

    def check(self) -> None:
        """Refuse what could not come to an end."""
        super().check()
        self.request.hours()

    def _estimate(self) -> Estimate:
        """Ask for the length of the first missing file, where that is what will be kept."""
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
            requests, at_once = len({_day(time) for time in missing}), 1
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
        """Give the folders where an hour may be with its address, the one that has answered before first."""
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
        # Until it is known which folder answers, one hour at a time tries them.
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
        """Return an hour's verified partial file and where it was; ``None`` where the server does not have it."""
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
        """Check an hour's file, and that its grid is that of the other hours."""
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
        """Replace a file by the part of it that is in the box."""
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
            for day in sorted({_day(time) for time in missing}):
                times = [time for time in missing if _day(time) == day]
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


def hour_name(time: np.datetime64) -> str:
    """Return an hour's name in the records."""
    return str(time.astype("datetime64[m]"))


def _day(time: np.datetime64) -> np.datetime64:
    return time.astype("datetime64[D]")


class Hour(NamedTuple):
    """The PM2.5 of one hour's file.

    Attributes:
        values: (rows, columns), float32, ug m-3, NaN where there are none.
        grid: of the values.
        source: where they come from, in words.
    """

    values: np.ndarray
    grid: Grid
    source: str


def read_hour(path: Path, time: np.datetime64, version: int) -> Hour:
    """Read one hour's file to its last byte.

    Raises:
        RetryableError: the file is no data, damaged, of another hour, version or step, or holds no values.
    """
    kind = kind_at(path)
    if kind not in ("hdf5", "netcdf3"):
        raise RetryableError(f"what came is {found_in(path)}")

    def read() -> Hour:
        files = [DataFile(path, kind, path)]
        field = open_geos_cf_files(files, geos_cf_variable(version)).load()
        times = field.time.values
        if times.size != 1 or times[0] != time:
            found = f"{times.size} hours from {str(times[0])[:16]}"
            raise RetryableError(f"what came is {found} instead of {str(time)[:16]}")
        return Hour(field.values[0], grid_of(field), str(field.attrs.get("source", "")))

    hour = read_alone(read)
    if abs(hour.grid.step - STEP) > 1e-6:
        raise RetryableError(f"what came is on another grid ({hour.grid.describe()})")
    if not np.isfinite(hour.values).any():
        raise RetryableError("what came holds no values")
    return hour


def write_hour(
    path: Path,
    values: np.ndarray,
    grid: Grid,
    time: np.datetime64,
    version: int,
    source: str,
) -> None:
    """Write one hour's PM2.5 in GEOS-CF's own layout.

    Args:
        path: the file.
        values: (rows, columns), float32, ug m-3, north first; NaN is missing.
        grid: of the values.
        time: the stamp (HH:30).
        version: of GEOS-CF.
        source: where the values come from, in words.

    Raises:
        OutputError: it cannot be written.
    """
    name = geos_cf_variable(version)
    about = {"long_name": "PM2.5 at 35 % relative humidity", "units": "ug m-3"}
    data = xr.Dataset(
        {name: (("time", "lev", "lat", "lon"), values[None, None, ::-1], about)},
        {
            "time": [time],
            "lev": ("lev", [72.0], {"units": "layer"}),
            "lat": ("lat", grid.latitudes[::-1], {"units": "degrees_north"}),
            "lon": ("lon", grid.longitudes, {"units": "degrees_east"}),
        },
        {
            "Title": f"{TITLE.format(version)}, surface PM2.5 at 35 % relative humidity",
            "Conventions": "CF",
            "Source": source,
            "Filename": geos_cf_file(version, time),
        },
    )
    packed = {
        "zlib": True,
        "complevel": 1,
        "shuffle": True,
        "_FillValue": np.float32(1e15),
    }
    since = f"minutes since {str(time)[:19].replace('T', ' ')}"
    encoding: dict[str, dict[str, Any]] = {
        name: {**packed, "dtype": "f4"},
        "time": {"units": since, "dtype": "i4"},
    }
    with READING, os_errors_explained(path):
        data.to_netcdf(
            path, engine="netcdf4", encoding=encoding, unlimited_dims=["time"]
        )


class OpendapRecord:
    """GEOS-CF's long record over OPeNDAP (DAP 2).

    Args:
        url: of the record.
        http: the session.
        bbox: W S E N in degrees; only this part.

    Attributes:
        grid: of the values.

    Raises:
        FetchError: the service does not give the record's grid.
    """

    def __init__(self, url: str, http: Http, bbox: Box | None) -> None:
        self.url, self._http = url, http
        self._name = geos_cf_variable(1).lower()
        latitude, longitude, self.grid = http.call("the record's grid", self._axes)
        if bbox is not None:
            self.grid = self.grid.select(bbox, "--bbox")[0]
        self._rows = np.abs(latitude - self.grid.latitudes[:, None]).argmin(1)
        apart = (longitude - self.grid.longitudes[:, None] + 180) % 360 - 180
        self._columns = np.abs(apart).argmin(1)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, Grid]:
        latitude, longitude = (
            self._ask(name, name, "the record's grid", lambda axis: axis)
            for name in ("lat", "lon")
        )
        try:
            grid = Grid.from_coordinates(np.sort(latitude)[::-1], longitude, self.url)
        except DeepcamsError as error:
            raise RetryableError(f"what came is no grid ({error})") from None
        return latitude, longitude, grid.canonical()

    def _ask(
        self,
        name: str,
        projection: str,
        what: str,
        check: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        if self.url.startswith("https"):
            self._http.policy.wait(PAUSE)
        url = f"{self.url}.dods?{projection}"
        return self._http.read(url, what, lambda content: check(decode(content, name)))

    def hours(
        self, times: Sequence[np.datetime64], came: Callable[[int], None]
    ) -> np.ndarray:
        """Return the values of some hours of one day: (hours, rows, columns), float32, NaN where there are none.

        Raises:
            InputError: the record begins later.
            FetchError: the service does not give them.
        """
        slots = np.array([(time - OPENDAP_ORIGIN) // HOUR for time in times])
        first, last = int(slots[0]), int(slots[-1])
        if first < 0:
            expected = f"hours from {str(OPENDAP_ORIGIN)[:16]}"
            raise InputError("--period", expected, str(times[0])[:16])
        south, north = int(self._rows.min()), int(self._rows.max())
        values = np.empty((last - first + 1, *self.grid.shape), np.float32)
        # columns that follow each other in the record are asked for at once
        edges = [
            0,
            *(np.flatnonzero(np.diff(self._columns) != 1) + 1),
            self._columns.size,
        ]
        for begin, end in pairwise(edges):
            west, east = int(self._columns[begin]), int(self._columns[end - 1])
            shape = (values.shape[0], north - south + 1, east - west + 1)
            part = self._ask(
                self._name,
                f"{self._name}[{first}:1:{last}][0:1:0][{south}:1:{north}][{west}:1:{east}]",
                f"PM2.5 of {str(times[0])[:10]}",
                partial(_plausible, shape=shape),
            )
            came(part.nbytes)
            values[:, :, begin:end] = part[:, self._rows - south]
        values[np.abs(values) >= UNDEFINED] = np.nan
        return values[slots - first]


def _plausible(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values in their shape, unless they cannot be PM2.5: the answer carries no check sum."""
    if values.size != math.prod(shape):
        raise RetryableError(
            f"what came holds {values.size:,} instead of {math.prod(shape):,}"
        )
    known = values[np.abs(values) < UNDEFINED]
    if np.isnan(values).any() or (
        known.size and not LEAST <= known.min() <= known.max() <= MOST
    ):
        raise RetryableError("what came holds values that cannot be PM2.5")
    return values.reshape(shape)


def decode(content: bytes, name: str) -> np.ndarray:
    """Return the values of the one array of a DAP 2 data answer (``.dods``), or of the first part of its one grid.

    Raises:
        RetryableError: it is no such answer, or a part of one.
    """
    parts = re.split(rb"\r?\nData:\r?\n", content, maxsplit=1)
    head = parts[0][:4096].decode("utf-8", "replace")
    declared = re.search(rf"\b(Float32|Float64)\s+{name}\s*\[", head)
    if len(parts) == 1 or declared is None:
        message = re.search(r'message\s*=\s*"([^"]*)"', head)
        if head.lstrip().startswith("Error") and message:
            raise RetryableError(f"the service says {message[1].strip()[:120]!r}")
        raise RetryableError(f"what came is {looks_like(content[:1024])}")
    data, dtype = parts[1], np.dtype(">f4" if declared[1] == "Float32" else ">f8")
    count = np.frombuffer(data[:8].ljust(8), ">u4")  # written twice
    if count[0] != count[1] or len(data) < 8 + int(count[0]) * dtype.itemsize:
        raise RetryableError(
            f"{len(data):,} bytes came that do not hold {count[0]:,} values"
        )
    return np.frombuffer(data, dtype, int(count[0]), 8)
