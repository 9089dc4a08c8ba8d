"""What all services share: a server on loopback, a log of requests, and faults on demand."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

FaultKind = Literal[
    "status", "reset", "truncate", "stall", "longer", "html", "corrupt", "drop"
]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    Attributes:
        kind: ``status``: an error answer. ``reset``: the connection is reset in the middle. ``truncate``: it is closed
            in the middle. ``stall``: it falls silent in the middle. ``longer``: a longer body is announced than comes.
            ``html``: an error page with status 200. ``corrupt``: the middle half is other bytes. ``drop``: what was
            asked for is done, and the connection is reset without an answer.
        status: of an error answer.
        retry_after: its header, if any.
        seconds: of silence.
        body: of an error answer.
    """

    kind: FaultKind
    status: int = 503
    retry_after: str | None = None
    seconds: float = 30.0
    body: bytes = b'{"title": "error"}'


@dataclass
class Seen:
    """One request.

    Attributes:
        method, path: as asked, without the query.
        query: the parameters.
        headers: lower case.
        status: of the answer.
        whole: whether all of the answer was sent.
        target: path and query as they came.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    status: int = 0
    whole: bool = False
    target: str = ""


@dataclass
class Answer:
    """What is sent back.

    Attributes:
        body: the bytes, or a file-like object's reader for long ones.
        status: of HTTP.
        kind: the content's type.
        headers: further ones.
    """

    body: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        """JSON."""
        return cls(json.dumps(value).encode(), status, "application/json", headers)


_PAGE = b"<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>Please try later.</body></html>"


class Service:
    """A server on loopback; a context manager.

    Attributes:
        seen: every request, in order.
        faults: asked for each request; ``None`` where nothing goes wrong.
    """

    def __init__(
        self, faults: Callable[[Seen], Fault | None] = lambda seen: None
    ) -> None:
        self.faults, self.seen = faults, list[Seen]()
        self.lock = threading.Lock()
        service = self

        class Handler(_Handler):
            owner = service

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that go away are no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def root(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """What a request gets; ``body`` is what it sent."""
        raise NotImplementedError

    def whole(self, method: str = "GET") -> list[str]:
        """Paths whose answer was sent whole, in order."""
        return [
            one.path
            for one in self.seen
            if one.method == method and one.whole and one.status < 300
        ]


class _Handler(BaseHTTPRequestHandler):
    owner: Service
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *args: Any) -> None:
        """Nothing: the log of requests is the service's own."""

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        query = {
            key: values[-1]
            for key, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        headers = {key.lower(): value for key, value in self.headers.items()}
        seen = Seen(self.command, unquote(parts.path), query, headers, target=self.path)
        if "=" not in parts.query and parts.query:
            seen.query = {"": unquote(parts.query)}
        with self.owner.lock:
            self.owner.seen.append(seen)
        fault = self.owner.faults(seen)
        if fault is not None and fault.kind == "status":
            extra = (
                {"Retry-After": fault.retry_after}
                if fault.retry_after is not None
                else {}
            )
            answer = Answer(fault.body, fault.status, "application/json", extra)
        elif fault is not None and fault.kind == "html":
            answer = Answer(_PAGE, 200, "text/html")
        else:
            answer = self.owner.answer(seen, body)
        seen.status = answer.status
        if fault is not None and fault.kind == "drop":
            self._reset()
            return
        self._send(answer, fault, seen)

    def _reset(self) -> None:
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = _do  # noqa: N815

    def _send(self, answer: Answer, fault: Fault | None, seen: Seen) -> None:
        body = answer.body
        kind = fault.kind if fault is not None and answer.status < 300 else ""
        if kind == "corrupt" and body:
            quarter = len(body) // 4
            wrong = bytes(byte ^ 0xFF for byte in body[quarter : 3 * quarter])
            body = body[:quarter] + wrong + body[3 * quarter :]
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        length = len(body) + (1000 if kind == "longer" else 0)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            seen.whole = True
            return
        if kind in ("reset", "truncate", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if kind == "stall":
                assert fault is not None
                time.sleep(fault.seconds)
            if kind == "reset":
                self._reset()
            self.close_connection = True
            return
        self.wfile.write(body)
        self.wfile.flush()
        seen.whole = kind not in ("longer", "corrupt", "html") and not (
            fault is not None and fault.kind == "html"
        )
        if kind == "longer":
            self.close_connection = True
