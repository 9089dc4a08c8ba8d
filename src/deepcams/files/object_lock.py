"""Locks in object stores: an object that names its holder, with a heartbeat that the holder renews.

An object store has no locks, and does not notice when a process is killed. So the lock object is created only if
absent (a conditional put), and renewed only if unchanged (by its ETag). A lock not renewed for :data:`STALE` seconds
is watched for :data:`WATCH` seconds more, by this machine's own clock, and then taken over.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from deepcams.core.errors import OutputError, notice
from deepcams.core.text import from_json
from deepcams.files.lock import HeldLock, Holder
from deepcams.files.object_storage import ObjectStorage, StorageError, Version
from deepcams.files.storage import ObjectKey

HEARTBEAT = 15.0
"""Seconds between renewals."""
STALE = 60.0
"""Seconds without a renewal after which a lock may be taken over."""
WATCH = 20.0
"""Seconds for which a stale lock is watched before it is taken over, because machine clocks differ."""


@dataclass(frozen=True)
class Beat:
    """The content of a lock object.

    Attributes:
        holder: process that holds the lock.
        beat: time of the last renewal by the holder's clock, ISO 8601 in UTC.
        key: unique id of this acquisition.
        space: PID namespace of the holder; empty where the system has none.
    """

    holder: Holder
    beat: str
    key: str
    space: str

    @classmethod
    def now(cls, holder: Holder, key: str) -> Beat:
        """Return a heartbeat of this process at the current time."""
        beat = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(holder, beat, key, _space())

    @classmethod
    def read(cls, data: bytes) -> Beat | None:
        """Parse a lock object; return ``None`` if it is not one."""
        try:
            found = from_json(data)
            datetime.fromisoformat(found["beat"])
            return cls(**{**found, "holder": Holder(**found["holder"])})
        except (ValueError, TypeError, KeyError):
            return None

    def write(self) -> bytes:
        """Return the object's bytes."""
        return json.dumps(asdict(self)).encode()

    def age(self) -> float:
        """Return the seconds since the last renewal, by the machines' clocks."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.beat)).total_seconds()

    def is_dead(self) -> bool:
        """Return whether the holder ran on this machine and has ended."""
        import psutil

        here = Holder.this_process()
        if self.holder.host != here.host or self.space != _space():
            return False
        try:
            began = psutil.Process(self.holder.pid).create_time()
        except psutil.Error:
            return not psutil.pid_exists(self.holder.pid)
        return began > datetime.fromisoformat(self.holder.since).timestamp() + 2


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


class HeldObject(HeldLock):
    """A held lock in an object store, renewed by a background thread.

    Args:
        place: the lock object.
        output: output named in messages.
        version: version of the object as created.
        key: unique id of this acquisition.
        holder: this process.
    """

    def __init__(
        self,
        place: ObjectKey,
        output: object,
        version: Version,
        key: str,
        holder: Holder,
    ) -> None:
        super().__init__(True)
        self._place, self._output, self._version = place, output, version
        self._key, self._holder = key, holder
        self._renewed = time.monotonic()
        self._lost = False
        self._renewing = threading.Lock()
        self._end = threading.Event()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=self._beat, name="deepcams-lock", daemon=True
        )
        self._thread.start()

    def __bool__(self) -> bool:
        return not self._lost

    def check(self) -> None:
        """See :meth:`HeldLock.check`; a lock that could not be renewed in time is renewed first."""
        if not self._lost and time.monotonic() - self._renewed > STALE / 2:
            self._renew()
        if self._lost:
            raise OutputError(
                f"{self._output}: another process has taken the lock over, because this one did not renew it for "
                f"{STALE:.0f} s; give the command again to go on once the other has ended"
            )

    def _beat(self) -> None:
        while not self._end.wait(HEARTBEAT) and not self._lost:
            with suppress(OutputError):  # check() reports a lost lock
                self._renew()

    def _renew(self) -> None:
        storage, key = self._place.storage, self._place.key
        with self._renewing:
            if self._lost or self._end.is_set():
                return
            data = Beat.now(self._holder, self._key).write()
            if storage.replace(key, data, self._version):
                found = storage.read(key)
                if found is not None and found.data == data:
                    self._version, self._renewed = found, time.monotonic()
                    return
            self._lost = True

    def release(self) -> None:
        """Stop renewing the lock, and remove it if this process still holds it."""
        self._end.set()
        with self._renewing:
            if self._lost:
                return
            with suppress(OutputError):  # the lock becomes stale by itself
                found = self._place.storage.read(self._place.key)
                beat = None if found is None else Beat.read(found.data)
                if beat is not None and beat.key == self._key:
                    self._place.storage.delete(self._place.key)


@contextmanager
def locked_object(
    place: ObjectKey, output: object, wait: float = 0.0
) -> Iterator[HeldObject]:
    """Hold the lock of an output in an object store; see :func:`deepcams.files.lock.locked`."""
    holder, key = Holder.this_process(), uuid.uuid4().hex
    until = time.monotonic() + wait
    while True:
        try:
            version = _take(place, output, Beat.now(holder, key))
            break
        except StorageError as error:
            raise StorageError(output, error.found) from None
        except OutputError:
            if time.monotonic() >= until:
                raise
            time.sleep(min(1.0, wait))
    held = HeldObject(place, output, version, key, holder)
    try:
        yield held
    finally:
        held.release()


def holder_of(place: ObjectKey) -> str:
    """Describe the holder of a lock; return an empty text if there is none, or it has ended or is stale."""
    found = place.storage.read(place.key)
    beat = None if found is None else Beat.read(found.data)
    if beat is None or beat.is_dead() or beat.age() > STALE:
        return ""
    return f"another deepcams writes to it now ({beat.holder}, last heartbeat {beat.beat[:19]}Z)"


def _take(place: ObjectKey, output: object, beat: Beat) -> Version:
    """Create the lock's object, or take over a stale one.

    Raises:
        OutputError: another process holds it.
    """
    storage, key, data = place.storage, place.key, beat.write()
    if not storage.create(key, data):
        found = storage.read(key)
        if found is None:  # released in the meantime
            taken = storage.create(key, data)
        else:
            _watch(storage, key, found, output)
            data = Beat.now(beat.holder, beat.key).write()
            taken = storage.replace(key, data, found)
        if not taken:
            raise OutputError(f"{output}: {_held_by(storage.read(key))}")
    version = storage.read(key)
    if version is None or version.data != data:
        raise OutputError(f"{output}: {_held_by(version)}")
    return version


def _watch(storage: ObjectStorage, key: str, found: Version, output: object) -> None:
    """Wait until a lock is known to be stale.

    Raises:
        OutputError: the lock is still being renewed.
    """
    beat = Beat.read(found.data)
    if beat is not None and beat.is_dead():
        notice(f"{output}: the lock of {beat.holder} is taken over, which is gone")
        return
    if beat is not None and abs(beat.age()) < STALE:  # abs: clocks may differ
        raise OutputError(f"{output}: {_held_by(found)}")
    who = "somebody" if beat is None else str(beat.holder)
    when = "long ago" if beat is None else f"at {beat.beat[:19]}Z"
    notice(
        f"{output}: the lock of {who} was last renewed {when}; it is watched for {WATCH:.0f} s and then taken over"
    )
    end = time.monotonic() + WATCH
    while time.monotonic() < end:
        time.sleep(min(1.0, WATCH))
        now = storage.read(key)
        if now is None or now.data != found.data:
            raise OutputError(f"{output}: {_held_by(now)}")


def _held_by(found: Version | None) -> str:
    """Describe the holder of a lock, and when the lock would be taken over."""
    beat = None if found is None else Beat.read(found.data)
    if beat is None:
        return "another deepcams writes to it now; wait for it, or choose another name"
    return (
        f"another deepcams writes to it now ({beat.holder}, last heartbeat {beat.beat[:19]}Z); wait for it, or choose "
        f"another name. If it was killed, the same command takes over {STALE:.0f} s after the last heartbeat"
    )
