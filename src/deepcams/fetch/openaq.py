"""OpenAQ's open archive: a location's days are listed, read and joined into one Parquet file a year.

The archive is an S3 bucket of millions of tiny objects, read without a key. With a key the locations come from
OpenAQ's API (version 3), with their grade.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from obstore.store import S3Store
from pyarrow import csv

from deepcams.core.box import Box
from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.core.text import from_json, size
from deepcams.fetch.base import (
    COMPLETE,
    Estimate,
    Fetch,
    Key,
    Summary,
    answer,
    raise_failures,
)
from deepcams.fetch.download import Http, check_space, free_space
from deepcams.fetch.endpoints import (
    OPENAQ_PM25,
    OPENAQ_PREFIX,
    OPENAQ_PROFILE,
    OPENAQ_REGION,
    USER_AGENT,
    openaq_prefix,
)
from deepcams.fetch.retry import FetchError, RefusedError, RetryableError, RetryPolicy
from deepcams.files.atomic import atomic_path, os_errors_explained, write_atomically
from deepcams.files.records import file_digest
from deepcams.files.towns import countries
from deepcams.readers.formats.detect import looks_like
from deepcams.stations.archive.metadata import countries_of

T = TypeVar("T")

LOCATIONS_AT_ONCE = 8
STATIONS = "stations.json"
"""The file with what is known of the locations: what ``deepcams validate --metadata`` reads."""
KEY_VARIABLE = "OPENAQ_API_KEY"
_PARTS = ".parts"
_PAGE = 1000
_OUTSIDE = "outside"
_OBJECT_BYTES = 1e3
"""About how long an object is: a location's day of hourly values, compressed."""
_DEFLATE_RATIO, _MOST_UNPACKED = 1032, 64 << 20
"""How often a byte can be repeated by one that is packed, and bytes of an object that are taken."""
_SPARE = 1e9
"""Bytes that must be free before anything is begun: sizes are known only when each location is listed."""
_LOCATION = re.compile(r"locationid=(\d+)/?$")
_OBJECT = re.compile(r"location-\d+-(\d{4})(\d\d)(\d\d)\.csv\.gz$")
_MD5 = re.compile(r"[0-9a-f]{32}$")


@dataclass(frozen=True)
class OpenaqRequest:
    """What is wanted of OpenAQ.

    Attributes:
        period: of the observations.
        out: the folder.
        bbox: W S E N in degrees.
        country: two letters (ISO 3166).
        locations: only these numbers.
        parameter: what the archive calls the species.
        at_once: objects in flight.
    """

    period: Period
    out: Path
    bbox: tuple[float, float, float, float] | None = None
    country: str | None = None
    locations: tuple[int, ...] = ()
    parameter: str = "pm25"
    at_once: int = 32

    def days(self) -> tuple[date, date]:
        """Return the first and last UTC day of the period."""
        ends = self.period.start, self.period.end - np.timedelta64(1, "ns")
        first, last = (end.astype("datetime64[D]").astype(date) for end in ends)
        return first, last

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: no box, country, location or parameter, or a number of connections that is none.
        """
        if self.bbox is not None:
            Box.checked(self.bbox, "--bbox")
        if self.country is not None and self.country.upper() not in countries():
            expected = "a country's two letters (ISO 3166) such as PL"
            raise InputError("--country", expected, repr(self.country))
        wrong = [number for number in self.locations if number < 1]
        if wrong:
            raise InputError("--location", "a location's number, 1 or more", wrong[0])
        if not self.parameter.strip():
            expected = "what the archive calls a species, such as pm25"
            raise InputError("--parameter", expected, repr(self.parameter))
        if not 1 <= self.at_once <= 256:
            raise InputError("--at-once", "1 to 256 objects", self.at_once)


@dataclass(frozen=True)
class Day:
    """One object: a location's local day.

    Attributes:
        key: its name in the bucket.
        day: the local day.
        length: in bytes.
        tag: the server's mark of its content; in plain objects the MD5.
    """

    key: str
    day: date
    length: int
    tag: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def proven(self) -> bool:
        """Whether the server's mark proves the content."""
        return bool(_MD5.match(self.tag))

    def check(self, data: bytes) -> bytes:
        """Return the object's bytes if they are whole and sound.

        Raises:
            RetryableError: they are not.
        """
        if len(data) != self.length:
            raise RetryableError(f"{len(data):,} of {self.length:,} bytes came")
        if data[:2] != b"\x1f\x8b":
            raise RetryableError(f"what came is {looks_like(data[:1024])}")
        if self.proven:
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != self.tag:
                raise RetryableError("what came does not have the announced check sum")
            return data  # if it is damaged in the archive itself, another try does not help
        try:
            _unpacked(data)
        except (zlib.error, EOFError, OSError) as error:
            raise RetryableError(
                f"what came is a damaged gzip file ({error})"
            ) from None
        return data


class Archive:
    """The bucket.

    Args:
        url: ``s3://BUCKET``, or ``http(s)://HOST/BUCKET``.
        policy: of the retries.
        at_once: objects in flight.
    """

    def __init__(self, url: str, policy: RetryPolicy, at_once: int) -> None:
        parts = urlsplit(url)
        config: dict[str, Any] = {"region": OPENAQ_REGION, "skip_signature": True}
        bucket = parts.netloc
        self._root = f"https://{bucket}.s3.{OPENAQ_REGION}.amazonaws.com"
        if parts.scheme != "s3":
            bucket = parts.path.strip("/")
            self._root = url.rstrip("/")
            config["endpoint"] = f"{parts.scheme}://{parts.netloc}"
            config["virtual_hosted_style_request"] = False
        self._store = S3Store(
            bucket,
            config=config,  # type: ignore[arg-type]
            client_options={
                "user_agent": USER_AGENT,
                "allow_http": parts.scheme == "http",
                "timeout": f"{max(policy.timeout * 2, 1):.3f}s",
                "connect_timeout": f"{max(policy.timeout, 1):.3f}s",
                "pool_max_idle_per_host": str(at_once),
            },
            retry_config={"max_retries": 0},
        )
        self._http = Http(policy, LOCATIONS_AT_ONCE)
        self.objects = ThreadPoolExecutor(at_once, "deepcams-objects")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.objects.shutdown(cancel_futures=True)
        self._http.session.close()

    def locations(self) -> list[int]:
        """Return the numbers of all locations that the archive has.

        Raises:
            FetchError: it does not tell.
        """
        what = "the archive's list of locations"
        _, folders = self._list(OPENAQ_PREFIX, what, "/")
        found = sorted(
            int(match[1]) for match in map(_LOCATION.search, folders) if match
        )
        if not found:
            raise FetchError(f"{what} is empty; check --endpoint openaq-archive=URL")
        return found

    def days(self, location: int, year: int) -> list[Day]:
        """Return a location's objects of a year, in order."""
        what = f"the list of location {location}, {year}"
        found, _ = self._list(openaq_prefix(location, year), what)
        return sorted(found, key=lambda day: day.key)

    def _list(
        self, prefix: str, what: str, delimiter: str = ""
    ) -> tuple[list[Day], list[str]]:
        """List the objects and folders under a prefix, page by page.

        Lists are read here rather than by obstore, which takes any page (an error's, a portal's) for an empty list: a
        location's data would be missing, and nobody would know.
        """
        days, folders, token = list[Day](), list[str](), ""
        while True:
            asked = {"list-type": "2", "prefix": prefix, "delimiter": delimiter}
            asked["continuation-token"] = token
            query = urlencode({name: value for name, value in asked.items() if value})
            page = self._http.read(
                f"{self._root}?{query}", what, lambda text: read_page(text, prefix)
            )
            days += page[0]
            folders += page[1]
            token = page[2]
            if not token:
                return days, folders

    def read(self, day: Day) -> bytes:
        """Return an object, whole and sound.

        Raises:
            FetchError: it never came so.
        """

        def once() -> bytes:
            self._http.wait_until_quiet()
            try:
                data = bytes(obstore.get(self._store, day.key).bytes())
            except (obstore.exceptions.BaseError, OSError, ValueError):
                # The quick client hides what the server says: the session asks, waits and words it.
                url = f"{self._root}/{quote(day.key, '/=')}"
                return self._http.read(url, day.name, day.check)
            return day.check(data)

        return self._http.call(day.name, once)


def read_page(text: bytes, prefix: str) -> tuple[list[Day], list[str], str]:
    """Read a page of a list, as S3 writes them.

    Returns:
        the days, the folders, and how to ask for the next page (empty: it was the last).

    Raises:
        RetryableError: it is none, or another prefix's.
    """
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise RetryableError(f"what came is {looks_like(text[:1024])}") from None
    truncated = root.findtext(f"{space}IsTruncated")
    if root.tag != f"{space}ListBucketResult" or truncated not in ("true", "false"):
        raise RetryableError(f"what came is {looks_like(text[:1024])}")
    if (root.findtext(f"{space}Prefix") or "") != prefix:
        raise RetryableError("what came is another list than was asked for")
    token = root.findtext(f"{space}NextContinuationToken") or ""
    if truncated == "true" and not token:
        raise RetryableError("what came is a part of a list without its end")
    days = []
    for one in root.iter(f"{space}Contents"):
        key, length, tag = (
            one.findtext(f"{space}{name}") or "" for name in ("Key", "Size", "ETag")
        )
        match = _OBJECT.search(key)
        if not length.isdigit():
            raise RetryableError("what came is a damaged list")
        if match is not None:
            with suppress(ValueError):  # no date
                day = date(int(match[1]), int(match[2]), int(match[3]))
                days.append(Day(key, day, int(length), tag.strip('"')))
    folders = [
        each.text or ""
        for each in root.iterfind(f"{space}CommonPrefixes/{space}Prefix")
    ]
    return days, folders, token if truncated == "true" else ""


def list_locations(
    url: str, key: Key, box: Box | None, country: str | None, policy: RetryPolicy
) -> list[dict[str, Any]]:
    """Ask OpenAQ's API for all locations with a sensor for PM2.5.

    Args:
        url: the API's root.
        key: to it.
        box: only locations in it.
        country: two letters.
        policy: of the retries; an allowance of requests that is used up is one.

    Returns:
        what the API says of each, in the order of their numbers.

    Raises:
        FetchError: the key is not accepted, or the service does not answer.
    """
    found: dict[int, dict[str, Any]] = {}
    with Http(policy, 1) as http:
        for part in [None] if box is None else box.split_at_dateline():
            asked: dict[str, Any] = {"parameters_id": OPENAQ_PM25, "limit": _PAGE}
            if country is not None:
                asked["iso"] = country
            if part is not None:
                asked["bbox"] = ",".join(f"{edge:.4f}" for edge in part)
            page, count = 0, _PAGE
            while count == _PAGE:
                page += 1
                query = urlencode({**asked, "page": page}, safe=",")
                try:
                    some = http.read(
                        f"{url}/locations?{query}",
                        "OpenAQ's locations",
                        _read_locations,
                        {"X-API-Key": key.value},
                    )
                except RefusedError:
                    raise RefusedError(
                        f"OpenAQ does not accept the key in {key.found}: it is mistyped or expired; copy it again from "
                        f"{OPENAQ_PROFILE}, or unset it (the archive needs none)"
                    ) from None
                found |= {one["id"]: one for one in some}
                count = len(some)
    return [found[number] for number in sorted(found)]


def _read_locations(text: bytes) -> list[dict[str, Any]]:
    """Return the locations of an answer, as the API gives them."""
    try:
        found = from_json(text)["results"]
        return [{**one, "id": int(one["id"])} for one in found]
    except (ValueError, TypeError, LookupError) as error:
        kind = type(error).__name__
        raise RetryableError(f"OpenAQ's answer cannot be read ({kind})") from None


class _Item(NamedTuple):
    """A location's local days that one year's file takes."""

    location: int
    first: date
    last: date
    year: int

    @property
    def name(self) -> str:
        """Its name in the records, and its part's."""
        return f"{self.location}_{self.first:%Y%m%d}_{self.last:%Y%m%d}_{self.year}"

    @classmethod
    def of(cls, name: str) -> _Item | None:
        """Read a name; ``None`` where it is another record's."""
        match = re.fullmatch(r"(\d+)_(\d{8})_(\d{8})_(\d+)", name)
        if match is None:
            return None
        location, first, last, year = match.groups()
        return cls(
            int(location),
            date.fromisoformat(first),
            date.fromisoformat(last),
            int(year),
        )


@dataclass
class Openaq(Fetch[OpenaqRequest]):
    """A fetch of OpenAQ."""

    _archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        self.request.check()
        super().__post_init__()
        self._box = (
            None if self.request.bbox is None else Box.checked(self.request.bbox)
        )
        self._key: Key | None = None
        environment = os.environ if self.environment is None else self.environment
        value = environment.get(KEY_VARIABLE, "").strip()
        if value:
            self._key = Key(value, f"${KEY_VARIABLE}")

    @property
    def identity(self) -> dict[str, Any]:
        """Provider and parameter."""
        return {"provider": "openaq", "parameter": self.request.parameter}

    def _with_archive(self, do: Callable[[], T], at_once: int) -> T:
        with Archive(
            self.endpoints.openaq_archive, self.policy, at_once
        ) as self._archive:
            return do()

    def _estimate(self) -> Estimate:
        """Ask for the locations, and list a few of them."""
        return self._with_archive(self._estimate_of_archive, 4)

    def _estimate_of_archive(self) -> Estimate:
        out, free, (first, last) = (
            self.folder,
            free_space(self.folder),
            self.request.days(),
        )
        found, why = answer(self._locations)
        if found is None:
            days = (last - first).days + 3  # local days, so one more at either end
            words = [
                f"number of locations unknown: {why}",
                f"of each up to {days:,} objects, one a local day",
            ]
            return Estimate(str(out), words, None, free)
        numbers, known, _ = found
        missing = [item for item in self._items(numbers) if not self._is_kept(item)]
        words = [
            f"{len(numbers):,} locations ({known}), {len(missing):,} of their years not there yet"
        ]
        if not missing:
            return Estimate(str(out), words, 0.0, free)
        sample = missing[:: max(len(missing) // 5, 1)][:5]
        source, at_once = (
            self.endpoints.openaq_archive,
            f"{self.request.at_once} at once",
        )
        listed, why = answer(
            lambda: [day for item in sample for day in self._days(item)]
        )
        if listed is None:
            most = sum((item.last - item.first).days + 1 for item in missing)
            words += [
                f"at most {most:,} objects from {source}, {at_once}",
                f"{size(_OBJECT_BYTES)} an object, as a rule, for the archive does not tell: {why}",
            ]
            return Estimate(str(out), words, most * _OBJECT_BYTES, free)
        share = len(missing) / len(sample)
        words.append(
            f"about {len(listed) * share:,.0f} objects from {source} (judged by {len(sample)} of them), {at_once}"
        )
        return Estimate(
            str(out), words, sum(day.length for day in listed) * share, free
        )

    def _fetch(self) -> Summary:
        check_space(self.folder, _SPARE)
        return self._with_archive(self._fetch_archive, self.request.at_once)

    def _fetch_archive(self) -> Summary:
        numbers, known, described = self._locations()
        if described:
            self._save_locations(described)
        items = self._items(numbers)
        summary = Summary(
            str(self.folder),
            "location years",
            len(items),
            notes=[f"locations: {known}"],
        )
        failures: list[FetchError] = []
        for year in sorted({item.year for item in items}):
            missing = [
                item for item in items if item.year == year and not self._is_kept(item)
            ]
            summary.kept += sum(item.year == year for item in items) - len(missing)

            def tell(done: int, total: int = len(missing)) -> None:
                self.progress("fetching", done, total)

            failed = self.in_parallel(missing, self._one, LOCATIONS_AT_ONCE, tell)
            failures += failed
            summary.fetched += len(missing) - len(failed)
            self._join(year, summary)
        outside = sum(
            self.records.get(self._outside(number)) is not None for number in numbers
        )
        if outside:
            summary.notes.append(
                f"{outside:,} locations lie outside the box or country"
            )
        if not any(self.folder.glob("openaq_*.parquet")):
            summary.notes.append(
                f"none of them has {self.request.parameter} in this period: there is nothing to write"
            )
        raise_failures(failures, f"{len(failures)} locations")
        return summary

    def _locations(self) -> tuple[list[int], str, list[dict[str, Any]]]:
        """Return the numbers to ask for, how they were found out, and what the API says of them."""
        request = self.request
        if request.locations:
            return sorted(set(request.locations)), "as given", []
        if self._key is not None and request.parameter == "pm25":
            country = request.country and request.country.upper()
            found = list_locations(
                self.endpoints.openaq_api, self._key, self._box, country, self.policy
            )
            words = f"from the API, with their grade in {STATIONS}"
            return [one["id"] for one in found], words, found
        words = "from the archive; with a key their grade (monitor or sensor) is fetched too"
        return self._archive.locations(), words, []

    def _save_locations(self, found: list[dict[str, Any]]) -> None:
        """Add locations to the folder's file of them, as the API answers."""
        path = self.folder / STATIONS
        known: dict[int, Any] = {}
        with suppress(OSError, ValueError, LookupError, TypeError):
            known = {
                one["id"]: one for one in from_json(path.read_text("utf-8"))["results"]
            }
        known |= {one["id"]: one for one in found}
        results = {"results": [known[number] for number in sorted(known)]}
        text = json.dumps(results, ensure_ascii=False, indent=0) + "\n"
        with os_errors_explained(path):
            write_atomically(path, text.encode())

    def _items(self, numbers: list[int]) -> list[_Item]:
        """Return what each year's file takes of each location.

        A local day may begin up to 14 hours before the UTC day and end 12 hours after it, so one day more is taken at
        either end of the whole period.
        """
        first, last = self.request.days()
        items = []
        for year in range(first.year, last.year + 1):
            begin = (
                first - timedelta(days=1) if year == first.year else date(year, 1, 1)
            )
            end = last + timedelta(days=1) if year == last.year else date(year, 12, 31)
            items += [_Item(number, begin, end, year) for number in numbers]
        return items

    def _outside(self, location: int) -> str:
        return f"{location} outside {self.request.bbox} {self.request.country}"

    def _part(self, item: _Item) -> Path:
        return self.folder / _PARTS / str(item.year) / f"{item.name}.parquet"

    def _is_kept(self, item: _Item) -> bool:
        """Return whether an item is complete, and its rows are in its part or its year's file."""
        record = self.records.get(item.name)
        if record is None:
            return self.records.get(self._outside(item.location)) is not None
        if not record.facts["rows"] or self._part(item).is_file():
            return True
        return self.complete(f"openaq_{item.year}.parquet")

    def _days(self, item: _Item) -> list[Day]:
        """List the objects of an item, without the days that are in some file already, from other periods."""
        covered = [other for other in self._kept_items[item.location] if other != item]
        found = []
        for year in range(item.first.year, item.last.year + 1):
            for day in self._archive.days(item.location, year):
                inside = item.first <= day.day <= item.last
                if inside and not any(
                    other.first <= day.day <= other.last for other in covered
                ):
                    found.append(day)
        return found

    @cached_property
    def _kept_items(self) -> dict[int, list[_Item]]:
        """The items of each location that earlier runs completed."""
        kept = defaultdict[int, list[_Item]](list)
        for item in map(_Item.of, self.records.names()):
            if item is not None and self._is_kept(item):
                kept[item.location].append(item)
        return kept

    def _one(self, item: _Item) -> None:
        """Fetch the objects of an item, and write its rows as a part of the year's file."""
        days, part = self._days(item), self._part(item)
        objects = part.with_suffix("")
        with os_errors_explained(objects):
            objects.mkdir(parents=True, exist_ok=True)
        if (
            days
            and self._must_look()
            and not self._is_inside(self._object(days[0], objects))
        ):
            self.note(self._outside(item.location), _OUTSIDE)
            shutil.rmtree(objects)
            return
        contents = list(
            self._archive.objects.map(lambda day: self._object(day, objects), days)
        )
        damaged: list[str] = []
        try:
            table = read_rows(contents, self.request.parameter)
        except _UNREADABLE:
            sound = []
            for day, content in zip(days, contents, strict=True):
                if _is_readable(content):
                    sound.append(content)
                elif day.proven:
                    damaged.append(day.key)
                else:
                    (objects / day.name).unlink()
                    raise FetchError(
                        f"{day.name}: what came cannot be read; try again"
                    ) from None
            table = read_rows(sound, self.request.parameter)
        if table.num_rows:
            with atomic_path(part, durable=True) as temporary:
                pq.write_table(table, temporary, compression="zstd")
        facts: dict[str, Any] = {"damaged": damaged} if damaged else {}
        length = sum(day.length for day in days)
        self.note(
            item.name,
            COMPLETE,
            location=item.location,
            objects=len(days),
            size=length,
            rows=table.num_rows,
            **facts,
        )
        shutil.rmtree(objects)

    def _object(self, day: Day, folder: Path) -> bytes:
        """Return an object: as an earlier run kept it if that is sound, else from the archive."""
        path = folder / day.name
        with suppress(OSError, RetryableError):
            return day.check(path.read_bytes())
        data = self._archive.read(day)
        self.came(len(data))
        with os_errors_explained(path):
            path.write_bytes(data)
        return data

    def _must_look(self) -> bool:
        """Return whether locations must be looked at to know if they are wanted."""
        limited = self._box is not None or self.request.country is not None
        return limited and not self.request.locations and self._key is None

    def _is_inside(self, content: bytes) -> bool:
        """Return whether an object's first row with coordinates is in the box and country."""
        try:
            table = read_rows([content]).select(["lat", "lon"]).drop_null()
        except _UNREADABLE:
            return True
        if not table.num_rows:
            return True
        latitude, longitude = (
            np.array([table[name][0].as_py()]) for name in ("lat", "lon")
        )
        if self._box is not None and not self._box.contains(latitude, longitude).all():
            return False
        country = self.request.country
        return country is None or bool(
            countries_of(latitude, longitude)[0] == country.upper()
        )

    def _join(self, year: int, summary: Summary) -> None:
        """Make the year's one file, as far as the year's locations have come."""
        final, parts = (
            self.folder / f"openaq_{year}.parquet",
            self.folder / _PARTS / str(year),
        )
        if not any(parts.glob("*.parquet")):
            return
        self.progress(f"writing {final.name}", 0, 0)
        rows = join_parts(parts, final)
        facts = {"file": final.name, "bytes": final.stat().st_size, "rows": rows}
        self.note(final.name, COMPLETE, file_digest(final), **facts)
        summary.notes.append(f"{final.name}: {rows:,} rows")


_NUMBERS = ("lat", "lon", "value")
_COLUMNS = (
    "location_id",
    "location",
    "datetime",
    "lat",
    "lon",
    "parameter",
    "units",
    "value",
)
_UNREADABLE = (zlib.error, EOFError, OSError, ValueError)
_GROUP_ROWS = 1 << 19
_JOINED = b"deepcams.merged"
"""Key of a file's metadata: the parts that it holds."""


def _schema(metadata: dict[bytes, str] | None = None) -> Any:
    kinds = {name: pa.float64() for name in _NUMBERS}
    return pa.schema(
        [(name, kinds.get(name, pa.string())) for name in _COLUMNS], metadata
    )


def _plain(parameter: str) -> str:
    """Return a species' name without marks: pm25 for PM2.5, pm2p5 and pm25."""
    return re.sub(r"[^a-z0-9]", "", parameter.lower().replace("2p5", "25"))


def _is_readable(content: bytes) -> bool:
    try:
        read_rows([content])
    except _UNREADABLE:
        return False
    return True


def _unpacked(data: bytes) -> bytes:
    """Unpack an object, which is a day of one location: a long one may be made to fill the memory.

    Raises:
        zlib.error, EOFError, OSError: it is damaged, or unpacks to more than :data:`_MOST_UNPACKED`.
    """
    if len(data) * _DEFLATE_RATIO <= _MOST_UNPACKED:
        return gzip.decompress(data)
    with gzip.open(io.BytesIO(data)) as stream:
        text = stream.read(_MOST_UNPACKED + 1)
    if len(text) > _MOST_UNPACKED:
        raise OSError(f"it unpacks to more than {size(_MOST_UNPACKED)}")
    return text


def read_rows(contents: Iterable[bytes], parameter: str | None = None) -> Any:
    """Read the rows of some objects (of one parameter) into an Arrow table of the archive's columns.

    Raises:
        zlib.error, EOFError, OSError: an object is damaged.
        ValueError: one is no table of the archive, or a row does not fit.
    """
    bodies = defaultdict[bytes, list[bytes]](list)
    for content in contents:
        text = _unpacked(content).removeprefix(b"\xef\xbb\xbf")
        header, _, body = text.partition(b"\n")
        if body.strip():
            bodies[header.strip()].append(body.rstrip(b"\n"))
    tables = [_read_csv(header, b"\n".join(some)) for header, some in bodies.items()]
    table = pa.concat_tables([_schema().empty_table(), *tables])
    if parameter is None:
        return table
    known = pc.unique(table["parameter"]).to_pylist()
    wanted = [name for name in known if _plain(name) == _plain(parameter)]
    return table.filter(pc.is_in(table["parameter"], pa.array(wanted, pa.string())))


def _read_csv(header: bytes, body: bytes) -> Any:
    """Read rows below a header."""
    names = [name.strip(' "') for name in header.decode("latin-1").split(",")]
    absent = [name for name in _COLUMNS if name not in names and name != "location"]
    if absent:
        raise ValueError(f"no {', '.join(absent)}")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:  # an old export: its micro sign is one byte
        body = body.decode("latin-1").encode()
    return csv.read_csv(
        io.BytesIO(body),
        csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(body) + 1
        ),
        convert_options=csv.ConvertOptions(
            column_types=_schema(),
            include_columns=list(_COLUMNS),
            include_missing_columns=True,
            strings_can_be_null=False,
            null_values=[
                "",
                "NA",
                "N/A",
                "n/a",
                "NaN",
                "nan",
                "null",
                "NULL",
                "None",
                "-",
                "\\N",
            ],
        ),
    )


def join_parts(parts: Path, final: Path) -> int:
    """Join a year's parts, and the year's file that is there already, into one Parquet file; remove the parts.

    The file says which parts it holds: those that a kill left behind are not joined twice.

    Returns:
        rows of the file.
    """
    joined: list[str] = []
    if final.exists():
        joined = from_json((pq.read_schema(final).metadata or {}).get(_JOINED, b"[]"))
    found = sorted(
        parts.glob("*.parquet"),
        key=lambda path: (int(path.stem.split("_")[0]), path.stem),
    )
    new = [path for path in found if path.stem not in set(joined)]
    if new:
        schema = _schema({_JOINED: json.dumps(joined + [path.stem for path in new])})
        before = [final] if final.exists() else []
        with (
            atomic_path(final, durable=True) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for table in _row_groups([*before, *new]):
                writer.write_table(table.cast(schema), row_group_size=_GROUP_ROWS)
    for path in found:
        path.unlink()
    with suppress(OSError):  # unfinished locations are still in them
        parts.rmdir()
        parts.parent.rmdir()
    return int(pq.read_metadata(final).num_rows)


def _row_groups(paths: Iterable[Path]) -> Iterator[Any]:
    """Give the rows of some files, many at a time, so that memory stays flat."""
    held, rows = list[Any](), 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP_ROWS):
                held.append(
                    pa.Table.from_batches([batch]).replace_schema_metadata(None)
                )
                rows += batch.num_rows
                if rows >= _GROUP_ROWS:
                    yield pa.concat_tables(held)
                    held, rows = [], 0
    if held:
        yield pa.concat_tables(held)
