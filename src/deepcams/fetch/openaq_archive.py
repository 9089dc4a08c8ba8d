"""The bucket of OpenAQ's archive: lists of locations and days, and verified objects."""

from __future__ import annotations

import hashlib
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

import obstore
from obstore.store import S3Store

from deepcams.fetch.download import Http
from deepcams.fetch.endpoints import (
    OPENAQ_PREFIX,
    OPENAQ_REGION,
    USER_AGENT,
    openaq_prefix,
)
from deepcams.fetch.openaq_rows import unpacked
from deepcams.fetch.retry import FetchError, RetryableError, RetryPolicy
from deepcams.readers.formats.detect import looks_like

LOCATIONS_AT_ONCE = 8
_LOCATION = re.compile(r"locationid=(\d+)/?$")
_OBJECT = re.compile(r"location-\d+-(\d{4})(\d\d)(\d\d)\.csv\.gz$")
_MD5 = re.compile(r"[0-9a-f]{32}$")


@dataclass(frozen=True)
class Day:
    """One object: a location's local day.

    Attributes:
        key: key in the bucket.
        day: the local day.
        length: size, bytes.
        tag: ETag; for plain objects the MD5 of the content.
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
        """Whether the ETag is a checksum of the content."""
        return bool(_MD5.match(self.tag))

    def check(self, data: bytes) -> bytes:
        """Return the object's bytes after checking them.

        Raises:
            RetryableError: they are incomplete or damaged.
        """
        if len(data) != self.length:
            raise RetryableError(f"{len(data):,} of {self.length:,} bytes came")
        if data[:2] != b"\x1f\x8b":
            raise RetryableError(f"what came is {looks_like(data[:1024])}")
        if self.proven:
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != self.tag:
                raise RetryableError("what came does not have the announced check sum")
            return data  # damage in the archive itself is not retried
        try:
            unpacked(data)
        except (zlib.error, EOFError, OSError) as error:
            raise RetryableError(
                f"what came is a damaged gzip file ({error})"
            ) from None
        return data


class Archive:
    """The bucket.

    Args:
        url: ``s3://BUCKET``, or ``http(s)://HOST/BUCKET``.
        policy: retry policy.
        at_once: number of concurrent downloads.
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
        """Return the numbers of all locations in the archive.

        Raises:
            FetchError: the list cannot be read.
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

        Lists are parsed here rather than by obstore, which treats any page (an error page, a login portal) as an empty
        list, so that data would be missing silently.
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
        """Return a verified object.

        Raises:
            FetchError: all tries failed.
        """

        def once() -> bytes:
            self._http.wait_until_quiet()
            try:
                data = bytes(obstore.get(self._store, day.key).bytes())
            except (obstore.exceptions.BaseError, OSError, ValueError):
                # The fast client hides the server's response: the session repeats the request and explains the error.
                url = f"{self._root}/{quote(day.key, '/=')}"
                return self._http.read(url, day.name, day.check)
            return day.check(data)

        return self._http.call(day.name, once)


def read_page(text: bytes, prefix: str) -> tuple[list[Day], list[str], str]:
    """Parse a page of an S3 list.

    Returns:
        the days, the folders, and the token of the next page (empty for the last).

    Raises:
        RetryableError: the text is not such a list, or belongs to another prefix.
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
            with suppress(ValueError):  # not a date
                day = date(int(match[1]), int(match[2]), int(match[3]))
                days.append(Day(key, day, int(length), tag.strip('"')))
    folders = [
        each.text or ""
        for each in root.iterfind(f"{space}CommonPrefixes/{space}Prefix")
    ]
    return days, folders, token if truncated == "true" else ""
