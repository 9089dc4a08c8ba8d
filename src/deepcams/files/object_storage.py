"""Access to object stores (S3, Google, Azure) and, read-only, web servers, through obstore.

Credentials, region and endpoint come from the environment, as obstore reads it: ``AWS_*``, ``GOOGLE_*``, ``AZURE_*``.
Messages of obstore are never shown verbatim: they quote whole requests, whose queries may hold secrets.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import unquote

from deepcams.core.errors import (
    DeepcamsError,
    InputError,
    MissingExtraError,
    OutputError,
)
from deepcams.core.url import Url
from deepcams.files.storage import ObjectKey, Storage

RETRIES = 6
"""Number of retries by obstore, with back-off, after 5xx responses, refused or reset connections and timeouts."""
FIRST_BACKOFF, LAST_BACKOFF = timedelta(seconds=0.2), timedelta(seconds=15)
WAITS = (0.5, 2.0, 8.0)
"""Delays before a whole operation is retried after obstore gave up on a broken response, seconds."""
CONNECT_TIMEOUT, READ_TIMEOUT = timedelta(seconds=20), timedelta(seconds=60)
LARGE, PART_BYTES, PARTS_AT_ONCE = 32 << 20, 8 << 20, 4
"""Size above which objects are uploaded in parts, part size, number of parallel parts; a global shard has 25 MB."""

_CONNECTION = (
    "ALLOW_HTTP",
    "ALLOW_INVALID_CERTIFICATES",
    "PROXY_URL",
    "PROXY_CA_CERTIFICATE",
    "PROXY_EXCLUDES",
    "CONNECT_TIMEOUT",
    "TIMEOUT",
)
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_T = TypeVar("_T")
_WORDS = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}


class StorageError(OutputError, InputError):
    """An operation of an object store failed.

    Args:
        url: URL concerned.
        why: the reason, and what to do.
    """

    def __init__(self, url: object, why: str) -> None:
        self.where, self.expected, self.found, self.do = str(url), "", why, ""
        DeepcamsError.__init__(self, f"{url}: {why}")


def need_obstore(url: object) -> Any:
    """Import obstore.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import obstore
        import obstore.store
    except ModuleNotFoundError:
        raise MissingExtraError(f"{url}: an object store", "cloud") from None
    return obstore


def _open(url: Url) -> Any:
    """Open obstore's store for a URL.

    Raises:
        StorageError: obstore rejects the URL or the settings in the environment.
    """
    obstore = need_obstore(url)
    seconds = max(RETRIES, 1) * (READ_TIMEOUT + LAST_BACKOFF)
    options: dict[str, Any] = {
        "client_options": {
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
            "timeout": timedelta(minutes=10),
        },
        "retry_config": {
            "max_retries": RETRIES,
            "retry_timeout": seconds,
            "backoff": {
                "init_backoff": FIRST_BACKOFF,
                "max_backoff": LAST_BACKOFF,
                "base": 2,
            },
        },
    }
    options["client_options"].update(_of_the_environment(url))
    if url.user:
        known = base64.b64encode(unquote(url.user).encode()).decode()
        options["client_options"]["default_headers"] = {
            "Authorization": f"Basic {known}"
        }
    try:
        if url.is_web:
            return obstore.store.HTTPStore.from_url(url.with_secrets(), **options)
        return obstore.store.from_url(url.with_secrets(), **options)
    except Exception as error:  # obstore's errors, and ValueError for an invalid URL
        why = f"no object store can be opened ({_short(error, url)})"
        raise StorageError(url, f"{why}; check the URL and {_settings(url)}") from None


def _of_the_environment(url: Url) -> dict[str, Any]:
    """Return connection options from the environment; obstore itself reads them only when it is passed no options."""
    if url.is_web:
        return {"allow_http": url.scheme == "http"}
    given = os.environ
    prefix = _WORDS[url.scheme]
    options: dict[str, Any] = {
        name.lower(): given[f"{prefix}_{name}"]
        for name in _CONNECTION
        if given.get(f"{prefix}_{name}")
    }
    if url.scheme == "s3" and not any(map(given.get, _CREDENTIALS)):
        # Only an Amazon instance has credentials then, from a metadata server that never answers elsewhere.
        options.setdefault("connect_timeout", timedelta(seconds=2))
    return options


@dataclass(frozen=True)
class Version:
    """The content of an object and the tag that identifies this version.

    Attributes:
        data: content.
        tag: version tag for :meth:`ObjectStorage.replace`.
    """

    data: bytes
    tag: dict[str, str]


@dataclass(frozen=True)
class About:
    """Metadata of an object.

    Attributes:
        bytes: size.
        state: ETag, size and modification time as one text, which changes whenever the object does.
        changed: modification time, seconds since 1970.
    """

    bytes: int
    state: str
    changed: float

    @classmethod
    def of(cls, meta: Any) -> About:
        """Convert obstore's metadata."""
        changed = meta["last_modified"].timestamp()
        state = f"{meta.get('e_tag')} {meta['size']} {changed}"
        return cls(int(meta["size"]), state, changed)


class ObjectStorage(Storage):
    """A folder in an object store.

    Args:
        url: URL of the folder.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        self._obstore = need_obstore(url)
        self._store = _open(url)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the URL only; the other process reads its own credentials."""
        return type(self), (self.url,)

    @property
    def place(self) -> Url:
        """See :attr:`Storage.place`."""
        return self.url

    def get(self, key: str) -> bytes | None:
        """See :meth:`Storage.get`."""
        found = self.read(key)
        return None if found is None else found.data

    def read(self, key: str) -> Version | None:
        """Return an object with its version, or ``None`` if it does not exist."""

        def read() -> Version:
            answer = self._obstore.get(self._store, key)
            tag = {
                name: value
                for name in ("e_tag", "version")
                if (value := answer.meta.get(name)) is not None
            }
            data = bytes(answer.bytes())
            if len(data) != answer.meta["size"]:
                raise ConnectionError("half an answer")
            return Version(data, tag)

        try:
            return self._do(read, key)
        except FileNotFoundError:
            return None

    def head(self, key: str, size: int) -> bytes:
        """Return the first bytes of an object, at most ``size``.

        Raises:
            FileNotFoundError: the object does not exist.
        """

        def read() -> bytes:
            # Some web servers do not support ranges, and none supports a range of an empty object.
            stream = self._obstore.get(self._store, key).stream(min_chunk_size=size)
            return bytes(next(iter(stream), b""))[:size]

        return self._do(read, key)

    def about(self, key: str) -> About | None:
        """Return the metadata of an object, or ``None`` if it does not exist."""
        try:
            meta = self._do(lambda: self._obstore.head(self._store, key), key)
        except FileNotFoundError:
            return None
        return About.of(meta)

    def about_by_reading(self, key: str) -> About | None:
        """Return :meth:`about` from a started GET request, for URLs signed for reading only."""
        try:
            return About.of(self._answer(key).meta)
        except FileNotFoundError:
            return None

    def pieces(self, key: str) -> Iterator[bytes]:
        """Read an object in pieces; obstore requests the rest if a response breaks off.

        Raises:
            ConnectionError: it broke off too often.
        """
        answer = self._answer(key)
        done, length = 0, answer.meta["size"]
        try:
            for piece in answer.stream(min_chunk_size=8 << 20):
                done += len(piece)
                yield bytes(piece)
        except Exception as error:
            if self._is_final(error):
                raise self._explained(error, key) from None
            raise ConnectionError(_short(error, self.url)) from None
        if done != length:
            raise ConnectionError(f"{done} of {length} bytes came")

    def _answer(self, key: str) -> Any:
        return self._do(lambda: self._obstore.get(self._store, key), key)

    def put(self, key: str, data: bytes) -> None:
        """See :meth:`Storage.put`."""
        options = {
            "use_multipart": len(data) > LARGE,
            "chunk_size": PART_BYTES,
            "max_concurrency": PARTS_AT_ONCE,
        }
        self._put(lambda: self._obstore.put(self._store, key, data, **options), key)

    def create(self, key: str, data: bytes) -> bool:
        """See :meth:`Storage.create`."""
        try:
            self._put(
                lambda: self._obstore.put(self._store, key, data, mode="create"), key
            )
        except self._obstore.exceptions.AlreadyExistsError:
            # It may come from an earlier attempt whose response was lost.
            return self.get(key) == data
        return True

    def replace(self, key: str, data: bytes, version: Version) -> bool:
        """Replace an object if it is still this version; return whether it now holds ``data``."""
        lost = (
            self._obstore.exceptions.PreconditionError,
            self._obstore.exceptions.AlreadyExistsError,
            FileNotFoundError,
        )
        try:
            self._put(
                lambda: self._obstore.put(self._store, key, data, mode=version.tag), key
            )
        except lost:
            return self.get(key) == data
        return True

    def _put(self, put: Callable[[], _T], key: str) -> _T:
        try:
            return self._do(put, key)
        except FileNotFoundError:
            raise StorageError(
                self._name(key),
                "the object store has no such bucket; check its name, or make it first",
            ) from None

    def delete(self, key: str) -> None:
        """See :meth:`Storage.delete`."""
        try:
            self._do(lambda: self._obstore.delete(self._store, key), key)
        except FileNotFoundError:
            return

    def list(self, prefix: str = "") -> Iterator[str]:
        """See :meth:`Storage.list`."""
        yield from sorted(self.sizes(prefix))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """See :meth:`Storage.sizes`."""
        return {key: about.bytes for key, about in self.all_about(prefix).items()}

    def all_about(self, prefix: str = "") -> dict[str, About]:
        """Return the metadata of all objects of a folder, by key."""
        if self.url.is_web:
            raise StorageError(
                self.url, "a web server cannot be listed; name a file or a Zarr store"
            )

        def collect() -> dict[str, About]:
            batches = self._obstore.list(self._store, prefix or None, chunk_size=1000)
            return {meta["path"]: About.of(meta) for batch in batches for meta in batch}

        try:
            return self._do(collect, prefix)
        except FileNotFoundError:  # web folders, and buckets
            return {}

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        return self.about(key) is not None

    def zarr(self, key: str = "", *, read_only: bool = False) -> Any:
        """See :meth:`Storage.zarr`."""
        from deepcams.files.object_zarr import RetryingStore

        inner = self.inner(key) if key else self
        return RetryingStore.of(inner, read_only=read_only)

    def inner(self, key: str) -> ObjectStorage:
        """See :meth:`Storage.inner`."""
        return ObjectStorage(self.url / key)

    def lock_place(self, key: str) -> ObjectKey:
        """See :meth:`Storage.lock_place`."""
        return ObjectKey(self, key)

    def _name(self, key: str) -> str:
        return f"{self.url}/{key}" if key else str(self.url)

    def _do(self, work: Callable[[], _T], key: str) -> _T:
        """Run an idempotent operation, with retries after broken responses.

        Raises:
            FileNotFoundError, obstore's AlreadyExistsError and PreconditionError: as obstore raises them.
            StorageError: instead of any other error.
        """
        passed = (
            FileNotFoundError,
            self._obstore.exceptions.AlreadyExistsError,
            self._obstore.exceptions.PreconditionError,
        )
        for wait in (*WAITS, None):
            try:
                return work()
            except passed:
                raise
            except Exception as error:
                if self._is_final(error) or wait is None:
                    raise self._explained(error, key) from None
            time.sleep(wait)
        raise AssertionError

    def _is_final(self, error: Exception) -> bool:
        """Return whether a retry is useless: the operation was refused, or obstore's own retries were used up."""
        return is_final(error, self._obstore)

    def _explained(self, error: Exception, key: str) -> StorageError:
        return explained(error, self.url, self._name(key), self._obstore)


def is_final(error: Exception, obstore: Any) -> bool:
    """Return whether a retry is useless after an error of obstore."""
    if isinstance(error, ConnectionError):
        return False
    if not isinstance(error, obstore.exceptions.GenericError):
        return True
    words = str(error)
    repeated = re.search(r"after (\d+) retries", words)
    if repeated and int(repeated[1]) >= RETRIES:
        return True
    return bool(re.search(r"status code: [34]|BadScheme|URL scheme", words))


def explained(
    error: Exception, url: Url, name: str, obstore: Any = None
) -> StorageError:
    """Convert an error of obstore to one line that quotes nothing of the request."""
    obstore = obstore or need_obstore(url)
    kinds, settings = obstore.exceptions, _settings(url)
    words = str(error)
    if "NoSuchBucket" in words or "ContainerNotFound" in words:
        why = "the object store has no such bucket; check its name, or make it first"
    elif isinstance(error, kinds.InvalidPathError | ValueError):
        why = "this is no path in an object store; check the URL"
    elif isinstance(error, kinds.NotSupportedError | NotImplementedError):
        why = "the server does not support what is needed (conditional writes); use another one"
    elif isinstance(error, kinds.PermissionDeniedError):
        why = f"the server refuses access (403); check {settings}"
    elif isinstance(error, kinds.UnauthenticatedError):
        why = f"the server does not know these credentials (401); check {settings}"
    elif re.search(r"169\.254\.|metadata|[Cc]redential", words) and not url.is_web:
        why = f"no credentials were found; set {settings}"
        if url.scheme == "s3":
            why += ", or AWS_SKIP_SIGNATURE=true for a public bucket"
    elif found := re.search(r"status code: (\d{3})", words):
        why = f"the server answers with status {found[1]}; try again later"
        if found[1].startswith("3"):
            why = f"the server answers with status {found[1]}, another region's or host's; check {settings}"
        elif found[1].startswith("4"):
            why = f"the server refuses the request (status {found[1]}); check the URL and {settings}"
    else:
        why = (
            f"the server cannot be reached, or its answer breaks off ({_short(error, url)}); check {settings}, or try "
            "again later"
        )
    return StorageError(name, why)


def _settings(url: Url) -> str:
    if url.is_web:
        return "the address"
    return f"the environment ({_WORDS[url.scheme]}_*)"


def _short(error: Exception, url: Url) -> str:
    """Return the kind of an error in predefined words; its own text may hold secrets."""
    words = str(error)
    for pattern, short in (
        (r"dns error|failed to lookup", "no such host"),
        (r"[Cc]onnection refused|tcp connect error", "connection refused"),
        (r"timed out|kind: Timeout|TimedOut", "no answer in time"),
        (r"reset by peer|ConnectionReset", "connection reset"),
        (r"[Cc]ertificate|UnknownIssuer", "its certificate is refused"),
        (r"BadScheme|URL scheme is not allowed", "http needs {}_ALLOW_HTTP=true"),
        (r"half an answer|bytes came|IncompleteBody|error decoding", "half an answer"),
        (r"IncompleteMessage|connection closed", "connection closed"),
    ):
        if re.search(pattern, words):
            return short.format(_WORDS.get(url.scheme, ""))
    return type(error).__name__


def objects_at(url: Url) -> dict[str, About]:
    """Return the metadata of an object, or of all objects in a folder (on the web: a Zarr store's metadata files)."""
    beside = ObjectStorage(url.parent)
    if url.has_key:
        try:
            about = beside.about(url.name)
        except StorageError:
            if not url.is_web:
                raise
            about = beside.about_by_reading(url.name)
        if about is not None:
            return {"": about}
    storage = ObjectStorage(url)
    if not url.is_web:
        return storage.all_about()
    found = {name: storage.about(name) for name in ("zarr.json", ".zmetadata")}
    return {name: about for name, about in found.items() if about is not None}
