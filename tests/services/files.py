"""A tree of files over HTTP, as web servers and THREDDS give them: ranges, marks and dates."""

from __future__ import annotations

import email.utils
import hashlib
from collections.abc import Callable
from pathlib import Path

from services.base import Answer, Fault, Seen, Service


class FileTree(Service):
    """Files by their path.

    Args:
        find: the file behind a path (without its first slash); ``None`` where there is none.
        ranges: whether parts may be asked for.
        faults: see :class:`Service`.
    """

    def __init__(
        self,
        find: Callable[[str], Path | None],
        ranges: bool = True,
        faults: Callable[[Seen], Fault | None] = lambda seen: None,
    ) -> None:
        super().__init__(faults)
        self.find, self.ranges = find, ranges

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """The file, or the part of it that is asked for."""
        return file_answer(self.find(seen.path.lstrip("/")), seen, self.ranges)


def file_answer(path: Path | None, seen: Seen, ranges: bool = True) -> Answer:
    """A file, or the part of it that a request asks for."""
    if path is None or not path.is_file():
        return Answer(b"not found", 404, "text/plain")
    data = path.read_bytes()
    about = path.stat()
    mark = '"' + hashlib.sha256(data).hexdigest()[:16] + '"'
    headers = {
        "ETag": mark,
        "Last-Modified": email.utils.formatdate(about.st_mtime, usegmt=True),
    }
    if not ranges:
        return Answer(data, 200, "application/x-netcdf", headers)
    headers["Accept-Ranges"] = "bytes"
    wanted = seen.headers.get("range", "").removeprefix("bytes=").partition("-")
    if wanted[0].isdigit() and seen.headers.get("if-range", mark) == mark:
        first = int(wanted[0])
        last = (
            min(int(wanted[2]), len(data) - 1) if wanted[2].isdigit() else len(data) - 1
        )
        if first >= len(data):
            return Answer(
                b"", 416, "text/plain", {"Content-Range": f"bytes */{len(data)}"}
            )
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Answer(data[first : last + 1], 206, "application/x-netcdf", headers)
    return Answer(data, 200, "application/x-netcdf", headers)


def below(folder: Path, prefix: str = "") -> Callable[[str], Path | None]:
    """Find files in a folder by their last name, whatever folders the service puts them into.

    Args:
        folder: where they are.
        prefix: what a path must begin with; others are not found.
    """

    def find(path: str) -> Path | None:
        return folder / path.rpartition("/")[2] if path.startswith(prefix) else None

    return find
