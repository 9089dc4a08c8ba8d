"""HTTP downloads: one session per service, with retries; files are resumed by range and appear only when complete."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    NewConnectionError,
)

from deepcams.core.errors import OutputError
from deepcams.core.text import from_json, size
from deepcams.fetch.endpoints import USER_AGENT
from deepcams.fetch.retry import (
    TRANSIENT,
    AbsentError,
    FetchError,
    RefusedError,
    RetryableError,
    RetryPolicy,
    UnreachableError,
)
from deepcams.files.atomic import UNFINISHED, os_errors_explained
from deepcams.readers.formats.detect import looks_like

T = TypeVar("T")
_PIECE = 1 << 20


class _WaitTooLongError(Exception):
    """The server requests a longer wait than the policy allows."""


def free_space(folder: Path) -> float:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    while not folder.exists():
        folder = folder.absolute().parent
    return float(shutil.disk_usage(folder).free)


def check_space(folder: Path, needed: float) -> None:
    """Refuse to start a download that does not fit on the disk.

    Raises:
        OutputError: the disk has too little free space.
    """
    free = free_space(folder)
    if needed > free:
        raise OutputError(
            f"{folder}: expected about {size(needed)} of free space, found {size(free)}; "
            "free some, choose another disk, a shorter --period or a --bbox"
        )


def partial_of(final: Path) -> Path:
    """Return the hidden name of a file that is not yet complete and verified."""
    return final.with_name(f".{final.name}{UNFINISHED}")


class Http:
    """Requests to one service over one connection pool; thread-safe.

    The session (urllib3) retries after error statuses and refused connections, and obeys ``Retry-After``; a broken or
    invalid response body is requested again by :meth:`call`.

    Args:
        policy: retry policy.
        connections: maximum number of connections.
    """

    def __init__(self, policy: RetryPolicy, connections: int = 4) -> None:
        self.policy = policy
        self._quiet_until = policy.clock()
        self.session = requests.Session()
        pause = self._pause

        class Retries(urllib3.Retry):
            """urllib3's retries with waits that can be stopped, and a limit for ``Retry-After``."""

            def sleep(self, response: Any = None) -> None:
                pause(self, response)

        retries = Retries(
            policy.tries - 1,
            status_forcelist=TRANSIENT,
            allowed_methods=None,
            backoff_factor=policy.first,
            backoff_max=policy.longest,
            backoff_jitter=policy.first / 4,
            raise_on_status=False,
        )
        adapter = HTTPAdapter(
            pool_maxsize=connections, pool_block=True, max_retries=retries
        )
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        self.session.headers["Accept-Encoding"] = "identity"
        # Threads share the session, so responses must not change it; this also ignores ~/.netrc.
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.session.auth = self._prepare

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def _prepare(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the user agent in every request, including those of clients that use the session."""
        request.headers["User-Agent"] = USER_AGENT
        self.wait_until_quiet()
        return request

    def _pause(self, retries: urllib3.Retry, response: Any) -> None:
        asked = None
        if response is not None:
            try:
                asked = retries.get_retry_after(response)
            except InvalidHeader:
                asked = None
        if asked is None:
            self.policy.wait(retries.get_backoff_time())
            return
        self._quiet_until = max(self._quiet_until, self.policy.clock() + asked)
        self.wait_until_quiet()

    def wait_until_quiet(self) -> None:
        """Wait as long as any response of the service requested; this applies to all requests.

        Raises:
            StoppedError: the run is to stop.
        """
        self.policy.check()
        seconds = self._quiet_until - self.policy.clock()
        if seconds > self.policy.longest_asked:
            raise _WaitTooLongError(f"the server asks to wait {seconds / 60:.0f} min")
        if seconds > 0:
            self.policy.wait(seconds)

    def call(self, what: str, do: Callable[[], T]) -> T:
        """Call a function that uses the session, with retries.

        Args:
            what: name of the item in messages.
            do: function that raises :class:`RetryableError` if the content is invalid.

        Raises:
            FetchError: all tries failed (see :class:`RetryPolicy`); the message holds no address or key.
        """

        def once() -> T:
            try:
                return do()
            except _WaitTooLongError as error:
                again = "give the same command again then"
                raise FetchError(f"{what}: {error}; {again}") from None
            except (requests.RequestException, HTTPError) as error:
                raise self._explained(error, what) from None

        return self.policy.call(what, once)

    def _explained(self, error: Exception, what: str) -> Exception:
        """Distinguish errors after the session's own retries from a broken response body, which may be retried."""
        end = next(
            (cause for cause in error.args if isinstance(cause, MaxRetryError)), None
        )
        if end is None:
            return RetryableError(f"the connection broke ({_reason(error)})")
        if isinstance(end.reason, NewConnectionError | ConnectTimeoutError):
            return UnreachableError(
                f"{what}: no connection ({_reason(end)}) {self.policy.tried}; what is complete is kept, try again later"
            )
        tried = f"{self.policy.tried}; try again later"
        return FetchError(f"{what}: the connection broke ({_reason(end)}) {tried}")

    @contextmanager
    def open(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> Iterator[requests.Response]:
        """Yield a response whose body has not been read yet; used within :meth:`call`.

        Raises:
            AbsentError, RefusedError, FetchError: the status is an error.
        """
        with self.session.request(
            method,
            url,
            headers=headers,
            timeout=self.policy.timeout,
            stream=True,
            allow_redirects=True,
        ) as response:
            status, host = response.status_code, urlsplit(response.url).hostname
            if status in (404, 410):
                raise AbsentError(f"{what}: {host} does not have it")
            if status in (401, 403, 407):
                raise RefusedError(
                    f"{what}: {host} refuses access ({status}); check --endpoint"
                )
            if status in TRANSIENT:
                tried = f"{self.policy.tried}; try again later"
                raise FetchError(f"{what}: {host} answers {status} {tried}")
            if status >= 300 and status != 416:
                raise FetchError(f"{what}: {host} answers {status}")
            yield response

    def size(self, url: str, what: str) -> int | None:
        """Return the size of a file in bytes, if the server gives it.

        Raises:
            AbsentError: the server does not have the file.
            FetchError: the server does not answer.
        """

        def ask() -> int | None:
            with self.open(url, what, method="HEAD") as response:
                return _length(response)

        return self.call(what, ask)

    def read(
        self,
        url: str,
        what: str,
        check: Callable[[bytes], T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Return a short response, processed by ``check``; compressed content is not decoded.

        Args:
            url: address.
            what: name of the item in messages.
            check: function that validates and converts the content; raises :class:`RetryableError` if invalid.
            headers: additional request headers.

        Raises:
            AbsentError, FetchError: see :meth:`size`.
        """

        def ask() -> T:
            with self.open(url, what, headers) as response:
                expected, content = (
                    _length(response),
                    response.raw.read(decode_content=False),
                )
            if expected is not None and len(content) != expected:
                raise RetryableError(f"{len(content):,} of {expected:,} bytes came")
            return check(content)

        return self.call(what, ask)

    def download(
        self,
        url: str,
        final: Path,
        what: str,
        verify: Callable[[Path], None],
        *,
        expected: int | None = None,
        came: Callable[[int], None] = lambda count: None,
    ) -> Path:
        """Download a file to :func:`partial_of` its final name, resuming a partial download, and verify it.

        Args:
            url: address.
            final: final name.
            what: name of the item in messages.
            verify: function that raises :class:`RetryableError` (with the reason) if the content is invalid.
            expected: size in bytes, if known beforehand.
            came: called with the number of bytes received.

        Returns:
            the verified partial file.

        Raises:
            AbsentError: the server does not have the file.
            FetchError: the download was never complete or valid.
            OutputError: the file cannot be written.
        """
        transfer = _Transfer(self, url, partial_of(final), expected, came)

        def attempt() -> Path:
            transfer.stream(what)
            try:
                verify(transfer.partial)
            except RetryableError:
                transfer.drop()
                raise
            return transfer.partial

        with os_errors_explained(final):
            final.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = transfer.came_before()
            try:
                found = self.call(what, attempt)
            except (AbsentError, RefusedError, UnreachableError):
                raise
            except FetchError:
                # Tries that add new bytes do not count: repeated interruptions still make progress.
                if transfer.came_before() <= before:
                    raise
                continue
            transfer.about.unlink(missing_ok=True)
            return found


class _Transfer:
    """One file's partial download, and a note of the URL and version that it belongs to."""

    def __init__(
        self,
        http: Http,
        url: str,
        partial: Path,
        expected: int | None,
        came: Callable[[int], None],
    ) -> None:
        self.http, self.url, self.partial = http, url, partial
        self.about = partial.with_suffix(".about")
        self.expected, self.came = expected, came

    def came_before(self) -> int:
        """Return the number of bytes already received."""
        try:
            return self.partial.stat().st_size
        except OSError:
            return 0

    def drop(self) -> None:
        """Discard the partial file, so that the next try starts from the beginning."""
        for path in (self.partial, self.about):
            path.unlink(missing_ok=True)

    def stream(self, what: str) -> None:
        """Download the missing part of the file.

        Raises:
            RetryableError: the download is incomplete, or the version on the server has changed.
        """
        known = self._known()
        have = self.came_before() if known else 0
        if have and have == known["length"]:
            return  # already complete
        headers = (
            {"Range": f"bytes={have}-", "If-Range": known["validator"]} if have else {}
        )
        with self.http.open(self.url, what, headers) as response:
            start = 0
            if response.status_code in (206, 416):
                part = response.headers.get("Content-Range", "")
                if not part.startswith(f"bytes {have}-"):
                    self.drop()
                    raise RetryableError("the file on the server has changed")
                start = have
            length = _length(response)
            whole = self.expected if length is None else start + length
            if self.expected is not None and whole != self.expected:
                raise RetryableError(
                    f"the server announces {whole:,} bytes instead of {self.expected:,}"
                )
            self._remember(response, whole)
            self._write(response, start, whole)

    def _known(self) -> dict[str, Any]:
        try:
            known = from_json(self.about.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        same = (
            isinstance(known, dict)
            and known.get("url") == self.url
            and known.get("validator")
        )
        return known if same else {}

    def _remember(self, response: requests.Response, whole: int | None) -> None:
        """Record what is needed to resume: only the same version of the same file may be continued."""
        tag = response.headers.get("ETag", "")
        if not tag or tag.startswith("W/"):
            tag = response.headers.get("Last-Modified", "")
        ranges = (
            response.status_code == 206
            or response.headers.get("Accept-Ranges") == "bytes"
        )
        known = {"url": self.url, "validator": tag if ranges else "", "length": whole}
        with os_errors_explained(self.about):
            self.about.write_text(json.dumps(known), encoding="utf-8")

    def _write(
        self, response: requests.Response, start: int, whole: int | None
    ) -> None:
        partial = self.partial
        with (
            os_errors_explained(partial),
            partial.open("r+b" if start else "wb") as file,
        ):
            if not start and whole is not None:
                check_space(partial.parent, whole)
            file.truncate(start)
            file.seek(start)
            try:
                # Unbuffered, so that no received bytes are lost.
                while piece := response.raw.read1(_PIECE):
                    file.write(piece)
                    file.flush()
                    self.came(len(piece))
                    self.http.policy.check()
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                raise RetryableError(
                    f"the connection broke ({_reason(error)})"
                ) from error
            size = file.tell()
        if whole is not None and size != whole:
            if size > whole:
                self.drop()
            raise RetryableError(f"{size:,} of {whole:,} bytes came")


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return (
        int(text)
        if text.isdigit() and "Content-Encoding" not in response.headers
        else None
    )


def _reason(error: BaseException) -> str:
    """Return the system's message for a connection error, or its kind; never an address."""
    cause: BaseException | None = error
    while cause is not None:
        if "Timeout" in type(cause).__name__:
            return "time-out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        last = cause
        cause = getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if not isinstance(cause, BaseException):
            break
    return type(last).__name__


def found_in(path: Path) -> str:
    """Describe the content of a file that is not data."""
    with path.open("rb") as file:
        return looks_like(file.read(1024))
