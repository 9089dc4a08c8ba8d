"""OpenAQ's open archive: an S3 bucket of millions of tiny objects, listed by prefix and read without a key."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

from deepcams.fetch.endpoints import OPENAQ_PREFIX, OPENAQ_REGION, USER_AGENT, openaq_prefix
from deepcams.fetch.extra import need
from deepcams.fetch.patience import Patience, RefusedError, TryAgainError
from deepcams.sources.files import looks_like

_LOCATION = re.compile(r"locationid=(\d+)/?$")
_OBJECT = re.compile(r"location-(\d+)-(\d{4})(\d\d)(\d\d)\.csv\.gz$")
_MD5 = re.compile(r"[0-9a-f]{32}$")


@dataclass(frozen=True)
class Day:
    """One object: a location's local day.

    Attributes:
        key: its name in the bucket.
        day: the local day.
        bytes: its length.
        tag: the server's mark of its content; in plain objects the MD5.
    """

    key: str
    day: date
    bytes: int
    tag: str


class Archive:
    """The bucket.

    Args:
        url: ``s3://BUCKET``, or ``http(s)://HOST/BUCKET``.
        patience: for how long; the client's own retries are switched off.
        at_once: objects in flight.
    """

    def __init__(self, url: str, patience: Patience, at_once: int) -> None:
        self._patience = patience
        parts = urlsplit(url)
        store = need("obstore.store")
        bucket = parts.netloc if parts.scheme == "s3" else parts.path.strip("/")
        config: dict[str, Any] = {"region": OPENAQ_REGION, "skip_signature": True}
        if parts.scheme != "s3":
            config["endpoint"] = f"{parts.scheme}://{parts.netloc}"
            config["virtual_hosted_style_request"] = False
        self._store = store.S3Store(
            bucket,
            config=config,
            client_options={
                "user_agent": USER_AGENT,
                "allow_http": parts.scheme == "http",
                "timeout": f"{max(patience.timeout * 2, 1):.3f}s",
                "connect_timeout": f"{max(patience.timeout, 1):.3f}s",
                "pool_max_idle_per_host": str(at_once),
            },
            retry_config={"max_retries": 0},
        )
        self._obstore = need("obstore")
        self._errors = need("obstore.exceptions")

    async def locations(self) -> list[int]:
        """The numbers of all locations that the archive has."""

        async def ask() -> list[int]:
            try:
                found = await self._obstore.list_with_delimiter_async(self._store, OPENAQ_PREFIX)
            except Exception as error:
                raise self._judged(error) from None
            return sorted(int(m[1]) for prefix in found["common_prefixes"] if (m := _LOCATION.search(str(prefix))))

        return await self._patience.persist_async("the archive's list of locations", ask)

    async def days(self, location: int, year: int) -> list[Day]:
        """A location's objects of a year, in order."""

        async def ask() -> list[Day]:
            try:
                pages = self._obstore.list(self._store, openaq_prefix(location, year), chunk_size=1000)
                return [day async for page in _pages(pages) for each in page if (day := _day(each)) is not None]
            except Exception as error:
                raise self._judged(error) from None

        found = await self._patience.persist_async(f"the list of location {location}, {year}", ask)
        return sorted(found, key=lambda day: day.key)

    async def read(self, day: Day) -> bytes:
        """An object, whole and sound.

        Raises:
            FetchError: it never came so.
        """

        async def ask() -> bytes:
            try:
                answer = await self._obstore.get_async(self._store, day.key)
                data = bytes(await answer.bytes_async())
            except Exception as error:
                raise self._judged(error) from None
            _check(data, day)
            return data

        return await self._patience.persist_async(day.key.rpartition("/")[2], ask)

    def _judged(self, error: Exception) -> Exception:
        if isinstance(error, self._errors.PermissionDeniedError | self._errors.UnauthenticatedError):
            return RefusedError("the archive refuses access without a key; check --endpoint openaq-archive=URL")
        if isinstance(error, self._errors.NotFoundError):
            return TryAgainError("the archive no longer has it")
        if not isinstance(error, self._errors.BaseError | OSError | ValueError):
            return error
        text = " ".join(str(error).split())
        status = re.search(r"\b(4\d\d|5\d\d)\b [A-Z]", text)
        return TryAgainError(f"the archive answers {status[1]}" if status else f"the connection broke ({text[:120]})")


async def _pages(stream: Any) -> AsyncIterator[Any]:
    async for page in stream:
        yield page


def _day(found: Any) -> Day | None:
    match = _OBJECT.search(found["path"])
    if match is None:
        return None
    try:
        day = date(int(match[2]), int(match[3]), int(match[4]))
    except ValueError:
        return None
    return Day(str(found["path"]), day, int(found["size"]), str(found.get("e_tag") or "").strip('"'))


def _check(data: bytes, day: Day) -> None:
    if len(data) != day.bytes:
        raise TryAgainError(f"{len(data):,} of {day.bytes:,} bytes came")
    if data[:2] != b"\x1f\x8b":
        raise TryAgainError(f"what came is {looks_like(data[:1024])}")
    if proven(day):
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != day.tag:
            raise TryAgainError("what came does not have the announced check sum")
        return  # what lies there came; if that is damaged, another try does not help
    try:
        unpacked(data)
    except (zlib.error, EOFError, OSError) as error:
        raise TryAgainError(f"what came is a damaged gzip file ({error})") from None


def proven(day: Day) -> bool:
    """Whether the server's mark proves the content."""
    return bool(_MD5.match(day.tag))


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds; its check sum must hold.

    Raises:
        zlib.error, EOFError, OSError: it is damaged.
    """
    import gzip

    return gzip.decompress(data)


def wanted_days(first: date, last: date, year: int) -> tuple[date, date]:
    """First and last local day that a year's file takes of [first, last].

    A local day may begin up to 14 hours before the UTC day and end 12 hours after it, so one day more is taken at
    either end of the whole period.
    """
    begin = first - timedelta(days=1) if year == first.year else date(year, 1, 1)
    end = last + timedelta(days=1) if year == last.year else date(year, 12, 31)
    return begin, end
