"""One file over HTTP: resumed by range where the server can, whole and of the right length or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deepcams.core.errors import OutputError
from deepcams.core.text import size
from deepcams.fetch.endpoints import USER_AGENT
from deepcams.fetch.retry import (
    TRANSIENT,
    FetchError,
    Patience,
    RefusedError,
    StoppedError,
    TryAgainError,
    is_full,
    retry_after,
)
from deepcams.files.atomic import os_errors_explained
from deepcams.files.optional import need
from deepcams.readers.detect import looks_like

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 20
Bytes = Callable[[int], None]
"""Called with the number of bytes that have come."""


class AbsentError(FetchError):
    """The server does not have the file."""


def space(folder: Path, needed: float) -> None:
    """Refuse to begin what does not fit on the disk.

    Raises:
        OutputError: it does not.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{folder}: expected about {size(needed)} of free space, found {size(free)}; "
            "free some, choose another disk, a shorter --period or a --bbox"
        )


def partial_of(final: Path) -> Path:
    """Where a file lies while it is not complete; readers of the folder leave it alone."""
    return final.with_name(f".{final.name}.part")


@dataclass
class Transfer:
    """Downloads over one pool of connections; safe to use from several threads.

    Attributes:
        patience: for how long.
        connections: at most so many at once.
    """

    patience: Patience
    connections: int = 4
    digests: dict[Path, str] = field(default_factory=dict, repr=False)
    """SHA-256 of the partial files that came in one piece."""
    _session: Any = field(default=None, repr=False)
    _gate: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        requests = need("requests")
        self._gate = threading.BoundedSemaphore(self.connections)
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(
            pool_maxsize=self.connections
        )  # its own retries are none
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        # nothing is kept of one answer for the next, so threads may share the session; nothing is sent of ~/.netrc
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.auth = lambda request: request

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    @contextmanager
    def _asked(
        self, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """An answer whose body has not come yet; at most :attr:`connections` at a time."""
        errors = need("requests").RequestException, need("urllib3.exceptions").HTTPError
        with self._gate:
            if self.patience.stop.is_set():
                raise StoppedError
            try:
                with self._session.request(
                    method,
                    url,
                    headers=headers,
                    timeout=self.patience.timeout,
                    stream=True,
                    allow_redirects=True,
                ) as response:
                    yield response
            except errors as error:
                raise TryAgainError(_reason(error), unreached=unreached(error)) from error

    def size(self, url: str, what: str) -> int | None:
        """How long a file is, if the server says so.

        Raises:
            AbsentError: the server does not have it.
            FetchError: it does not answer.
        """

        def ask() -> int | None:
            with self._asked("HEAD", url) as response:
                self._judge(response, what)
                return _length(response)

        return self.patience.persist(what, ask)

    def read_once(self, url: str, what: str, *, packed: bool = False) -> bytes:
        """A short answer, whole, asked for once.

        Args:
            url: where it is.
            what: what it is, for people.
            packed: leave it packed if the server says that it is.

        Raises:
            TryAgainError: it did not come, or not whole.
            AbsentError, FetchError: see :meth:`size`.
        """
        with self._asked("GET", url) as response:
            self._judge(response, what)
            expected = _length(response)
            content = bytes(response.raw.read(decode_content=False) if packed else response.content)
        if expected is not None and len(content) != expected:
            raise TryAgainError(f"{len(content):,} of {expected:,} bytes came")
        return content

    def download(
        self,
        url: str,
        final: Path,
        what: str,
        verify: Callable[[Path], None],
        *,
        expected: int | None = None,
        came: Bytes = lambda count: None,
    ) -> Path:
        """Bring a file as far as :func:`partial_of` its final name, verified; :func:`~.manifest.settle` it then.

        Args:
            url: where it is.
            final: its name in the end.
            what: what it is, for people.
            verify: raises :class:`TryAgainError` (with the reason) where the content is not what it should be.
            expected: its length, where that is known beforehand.
            came: told of bytes.

        Raises:
            AbsentError: the server does not have it.
            FetchError: it did not come whole, or never verified.
            OutputError: it cannot be written.
        """
        partial, about = partial_of(final), partial_of(final).with_suffix(".about")
        seen = [partial.stat().st_size if partial.exists() else 0, 0]

        def further() -> bool:
            # a connection that breaks again and again but brings new bytes each time gets there in the end
            size = partial.stat().st_size if partial.exists() else 0
            got, seen[0] = size > seen[0], max(size, seen[0])
            return got and seen[1] == 0

        def attempt() -> Path:
            self._stream(url, partial, about, what, expected, came)
            try:
                verify(partial)
            except TryAgainError:
                seen[1] += 1  # a file that came whole and is wrong is no progress
                self._drop(partial, about)
                raise
            return partial

        with os_errors_explained(final):
            final.parent.mkdir(parents=True, exist_ok=True)
        found = self.patience.persist(what, attempt, further)
        about.unlink(missing_ok=True)
        return found

    def _stream(
        self, url: str, partial: Path, about: Path, what: str, expected: int | None, came: Bytes
    ) -> None:
        have, known = _resumable(partial, about, url)
        headers = {"Range": f"bytes={have}-", "If-Range": known["validator"]} if have else {}
        if have and have == known.get("length"):
            return  # it came whole before a kill
        with self._asked("GET", url, headers) as response:
            if response.status_code == 416:
                self._drop(partial, about)
                raise TryAgainError("the file on the server has changed")
            self._judge(response, what)
            resumed = have > 0 and response.status_code == 206 and _starts_at(response) == have
            if response.status_code == 206 and not resumed:
                self._drop(partial, about)
                raise TryAgainError("the server sent another part than was asked for")
            start = have if resumed else 0
            length = _length(response)
            whole = None if length is None else start + length
            if expected is not None and whole is not None and whole != expected:
                raise TryAgainError(f"the server announces {whole:,} bytes instead of {expected:,}")
            self._remember(about, url, response, whole)
            self._write(response, partial, start, whole if whole is not None else expected, came)

    def _write(
        self, response: requests.Response, partial: Path, start: int, whole: int | None, came: Bytes
    ) -> None:
        with (
            os_errors_explained(partial),
            partial.open("r+b" if start else "wb", buffering=0) as file,
        ):
            if start:
                file.truncate(start)
                file.seek(start)
            elif whole is not None:
                space(partial.parent, whole)
            digest = hashlib.sha256()
            try:
                while piece := response.raw.read1(
                    _PIECE
                ):  # as it comes: nothing that came is lost in a buffer
                    _write_all(file, piece)
                    digest.update(piece)
                    came(len(piece))
                    if self.patience.stop.is_set():
                        raise StoppedError
            except OSError as error:
                if is_full(error):
                    raise
                raise TryAgainError(str(error)) from error
            size = file.tell()
        if whole is not None and size != whole:
            if size > whole:
                partial.unlink()
            raise TryAgainError(f"{size:,} of {whole:,} bytes came")
        self.digests.pop(partial, None)
        if not start:
            self.digests[partial] = digest.hexdigest()

    def _remember(
        self, about: Path, url: str, response: requests.Response, whole: int | None
    ) -> None:
        """What is needed to go on after a kill: only the same version of the same file may be continued."""
        tag = response.headers.get("ETag", "")
        validator = (
            tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        )
        ranges = response.status_code == 206 or response.headers.get("Accept-Ranges", "") == "bytes"
        known = {"url": url, "validator": validator if ranges else "", "length": whole}
        with os_errors_explained(about):
            # not forced to disk: without it the file is only begun anew
            about.write_text(json.dumps(known), encoding="utf-8")

    def _drop(self, *paths: Path) -> None:
        for path in paths:
            with suppress(OSError):
                path.unlink()

    def _judge(self, response: requests.Response, what: str) -> None:
        status = response.status_code
        if status < 400:
            return
        if status in TRANSIENT:
            raise TryAgainError(
                f"the server answers {status}", retry_after(response.headers.get("Retry-After"))
            )
        host = urlsplit(response.url).hostname
        if status in (404, 410):
            raise AbsentError(f"{what}: {host} does not have it ({status})")
        if status in (401, 403, 407):
            raise RefusedError(f"{what}: {host} refuses access ({status}); check --endpoint")
        raise FetchError(f"{what}: {host} answers {status}")


def _resumable(partial: Path, about: Path, url: str) -> tuple[int, Mapping[str, Any]]:
    """Bytes of the partial file that can be kept, and what was known of the file they are from."""
    try:
        known = json.loads(about.read_text(encoding="utf-8"))
        size = partial.stat().st_size
    except (OSError, ValueError):
        return 0, {}
    if not isinstance(known, dict) or known.get("url") != url or not known.get("validator"):
        return 0, {}
    return size, known


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() and "Content-Encoding" not in response.headers else None


def _starts_at(response: requests.Response) -> int:
    words = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(words) if words.isdigit() else -1


def _write_all(file: Any, piece: bytes) -> None:
    view = memoryview(piece)
    while view:  # a file without a buffer may take less
        view = view[file.write(view) :]


def unreached(error: Exception) -> bool:
    """Whether an error of ``requests`` says that there was no connection (a broken one is another matter)."""
    none = need("urllib3.exceptions")
    inner = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(inner, none.NewConnectionError | none.ConnectTimeoutError)


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if "Timeout" in kind and "Connect" not in kind:
        return "the server is silent (time-out)"
    reason: BaseException = error
    while inner := [
        e for e in (getattr(reason, "reason", None), *reason.args) if isinstance(e, Exception)
    ]:
        reason = inner[0]  # the last one is the operating system's, without an address in it
    text = (
        getattr(reason, "strerror", None)
        or str(reason).rpartition(": ")[2]
        or type(reason).__name__
    )
    if kind in ("ConnectTimeout", "ConnectionError", "ProxyError", "SSLError"):
        return f"no connection ({text})"
    return f"the connection broke ({text})"


def begins_with(path: Path) -> str:
    """What a file that is no data looks like, in words."""
    with path.open("rb") as file:
        return looks_like(file.read(1024))
