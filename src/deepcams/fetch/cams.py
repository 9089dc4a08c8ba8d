"""CAMS EAC4 from the Atmosphere Data Store: a request a month or day, remembered by its id, verified when it comes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.species import PARTICLES, Species, species_of
from deepcams.core.times import HOUR
from deepcams.fetch.base import (
    Estimate,
    Fetch,
    Key,
    Summary,
    kind_at,
    raise_failures,
    read_alone,
)
from deepcams.fetch.download import Http, check_space, found_in, free_space
from deepcams.fetch.endpoints import ADS_PROFILE, CAMS_DATASET, CAMS_PAGE
from deepcams.fetch.retry import (
    TRANSIENT,
    AbsentError,
    FetchError,
    RefusedError,
    RetryableError,
)
from deepcams.readers.archive import unpack
from deepcams.readers.cams import open_cams_files
from deepcams.readers.detect import DataFile, Kind, kind_of

T = TypeVar("T")
Box = tuple[float, float, float, float]

FIRST = np.datetime64("2003-01-01", "ns")
STEP = 0.75
KEY_VARIABLES = ("ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY")
"""Environment variables with the data store's key, in the order in which they are looked at."""
KEY_FILES = (".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc")
"""Files in the home folder with lines ``url: ..`` and ``key: ..``, likewise."""
_SUBMISSIONS = 3
"""How often a request is submitted that fails at the service."""
_REQUESTED = "requested"
_SUFFIX = {"netcdf3": ".nc", "hdf5": ".nc", "grib": ".grib", "zip": ".zip"}
_HOURS = [f"{hour:02d}:00" for hour in range(0, 24, 3)]


def ads_key(
    endpoint: str,
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Key:
    """Find the data store's key.

    The Climate Data Store uses the same token at another address: of a key file made for it the key is used, and not
    the address.

    Raises:
        RefusedError: there is none; the message says how to get one.
    """
    environment = os.environ if environment is None else environment
    for name in KEY_VARIABLES:
        value = environment.get(name, "").strip()
        if value:
            url = name.replace("_KEY", "_URL")
            _report_other_address(f"${url}", environment.get(url, ""), endpoint)
            return Key(value, f"${name}")
    paths = [(home or Path.home()) / name for name in KEY_FILES]
    own = environment.get("ECMWF_DATASTORES_RC_FILE", "").strip()
    if own:
        paths.insert(0, Path(own))
    for path in paths:
        lines = _lines(path)
        if lines.get("key"):
            _report_other_address(str(path), lines.get("url", ""), endpoint)
            return Key(lines["key"], str(path))
    raise RefusedError(
        f"the Atmosphere Data Store needs a key: register and copy your personal token from {ADS_PROFILE}, put it into "
        f"${KEY_VARIABLES[0]} or a line 'key: TOKEN' of ~/{KEY_FILES[0]}, and accept the licence once on {CAMS_PAGE}"
    )


def _lines(path: Path) -> dict[str, str]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def _report_other_address(where: str, url: str, endpoint: str) -> None:
    other, host = urlsplit(url.strip()).hostname, urlsplit(endpoint).hostname
    if other and other != host:
        notice(f"{where} is for {other}; its key is used, and {host} is asked")


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

    @property
    def species(self) -> Species:
        """The variable's species.

        Raises:
            InputError: there is no such variable.
        """
        species = species_of(self.variable)
        if species not in PARTICLES:
            known = ", ".join(one.name for one in PARTICLES)
            raise InputError("--variable", f"one of {known}", repr(self.variable))
        return species

    @property
    def grid(self) -> Grid:
        """The grid of the files."""
        globe = Grid.globe(STEP)
        return globe if self.bbox is None else globe.select(self.bbox, "--bbox")[0]

    def parts(self) -> list[Part]:
        """Return the requests that make it up.

        Raises:
            InputError: no such variable or box, a period that holds no analysis or begins before 2003.
        """
        if not 1 <= self.at_once <= 4:
            raise InputError("--at-once", "1 to 4 requests", self.at_once)
        if self.period.start < FIRST:
            raise InputError("--period", "2003-01-01 or later", str(self.period))
        first = self.period.start.astype("datetime64[D]").astype("datetime64[ns]")
        times = np.arange(first, self.period.end, 3 * HOUR)
        times = times[self.period.contains(times)]
        if not times.size:
            expected = "a period that holds a multiple of 3 hours"
            raise InputError("--period", expected, str(self.period))
        keys = times.astype("datetime64[M]" if self.per == "month" else "datetime64[D]")
        species, grid = self.species, self.grid
        return [
            Part(str(key), species, times[keys == key], grid, self)
            for key in np.unique(keys)
        ]


@dataclass(frozen=True)
class Part:
    """One request: some times of one variable on one grid."""

    name: str
    species: Species
    times: np.ndarray
    grid: Grid
    of: CamsRequest

    @property
    def item(self) -> str:
        """Its name in the records: a longer part of the same month is another item."""
        return (
            f"{self.species.name} {str(self.times[0])[:13]}..{str(self.times[-1])[:13]}"
        )

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        begin = np.datetime64(self.name)  # a month or a day
        hours = (begin + 1).astype("datetime64[h]") - begin.astype("datetime64[h]")
        if self.times.size * np.timedelta64(3, "h") != hours:
            span = "-".join(
                str(time.astype("datetime64[h]")).replace("-", "")
                for time in self.times[[0, -1]]
            )
            return f"cams_eac4_{self.species.name}_{span}"
        return f"cams_eac4_{self.species.name}_{self.name.replace('-', '')}"

    @property
    def words(self) -> str:
        """What it is called in messages."""
        return f"CAMS {self.species.name} {self.name}"

    def request(self) -> dict[str, Any]:
        """Return the request as the data store wants it."""
        days = np.unique(self.times.astype("datetime64[D]"))
        found: dict[str, Any] = {
            "variable": [self.species.request],
            "date": [f"{days[0]}/{days[-1]}"],
            # a period that begins within a day is asked for by whole days
            "time": _HOURS
            if days.size > 1
            else [str(time)[11:16] for time in self.times],
            "data_format": self.of.form,
        }
        if self.of.bbox is not None:
            west, south, east, north = self.of.bbox
            found["area"] = [north, west, south, east]
        return found


class LostError(FetchError):
    """A request is no longer known to the service, or has failed; it may be submitted again."""


@dataclass
class Cams(Fetch[CamsRequest]):
    """A fetch of CAMS.

    Attributes:
        poll: seconds between the first two questions whether a request is ready, and at most.
    """

    poll: tuple[float, float] = (5.0, 60.0)

    @property
    def identity(self) -> dict[str, Any]:
        """Provider, variable and box."""
        box = list(self.request.bbox) if self.request.bbox else None
        return {"provider": "cams", "variable": self.request.species.name, "bbox": box}

    def _key(self) -> Key:
        return ads_key(self.endpoints.ads, self.environment)

    def _missing(self) -> tuple[list[Part], list[Part]]:
        parts = self.request.parts()
        return parts, [part for part in parts if not self.complete(part.item)]

    def _estimate(self) -> Estimate:
        """Ask the service what the first request costs, if there is a key."""
        parts, missing = self._missing()
        frames = sum(part.times.size for part in missing)
        submitted = sum(self._submitted(part) is not None for part in missing)
        already = f" ({submitted:,} already submitted)" if submitted else ""
        words = [
            f"{len(parts):,} requests to {self.endpoints.ads}, {len(missing):,} of them not there yet{already}",
            f"{frames:,} analyses, {self.request.at_once} requests in flight",
        ]
        if missing:
            try:
                with Http(self.policy) as http:
                    cost = Ads(self.endpoints.ads, self._key(), http).costs(
                        missing[0].request()
                    )
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
        """Refuse what could not come to an end."""
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
            ads = Ads(self.endpoints.ads, self._key(), http)
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
                # A result that was thrown away, a job that failed: the request is submitted anew.
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
                ) from error  # the address of a result that has expired
            except AbsentError:
                raise
            except FetchError:
                now = ads.result(number, part.words)
                if now == result:
                    raise
                result = now  # the service has made the file anew meanwhile
        final = final.with_name(final.name + _SUFFIX[str(kind_at(partial))])
        self.finish(part.item, partial, final, request=part.request(), id=number)


def _bytes(parts: list[Part]) -> float:
    """Return about how long the files of some parts are: 16 bits a value."""
    return float(
        sum(2 * part.times.size * part.grid.rows * part.grid.columns for part in parts)
    )


class Ads:
    """The data set at the data store, through ECMWF's client; its errors are worded to say what to do.

    Args:
        url: the API's root.
        key: to it.
        http: the session with the retries; the client's own are switched off, because they ignore ``Retry-After``.
    """

    def __init__(self, url: str, key: Key, http: Http) -> None:
        import requests
        from ecmwf.datastores import Client

        self._url, self._key, self._http = url, key, http
        # The client asks for news when it is made: without a way to any server it does not.
        nowhere = requests.Session()
        nowhere.adapters.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self._client = Client(
                url=url,
                key=key.value,
                timeout=http.policy.timeout,
                progress=False,
                maximum_tries=1,
                retry_after=0,
                session=nowhere,
                log_callback=lambda *_, **__: None,
            )
        self._client.session = http.session

    def costs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what the service says a request costs: ``cost``, ``limit`` and more, as far as it says."""
        return self._ask(
            "the cost of a request",
            lambda: self._client.estimate_costs(CAMS_DATASET, request),
        )

    def submit(self, request: dict[str, Any], what: str) -> str:
        """Queue a request and return its id."""
        return self._ask(
            what, lambda: str(self._client.submit(CAMS_DATASET, request).request_id)
        )

    def ready(self, number: str, what: str) -> bool:
        """Return whether a request's result is ready.

        Raises:
            LostError: it has failed, or is no longer known.
        """
        return self._ask(
            what, lambda: bool(self._client.get_remote(number).results_ready)
        )

    def result(self, number: str, what: str) -> tuple[str, int]:
        """Return where a finished request's file is, and how long it is."""

        def ask() -> tuple[str, int]:
            results = self._client.get_results(number)
            return results.location, results.content_length

        return self._ask(what, ask)

    def _ask(self, what: str, do: Callable[[], T]) -> T:
        import requests
        from ecmwf.datastores.processing import LinkError, ProcessingFailedError

        def once() -> T:
            try:
                return do()
            except requests.HTTPError as error:
                raise self._refusal(
                    error.response, what
                ) from None  # its text may hold the key
            except ProcessingFailedError as error:
                raise _failure(
                    str(error).replace(self._key.value, "(key)"), what
                ) from None
            except (
                LinkError,
                KeyError,
                ValueError,
                TypeError,
                AssertionError,
            ) as error:
                kind = type(error).__name__
                raise RetryableError(
                    f"the data store's answer cannot be read ({kind})"
                ) from None

        return self._http.call(what, once)

    def _refusal(self, response: Any, what: str) -> Exception:
        """Word an answer that is an error; a service may repeat in its message what it was sent."""
        status, text = (
            response.status_code,
            _detail(response).replace(self._key.value, "(key)"),
        )
        lower = text.lower()
        if "licence" in lower or "license" in lower:
            return RefusedError(
                f"the licence of the data set is not accepted yet: log in, open {CAMS_PAGE}, tab Download, accept the "
                "terms at its end, and give the same command again"
            )
        if "queue" in lower or "too many" in lower or "requests per user" in lower:
            return RetryableError("your queue at the data store is full")
        if _too_large(lower):
            return _failure(text, what)
        if status == 401 or (
            status == 403 and ("auth" in lower or "token" in lower or not lower)
        ):
            return RefusedError(
                f"the data store does not accept the key found in {self._key.found}: it is mistyped or expired; copy "
                f"your token from {ADS_PROFILE} again"
            )
        if status == 404 and "job" not in lower and "request" not in lower:
            return RefusedError(
                f"{self._url} does not have the data set {CAMS_DATASET}: is it another data store's address? the "
                "Atmosphere Data Store's is needed (--endpoint ads=URL)"
            )
        if status in (404, 410):
            return LostError(f"{what}: the data store no longer knows the request")
        if status in TRANSIENT:
            tried = f"{self._http.policy.tried}; try again later"
            return FetchError(f"{what}: the data store answers {status} {tried}")
        return FetchError(
            f"{what}: the data store answers {status}: {text[:200] or 'nothing more'}"
        )


def _detail(response: Any) -> str:
    """Return what an answer in JSON says is wrong."""
    try:
        found = response.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    keys = ("title", "detail", "message", "traceback")
    return " ".join(str(found[key]) for key in keys if found.get(key))


def _too_large(text: str) -> bool:
    known = ("too large", "cost limit", "limits exceeded", "exceeds the limit")
    return any(words in text for words in known)


def _failure(message: str, what: str) -> FetchError:
    if _too_large(message.lower()):
        return RefusedError(
            f"{what}: the request is too large for the data store; ask for less with --per-request day"
        )
    text = " ".join(message.split())[:200]
    return LostError(
        f"{what}: the request failed at the data store" + (f" ({text})" if text else "")
    )


def verify(path: Path, part: Part) -> None:
    """Check that a file is what was asked for: content, grid, hours, units, no missing values.

    Raises:
        RetryableError: it is not.
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
        lacks = (
            f"{absent.size} of {part.times.size} analyses (first {str(absent[0])[:16]})"
        )
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
