"""Work shared among processes: the items of a part, the order of results, Dask's workers, errors of theirs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcams import workers as module
from deepcams.core.errors import DeepcamsError, InputError, OutputError
from deepcams.workers import DaskWorkers, Part, ThisProcess, Work, open_workers


class Square(Work[int, int, tuple[int, str]]):
    """Squares of numbers, and which process wrote each; 13 is refused."""

    started = 0

    def start(self) -> None:
        self.started += 1

    def compute(self, item: int) -> int:
        if item == 13:
            raise InputError("item", "another number", "13")
        return item**2

    def write(self, item: int, made: int) -> tuple[int, str]:
        return made, f"{os.getpid()} {self.started}"


@given(st.integers(0, 60), st.integers(1, 20))
def test_parts_are_consecutive_and_make_the_whole(items: int, count: int) -> None:
    parts = [Part(i + 1, count).of(range(items)) for i in range(count)]
    assert [item for part in parts for item in part] == list(range(items))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", "1/3/5", ""])
def test_a_wrong_part_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="--part: expected I/N with I from 1 to N"):
        Part.parse(text)


def test_this_process_keeps_the_order_and_writes_all() -> None:
    results = list(ThisProcess().map(Square(), [3, 1, 2]))
    assert [(item, made) for item, (made, _) in results] == [(3, 9), (1, 1), (2, 4)]
    assert list(ThisProcess().map(Square(), [])) == []


def test_dask_keeps_the_order_and_starts_each_worker_once(client: Any) -> None:
    items = list(range(12, -1, -1)) * 4
    results = list(DaskWorkers(client).map(Square(), items))
    assert [(item, made) for item, (made, _) in results] == [(i, i**2) for i in items]
    assert {who for _, (_, who) in results} == {f"{os.getpid()} 1"}
    assert list(DaskWorkers(client).map(Square(), [])) == []


def test_the_work_is_taken_back_from_the_workers(client: Any) -> None:
    list(DaskWorkers(client).map(Square(), [1]))
    plugins = client.run(lambda dask_worker: list(dask_worker.plugins))
    assert not [
        name for names in plugins.values() for name in names if "deepcams" in name
    ]


@pytest.mark.parametrize("answers", [True, False])
def test_a_scheduler_that_is_lost_before_the_client_knows(
    answers: bool, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call fails while the client's status is still "running"; where the scheduler answers, its error is raised."""
    real = client.scheduler

    class Scheduler:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        async def identity(self) -> None:
            if not answers:
                raise ConnectionResetError("reset by peer")

    def broken() -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(client, "scheduler", Scheduler())
    monkeypatch.setattr(client, "nthreads", broken)
    error = ConnectionResetError if answers else DeepcamsError
    with pytest.raises(error, match="reset by peer" if answers else " was lost; "):
        list(DaskWorkers(client).map(Square(), [1]))


@pytest.mark.parametrize("where", ["here", "dask"])
def test_an_items_error_is_the_callers(where: str, client: Any) -> None:
    team = ThisProcess() if where == "here" else DaskWorkers(client)
    with pytest.raises(InputError, match="item: expected another number, found 13"):
        list(team.map(Square(), range(20)))


def test_the_client_in_scope_is_used(client: Any) -> None:
    with open_workers() as team:
        assert isinstance(team, ThisProcess)
    with client.as_current(), open_workers() as team:
        assert isinstance(team, DaskWorkers)
        assert team.client is client
    with client.as_current(), open_workers(1) as team:
        assert isinstance(team, ThisProcess)


def test_a_scheduler_in_use_is_named(client: Any) -> None:
    assert module.dashboard(DaskWorkers(client)).startswith("2 workers of inproc://")
    assert module.dashboard(ThisProcess()) == ""


@pytest.mark.parametrize(
    ("number", "scheduler", "line"),
    [
        (0, None, "--workers: expected a number from 1 on, found 0"),
        (2, "tcp://a:1", "workers: expected one of --workers and --scheduler"),
        (
            None,
            "tcp://127.0.0.1:9",
            "--scheduler tcp://127.0.0.1:9: expected the addre",
        ),
        (None, "nonsense", "--scheduler nonsense: expected the address of a running"),
    ],
)
def test_wrong_workers_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
    number: int | None,
    scheduler: str | None,
    line: str,
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(module, "CONNECT_WAIT", 1.0)
    with pytest.raises(InputError) as caught, open_workers(number, scheduler):
        pass
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_scheduler_without_workers_is_one_line() -> None:
    class Alone:
        """A client of a scheduler to which no worker comes."""

        scheduler = SimpleNamespace(address="tcp://a:1")

        def wait_for_workers(self, number: int, timeout: float) -> None:
            raise TimeoutError

    pytest.importorskip("distributed")
    with pytest.raises(InputError) as caught:
        list(DaskWorkers(Alone()).map(Square(), [1]))
    assert str(caught.value) == (
        "--scheduler tcp://a:1: expected at least one worker, found none in 120 s; "
        "start one: dask worker tcp://a:1 --nthreads 1"
    )


def test_a_failed_write_is_the_callers(client: Any, tmp_path: Path) -> None:
    class Full(Square):
        def write(self, item: int, made: int) -> tuple[int, str]:
            raise OutputError("the disk is full")

    for team in (ThisProcess(), DaskWorkers(client)):
        with pytest.raises(OutputError, match="the disk is full"):
            list(team.map(Full(), [1, 2]))
