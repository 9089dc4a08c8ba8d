"""A small HTTP server on loopback for ``deepcams bench fetch``: a folder's files, and lists of them as S3 gives them.

Run as ``python -m deepcams.bench.server FOLDER``: it prints its port, and serves until it is stopped.
"""

from __future__ import annotations

import hashlib
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PAGE = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Prefix>{prefix}</Prefix>
<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"""
_OBJECT = "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{md5}</ETag></Contents>"
_FOLDER = "<CommonPrefixes><Prefix>{key}/</Prefix></CommonPrefixes>"


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; a query with a prefix lists what is below it, in one page."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # header and body in one packet

    def log_message(self, *args: Any) -> None:
        """Keep no log."""

    def do_GET(self) -> None:
        """Answer with a file or a list."""
        query = parse_qs(urlsplit(self.path).query)
        if "prefix" not in query:
            super().do_GET()
            return
        body = self._list(query["prefix"][0], "delimiter" in query).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, prefix: str, folders: bool) -> str:
        root = Path(self.directory, urlsplit(self.path).path.strip("/"))
        entries = []
        for path in sorted((root / prefix).glob("*" if folders else "**/*")):
            key = path.relative_to(root).as_posix()
            if folders:
                entries.append(_FOLDER.format(key=key))
            elif path.is_file():
                data = path.read_bytes()
                md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
                entries.append(_OBJECT.format(key=key, size=len(data), md5=md5))
        return _PAGE.format(prefix=prefix, entries="".join(entries))


class Server(ThreadingHTTPServer):
    """Many connections at once."""

    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), partial(Handler, directory=sys.argv[1])) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
