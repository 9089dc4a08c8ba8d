"""What a process may use of its machine: a container's limits count, wherever the system tells them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deepcams.cli import main
from deepcams.core import machine
from deepcams.core.machine import free_memory, peak_memory, processors, threads

GB = 10**9


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of control groups, in place of the system's; eight processors and 100 GB beyond them."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    free = psutil.virtual_memory()._replace(available=100 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def _write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def test_without_limits_all_is_free(cgroup: Path) -> None:
    assert (processors(), free_memory()) == (8, 100 * GB)  # no file at all
    _write(cgroup, own="0::/job")
    _write(cgroup / "job", cpu__max="max 100000", memory__max="max")
    assert (processors(), free_memory()) == (8, 100 * GB)


def test_limits_of_version_2_and_of_the_groups_around(cgroup: Path) -> None:
    _write(cgroup, own="0::/outer/inner")
    _write(cgroup / "outer" / "inner", cpu__max="max 100000")
    _write(cgroup / "outer", cpu__max="250000 100000", memory__max=str(2 * GB))
    _write(cgroup / "outer", memory__current=str(GB))
    _write(cgroup / "outer", memory__stat=f"anon 1\ninactive_file {GB // 2}")
    assert processors() == 3
    assert free_memory() == 1.5 * GB


def test_limits_of_version_1_seen_from_within_a_container(cgroup: Path) -> None:
    _write(cgroup, own="5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/")
    _write(cgroup / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    _write(cgroup / "memory", memory__limit_in_bytes=str(2 * GB))
    _write(cgroup / "memory", memory__usage_in_bytes=str(3 * GB))
    _write(cgroup / "memory", memory__stat="total_inactive_file 0")
    assert (processors(), threads()) == (1, 1)  # half a processor
    assert free_memory() == 0
    _write(cgroup / "cpu", cpu__cfs_quota_us="-1")
    _write(cgroup / "memory", memory__limit_in_bytes=str(2**63 - 4096))
    assert (processors(), free_memory()) == (8, 100 * GB)


def test_threads_are_those_asked_for(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in machine.THREAD_VARIABLES:
        monkeypatch.setenv(name, "2")
    assert main(["--threads", "3", "models", "list"]) == 0
    assert threads() == 3
    assert {os.environ[name] for name in machine.THREAD_VARIABLES} == {"3"}
    capsys.readouterr()
    assert main(["--threads", "9", "models", "list"]) == 2
    told = capsys.readouterr().err
    assert "--threads: expected 1 to 8, what there is here, found 9" in told


def test_a_container_limits_the_libraries_threads(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name in machine.THREAD_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    machine.limit_threads()
    assert "OMP_NUM_THREADS" not in os.environ
    _write(cgroup, own="0::/")
    _write(cgroup, cpu__max="150000 100000")
    machine.limit_threads()
    assert {os.environ[name] for name in machine.THREAD_VARIABLES} == {"2"}


def test_a_peak_is_kept_when_memory_is_given_back() -> None:
    code = (
        "from deepcams.core.machine import peak_memory; before = peak_memory();"
        "taken = bytearray(10**8); del taken; print(peak_memory() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    grown = int(done.stdout)
    assert sys.platform != "linux" or 0.9e8 < grown < 1.3e8
    assert peak_memory() > 1e7
