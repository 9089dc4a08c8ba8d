"""Files that are whole or not there: written beside under a hidden name, and given their own name in the end."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepcams.core.errors import OutputError

UNFINISHED = ".partial"
"""Ends the names of files that are being written; whoever looks for data never takes one of these for it."""


@contextmanager
def appearing(
    path: Path, *, sure: bool = False, make_folder: bool = True, do: str = ""
) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` at the end, or vanishes if that is not reached.

    The name is always the same, so that what a killed process has left is written over by the next one; several
    processes that may write the same file at once use :func:`write_atomically`.

    Args:
        path: an older file of this name stays as it is until the new one is whole.
        sure: force it to disk before it gets its name, so that it is whole after a power cut, too.
        make_folder: make the folder where there is none.
        do: what the user should do where it cannot be written (default: see :func:`writing_to`).

    Raises:
        OutputError: it cannot be written.
    """
    with writing_to(path, do):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, path.with_name(f".{path.name}{UNFINISHED}"), sure=sure) as beside:
            yield beside


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is whole and on disk; several processes may at once.

    Raises:
        OSError: it cannot be written; :func:`writing_to` says so for the path that the user knows.
    """
    with replacing(path, path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")) as beside:
        beside.write_bytes(data)


@contextmanager
def replacing(path: Path, beside: Path, *, sure: bool = True) -> Iterator[Path]:
    """``beside`` to write to, on the same disk: at the end it becomes ``path``, at any failure it vanishes.

    Args:
        path, beside: two names.
        sure: force both the content and the name to disk.

    Raises:
        OSError: it cannot be written.
    """
    try:
        yield beside
        if sure:
            sync(beside)
        beside.replace(path)
        if sure:
            sync(path.parent)
    finally:
        with suppress(
            OSError
        ):  # a file where a folder of the path should be, a folder that may not be changed
            beside.unlink(missing_ok=True)


def remove_strays(folder: Path) -> None:
    """Remove the partial files that a killed process left in a folder of ours."""
    for stray in sorted(folder.rglob(f"*{UNFINISHED}")):
        stray.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path, do: str = "") -> Iterator[None]:
    """Say in one line what the operating system refused, and what to do.

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
        raise OutputError(f"{path} cannot be written: {reason}; {do or usual}") from error


def sync(path: Path) -> None:
    """Force a file or, where the system can, a folder's entries to disk."""
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
