"""Ctrl-C and SIGTERM, whatever the command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import deepcams.experiment.execute
from deepcams.cli import main
from deepcams.cli.stopping import Stopping, command_line, kept, stoppable

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_work_that_does_not_look_is_interrupted_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Stopping(waits=False):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@SIGNALS
def test_work_that_looks_is_asked_first(number: signal.Signals) -> None:
    with Stopping(waits=True) as stopping:
        assert not stopping.asked()
        stopping.check()
        os.kill(os.getpid(), number)
        assert stopping.asked()
        with pytest.raises(KeyboardInterrupt):
            stopping.check()
        os.kill(os.getpid(), signal.SIGTERM)  # torchrun passes on its own
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_command_is_told_as_a_shell_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["x", "train", "my runs/e.yaml", "--resume", "-o", "r"]
    )
    assert command_line() == "deepcams train 'my runs/e.yaml' --resume -o r"
    assert (
        command_line("--resume", ["--resume"])
        == "deepcams train 'my runs/e.yaml' -o r --resume"
    )
    assert kept(without="--resume").endswith(
        "Go on with:\n  deepcams train 'my runs/e.yaml' -o r"
    )


@pytest.mark.parametrize(
    ("step", "ended"), [("train spatial", True), ("fetch cams", False)]
)
def test_a_whole_experiment_lets_a_training_save_its_state(
    step: str,
    ended: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reached = []

    def execute(*arguments: Any) -> None:
        progress, stop = arguments[5], arguments[7]
        progress("train temporal", 1, 2)
        progress(step, 1, 2)
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append(stop())
        raise KeyboardInterrupt

    monkeypatch.setattr(deepcams.experiment.execute, "execute", execute)
    assert main(["run", "e.yaml", "-o", str(tmp_path)]) == 130
    assert reached == ([True] if ended else [])
    assert (
        capsys.readouterr().err
        == "\nstopped; what is done is kept. Give the same command again to go on\n"
    )


def test_a_file_that_ends_too_early_is_no_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library below takes an EOFError for Ctrl-D at a question."""

    def execute(*_: Any) -> None:
        raise EOFError(
            "Compressed file ended before the end-of-stream marker was reached"
        )

    monkeypatch.setattr(deepcams.experiment.execute, "execute", execute)
    with pytest.raises(EOFError, match="Compressed file"):
        main(["run", "e.yaml", "-o", str(tmp_path)])


@pytest.mark.parametrize("asked", [True, False])
def test_a_query_that_is_interrupted_stops_the_command_and_another_error_does_not(
    asked: bool, capsys
) -> None:
    """DuckDB turns the interrupt into an error of its own."""

    def work() -> None:
        with stoppable("what is finished is kept"):
            if asked:
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            raise RuntimeError("Query interrupted")

    with pytest.raises(typer.Exit if asked else RuntimeError) as stopped:
        work()
    assert getattr(stopped.value, "exit_code", None) == (130 if asked else None)
    assert ("stopped; what is finished is kept" in capsys.readouterr().err) == asked
