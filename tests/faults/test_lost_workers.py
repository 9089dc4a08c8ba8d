"""Workers that are killed, hang, run out of memory; schedulers that are lost: the store is the undisturbed one."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli.test_downscale import LINEAR, command, contents, records, write_record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no such signals there"),
]
KILLS = 50
"""Kills at random moments, half of them of the process itself, half of a worker."""
TWO = ["--workers", "2"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``cams.nc`` (31 work items) and the undisturbed ``whole/a.zarr``."""
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_record(tmp_path / "cams.nc", 241, step=3.0)
    (tmp_path / "whole").mkdir()
    run("-o", "whole/a.zarr")
    return tmp_path


def arguments(*more: str) -> list[str]:
    return command("cams.nc", *more, *LINEAR)


def run(*more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(*more), check=True, capture_output=True, text=True, timeout=300
    )


@contextmanager
def started(*more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        arguments(*more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    except psutil.Error:
        return []


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def equal(here: Path, name: str = "out/a.zarr") -> None:
    assert contents(here / name) == contents(here / "whole/a.zarr")
    assert [p.name for p in (here / name).parent.iterdir()] == ["a.zarr"]


def test_killed_at_random_moments(here: Path) -> None:
    draw, hits, out = random.Random(7), 0, here / "out"
    out.mkdir()
    for number in range(KILLS):
        whole_process = number % 2 == 0
        with started("-o", "out/a.zarr", *TWO) as process:
            wait_until(lambda p=process: p.poll() is not None or len(workers_of(p)) > 1)
            time.sleep(draw.uniform(0, 4))
            victims = workers_of(process)
            if whole_process:
                process.kill()
            elif victims:
                draw.choice(victims).kill()
            hits += process.poll() is None or whole_process
            _, errors = process.communicate(timeout=120)
        if not whole_process:
            assert process.returncode == 0, errors
            equal(here)
            shutil.rmtree(out / "a.zarr")
    assert hits >= KILLS * 0.6
    run("-o", "out/a.zarr", *TWO)
    equal(here)


def test_terminated_it_goes_on(here: Path) -> None:
    (here / "out").mkdir()
    with started("-o", "out/a.zarr", *TWO) as process:
        wait_until(lambda: len(records(here / "out")) > 2)
        process.terminate()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "stopped; what is finished is kept. Go on with:" in errors
    assert "Traceback" not in errors
    run("-o", "out/a.zarr", *TWO)
    equal(here)


def test_a_worker_that_hangs_is_given_up(here: Path) -> None:
    (here / "out").mkdir()
    program = (
        "import sys; from deepcams import workers; from deepcams.cli import main\n"
        "workers._WORKER_SILENCE = '5s'\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))\n"
    )
    (here / "impatient.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "impatient.py", *arguments("-o", "out/a.zarr", *TWO)[3:]],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(records(here / "out")) > 2)
        workers_of(process)[0].suspend()
        assert process.wait(timeout=180) == 0
    finally:
        for each in workers_of(process):
            each.kill()
        process.kill()
        process.communicate()
    equal(here)


@contextmanager
def cluster(
    workers: int, *options: str
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A cluster as people start one: ``dask scheduler`` and ``dask worker``, each a process."""
    folder = Path(sys.executable).parent
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    port = random.Random(os.getpid()).randint(20000, 50000)
    address = f"tcp://127.0.0.1:{port}"
    all_of_them = [
        subprocess.Popen(
            [
                folder / "dask",
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--no-dashboard",
            ],
            **quiet,  # type: ignore[call-overload]
        )
    ]
    try:
        worker = [folder / "dask", "worker", address, "--nthreads", "1", *options]
        all_of_them += [
            subprocess.Popen(worker, **quiet)  # type: ignore[call-overload]
            for _ in range(workers)
        ]
        yield address, all_of_them
    finally:
        for process in reversed(all_of_them):
            process.terminate()
        for process in all_of_them:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def test_a_worker_of_a_cluster_is_killed_in_the_middle(here: Path) -> None:
    (here / "out").mkdir()
    with (
        cluster(2, "--no-nanny") as (address, processes),
        started("-o", "out/a.zarr", "--scheduler", address) as process,
    ):
        wait_until(lambda: len(records(here / "out")) > 4)
        processes[1].kill()
        assert process.wait(timeout=180) == 0
    equal(here)


def test_a_cluster_that_grows_is_used(here: Path) -> None:
    (here / "out").mkdir()
    with (
        cluster(1, "--no-nanny") as (address, processes),
        started("-o", "out/a.zarr", "--scheduler", address) as process,
    ):
        wait_until(lambda: len(records(here / "out")) > 2)
        late = subprocess.Popen(
            [
                Path(sys.executable).parent / "dask",
                "worker",
                address,
                "--no-nanny",
                "--nthreads",
                "1",
            ],
            stderr=subprocess.DEVNULL,
        )
        processes.append(late)
        assert process.wait(timeout=180) == 0
    equal(here)


def test_a_lost_scheduler_is_one_line_and_the_work_goes_on(here: Path) -> None:
    (here / "out").mkdir()
    with (
        cluster(1, "--no-nanny") as (address, processes),
        started("-o", "out/a.zarr", "--scheduler", address) as process,
    ):
        wait_until(lambda: len(records(here / "out")) > 2)
        processes[0].kill()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2
    lines = errors.strip().splitlines()
    assert lines[-1] == (
        f"deepcams: error: the scheduler {address} was lost; finished work is kept: give the same command again"
    )
    assert "Traceback" not in errors
    run("-o", "out/a.zarr")
    equal(here)


BLAMED = r"refused: [34]: workers died 4 times that had this item or the one before it"

DYING = """
import os, sys, time
from pathlib import Path
from deepcams.core.errors import DeepcamsError
from deepcams.workers import Work, open_workers

class Dying(Work):
    def compute(self, item):
        if item == 3 and {how!r} == "always":
            os._exit(9)
        if item == 3 and {how!r} == "once" and not Path("once").exists():
            Path("once").touch()
            os._exit(9)
        if item == 3 and {how!r} == "memory":
            held = bytearray(os.urandom(1 << 20) * 900)
            time.sleep(20)
        return item
    def write(self, item, made):
        return made

if __name__ == "__main__":
    with open_workers(*{workers!r}) as team:
        try:
            print([made for _, made in team.map(Dying(), range(8))])
        except DeepcamsError as error:
            print("refused:", error)
"""


def dying(how: str, workers: tuple[object, object]) -> str:
    Path("dying.py").write_text(DYING.format(how=how, workers=workers))
    return subprocess.run(
        [sys.executable, "dying.py"],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout.strip()


def test_an_item_that_kills_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dying("once", (2, None)) == str(list(range(8)))
    line = dying("always", (2, None))
    assert re.match(BLAMED, line)


def test_a_worker_that_runs_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with cluster(1, "--memory-limit", "500MB") as (address, _):
        line = dying("memory", (None, address))
    assert re.match(BLAMED, line)
    assert "perhaps of too little memory; give them more, or use fewer workers" in line
