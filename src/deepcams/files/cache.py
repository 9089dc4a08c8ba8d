"""The cache folder, for files that can be regenerated."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcams.core.errors import InputError
from deepcams.files.atomic import UNFINISHED
from deepcams.files.lock import release, try_lock


def cache_dir() -> Path:
    """Return the cache folder: ``$DEEPCAMS_CACHE``, else a folder in the user's cache folder."""
    chosen = os.environ.get("DEEPCAMS_CACHE")
    if chosen:
        return Path(chosen)
    if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "deepcams" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepcams"


def writable(folder: Path) -> bool:
    """Return whether files can be created in ``folder``, which is created if necessary."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def identity(path: Path) -> Iterator[bytes]:
    """Yield path, size and modification time of a file, or of all files in a folder, as bytes for hashing."""
    whole = path.resolve()
    files = [whole]
    if whole.is_dir():
        files = sorted(
            Path(folder) / name for folder, _, names in os.walk(whole) for name in names
        )
    for file in files:
        about = file.stat()
        yield f"{file}\0{about.st_size}\0{about.st_mtime_ns}\n".encode(
            "utf-8", "surrogateescape"
        )


def forget_old(root: Path, keep_days: int, unfinished_days: int = 1) -> None:
    """Remove folders not used for ``keep_days``, and unfinished ones of killed runs after ``unfinished_days``."""
    if not root.is_dir():
        return
    now = time.time()
    for entry in root.iterdir():
        try:
            days = (now - entry.stat().st_mtime) / 86400
        except OSError:
            continue  # another process removed it
        if days > (unfinished_days if entry.name.endswith(UNFINISHED) else keep_days):
            shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def folder_to_build(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to build ``folder`` in; that of an interrupted run is reused if no process uses it.

    It is kept for the next run if this one is interrupted or killed, and removed on a file or disk error.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f"{folder.name}{UNFINISHED}")
    lock = try_lock(folder.with_name(f"{folder.name}.lock"))
    if lock is None:
        unfinished = folder.with_name(
            f"{folder.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}"
        )
    try:
        yield unfinished
    except (InputError, OSError):
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    finally:
        if lock is None:
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            release(lock)
