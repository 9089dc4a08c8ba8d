"""Locks in an object store: one holder, who is named, and whose lock is taken over once it is stale."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deepcams.core.errors import DeepcamsNotice, OutputError
from deepcams.downscaling.job import downscale_to
from deepcams.files import object_lock
from deepcams.files.lock import Holder, locked
from deepcams.files.object_lock import Beat
from deepcams.files.storage import ObjectKey
from downscaling.conftest import _make_field as make_field
from objects.conftest import Bucket
from objects.test_output import LINEAR, _environment

HOLD = """
import sys, time
from deepcams.core.url import Url
from deepcams.files.lock import locked
from deepcams.files.storage import storage_at
with locked(storage_at(Url(sys.argv[1])).lock_place(sys.argv[2]), "out"):
    print("held", flush=True)
    time.sleep(60)
"""


def put_beat(place: ObjectKey, age: float, **changes: object) -> Beat:
    """Leave the lock of a process of another machine, renewed some seconds ago."""
    holder = replace(Holder.this_process(), owner="anna", host="elsewhere")
    beat = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    left = replace(Beat(holder, beat, "their key", "their space"), **changes)
    place.storage.put(place.key, left.write())
    return left


@pytest.fixture
def place(bucket: Bucket) -> ObjectKey:
    """Where a lock is."""
    return bucket.storage("some").lock_place(".out.zarr.lock")


def test_the_second_is_refused_and_the_first_goes_on(bucket: Bucket) -> None:
    field, out, lines = make_field(), bucket.url("out.zarr"), list[str]()

    def second(phase: str, done: int, total: int) -> None:
        for overwrite in (False, True) if not lines else ():
            with pytest.raises(OutputError) as caught:
                downscale_to(field, out, overwrite=overwrite, **LINEAR)
            lines.append(str(caught.value))

    assert downscale_to(field, out, progress=second, **LINEAR).computed == 49
    (line,) = set(lines)
    assert line.startswith(
        f"{out}: another deepcams writes to it now (process {os.getpid()} of "
    )
    assert "last heartbeat 20" in line
    assert "takes over 60 s after the last heartbeat" in line


def test_another_process_is_refused_until_it_is_killed(
    bucket: Bucket, place: ObjectKey
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, bucket.url("some"), place.key],
        env=_environment(bucket),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputError, match=rf"\(process {process.pid} of "),
            locked(place, "out"),
        ):
            pytest.fail("two hold it")
    finally:
        process.kill()
        process.communicate()
    with pytest.warns(DeepcamsNotice, match="which is gone"), locked(place, "out"):
        pass
    assert not place.storage.exists(place.key)


def test_locks_of_other_names_do_not_matter(bucket: Bucket, place: ObjectKey) -> None:
    other = bucket.storage("some").lock_place("part-000001.lock")
    with locked(place, "out"), locked(other, "out") as held:
        assert held
        assert place.storage.exists("part-000001.lock")
    assert list(place.storage.list()) == []


def test_a_fresh_lock_of_another_machine_is_respected(place: ObjectKey) -> None:
    put_beat(place, 30)
    words = r"out: another deepcams writes to it now \(process \d+ of anna on elsewhere"
    with pytest.raises(OutputError, match=words), locked(place, "out"):
        pytest.fail("two hold it")
    assert place.storage.exists(place.key)


def test_a_stale_lock_is_watched_and_taken_over(
    place: ObjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "WATCH", 0.2)
    put_beat(place, 61)
    with (
        warnings.catch_warnings(record=True, action="always") as told,
        locked(place, "out") as held,
    ):
        held.check()
        found = json.loads(place.storage.get(place.key) or b"")
        assert found["holder"]["pid"] == os.getpid()
    (line,) = [str(one.message) for one in told]
    assert re.search("anna on elsewhere.* was last renewed at 20", line)


def test_a_lock_that_is_renewed_while_it_is_watched_is_not_taken(
    place: ObjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is an hour slow does not make a lock stale."""
    monkeypatch.setattr(object_lock, "WATCH", 3)
    sleep = time.sleep

    def renewed(seconds: float) -> None:
        put_beat(place, 3599, key="their key")
        sleep(0.01)

    put_beat(place, 3600)
    monkeypatch.setattr(object_lock.time, "sleep", renewed)
    with (
        pytest.warns(DeepcamsNotice),
        pytest.raises(OutputError, match="another deepcams writes to it now"),
        locked(place, "out"),
    ):
        pytest.fail("two hold it")


def test_the_heartbeat_renews_it(
    place: ObjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "HEARTBEAT", 0.05)
    with locked(place, "out") as held:
        first = place.storage.get(place.key)
        deadline = time.monotonic() + 10
        while place.storage.get(place.key) == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        held.check()
    assert not place.storage.exists(place.key)


def test_who_lost_the_lock_writes_no_more(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine that slept for an hour would: its lock has another holder now, and its output other settings."""
    out = bucket.url("out.zarr")
    lock = bucket.storage().lock_place(".out.zarr.lock")
    monkeypatch.setattr(object_lock, "STALE", 0.0)
    taken = list[Beat]()

    def sleeping(phase: str, done: int, total: int) -> None:
        if not taken and done:
            taken.append(put_beat(lock, 0))

    with pytest.raises(OutputError, match="another process has taken the lock over"):
        downscale_to(make_field(65), out, progress=sleeping, **LINEAR)
    assert lock.storage.get(lock.key) == taken[0].write()
