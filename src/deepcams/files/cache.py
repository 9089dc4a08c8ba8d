"""The cache: what deepcams keeps because it can be made again."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepcams.core.errors import InputError
from deepcams.files.flock import taken


def cache_dir() -> Path:
    """Where deepcams keeps what can be made again: ``$DEEPCAMS_CACHE``, else a folder in the user's cache folder."""
    own = os.environ.get("DEEPCAMS_CACHE")
    if own:
        return Path(own)
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "deepcams" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepcams"


def writable(folder: Path) -> bool:
    """Whether files can be made in ``folder`` (which is made if need be)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def identity(path: Path) -> Iterator[bytes]:
    """What tells a file, or all files of a folder, as they are now from others: place, size, time of last change."""
    whole, about = path.resolve(), path.stat()
    every = [(whole, about)]
    if stat.S_ISDIR(about.st_mode):
        inside = sorted(
            Path(folder) / name for folder, _, names in os.walk(whole) for name in names
        )
        every = [(file, file.stat()) for file in inside]
    for file, about in every:
        yield f"{file}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "surrogateescape")


def forget_old(root: Path, keep_days: int, unfinished_days: int = 1) -> None:
    """Remove folders unused for ``keep_days``, and unfinished ones (``.part-``, of killed runs) of some days ago."""
    if not root.is_dir():
        return
    now = time.time()
    for entry in root.iterdir():
        try:
            days = (now - entry.stat().st_mtime) / 86400
        except OSError:
            continue  # another process removed it
        if days > (unfinished_days if ".part-" in entry.name else keep_days):
            shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def folder_to_build(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to build in: the one that an interrupted run left, unless another process is at it.

    It stays for the next run where this one is interrupted or killed; where the files or the disk are at fault it goes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    kept = folder.with_name(f"{folder.name}.part-kept")
    path = kept.with_name(f"{kept.name}-lock")
    lock = _lock(path)
    part = (
        kept if lock is not None else folder.with_name(f"{folder.name}.part-{uuid.uuid4().hex[:8]}")
    )
    try:
        yield part
    except (InputError, OSError):
        shutil.rmtree(part, ignore_errors=True)
        raise
    finally:
        if lock is None:
            shutil.rmtree(part, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
            os.close(lock)


def _lock(path: Path) -> int | None:
    """Take a lock that a killed process loses; ``None`` where another holds it, or the system has none."""
    if sys.platform == "win32":
        return None
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with suppress(OSError):  # its holder has just removed it
        if taken(opened) and os.path.samestat(os.fstat(opened), path.stat()):
            return opened
    os.close(opened)
    return None
