"""Fetch of OpenAQ's open archive: a location's days are listed, read and joined into one Parquet file per year.

The archive is an S3 bucket with millions of small objects, readable without a key. With a key the locations come from
OpenAQ's API (version 3), with their grade (monitor or sensor).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import numpy as np
import pyarrow.parquet as pq

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
    OPENAQ_PROFILE,
)
from deepcams.fetch.openaq_archive import LOCATIONS_AT_ONCE, Archive, Day
from deepcams.fetch.openaq_rows import UNREADABLE, is_readable, join_parts, read_rows
from deepcams.fetch.retry import FetchError, RefusedError, RetryableError, RetryPolicy
from deepcams.files.atomic import atomic_path, os_errors_explained, write_atomically
from deepcams.files.records import file_digest
from deepcams.files.towns import countries
from deepcams.stations.archive.metadata import countries_of

T = TypeVar("T")
STATIONS = "stations.json"
"""File with the metadata of the locations, read by ``deepcams validate --metadata``."""
KEY_VARIABLE = "OPENAQ_API_KEY"
_PARTS = ".parts"
_PAGE = 1000
_OUTSIDE = "outside"
_OBJECT_BYTES = 1e3
"""Approximate size of an object, bytes: a location's day of hourly values, compressed."""
_SPARE = 1e9
"""Minimum free space at the start, bytes: sizes are known only after each location is listed."""


@dataclass(frozen=True)
class OpenaqRequest:
    """The OpenAQ data to fetch.

    Attributes:
        period: period of the observations.
        out: the folder.
        bbox: W S E N in degrees.
        country: two-letter code (ISO 3166).
        locations: only these location numbers.
        parameter: the archive's name of the species.
        at_once: number of concurrent downloads.
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
        """Refuse invalid requests.

        Raises:
            InputError: an invalid box, country, location, parameter or number of connections.
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


def list_locations(
    url: str, key: Key, box: Box | None, country: str | None, policy: RetryPolicy
) -> list[dict[str, Any]]:
    """List all locations with a sensor for PM2.5 from OpenAQ's API.

    Args:
        url: root URL of the API.
        key: key of the API.
        box: only locations in this box.
        country: two-letter code.
        policy: retry policy; also applies when the request quota is used up.

    Returns:
        the API's entry of each location, sorted by number.

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
    """Parse the locations of an API response."""
    try:
        found = from_json(text)["results"]
        return [{**one, "id": int(one["id"])} for one in found]
    except (ValueError, TypeError, LookupError) as error:
        kind = type(error).__name__
        raise RetryableError(f"OpenAQ's answer cannot be read ({kind})") from None


class _Item(NamedTuple):
    """The local days of a location that go into one year's file."""

    location: int
    first: date
    last: date
    year: int

    @property
    def name(self) -> str:
        """Name in the records, and of its part file."""
        return f"{self.location}_{self.first:%Y%m%d}_{self.last:%Y%m%d}_{self.year}"

    @classmethod
    def of(cls, name: str) -> _Item | None:
        """Parse a name; return ``None`` if it belongs to another kind of record."""
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
        """Return provider and parameter."""
        return {"provider": "openaq", "parameter": self.request.parameter}

    def _with_archive(self, do: Callable[[], T], at_once: int) -> T:
        with Archive(
            self.endpoints.openaq_archive, self.policy, at_once
        ) as self._archive:
            return do()

    def _estimate(self) -> Estimate:
        """Query the locations, and list the objects of a few of them."""
        return self._with_archive(self._estimate_of_archive, 4)

    def _estimate_of_archive(self) -> Estimate:
        out, free, (first, last) = (
            self.folder,
            free_space(self.folder),
            self.request.days(),
        )
        found, why = answer(self._locations)
        if found is None:
            days = (last - first).days + 3  # local days: one more at either end
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
        """Return the location numbers to fetch, a description of their source, and the API's entries."""
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
        """Add the API's entries to the folder's file of locations."""
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
        """Return the items of each location and year.

        A local day may begin up to 14 hours before the UTC day and end up to 12 hours after it, so one more day is
        included at either end of the whole period.
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
        """Return whether an item is complete, with its rows in its part or in its year's file."""
        record = self.records.get(item.name)
        if record is None:
            return self.records.get(self._outside(item.location)) is not None
        if not record.facts["rows"] or self._part(item).is_file():
            return True
        return self.complete(f"openaq_{item.year}.parquet")

    def _days(self, item: _Item) -> list[Day]:
        """List the objects of an item, without days that earlier fetches of other periods already include."""
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
        """Return the items of each location completed by earlier runs."""
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
        except UNREADABLE:
            sound = []
            for day, content in zip(days, contents, strict=True):
                if is_readable(content):
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
        """Return an object: the copy of an earlier run if it is intact, else from the archive."""
        path = folder / day.name
        with suppress(OSError, RetryableError):
            return day.check(path.read_bytes())
        data = self._archive.read(day)
        self.came(len(data))
        with os_errors_explained(path):
            path.write_bytes(data)
        return data

    def _must_look(self) -> bool:
        """Return whether the data of locations must be read to decide if they are wanted."""
        limited = self._box is not None or self.request.country is not None
        return limited and not self.request.locations and self._key is None

    def _is_inside(self, content: bytes) -> bool:
        """Return whether an object's first row with coordinates is in the box and country."""
        try:
            table = read_rows([content]).select(["lat", "lon"]).drop_null()
        except UNREADABLE:
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
        """Write the year's file from the locations fetched so far."""
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
