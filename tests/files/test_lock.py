import os
import subprocess
import sys

import pytest

from deepcams.core.errors import OutputError
from deepcams.files.lock import Holder, locked, try_lock

_HOLD = """
import sys, time
from pathlib import Path
from deepcams.files.lock import locked
with locked(Path(sys.argv[1]), Path("out")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    path = tmp_path / "folder" / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield path, process
    process.kill()
    process.wait()


def test_the_second_is_told_who_holds_it(holder, tmp_path):
    path, process = holder
    words = rf"out\.zarr: another deepcams writes to it now \(process {process.pid} of "
    with pytest.raises(OutputError, match=words), locked(path, tmp_path / "out.zarr"):
        pytest.fail("two hold it")


def test_a_killed_process_holds_nothing(holder, tmp_path):
    path, process = holder
    process.kill()
    process.wait()
    with locked(path, tmp_path) as held:
        assert held
        assert Holder.read(path) is not None
    assert list(tmp_path.glob("folder/lock")) == []


def test_nothing_is_left(tmp_path):
    with locked(tmp_path / "a" / "b" / "lock", tmp_path):
        assert (tmp_path / "a" / "b" / "lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_one_process_holds_it_once(tmp_path):
    with (
        locked(tmp_path / "lock", tmp_path),
        pytest.raises(OutputError),
        locked(tmp_path / "lock", tmp_path),
    ):
        pytest.fail("two hold it")


def test_a_folder_that_cannot_be_made_is_the_writers_business(tmp_path):
    (tmp_path / "file").write_text("")
    with locked(tmp_path / "file" / "lock", tmp_path) as held:
        assert not held


def test_a_lock_that_is_removed_while_it_is_taken_does_not_count(tmp_path, monkeypatch):
    """Two that hold a file of one name, one of them removed, would both write."""
    path, plain = tmp_path / "lock", os.open

    def removed_after_opening(*arguments):
        file = plain(*arguments)
        path.unlink()  # its holder has come to its end
        return file

    monkeypatch.setattr(os, "open", removed_after_opening)
    assert try_lock(path) is None
    monkeypatch.undo()
    with locked(path, tmp_path) as held:
        assert held
        assert try_lock(path) is None
