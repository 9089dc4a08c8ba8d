"""Locks: only one process at a time writes to an output.

On a local disk a lock is an operating-system lock (filelock), released when its process is killed; its file names the
holder. In an object store a lock is an object with a heartbeat (:mod:`deepcams.files.object_lock`).
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
        except (OSError, KeyError):  # a user without a name, as in containers
            owner = str(getattr(os, "getuid", lambda: "unknown")())
        return cls(
            owner,
            socket.gethostname(),
            os.getpid(),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Read a lock file; return ``None`` if it names no holder."""
        try:
            return cls(**from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} of {self.owner} on {self.host}, since {self.since}"


_POLL = 0.2
"""Polling interval while waiting for a lock, seconds."""


class HeldLock:
    """A lock that is held; falsy if the disk or the system does not support locks."""

    def __init__(self, locked: bool) -> None:
        self._locked = locked

    def __bool__(self) -> bool:
        return self._locked

    def check(self) -> None:
        """Check before writing that no other process has taken over the lock.

        Raises:
            OutputError: the lock was taken over; this can only happen in object stores.
        """


@contextmanager
def locked(place: LockPlace, output: object, wait: float = 0.0) -> Iterator[HeldLock]:
    """Hold a lock; its file or object is removed afterwards.

    If the lock file cannot be created, the block runs without a lock: nothing can be written there either, and the
    writer reports that.

    Args:
        place: lock file or object. The file's folder is created, and removed again if it is otherwise empty. An
            output may have several locks with different names.
        output: output named in messages.
        wait: seconds to wait while another process holds the lock.

    Yields:
        the lock.

    Raises:
        OutputError: another process holds the lock.
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
        with suppress(OSError):  # the folder is not empty
            for folder in made:
                folder.rmdir()


def held_by(path: Path) -> str:
    """Describe the holder of a lock."""
    holder = Holder.read(path)
    return "another deepcams writes to it now" + (f" ({holder})" if holder else "")


def part_lock(lock: LockPlace, part: str) -> LockPlace:
    """Return the lock of one of several processes that each write a part of an output.

    Args:
        lock: lock of the whole output, held while the output is laid out or finished.
        part: number and count of the part, ``3/8``.
    """
    name = part.replace("/", "-of-")
    if isinstance(lock, ObjectKey):
        return ObjectKey(lock.storage, f"{lock.key}.parts/{name}")
    return lock.with_name(f"{lock.name}.part-{name}")


def held_parts(lock: LockPlace) -> dict[str, str]:
    """Return the parts of an output that other processes are writing, each with a description of the process."""
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
    """Describe the holder of a lock, or return an empty text; the file of a killed process is removed."""
    lock = try_lock(path)
    if lock is None:
        return held_by(path)
    release(lock)
    return ""


def try_lock(path: Path) -> FileLock | None:
    """Try to take a lock without waiting.

    Returns:
        the lock, to be passed to :func:`release` (not locked if the disk does not support locks); ``None`` if another
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
    """Acquire a lock without waiting.

    Raises:
        Timeout: another process holds it.
        OSError: the lock file cannot be created, which filelock reports as a held lock.
    """
    try:
        lock.acquire()
    except Timeout:
        if not path.exists():
            path.touch()
        raise


def release(lock: FileLock) -> None:
    """Release a lock and remove its file."""
    if lock.is_locked:
        with suppress(OSError):  # on Windows an open file cannot be removed
            Path(lock.lock_file).unlink(
                missing_ok=True
            )  # removed while still held, so that a waiting process opens a new file
    lock.release(force=True)
