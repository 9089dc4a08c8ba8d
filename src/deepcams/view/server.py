"""The HTTP server of the map: the page and its requests; only for this machine by default."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deepcams.core.errors import DeepcamsError, InputError, UnreadableError
from deepcams.view.session import Box, Shown
from deepcams.view.watch import ChangedError

PORT = 8642

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_PAGES = (
    "index.html",
    "style.css",
    "app.js",
    "ask.js",
    "chart.js",
    "gestures.js",
    "link.js",
    "map.js",
    "save.js",
    "series.js",
    "words.js",
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Server of one :class:`Shown`, until it is stopped.

    Args:
        shown: the data to serve.
        host: address to listen on.
        port: port to listen on; 0: any free one.

    Raises:
        InputError: the port is taken or not permitted, or the address does not belong to this machine.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, shown: Shown, host: str = "127.0.0.1", port: int = PORT) -> None:
        self.shown = shown
        self._answering, self._ending, self._changed = 0, False, threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            self._refuse(error, host, port)
        self.loopback = _is_loopback(host)

    def _refuse(self, error: OSError | OverflowError, host: str, port: int) -> None:
        code = error.errno if isinstance(error, OSError) else None
        if code == errno.EADDRINUSE:
            do = "stop the other program, or choose another with --port (0: any free one)"
            raise InputError(
                f"port {port}", "a free port", "one that is taken", do
            ) from None
        if code in (errno.EACCES, errno.EPERM):
            raise InputError(
                f"port {port}",
                "one that you may use",
                "one that is reserved",
                "use --port 8642",
            ) from None
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(
            f"{host}:{port}", "an address of this machine and a port", why
        ) from None

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self.server_address[:2]
        host = str(host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Mark a response in progress within the block; raise if the server is stopping."""
        with self._changed:
            if self._ending:
                raise ConnectionAbortedError
            self._answering += 1
        try:
            yield
        finally:
            with self._changed:
                self._answering -= 1
                self._changed.notify_all()

    def at_rest(self, patience: float = 0.5) -> bool:
        """Accept no more requests; return whether all responses finished within ``patience`` seconds."""
        with self._changed:
            self._ending = True
            return self._changed.wait_for(lambda: not self._answering, patience)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of browsers that closed the connection."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return False


class _Handler(BaseHTTPRequestHandler):
    """Handler of a browser's requests, all of which are read-only."""

    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 60
    disable_nagle_algorithm = (
        True  # else the end of a response waits for an acknowledgement
    )

    def log_message(self, *arguments: Any) -> None:
        """Do not log requests."""

    def version_string(self) -> str:
        return "deepcams"

    def do_HEAD(self) -> None:
        """Respond as to GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Respond with the page, or with the data it requests."""
        if not self._is_meant():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"not for this host name")
            return
        url = urlsplit(self.path)
        name = url.path.lstrip("/") or "index.html"
        if name in _PAGES:
            content = (resources.files("deepcams.view") / "page" / name).read_bytes()
            self._send(
                HTTPStatus.OK, f"{_TYPES[name.rsplit('.')[-1]]}; charset=utf-8", content
            )
            return
        answer = _ANSWERS.get(name)
        if answer is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found")
            return
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            with self.server.answering():
                kind, content, headers = _checked(answer, self.server.shown, query)
        except ChangedError as error:
            self._refuse(
                HTTPStatus.GONE if error.gone else HTTPStatus.CONFLICT, str(error)
            )
            return
        except DeepcamsError as error:
            damaged = isinstance(error, UnreadableError)
            status = (
                HTTPStatus.INTERNAL_SERVER_ERROR if damaged else HTTPStatus.BAD_REQUEST
            )
            self._refuse(status, str(error))
            return
        except ConnectionError:
            raise
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # errors of damaged files
            words = " ".join(str(error).split())
            self._refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"cannot be read: {words or type(error).__name__}",
            )
            return
        self._send(HTTPStatus.OK, kind, content, headers)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "application/json", json.dumps({"error": why}).encode())

    def _is_meant(self) -> bool:
        """Return whether the Host header names this machine, to prevent DNS rebinding by other sites."""
        if not self.server.loopback:
            return True
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0].strip("[]")
        return _is_loopback(host)

    def _send(
        self,
        status: HTTPStatus,
        kind: str,
        content: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


Answer = tuple[str, bytes, dict[str, str]]
Query = dict[str, str]


def _number(query: Query, name: str) -> float:
    try:
        value = float(query[name])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e12:
        raise InputError(name, "a number", repr(query.get(name)))
    return value


def _box(query: Query) -> Box:
    box = Box(*(_number(query, name) for name in ("west", "south", "east", "north")))
    if not (
        -1080 <= box.west < box.east <= 1080 and -90 <= box.south < box.north <= 90
    ):
        raise InputError("box", "west < east, south < north, in degrees", f"{box}")
    return box


def _json(document: Any) -> Answer:
    return (
        "application/json",
        json.dumps(document, allow_nan=False, separators=(",", ":")).encode(),
        {},
    )


def _frame(shown: Shown, query: Query) -> Answer:
    frame = shown.frame(
        query.get("field", "ours"), int(_number(query, "minute")), _box(query)
    )
    rows, columns = frame.codes.shape
    about = {
        "rows": rows,
        "columns": columns,
        "minute": frame.minute,
        "west": frame.west,
        "north": frame.north,
        "step": frame.step,
        "row_step": frame.row_step,
    }
    return (
        "application/octet-stream",
        frame.codes.tobytes(),
        {"X-Frame": json.dumps(about)},
    )


def _series(shown: Shown, query: Query) -> Answer:
    place = (_number(query, "longitude"), _number(query, "latitude"))
    only = query.get("only")
    return _json(
        shown.series(
            *place, int(_number(query, "first")), int(_number(query, "last")), only
        )
    )


def _region(shown: Shown, query: Query) -> Answer:
    name, first = query.get("field", "ours"), int(_number(query, "first"))
    content = shown.region(name, _box(query), first, int(_number(query, "last")))
    disposition = f'attachment; filename="deepcams_{"original_" if name == "original" else ""}region.nc"'
    return "application/x-netcdf", content, {"Content-Disposition": disposition}


def _checked(
    answer: Callable[[Shown, Query], Answer], shown: Shown, query: Query
) -> Answer:
    """Return a response after checking that the files are unchanged; a change takes precedence over other errors."""
    try:
        return answer(shown, query)
    finally:
        shown.watch.check()


_ANSWERS: dict[str, Callable[[Shown, Query], Answer]] = {
    "api/about": lambda shown, query: _json(shown.about()),
    "api/frame": _frame,
    "api/series": _series,
    "api/lines": lambda shown, query: _json(shown.lines(_box(query))),
    "api/region.nc": _region,
}
