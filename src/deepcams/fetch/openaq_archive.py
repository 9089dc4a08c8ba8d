"""OpenAQ's open archive: an S3 bucket of millions of tiny objects, listed by prefix and read without a key."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

from deepcams.fetch.download import AbsentError, Transfer
from deepcams.fetch.endpoints import OPENAQ_PREFIX, OPENAQ_REGION, USER_AGENT, openaq_prefix
from deepcams.fetch.retry import TRANSIENT, FetchError, Patience, RefusedError, TryAgainError
from deepcams.files.optional import need
from deepcams.readers.detect import looks_like

LISTS_AT_ONCE = 8
_GONE = "the archive no longer has it"
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
        host = (
            f"https://{bucket}.s3.{OPENAQ_REGION}.amazonaws.com/" if parts.scheme == "s3" else url
        )
        self._root, self._transfer = host, Transfer(patience, LISTS_AT_ONCE)
        self._quiet_until = patience.clock()
        self._obstore = need("obstore")
        self._errors = need("obstore.exceptions")

    def close(self) -> None:
        """Let go of its connections."""
        self._transfer.close()

    async def locations(self) -> list[int]:
        """The numbers of all locations that the archive has.

        Raises:
            FetchError: it does not tell.
        """
        what = "the archive's list of locations"
        _, prefixes = await self._listed(OPENAQ_PREFIX, what)
        found = sorted(int(match[1]) for prefix in prefixes if (match := _LOCATION.search(prefix)))
        if not found:
            raise FetchError(f"{what} is empty; check --endpoint openaq-archive=URL")
        return found

    async def days(self, location: int, year: int) -> list[Day]:
        """A location's objects of a year, in order."""
        found, _ = await self._listed(
            openaq_prefix(location, year), f"the list of location {location}, {year}", ""
        )
        return sorted(filter(None, map(_day, found)), key=lambda day: day.key)

    async def _listed(
        self, prefix: str, what: str, delimiter: str = "/"
    ) -> tuple[list[Listed], list[str]]:
        """Objects and folders under a prefix.

        The lists are read here rather than by the client, which takes any page (an error's, a portal's) for an empty
        list: a location's data would be missing, and nobody would know.
        """
        objects, folders, token = list[Listed](), list[str](), ""
        while True:
            asked = {
                "list-type": "2",
                "prefix": prefix,
                "delimiter": delimiter,
                "continuation-token": token,
            }
            query = urlencode({name: value for name, value in asked.items() if value})

            async def ask(url: str = f"{self._root}?{query}") -> Page:
                return parse(await asyncio.to_thread(self._transfer.read_once, url, what), prefix)

            page = await self._patience.persist_async(what, ask)
            objects += page.objects
            folders += page.folders
            token = page.token
            if not token:
                return objects, folders

    async def read(self, day: Day) -> bytes:
        """An object, whole and sound.

        Raises:
            FetchError: it never came so.
        """
        what = day.key.rpartition("/")[2]

        async def ask() -> bytes:
            self._stay_quiet()
            try:
                answer = await self._obstore.get_async(self._store, day.key)
                data = bytes(await answer.bytes_async())
            except Exception as error:
                if self._status(error) not in TRANSIENT:
                    raise self._judged(error) from None
                data = await asyncio.to_thread(self._read_plainly, day.key, what)
            _check(data, day)
            return data

        return await self._patience.persist_async(what, ask)

    def _stay_quiet(self) -> None:
        """What one object's answer asked for holds for all of them.

        Raises:
            TryAgainError: the archive asked to wait.
        """
        if (left := self._quiet_until - self._patience.clock()) > 0:
            raise TryAgainError("the archive asks to wait", left)

    def _read_plainly(self, key: str, what: str) -> bytes:
        """Ask for an object that was not given with the client that shows ``Retry-After``; the quick one hides it.

        Raises:
            TryAgainError: it is not given now either; with the seconds that the archive asks to wait, if it does.
            FetchError: it cannot be had.
        """
        self._stay_quiet()  # which another thread may have been told in the meantime
        try:
            return self._transfer.read_once(
                f"{self._root.rstrip('/')}/{quote(key, '/=')}", what, packed=True
            )
        except AbsentError:
            raise TryAgainError(_GONE) from None
        except TryAgainError as again:
            if again.after:
                self._quiet_until = max(self._quiet_until, self._patience.clock() + again.after)
            raise

    def _status(self, error: Exception) -> int | None:
        """What an error of the client says that the archive answered."""
        if not isinstance(error, self._errors.BaseError | OSError | ValueError):
            return None
        found = re.search(r"status code: (\d{3})", str(error))
        return int(found[1]) if found else None

    def _judged(self, error: Exception) -> Exception:
        if isinstance(
            error, self._errors.PermissionDeniedError | self._errors.UnauthenticatedError
        ):
            return RefusedError(
                "the archive refuses access without a key; check --endpoint openaq-archive=URL"
            )
        if isinstance(error, self._errors.NotFoundError):
            return TryAgainError(_GONE)
        if not isinstance(error, self._errors.BaseError | OSError | ValueError):
            return error
        if status := self._status(error):
            return TryAgainError(f"the archive answers {status}")
        return TryAgainError(f"the connection broke ({' '.join(str(error).split())[:120]})")


Listed = tuple[str, int, str]
"""Key, length and mark of an object."""


@dataclass(frozen=True)
class Page:
    """One page of a list: objects, folders, and how to ask for the next one (empty: it was the last)."""

    objects: list[Listed]
    folders: list[str]
    token: str


def parse(answer: bytes, prefix: str) -> Page:
    """Read a page of a list, as S3 writes them.

    Raises:
        TryAgainError: it is none, or another prefix's.
    """
    space = "{http://s3.amazonaws.com/doc/2006-03-01/}"
    try:
        root = ElementTree.fromstring(answer)
    except ElementTree.ParseError:
        raise TryAgainError(f"what came is {looks_like(answer[:1024])}") from None
    truncated = root.findtext(f"{space}IsTruncated")
    if root.tag != f"{space}ListBucketResult" or truncated not in ("true", "false"):
        raise TryAgainError(f"what came is {looks_like(answer[:1024])}")
    if (root.findtext(f"{space}Prefix") or "") != prefix:
        raise TryAgainError("what came is another list than was asked for")
    token = (root.findtext(f"{space}NextContinuationToken") or "") if truncated == "true" else ""
    if truncated == "true" and not token:
        raise TryAgainError("what came is a part of a list without its end")
    try:
        objects = [
            (
                one.findtext(f"{space}Key") or "",
                int(one.findtext(f"{space}Size") or ""),
                (one.findtext(f"{space}ETag") or "").strip('"'),
            )
            for one in root.iter(f"{space}Contents")
        ]
    except ValueError:
        raise TryAgainError("what came is a damaged list") from None
    return Page(
        objects,
        [each.text or "" for each in root.iterfind(f"{space}CommonPrefixes/{space}Prefix")],
        token,
    )


def _day(listed: Listed) -> Day | None:
    key, size, tag = listed
    match = _OBJECT.search(key)
    if match is None:
        return None
    try:
        day = date(int(match[2]), int(match[3]), int(match[4]))
    except ValueError:
        return None
    return Day(key, day, size, tag)


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
