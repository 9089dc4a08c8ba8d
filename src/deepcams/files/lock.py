"""Locks: one process at a time writes to an output.

A lock on a local disk is the operating system's (filelock): a killed process loses it. Its file says who holds it.
"""

from __future__ import annotations

import getpass
import glob
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from deepcams.core.errors import OutputError


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        owner: user name.
        host: machine.
        pid: process id.
        since: when the lock was taken, ISO 8601 in UTC.
    """

    owner: str
    host: str
    pid: int
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """Describe this process, now."""
        try:
            owner = getpass.getuser()
        except (OSError, KeyError):  # a container's user without a name
            owner = str(getattr(os, "getuid", lambda: "unknown")())
        return cls(
            owner,
            socket.gethostname(),
            os.getpid(),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Read a lock's file; ``None`` where it says nothing."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} of {self.owner} on {self.host}, since {self.since}"


_POLL = 0.2


@contextmanager
def locked(path: Path, output: Path, wait: float = 0.0) -> Iterator[bool]:
    """Hold the lock of an output; its file is removed afterwards.

    Where no lock can be made nothing can be written either: the block runs, and the writer reports that.

    Args:
        path: the lock's file; its folder is made, and removed again if nothing else is in it.
        output: named in messages.
        wait: seconds to wait for another process that holds it.

    Yields:
        whether the lock is held (``False``: the disk or the system has no locks).

    Raises:
        OutputError: another process holds it.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    until = time.monotonic() + wait
    while (lock := try_lock(path)) is None and time.monotonic() < until:
        time.sleep(_POLL)
    if lock is None:
        raise OutputError(
            f"{output}: {held_by(path)}; wait for it, or choose another name"
        )
    try:
        yield lock.is_locked
    finally:
        release(lock)
        with suppress(OSError):  # something else is in the folder
            for folder in made:
                folder.rmdir()


def held_by(path: Path) -> str:
    """Return in words who holds a lock."""
    holder = Holder.read(path)
    return "another deepcams writes to it now" + (f" ({holder})" if holder else "")


def is_locked(path: Path) -> bool:
    """Return whether another process holds a lock; the file of a killed one is removed."""
    lock = try_lock(path)
    if lock is not None:
        release(lock)
    return lock is None


def part_lock(lock: Path, part: str) -> Path:
    """Return the lock of one of several processes that each write a part of an output.

    Args:
        lock: of the whole output, which is held while such a lock is taken.
        part: ``3/8``.
    """
    return lock.with_name(f"{lock.name}.part-{part.replace('/', '-of-')}")


def held_parts(lock: Path) -> dict[str, Path]:
    """Return the parts of an output that other processes write now, with their locks."""
    start = f"{lock.name}.part-"
    paths = sorted(lock.parent.glob(f"{glob.escape(start)}*"))
    return {
        path.name.removeprefix(start).replace("-of-", "/"): path
        for path in paths
        if is_locked(path)
    }


def try_lock(path: Path) -> FileLock | None:
    """Take a lock at once, if nobody holds it.

    Returns:
        the lock, to be given to :func:`release`; not locked where the disk has no locks; ``None`` where another
        process, or another part of this one, holds it.
    """
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        with suppress(OSError):
            path.write_text(json.dumps(asdict(Holder.this_process())), encoding="utf-8")
    except Timeout:
        return None
    except (OSError, NotImplementedError):
        lock.release(force=True)
    return lock


def release(lock: FileLock) -> None:
    """Let go of a lock and remove its file."""
    if lock.is_locked:
        with suppress(OSError):  # on Windows an open file stays
            Path(lock.lock_file).unlink(
                missing_ok=True
            )  # while it is held: a waiting process opens a new file
    lock.release(force=True)
