"""OpenAQ: which locations, their days from the archive, one Parquet file a year; metadata where there is a key."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.fetch.base_fetch import Fetch
from deepcams.fetch.credentials import openaq_key
from deepcams.fetch.download import space
from deepcams.fetch.endpoints import OPENAQ_PM25
from deepcams.fetch.hours import Box
from deepcams.fetch.manifest import checksum
from deepcams.fetch.openaq_archive import Archive, Day, proven, wanted_days
from deepcams.fetch.openaq_locations import load, locations_of, save
from deepcams.fetch.openaq_pack import PARTS, Pack, merge, place_of, rows_of, write_part
from deepcams.fetch.parallel import Estimate, Summary, Told, free_at, raise_failures
from deepcams.fetch.retry import FetchError, RefusedError
from deepcams.stations.countries import countries, countries_of

LOCATIONS_AT_ONCE = 8
_OBJECT_BYTES = 1e3
"""About what an object takes: a location's day of hourly values, compressed."""
_SPARE = 1e9
"""Bytes that must be free before anything is begun: sizes are known only when each location is listed."""


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
    bbox: Box | None = None
    country: str | None = None
    locations: tuple[int, ...] = ()
    parameter: str = "pm25"
    at_once: int = 32

    def days(self) -> tuple[date, date]:
        """First and last UTC day of the period."""
        ends = self.period.start, self.period.end - np.timedelta64(1, "ns")
        first, last = (end.astype("datetime64[D]").astype(date) for end in ends)
        return first, last

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: no box, country, location or parameter, or a number of connections that is none.
        """
        if self.bbox is not None:
            Grid.globe(0.25).select(self.bbox, "--bbox")
        if self.country is not None and self.country.upper() not in countries():
            raise InputError(
                "--country", "a country's two letters (ISO 3166) such as PL", repr(self.country)
            )
        if wrong := [number for number in self.locations if number < 1]:
            raise InputError("--location", "a location's number, 1 or more", wrong[0])
        if not self.parameter.strip():
            raise InputError(
                "--parameter",
                "what the archive calls a species, such as pm25",
                repr(self.parameter),
            )
        if not 1 <= self.at_once <= 256:
            raise InputError("--at-once", "1 to 256 objects", self.at_once)


@dataclass(frozen=True)
class _Item:
    """A location's days that one year's file takes and that are not there yet."""

    location: int
    year: int
    first: date
    last: date

    @property
    def name(self) -> str:
        return f"{self.location} {self.first}..{self.last} in {self.year}"

    @property
    def stem(self) -> str:
        return f"{self.location}_{self.first:%Y%m%d}_{self.last:%Y%m%d}"


@dataclass
class Openaq(Fetch[OpenaqRequest]):
    """A fetch of OpenAQ."""

    def __post_init__(self) -> None:
        self.request.check()
        super().__post_init__()
        self._failures: list[FetchError] = []
        self._done = self._total = 0

    def _folder(self) -> Path:
        return self.request.out

    def _identity(self) -> dict[str, Any]:
        return {"provider": "openaq", "parameter": self.request.parameter}

    def _expected(self) -> Estimate:
        """The locations are asked for and a few of them listed."""
        return asyncio.run(self._estimate())

    async def _estimate(self) -> Estimate:
        with closing(Archive(self.endpoints.openaq_archive, self.patience, 4)) as archive:
            return await self._estimated(archive)

    async def _estimated(self, archive: Archive) -> Estimate:
        out, (first, last) = self.request.out, self.request.days()
        years = range(first.year, last.year + 1)
        try:
            numbers, known = await self._locations(archive)
        except RefusedError:
            raise
        except FetchError as error:
            days = (last - first).days + 3  # local days, so one more at either end
            words = [
                f"number of locations unknown: {error}",
                f"of each up to {days:,} objects, one a local day",
            ]
            return Estimate(str(out), words, None, free_at(out))
        todo = [
            item for year in years for item in self._items(numbers, year) if not self._have(item)
        ]
        words = [
            f"{len(numbers):,} locations ({known}), {len(todo):,} of their years not there yet"
        ]
        if not todo:
            return Estimate(str(out), words, 0.0, free_at(out))
        sample = todo[:: max(len(todo) // 5, 1)][:5]
        try:
            listed = [await self._listed(archive, item) for item in sample]
        except RefusedError:
            raise
        except FetchError as error:
            most = sum((item.last - item.first).days + 1 for item in todo)
            words += [
                f"at most {most:,} objects from {self.endpoints.openaq_archive}, {self.request.at_once} at once",
                f"{size(_OBJECT_BYTES)} an object, as a rule, for the archive does not tell: {error}",
            ]
            return Estimate(str(out), words, most * _OBJECT_BYTES, free_at(out))
        objects = sum(map(len, listed)) / len(sample)
        words.append(
            f"about {objects * len(todo):,.0f} objects from {self.endpoints.openaq_archive} "
            f"(judged by {len(sample)} of them), {self.request.at_once} at once"
        )
        total = sum(day.bytes for days in listed for day in days) / len(sample) * len(todo)
        return Estimate(str(out), words, total, free_at(out))

    def _complete(self) -> Summary:
        space(self.request.out, _SPARE)
        summary = asyncio.run(self._run())
        raise_failures(self._failures, f"{len(self._failures)} locations")
        return summary

    async def _run(self) -> Summary:
        with closing(
            Archive(self.endpoints.openaq_archive, self.patience, self.request.at_once)
        ) as archive:
            return await self._all(archive)

    async def _all(self, archive: Archive) -> Summary:
        request = self.request
        numbers, known = await self._locations(archive)
        first, last = request.days()
        summary = Summary(str(request.out), "location years", 0, notes=[f"locations: {known}"])
        gate = asyncio.Semaphore(request.at_once)
        for year in range(first.year, last.year + 1):
            asked = self._items(numbers, year)
            todo = deque(item for item in asked if not self._have(item))
            summary.total += len(asked)
            summary.kept += len(asked) - len(todo)
            self._done, self._total = 0, len(todo)
            workers = [self._worker(archive, todo, gate, summary) for _ in range(LOCATIONS_AT_ONCE)]
            await asyncio.gather(*workers)
            self._finish(year, summary)
        if outside := sum(about["state"] == "outside" for _, about in self.manifest.items()):
            summary.notes.append(f"{outside:,} locations lie outside the box or country")
        if not any(request.out.glob("openaq_*.parquet")):
            summary.notes.append(
                f"none of them has {request.parameter} in this period: there is nothing to write"
            )
        return summary

    def _finish(self, year: int, summary: Summary) -> None:
        """Make the year's one file, as far as the year's locations have come."""
        final = self.request.out / f"openaq_{year}.parquet"
        parts = self.request.out / PARTS / str(year)
        if not any(parts.glob("*.parquet")):
            return
        self.progress(Told(self._done, self._total, self.came.bytes, f"writing {final.name}"))
        rows = merge(parts, final)
        self.manifest.put(
            final.name,
            file=final.name,
            bytes=final.stat().st_size,
            sha256=checksum(final),
            rows=rows,
        )
        summary.notes.append(f"{final.name}: {rows:,} rows")

    async def _locations(self, archive: Archive) -> tuple[list[int], str]:
        """The numbers to ask for, and how they were found out."""
        request, key = self.request, openaq_key(self.environment)
        if request.locations:
            return sorted(set(request.locations)), "as given"
        if key is not None and request.parameter == "pm25":
            found = await asyncio.to_thread(
                locations_of,
                self.endpoints.openaq_api,
                key,
                OPENAQ_PM25,
                request.bbox,
                request.country and request.country.upper(),
                self.patience,
            )
            if self.manifest.identity is not None:  # not in a dry run
                before = {one["id"]: one for one in load(request.out) or []}
                merged = before | {one["id"]: one for one in found}
                save([merged[number] for number in sorted(merged)], request.out)
            return [one["id"] for one in found], "from the API, with their grade in stations.json"
        return (
            await archive.locations(),
            "from the archive; with a key their grade (monitor or sensor) is fetched too",
        )

    def _items(self, numbers: list[int], year: int) -> list[_Item]:
        """What a year's file takes of each location."""
        first, last = wanted_days(*self.request.days(), year)
        return [_Item(number, year, first, last) for number in numbers]

    def _have(self, item: _Item) -> bool:
        about = self.manifest.get(item.name)
        if about is None or about["state"] != "complete":
            return False
        if not about["rows"]:
            return True
        part = self.request.out / PARTS / str(item.year) / f"{item.stem}.parquet"
        return part.is_file() or self.manifest.complete(f"openaq_{item.year}.parquet") is not None

    def _covered(self, item: _Item) -> list[tuple[date, date]]:
        """Days of the location that are in some file already, from other periods."""
        known = []
        for name in self._ranges.get(item.location, []):
            about = self.manifest.get(name)
            if name != item.name and about is not None and about["state"] == "complete":
                known.append(
                    (date.fromisoformat(about["first"]), date.fromisoformat(about["last"]))
                )
        return known

    @property
    def _ranges(self) -> dict[int, list[str]]:
        if not hasattr(self, "_by_location"):
            self._by_location: dict[int, list[str]] = {}
            for name, _ in self.manifest.items("complete"):
                number = name.partition(" ")[0]
                if number.isdigit():
                    self._by_location.setdefault(int(number), []).append(name)
        return self._by_location

    async def _worker(
        self, archive: Archive, todo: deque[_Item], gate: asyncio.Semaphore, summary: Summary
    ) -> None:
        while todo:
            item = todo.popleft()
            try:
                await self._one(archive, item, gate)
                summary.fetched += 1
            except FetchError as error:
                if type(error) is not FetchError:
                    raise
                self._failures.append(error)
            self._done += 1
            self.progress(Told(self._done, self._total, self.came.bytes))

    async def _listed(self, archive: Archive, item: _Item) -> list[Day]:
        covered = self._covered(item)
        found = []
        for year in range(item.first.year, item.last.year + 1):
            for day in await archive.days(item.location, year):
                inside = item.first <= day.day <= item.last
                if inside and not any(first <= day.day <= last for first, last in covered):
                    found.append(day)
        return found

    async def _one(self, archive: Archive, item: _Item, gate: asyncio.Semaphore) -> None:
        parts = self.request.out / PARTS / str(item.year)
        outside = f"{item.location} outside {self.request.bbox} {self.request.country}"
        if self.manifest.get(outside) is not None:
            return
        days = await self._listed(archive, item)
        pack = Pack(parts / f"{item.stem}.pack")
        try:
            missing = [day for day in days if not pack.has(day)]
            if self._cuts() and days:
                # where it stands is known from any of its days
                peek = missing[0] if len(missing) == len(days) else None
                if peek is not None:
                    await self._bring(archive, peek, pack, gate)
                    missing = missing[1:]
                if not self._inside(pack, next(day for day in days if pack.has(day))):
                    self.manifest.put(outside, "outside", sure=False)
                    pack.remove()
                    return
            for k in range(0, len(missing), self.request.at_once):
                some = missing[k : k + self.request.at_once]
                results = await asyncio.gather(
                    *(self._bring(archive, day, pack, gate) for day in some), return_exceptions=True
                )
                for result in results:
                    if isinstance(result, BaseException):
                        raise result
            await asyncio.to_thread(self._keep, item, days, pack, parts)
        finally:
            pack.close()

    async def _bring(self, archive: Archive, day: Day, pack: Pack, gate: asyncio.Semaphore) -> None:
        async with gate:
            data = await archive.read(day)
        self.came(len(data))
        pack.add(day, data)
        self.progress(Told(self._done, self._total, self.came.bytes))

    def _keep(self, item: _Item, days: list[Day], pack: Pack, parts: Path) -> None:
        table, damaged = rows_of(pack, days, self.request.parameter)
        unproven = [
            key for key in damaged if not proven(next(day for day in days if day.key == key))
        ]
        if unproven:
            pack.remove()
            raise FetchError(
                f"{unproven[0].rpartition('/')[2]}: what came cannot be read; try again"
            )
        if table.num_rows:
            write_part(table, parts / f"{item.stem}.parquet")
        about: dict[str, Any] = {"damaged": damaged} if damaged else {}
        self.manifest.put(
            item.name,
            sure=False,
            location=item.location,
            year=item.year,
            first=f"{item.first}",
            last=f"{item.last}",
            objects=len(days),
            size=sum(day.bytes for day in days),
            rows=table.num_rows,
            **about,
        )
        pack.remove()

    def _cuts(self) -> bool:
        """Whether locations must be looked at to know if they are wanted."""
        request = self.request
        asked = request.bbox is not None or request.country is not None
        return asked and not request.locations and openaq_key(self.environment) is None

    def _inside(self, pack: Pack, day: Day) -> bool:
        place = place_of(pack, day)
        if place is None:
            return True
        if self.request.bbox is not None:
            west, south, east, north = self.request.bbox
            if not (
                south <= place[0] <= north
                and (place[1] - west) % 360 <= ((east - west) % 360 or 360)
            ):
                return False
        if self.request.country is not None:
            country = countries_of(np.array([place[0]]), np.array([place[1]]))[0]
            return bool(country == self.request.country.upper())
        return True
