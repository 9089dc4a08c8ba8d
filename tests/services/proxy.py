"""Faults in front of another server, which knows of none itself."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

from services.base import Answer, Fault, Seen, Service

_OURS = (
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
)
"""Headers that belong to a connection, or that a service writes itself."""


class Proxy(Service):
    """Passes every request on, and every answer back, unless a fault is asked for.

    Args:
        upstream: ``http://HOST:PORT``.
        faults: see :class:`Service`.
    """

    def __init__(
        self, upstream: str, faults: Callable[[Seen], Fault | None] = lambda seen: None
    ) -> None:
        super().__init__(faults)
        self._upstream = urlsplit(upstream).netloc

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """What the other server says."""
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        try:
            headers = {
                name: value
                for name, value in seen.headers.items()
                if name not in ("connection", "host")
            }
            connection.request(
                seen.method,
                seen.target,
                body or None,
                {**headers, "Host": self._upstream},
            )
            found = connection.getresponse()
            content, kind = (
                found.read(),
                found.getheader("Content-Type", "application/octet-stream"),
            )
            kept = {
                name: value
                for name, value in found.getheaders()
                if name.lower() not in _OURS
            }
            if seen.method == "HEAD":  # of what is not sent
                kept["Content-Length"] = found.getheader("Content-Length", "0")
            return Answer(content, found.status, kind, kept)
        finally:
            connection.close()
