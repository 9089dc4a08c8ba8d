"""CAMS EAC4 from the Atmosphere Data Store: a request a month, remembered by its id, checked before it counts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.species import SPECIES, species_of
from deepcams.fetch.ads import Ads, LostError
from deepcams.fetch.base_fetch import Fetch
from deepcams.fetch.credentials import Key, ads_key
from deepcams.fetch.download import AbsentError, Transfer, begins_with, space
from deepcams.fetch.hours import Box
from deepcams.fetch.manifest import checksum, settle
from deepcams.fetch.parallel import READING, Estimate, Summary, Told, free_at, in_parallel
from deepcams.fetch.retry import FetchError, RefusedError, TryAgainError
from deepcams.files.atomic import os_errors_explained
from deepcams.readers.archive import unpack
from deepcams.readers.cams import open_cams_files
from deepcams.readers.detect import DataFile, kind_of

FIRST = np.datetime64("2003-01-01", "ns")
STEP = 0.75
RESUBMIT = 2
"""How often a request that failed at the service is submitted again."""
_SUFFIX = {"netcdf3": ".nc", "hdf5": ".nc", "grib": ".grib", "zip": ".zip"}
_FRAME_BYTES = 2 * 241 * 480
_HOURS = [f"{hour:02d}:00" for hour in range(0, 24, 3)]


@dataclass(frozen=True)
class CamsRequest:
    """What is wanted of CAMS.

    Attributes:
        period: of the analyses.
        out: the folder.
        variable: PM2.5, PM10 or PM1, by any of their names.
        bbox: W S E N in degrees.
        per: a request a month, or a day.
        at_once: requests in flight, 1 to 4.
        form: what is asked for.
    """

    period: Period
    out: Path
    variable: str = "pm2p5"
    bbox: Box | None = None
    per: Literal["month", "day"] = "month"
    at_once: int = 2
    form: Literal["netcdf_zip", "grib"] = "netcdf_zip"

    def parts(self) -> list[Part]:
        """The requests that make it up.

        Raises:
            InputError: no such variable, a period that holds no analysis or begins before 2003.
        """
        species = species_of(self.variable)
        if species is None:
            raise InputError(
                "--variable",
                "one of " + ", ".join(one.name for one in SPECIES),
                repr(self.variable),
            )
        if not 1 <= self.at_once <= 4:
            raise InputError("--at-once", "1 to 4 requests", self.at_once)
        if self.period.start < FIRST:
            raise InputError("--period", "2003-01-01 or later", str(self.period))
        step = np.timedelta64(3, "h").astype("timedelta64[ns]")
        first = self.period.start.astype("datetime64[D]").astype("datetime64[ns]")
        times = np.arange(first, self.period.end, step)
        times = times[self.period.contains(times)]
        if not times.size:
            raise InputError(
                "--period", "a period that holds a multiple of 3 hours", str(self.period)
            )
        keys = times.astype("datetime64[M]" if self.per == "month" else "datetime64[D]")
        grid = (
            Grid.globe(STEP)
            if self.bbox is None
            else Grid.globe(STEP).select(self.bbox, "--bbox")[0]
        )
        return [
            Part(str(key), species.request, species.name, times[keys == key], grid, self)
            for key in np.unique(keys)
        ]


@dataclass(frozen=True)
class Part:
    """One request: some times of one variable on one grid."""

    name: str
    request_name: str
    variable: str
    times: np.ndarray
    grid: Grid
    of: CamsRequest

    @property
    def item(self) -> str:
        """Its name in the manifest: a longer part of the same month is another item."""
        return f"{self.variable} {str(self.times[0])[:13]}..{str(self.times[-1])[:13]}"

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        whole = self.name.replace("-", "")
        ends = [str(t.astype("datetime64[h]")).replace("-", "") for t in self.times[[0, -1]]]
        full = ends[0].endswith("T00") and ends[1].endswith("T21") and self._whole()
        return f"cams_eac4_{self.variable}_{whole if full else '-'.join(ends)}"

    def _whole(self) -> bool:
        days = np.unique(self.times.astype("datetime64[D]"))
        first = np.datetime64(self.name)  # a month or a day
        length = (first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")
        return bool(days.size == int(length.astype(int)))

    def words(self) -> str:
        """For people."""
        return f"CAMS {self.variable} {self.name}"

    def request(self) -> dict[str, Any]:
        """As the data store wants it."""
        days, hours = (
            np.unique(self.times.astype("datetime64[D]")),
            {str(t)[11:16] for t in self.times},
        )
        found: dict[str, Any] = {
            "variable": [self.request_name],
            "date": [f"{days[0]}/{days[-1]}"],
            # a period that begins within a day is asked for by whole days
            "time": _HOURS if days.size > 1 else sorted(hours),
            "data_format": self.of.form,
        }
        if self.of.bbox is not None:
            west, south, east, north = self.of.bbox
            found["area"] = [north, west, south, east]
        return found


@dataclass
class Cams(Fetch[CamsRequest]):
    """A fetch of CAMS.

    Attributes:
        poll: seconds between the first two questions whether a request is ready, and at most.
    """

    poll: tuple[float, float] = (5.0, 60.0)

    def _folder(self) -> Path:
        return self.request.out

    def _identity(self) -> dict[str, Any]:
        request = self.request
        variable = request.parts()[0].variable
        return {
            "provider": "cams",
            "variable": variable,
            "bbox": list(request.bbox) if request.bbox else None,
        }

    def _ads(self, key: Key | None = None) -> Ads:
        return Ads(
            self.endpoints.ads, key or ads_key(self.endpoints.ads, self.environment), self.patience
        )

    def _todo(self) -> tuple[list[Part], list[Part]]:
        parts = self.request.parts()
        return parts, [part for part in parts if self.manifest.complete(part.item) is None]

    def _expected(self) -> Estimate:
        """The service is asked what the first request costs if there is a key."""
        parts, todo = self._todo()
        frames = sum(part.times.size for part in todo)
        waiting = sum(
            (self.manifest.get(part.item) or {}).get("state") == "requested" for part in todo
        )
        words = [
            f"{len(parts):,} requests to {self.endpoints.ads}, {len(todo):,} of them not there yet"
            + (f" ({waiting:,} already submitted)" if waiting else ""),
            f"{frames:,} analyses, {self.request.at_once} requests in flight",
        ]
        if todo:
            try:
                cost = self._ads().estimate(todo[0].request())
                limit = (
                    f" of {cost['limit']:g} allowed"
                    if isinstance(cost.get("limit"), int | float)
                    else ""
                )
                words.append(
                    f"cost of the first request, as the data store reckons: {cost.get('cost', '?')}{limit}"
                )
            except FetchError as error:
                words.append(f"cost unknown: {error}")
        size = (
            frames
            * _FRAME_BYTES
            * (self.request.parts()[0].grid.rows * self.request.parts()[0].grid.columns)
        )
        return Estimate(str(self.request.out), words, size / (241 * 480), free_at(self.request.out))

    def _check(self) -> None:
        if self._todo()[1]:
            ads_key(self.endpoints.ads, self.environment)  # without one there is nothing to begin

    def _complete(self) -> Summary:
        parts, todo = self._todo()
        request = self.request
        summary = Summary(
            str(request.out), "requests", len(parts), fetched=len(todo), kept=len(parts) - len(todo)
        )
        if not todo:
            return summary
        ads = self._ads()
        space(
            request.out,
            sum(part.times.size * part.grid.rows * part.grid.columns * 2 for part in todo),
        )

        def tell(done: int) -> None:
            self.progress(Told(done, len(todo), self.came.bytes))

        with Transfer(self.patience, request.at_once) as transfer:
            in_parallel(
                todo,
                lambda part: self._one(ads, transfer, part),
                request.at_once,
                self.patience,
                tell,
            )
        return summary

    def _one(self, ads: Ads, transfer: Transfer, part: Part) -> None:
        for attempt in range(RESUBMIT + 1):
            number = self._submitted(part) or self._submit(ads, part)
            try:
                self._wait(ads, number, part)
                self._download(ads, transfer, number, part)
                return
            except (LostError, AbsentError) as error:
                # a result that was thrown away, a job that failed: the request is asked for anew
                self.manifest.put(part.item, "forgotten")
                if attempt == RESUBMIT:
                    raise FetchError(f"{error} ({RESUBMIT + 1} requests)") from error

    def _submitted(self, part: Part) -> str | None:
        about = self.manifest.get(part.item)
        if about is None or about["state"] != "requested" or about.get("request") != part.request():
            return None
        return str(about["id"])

    def _submit(self, ads: Ads, part: Part) -> str:
        number = ads.submit(part.request(), part.words())
        self.manifest.put(part.item, "requested", id=number, request=part.request())
        return number

    def _wait(self, ads: Ads, number: str, part: Part) -> None:
        seconds, longest = self.poll
        while ads.status(number, part.words()) != "successful":
            self.patience.wait(seconds)
            seconds = min(seconds * 1.5, longest)

    def _download(self, ads: Ads, transfer: Transfer, number: str, part: Part) -> None:
        final = self.request.out / part.stem
        partial = self._result(ads, transfer, number, part, final)
        with partial.open("rb") as file:
            kind = kind_of(file.read(1024))
        final = final.with_name(final.name + _SUFFIX[str(kind)])
        digest = checksum(partial)
        with os_errors_explained(final):
            settle(partial, final)
        self.manifest.put(
            part.item,
            file=final.name,
            bytes=final.stat().st_size,
            sha256=digest,
            request=part.request(),
            id=number,
        )

    def _result(self, ads: Ads, transfer: Transfer, number: str, part: Part, final: Path) -> Path:
        """The verified partial file; where the service changes a result meanwhile, as it is then."""
        told = ads.result(number, part.words())
        while True:
            url, size = told
            try:
                return transfer.download(
                    url,
                    final,
                    part.words(),
                    lambda path: verify(path, part),
                    expected=size,
                    came=self.came,
                )
            except RefusedError as error:
                raise LostError(str(error)) from error  # an address of a result that has expired
            except AbsentError:
                raise
            except FetchError:
                if (now := ads.result(number, part.words())) == told:
                    raise
                told = now


def verify(path: Path, part: Part) -> None:
    """Check that a file is what was asked for: content, grid, hours, units, no missing values.

    Raises:
        TryAgainError: it is not.
    """
    with path.open("rb") as file:
        kind = kind_of(file.read(1024))
    if kind is None or kind == "zarr":
        raise TryAgainError(f"what came is {begins_with(path)}")
    try:
        with READING, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeepcamsNotice)
            if kind == "zip":
                members = unpack(path, lambda head: kind_of(head) not in (None, "zip"))
                files = [_member(path, name, member) for name, member in members]
            else:
                files = [DataFile(path, kind, path)]
            field = open_cams_files(files, part.variable)
            times = field.time.values
            wanted = part.times
            if absent := int((~np.isin(wanted, times)).sum()):
                first = str(wanted[~np.isin(wanted, times)][0])[:16]
                raise TryAgainError(
                    f"what came lacks {absent} of {wanted.size} analyses (first {first})"
                )
            grid = grid_of(field)
            if grid != part.grid:
                raise TryAgainError(
                    f"what came is on {grid.describe()} instead of {part.grid.describe()}"
                )
            for time in wanted:
                values = field.sel(time=time).values
                if not np.isfinite(values).all():
                    bad = int((~np.isfinite(values)).sum())
                    raise TryAgainError(f"what came has {bad:,} missing values at {str(time)[:16]}")
    except InputError as error:
        raise TryAgainError(f"what came is {error.found} instead of {error.expected}") from error
    except DeepcamsError as error:
        raise TryAgainError(f"what came cannot be used: {error}") from error


def _member(path: Path, name: str, file: Path) -> DataFile:
    with file.open("rb") as opened:
        kind = kind_of(opened.read(1024))
    assert kind is not None
    return DataFile(file, kind, path, name)
