"""Folders and outputs that one process at a time may write to."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepcams.core.errors import OutputError


def taken(file: int) -> bool:
    """Take an open file for this process alone.

    The system gives it back when the file is closed, also by a kill.

    Args:
        file: its descriptor.

    Returns:
        whether it is ours now; also where the system or the disk knows no locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextmanager
def alone(lock: Path, output: Path) -> Iterator[None]:
    """Have an output for this process; its lock is gone afterwards, and one that a kill has left does not count.

    Where no lock may be put nothing can be written either, and the writer says so in its own words.

    Args:
        lock: a file that stands for the output, in a folder that is there or is made.
        output: for people.

    Raises:
        OutputError: another process has it.
    """
    made = [folder for folder in lock.parents if not folder.exists()]
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _held(lock)
    except OSError:
        file = -1
    if file is None:
        raise OutputError(
            f"{output}: another deepcams writes to it now; wait for it, or choose another name"
        )
    try:
        yield
    finally:
        if file >= 0:
            with suppress(OSError):
                lock.unlink()  # while it is ours
            os.close(file)
        with suppress(OSError):  # there is something in it
            for folder in made:
                folder.rmdir()


def _held(lock: Path) -> int | None:
    """The lock's descriptor; ``None`` where another process has it."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not taken(file):
            os.close(file)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                return file
        os.close(file)  # its holder removed it between our opening and our taking it
