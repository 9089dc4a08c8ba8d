"""Atomic writes: write to a hidden temporary file in the same folder, then rename it."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepcams.core.errors import OutputError

UNFINISHED = ".partial"
"""Suffix of unfinished files; code that searches for data ignores them."""


@contextmanager
def atomic_path(
    path: Path, *, durable: bool = False, make_folder: bool = True, do: str = ""
) -> Iterator[Path]:
    """Yield a temporary path to write to; the file is renamed to ``path`` at the end, or removed on an error.

    The temporary name is always the same, so that the next process overwrites the leftovers of a killed one; use
    :func:`write_atomically` where several processes may write the same file at once.

    Args:
        path: final path; an existing file stays unchanged until the new one is complete.
        durable: flush the file to disk before it is renamed, so that it is complete even after a power failure.
        make_folder: create the folder if it does not exist.
        do: advice if the file cannot be written (default: see :func:`os_errors_explained`).

    Raises:
        OutputError: the file cannot be written.
    """
    with os_errors_explained(path, do):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with replace_atomically(
            path, path.with_name(f".{path.name}{UNFINISHED}"), durable=durable
        ) as temporary:
            yield temporary


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when complete and on disk; safe for concurrent processes.

    Raises:
        OSError: the file cannot be written; :func:`os_errors_explained` converts this to a message.
    """
    with replace_atomically(
        path, path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
    ) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replace_atomically(
    path: Path, temporary: Path, *, durable: bool = True
) -> Iterator[Path]:
    """Rename ``temporary`` to ``path`` at the end of the block, or remove it on an error.

    Args:
        path: the final name.
        temporary: the file that the block writes, on the same disk.
        durable: flush the content and the renaming to disk.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        with suppress(
            OSError
        ):  # a parent of the path is a file, or the folder is not writable
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files that a killed process left in a folder and its subfolders."""
    for stray in sorted(folder.rglob(f"*{UNFINISHED}")):
        stray.unlink(missing_ok=True)


@contextmanager
def os_errors_explained(path: object, do: str = "") -> Iterator[None]:
    """Convert an ``OSError`` to a one-line message: the path, the reason and what to do.

    Raises:
        OutputError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        usual = (
            "free some space and run the same command again"
            if full
            else "check the folder and its permissions"
        )
        raise OutputError(
            f"{path} cannot be written: {reason}; {do or usual}"
        ) from error


def sync(path: Path) -> None:
    """Flush a file or, where the system supports it, a folder's entries to disk."""
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
