"""Fetch of CAMS from the Atmosphere Data Store: one request per month or day, resumed by its id, and verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.field import grid_of
from deepcams.fetch.ads import Ads, LostError, ads_key
from deepcams.fetch.base import (
    Estimate,
    Fetch,
    Key,
    Summary,
    kind_at,
    raise_failures,
    read_alone,
)
from deepcams.fetch.cams_request import CamsRequest, Part
from deepcams.fetch.download import Http, check_space, found_in, free_space
from deepcams.fetch.retry import AbsentError, FetchError, RefusedError, RetryableError
from deepcams.readers.cams import open_cams_files
from deepcams.readers.formats.archive import unpack
from deepcams.readers.formats.detect import DataFile, Kind, kind_of

_SUBMISSIONS = 3
"""Maximum number of submissions of a request that fails at the service."""
_REQUESTED = "requested"
_SUFFIX = {"netcdf3": ".nc", "hdf5": ".nc", "grib": ".grib", "zip": ".zip"}


@dataclass
class Cams(Fetch[CamsRequest]):
    """A fetch of CAMS.

    Attributes:
        poll: first and longest interval between status queries of a request, seconds.
    """

    poll: tuple[float, float] = (5.0, 60.0)

    @property
    def identity(self) -> dict[str, Any]:
        """Return provider, variable, box, and the data set if it is not the reanalysis."""
        request = self.request
        box = list(request.bbox) if request.bbox else None
        found = {"provider": "cams", "variable": request.species.name, "bbox": box}
        other = request.dataset != "reanalysis"
        return found | ({"dataset": request.dataset} if other else {})

    def _key(self) -> Key:
        about = self.request.about
        return ads_key(self.endpoints.ads, self.environment, dataset=about)

    def _ads(self, http: Http) -> Ads:
        return Ads(self.endpoints.ads, self._key(), http, self.request.about)

    def _missing(self) -> tuple[list[Part], list[Part]]:
        parts = self.request.parts()
        return parts, [part for part in parts if not self.complete(part.item)]

    def _estimate(self) -> Estimate:
        """Query the cost of the first request, if there is a key."""
        parts, missing = self._missing()
        frames = sum(part.times.size for part in missing)
        submitted = sum(self._submitted(part) is not None for part in missing)
        already = f" ({submitted:,} already submitted)" if submitted else ""
        words = [
            f"{len(parts):,} requests to {self.endpoints.ads}, {len(missing):,} of them not there yet{already}",
            f"{frames:,} {self.request.about.frames}, {self.request.at_once} requests in flight",
        ]
        if missing:
            try:
                with Http(self.policy) as http:
                    cost = self._ads(http).costs(missing[0].request())
            except FetchError as error:
                words.append(f"cost unknown: {error}")
            else:
                limit = f" of {cost['limit']:g} allowed" if "limit" in cost else ""
                reckoned = "cost of the first request, as the data store reckons"
                words.append(f"{reckoned}: {cost.get('cost', '?')}{limit}")
        needed = _bytes(missing)
        return Estimate(
            str(self.request.out), words, needed, free_space(self.request.out)
        )

    def check(self) -> None:
        """Refuse a request that cannot be completed."""
        super().check()
        self._missing()

    def check_access(self) -> None:
        """Refuse a run without a key."""
        if self._missing()[1]:
            self._key()

    def _fetch(self) -> Summary:
        parts, missing = self._missing()
        kept = len(parts) - len(missing)
        summary = Summary(
            str(self.request.out),
            "requests",
            len(parts),
            fetched=len(missing),
            kept=kept,
        )
        if not missing:
            return summary
        check_space(self.request.out, _bytes(missing))
        with Http(self.policy, self.request.at_once) as http:
            ads = self._ads(http)
            failures = self.in_parallel(
                missing,
                lambda part: self._one(ads, http, part),
                self.request.at_once,
                lambda done: self.progress("fetching", done, len(missing)),
            )
        raise_failures(failures, f"{len(failures)} of {len(missing)}")
        return summary

    def _one(self, ads: Ads, http: Http, part: Part) -> None:
        for submission in range(1, _SUBMISSIONS + 1):
            number = self._submitted(part)
            try:
                if number is None:
                    number = ads.submit(part.request(), part.words)
                    self.note(part.item, _REQUESTED, id=number, request=part.request())
                self._wait(ads, number, part)
                self._download(ads, http, number, part)
                return
            except (LostError, AbsentError) as error:
                # The result was deleted or the job failed: submit the request again.
                self.records.forget(part.item)
                if submission == _SUBMISSIONS:
                    raise FetchError(f"{error} ({submission} requests)") from error

    def _submitted(self, part: Part) -> str | None:
        record = self.records.get(part.item)
        facts = record.facts if record is not None else {}
        if facts.get("state") != _REQUESTED or facts.get("request") != part.request():
            return None
        return str(facts["id"])

    def _wait(self, ads: Ads, number: str, part: Part) -> None:
        seconds, longest = self.poll
        while not ads.ready(number, part.words):
            self.policy.wait(seconds)
            seconds = min(seconds * 1.5, longest)

    def _download(self, ads: Ads, http: Http, number: str, part: Part) -> None:
        final = self.request.out / part.stem
        result = ads.result(number, part.words)
        while True:
            url, size = result
            try:
                partial = http.download(
                    url,
                    final,
                    part.words,
                    lambda path: verify(path, part),
                    expected=size,
                    came=self.came,
                )
                break
            except RefusedError as error:
                raise LostError(
                    str(error)
                ) from error  # the URL of the result has expired
            except AbsentError:
                raise
            except FetchError:
                now = ads.result(number, part.words)
                if now == result:
                    raise
                result = now  # the service has regenerated the file meanwhile
        final = final.with_name(final.name + _SUFFIX[str(kind_at(partial))])
        self.finish(part.item, partial, final, request=part.request(), id=number)


def _bytes(parts: list[Part]) -> float:
    """Estimate the size of the files of some parts: 16 bits per value."""
    values = (
        part.times.size * part.grid.rows * part.grid.columns * part.variables
        for part in parts
    )
    return float(sum(2 * each for each in values))


def verify(path: Path, part: Part) -> None:
    """Check a file against its request: content, grid, hours, units, no missing values.

    Raises:
        RetryableError: the file does not match.
    """
    kind = kind_at(path)
    if kind is None or kind == "zarr":
        raise RetryableError(f"what came is {found_in(path)}")
    read_alone(lambda: _verify(path, kind, part))


def _verify(path: Path, kind: Kind, part: Part) -> None:
    files = [DataFile(path, kind, path)]
    if kind == "zip":
        members = unpack(
            path, lambda head: kind_of(head) not in (None, "zip"), check=True
        )
        files = [
            DataFile(file, kind_at(file) or kind, path, name) for name, file in members
        ]
    field = open_cams_files(files, part.species.name)
    absent = part.times[~np.isin(part.times, field.time.values)]
    if absent.size:
        lacks = f"{absent.size} of {part.times.size} {part.of.about.frames} (first {str(absent[0])[:16]})"
        raise RetryableError(f"what came lacks {lacks}")
    grid = grid_of(field)
    if grid != part.grid:
        raise RetryableError(
            f"what came is on {grid.describe()} instead of {part.grid.describe()}"
        )
    for time in part.times:
        missing = int((~np.isfinite(field.sel(time=time).values)).sum())
        if missing:
            raise RetryableError(
                f"what came has {missing:,} missing values at {str(time)[:16]}"
            )
