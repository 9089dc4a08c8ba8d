"""An object store on loopback (moto's S3), a bucket of its own for each test, and faults before it."""

from __future__ import annotations

import logging
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from deepcams.core.url import Url
from deepcams.files import object_storage
from deepcams.files.object_storage import ObjectStorage
from services.base import Fault, Seen
from services.proxy import Proxy

SECRET = "a-very-secret-key"


@dataclass(frozen=True)
class Bucket:
    """A bucket.

    Attributes:
        root: ``http://HOST:PORT`` of the server.
        name: of the bucket.
    """

    root: str
    name: str

    def url(self, key: str = "") -> str:
        """Return the URL of a key."""
        return f"s3://{self.name}/{key}".rstrip("/")

    def storage(self, key: str = "") -> ObjectStorage:
        """Return a folder of the bucket, or all of it."""
        return ObjectStorage(Url(self.url(key)))

    def upload(self, path: Path, key: str) -> str:
        """Put a file, or a folder with all that is in it; return its URL."""
        storage = self.storage()
        if path.is_file():
            storage.put(key, path.read_bytes())
        else:
            for file in path.rglob("*"):
                if file.is_file():
                    within = file.relative_to(path).as_posix()
                    storage.put(f"{key}/{within}", file.read_bytes())
        return self.url(key)


@pytest.fixture(scope="session")
def s3_root() -> Iterator[str]:
    """The server's ``http://HOST:PORT``."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without waiting."""
    monkeypatch.setattr(object_storage, "WAITS", (0.01, 0.02))
    monkeypatch.setattr(object_storage, "RETRIES", 2)
    monkeypatch.setattr(object_storage, "FIRST_BACKOFF", timedelta(seconds=0.02))
    monkeypatch.setattr(object_storage, "LAST_BACKOFF", timedelta(seconds=0.05))


@pytest.fixture
def bucket(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new, empty bucket, with the environment that leads to it."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_root,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{s3_root}/{name}", b"", method="PUT")
    urllib.request.urlopen(request, timeout=60).close()
    return Bucket(s3_root, name)


@pytest.fixture
def faulty(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Seen], Fault | None]], object]:
    """``with faulty(faults) as proxy``: all requests pass a proxy that makes faults."""

    @contextmanager
    def through(faults: Callable[[Seen], Fault | None]) -> Iterator[Proxy]:
        with Proxy(bucket.root, faults) as proxy, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", proxy.root)
            yield proxy

    return through
