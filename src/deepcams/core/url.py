"""URLs of object stores and web servers, as an alternative to local paths.

``Path`` would turn ``s3://bucket`` into ``s3:/bucket``, so a place that may be a URL is a ``Path`` or a :class:`Url`.
"""

from __future__ import annotations

import re
from functools import total_ordering
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from deepcams.core.errors import InputError

SCHEMES = ("s3", "gs", "az", "https", "http")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(?:([^/@]*)@)?([^?#]*)(.*)", re.DOTALL)
_SQUASHED = re.compile(rf"({'|'.join(SCHEMES)}):/[^/]")


@total_ordering
class Url:
    """A URL whose text form omits ``user:password`` and the query.

    Attributes:
        scheme: ``s3``, ``gs``, ``az``, ``https`` or ``http``.
        path: host or bucket, and the path in it, without a trailing slash.
        user: ``user:password``, or empty.
        query: query with its question mark, or empty.

    Raises:
        InputError: the URL is invalid, or one of a bucket has a user or a query.
    """

    def __init__(self, text: str) -> None:
        found = _URL.fullmatch(text)
        assert found is not None
        self.scheme, self.user = found[1].lower(), found[2] or ""
        self.path, self.query = found[3].rstrip("/"), found[4].partition("#")[0]
        if self.scheme not in SCHEMES:
            raise InputError(
                self,
                "a path on this machine, or a URL of s3, gs, az or https",
                f"a URL of {self.scheme}",
                "copy it here first, or mount the store",
            )
        if not self.path.strip("/"):
            raise InputError(self, "a bucket or a host, and a path in it", "neither")
        if (self.user or self.query) and not self.is_web:
            raise InputError(
                self,
                "a URL without a user, a password or a query",
                "one with them",
                "give credentials in the environment (AWS_*, GOOGLE_*, AZURE_*)",
            )

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server, which can be read but neither listed nor written to."""
        return self.scheme in ("https", "http")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return unquote(self.path.rpartition("/")[2])

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return Path(self.name).suffix

    @property
    def has_key(self) -> bool:
        """Whether it names something within a bucket or host, not the bucket or host itself."""
        return "/" in self.path

    @property
    def parent(self) -> Url:
        """The URL of the containing folder; a bucket or host is its own parent."""
        return self._with(self.path.rpartition("/")[0] or self.path)

    def __truediv__(self, name: str) -> Url:
        return self._with(f"{self.path}/{name}")

    def _with(self, path: str) -> Url:
        user = f"{self.user}@" if self.user else ""
        return Url(f"{self.scheme}://{user}{path}{self.query}")

    def is_in(self, other: Url) -> bool:
        """Return whether it is ``other`` or within it."""
        return f"{self}/".startswith(f"{other}/")

    def with_secrets(self) -> str:
        """Return the full URL with credentials and query, for requests only; never display it."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.path}{self.query}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.with_secrets() == other.with_secrets()

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(self.with_secrets())


Place: TypeAlias = Path | Url
"""A local path or a URL."""


def place_of(given: str | Path | Url) -> Place:
    """Convert the argument to a path or a URL.

    Raises:
        InputError: the URL's scheme is unknown, or its slashes were joined by ``Path``.
    """
    if isinstance(given, Url):
        return given
    if isinstance(given, str) and _URL.fullmatch(given):
        return Url(given)
    if isinstance(given, Path) and _SQUASHED.match(given.as_posix()):
        scheme, _, rest = given.as_posix().partition(":/")
        raise InputError(
            f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}",
            "a URL as text",
            "one as a Path, which joins its slashes",
            "give it as text",
        )
    return Path(given)


def without_secrets(text: str) -> str:
    """Return a command-line argument; a URL loses its ``user:password`` and query."""
    found = _URL.fullmatch(text)
    return f"{found[1]}://{found[3]}" if found else text
