"""Cached copies of files in object stores and on web servers, each downloaded once.

A copy belongs to one state of the file (ETag, size and modification time): a changed file is copied again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.text import counted, size
from deepcams.core.url import Url
from deepcams.files import object_storage
from deepcams.files.atomic import UNFINISHED, os_errors_explained
from deepcams.files.cache import cache_dir, forget_old
from deepcams.files.object_storage import About, ObjectStorage

KEEP_DAYS = 14
"""Days after which an unused copy is removed, when another copy is made."""


def copied(files: Sequence[tuple[Url, About]]) -> list[Path]:
    """Return the paths of cached copies of some files; missing copies are made.

    Args:
        files: the URL of each file and its metadata from the server.

    Raises:
        InputError: a file cannot be read, or changes while it is copied.
        OutputError: the disk has too little space, or the cache cannot be written to.
    """
    root = cache_dir() / "copies"
    paths = [root / _folder(url, about) / _file_name(url) for url, about in files]
    missing = [
        (url, about, path)
        for (url, about), path in zip(files, paths, strict=True)
        if not path.exists()
    ]
    for path in paths:
        if path.exists():
            os.utime(path.parent)
    if missing:
        with os_errors_explained(root, "set DEEPCAMS_CACHE to another folder"):
            root.mkdir(parents=True, exist_ok=True)
            forget_old(root, KEEP_DAYS)
        _tell(missing, root)
    for url, about, path in missing:
        with os_errors_explained(path, "set DEEPCAMS_CACHE to another folder"):
            _copy(url, about, path)
    return paths


def _file_name(url: Url) -> str:
    """Return the last part of a URL as a safe file name that cannot lead out of its folder."""
    return re.sub(r"[^\w.-]|^\.+", "_", url.name)[-80:] or "file"


def _folder(url: Url, about: About) -> str:
    return hashlib.sha256(f"{url}\0{about.state}".encode()).hexdigest()[:32]


def _tell(missing: list[tuple[Url, About, Path]], root: Path) -> None:
    """Issue a notice about what is copied.

    Raises:
        OutputError: the cache has too little free space.
    """
    needed, free = (
        sum(about.bytes for _, about, _ in missing),
        shutil.disk_usage(root).free,
    )
    first = missing[0][0]
    if needed > free:
        raise OutputError(
            f"{first}: a copy needs {size(needed)} in {root}, only {size(free)} are free; set DEEPCAMS_CACHE to a "
            "larger disk"
        )
    more = f" and {counted(len(missing) - 1, 'other file')}" if len(missing) > 1 else ""
    notice(
        f"{first}{more}: {size(needed)} are copied once to the cache ({root}), because only Zarr is read in place"
    )


def _copy(url: Url, about: About, path: Path) -> None:
    """Copy a file; it appears under its name only when complete.

    Raises:
        InputError: the file cannot be read, or changes meanwhile.
    """
    storage, key = ObjectStorage(url.parent), url.name
    part = path.parent.with_name(
        f"{path.parent.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}"
    )
    part.mkdir()
    try:
        for wait in (*object_storage.WAITS, None):
            try:
                with (part / path.name).open("wb") as file:
                    file.writelines(storage.pieces(key))
                break
            except FileNotFoundError:
                raise InputError(
                    url, "a file", "none any more", "check the URL"
                ) from None
            except ConnectionError as error:
                if wait is None:
                    raise InputError(
                        url,
                        "a whole answer",
                        f"answers that break off ({error})",
                        "try again later",
                    ) from None
            time.sleep(wait)
        if (part / path.name).stat().st_size != about.bytes:
            raise InputError(
                url,
                "a file that stays as it is",
                "one that changes while it is copied",
                "wait until it is written, and try again",
            )
        try:
            part.rename(path.parent)
        except OSError:
            if not path.exists():  # else another process finished first
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
