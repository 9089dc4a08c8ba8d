"""Locks: one process at a time writes to an output.

A lock on a local disk is the operating system's (filelock): a killed process loses it. Its file says who holds it.
A lock in an object store is an object with a heartbeat (:mod:`deepcams.files.object_lock`).
"""

from __future__ import annotations

import getpass
import glob
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from deepcams.core.errors import OutputError
from deepcams.core.text import from_json
from deepcams.files.storage import LockPlace, ObjectKey


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
            return cls(**from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} of {self.owner} on {self.host}, since {self.since}"


_POLL = 0.2
"""Seconds between two looks at a lock that is waited for."""


class HeldLock:
    """A lock that is held; true if it really is (``False``: the disk or the system has no locks)."""

    def __init__(self, locked: bool) -> None:
        self._locked = locked

    def __bool__(self) -> bool:
        return self._locked

    def check(self) -> None:
        """Check, before something is written, that no other process has taken the lock over.

        Raises:
            OutputError: one has; only locks in object stores can be lost.
        """


@contextmanager
def locked(place: LockPlace, output: object, wait: float = 0.0) -> Iterator[HeldLock]:
    """Hold a lock; its file or object is removed afterwards.

    Where no lock file can be made, the block runs without a lock: nothing can be written there either, and the writer
    reports that.

    Args:
        place: the lock's file, whose folder is made, and removed again if nothing else is in it; or its object. An
            output may have several locks, each with a name of its own.
        output: named in messages.
        wait: seconds to wait for another process that holds it.

    Yields:
        the lock.

    Raises:
        OutputError: another process holds it.
    """
    if isinstance(place, ObjectKey):
        from deepcams.files.object_lock import locked_object

        with locked_object(place, output, wait) as held:
            yield held
        return
    made = [folder for folder in place.parents if not folder.exists()]
    until = time.monotonic() + wait
    while (lock := try_lock(place)) is None and time.monotonic() < until:
        time.sleep(_POLL)
    if lock is None:
        raise OutputError(
            f"{output}: {held_by(place)}; wait for it, or choose another name"
        )
    try:
        yield HeldLock(lock.is_locked)
    finally:
        release(lock)
        with suppress(OSError):  # something else is in the folder
            for folder in made:
                folder.rmdir()


def held_by(path: Path) -> str:
    """Return in words who holds a lock."""
    holder = Holder.read(path)
    return "another deepcams writes to it now" + (f" ({holder})" if holder else "")


def part_lock(lock: LockPlace, part: str) -> LockPlace:
    """Return the lock of one of several processes that each write a part of an output.

    Args:
        lock: of the whole output, which is held while the output is laid out or finished.
        part: ``3/8``.
    """
    name = part.replace("/", "-of-")
    if isinstance(lock, ObjectKey):
        return ObjectKey(lock.storage, f"{lock.key}.parts/{name}")
    return lock.with_name(f"{lock.name}.part-{name}")


def held_parts(lock: LockPlace) -> dict[str, str]:
    """Return the parts of an output that other processes write now, and in words who they are."""
    if isinstance(lock, ObjectKey):
        from deepcams.files.object_lock import holder_of

        keys = lock.storage.list(f"{lock.key}.parts")
        found = {key: holder_of(ObjectKey(lock.storage, key)) for key in keys}
    else:
        paths = sorted(lock.parent.glob(f"{glob.escape(lock.name)}.part-*"))
        found = {path.name: _holder_of(path) for path in paths}
    return {
        re.split(r"\.part-|\.parts/", name)[-1].replace("-of-", "/"): who
        for name, who in found.items()
        if who
    }


def _holder_of(path: Path) -> str:
    """Return in words who holds a lock; nothing where nobody does, and the file of a killed process is removed."""
    lock = try_lock(path)
    if lock is None:
        return held_by(path)
    release(lock)
    return ""


def try_lock(path: Path) -> FileLock | None:
    """Take a lock at once, if nobody holds it.

    Returns:
        the lock, to be given to :func:`release`; not locked where the disk has no locks; ``None`` where another
        process, or another part of this one, holds it.
    """
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path)
        with suppress(OSError):
            path.write_text(json.dumps(asdict(Holder.this_process())), encoding="utf-8")
    except Timeout:
        return None
    except (OSError, NotImplementedError):
        lock.release(force=True)
    return lock


def _acquire(lock: FileLock, path: Path) -> None:
    """Acquire a lock at once.

    Raises:
        Timeout: another process holds it.
        OSError: its file cannot be made, which filelock takes for a lock that is held.
    """
    try:
        lock.acquire()
    except Timeout:
        if not path.exists():
            path.touch()
        raise


def release(lock: FileLock) -> None:
    """Let go of a lock and remove its file."""
    if lock.is_locked:
        with suppress(OSError):  # on Windows an open file stays
            Path(lock.lock_file).unlink(
                missing_ok=True
            )  # while it is held: a waiting process opens a new file
    lock.release(force=True)
