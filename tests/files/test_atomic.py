"""Files are whole or not there, whatever comes between: an error, a full disk, a closed folder, a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deepcams.core.errors import OutputError
from deepcams.files import atomic as writing
from deepcams.files.atomic import (
    UNFINISHED,
    atomic_path,
    os_errors_explained,
    remove_unfinished,
    replace_atomically,
    write_atomically,
)

SCRIPT = """
import os, resource, signal, sys
from pathlib import Path
from deepcams.files import atomic as writing

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

how, trouble = sys.argv[1:]
path, data = Path("a.bin"), bytes(5000)
if trouble == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
elif trouble == "closed":
    os.chmod(".", 0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)  # permissions do not bind root
elif trouble == "kill":
    writing.sync = kill
try:
    if how == "atomic_path":
        with writing.atomic_path(path, durable=True) as temporary:
            temporary.write_bytes(data)
    else:
        with writing.os_errors_explained(path):
            writing.write_atomically(path, data)
except writing.OutputError as error:
    sys.exit(str(error))
"""


def _tried(folder: Path, how: str, trouble: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, how, trouble],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


posix = pytest.mark.skipif(
    os.name != "posix", reason="limits, permissions and signals as POSIX has them"
)
both = pytest.mark.parametrize("how", ["atomic_path", "write_atomically"])


@posix
@both
@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("full", "File too large; free some space and run the same command again"),
        ("closed", "Permission denied; check the folder and its permissions"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_the_old_file_stays(
    tmp_path: Path, how: str, trouble: str, told: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    done = _tried(tmp_path, how, trouble)
    tmp_path.chmod(0o755)
    assert done.stderr == f"a.bin cannot be written: {told}\n"
    assert _names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@posix
@both
def test_a_kill_before_the_end_leaves_the_old_file_and_the_next_one_comes_through(
    tmp_path: Path, how: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    assert _tried(tmp_path, how, "kill").returncode == -signal.SIGKILL
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    (stray,) = set(_names(tmp_path)) - {"a.bin"}
    assert stray.startswith(".")
    assert stray.endswith(UNFINISHED)
    if how == "write_atomically":
        remove_unfinished(tmp_path)
    assert _tried(tmp_path, how, "nothing").returncode == 0
    assert _names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == bytes(5000)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with atomic_path(path) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text(text)
            assert path.exists() == (text == "second")
        assert path.read_text() == text
    assert _names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()])
def test_any_other_end_leaves_nothing_and_is_told_as_it_is(
    tmp_path: Path, error: BaseException
) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert _names(tmp_path) == []


def test_a_folder_is_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"no/a\.txt cannot be written: No such file"),
        atomic_path(tmp_path / "no" / "a.txt", make_folder=False) as temporary,
    ):
        temporary.write_text("x")
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OutputError, match=r"cannot be written: .*; name another$"),
        atomic_path(tmp_path / "file" / "a.txt", do="name another"),
    ):
        pytest.fail("there is no folder to write to")
    with (
        pytest.raises(OutputError, match="cannot be written: Not a directory"),
        os_errors_explained(tmp_path / "file" / "a.txt"),
    ):
        write_atomically(tmp_path / "file" / "a.txt", b"x")
    assert _names(tmp_path) == ["file"]


def test_writers_of_one_name_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sync = tmp_path / "a.json", writing.sync

    def another_writes_meanwhile(temporary: Path) -> None:
        monkeypatch.setattr(writing, "sync", sync)
        write_atomically(path, b"another's")
        assert path.read_bytes() == b"another's"
        sync(temporary)

    monkeypatch.setattr(writing, "sync", another_writes_meanwhile)
    write_atomically(path, b"ours")
    assert path.read_bytes() == b"ours"
    assert _names(tmp_path) == ["a.json"]


def test_what_matters_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "a.bin", list[tuple[str, bool]]()
    monkeypatch.setattr(
        writing, "sync", lambda one: synced.append((one.name, path.exists()))
    )
    with replace_atomically(path, tmp_path / "beside") as temporary:
        temporary.write_bytes(b"x")
    assert synced == [("beside", False), (tmp_path.name, True)]
    with atomic_path(path) as temporary:  # what is quickly made again is not waited for
        temporary.write_bytes(b"y")
    assert len(synced) == 2
    monkeypatch.undo()
    writing.sync(path)
    writing.sync(tmp_path)
