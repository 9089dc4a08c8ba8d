"""deepcams bench pipeline: both sides are timed in one run, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcams.bench import inputs
from deepcams.bench import pipeline as bench
from deepcams.cli import main


def test_both_sides_write_the_same_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "COARSE_STEP", 7.5)
    told: list[str] = []
    found = bench.pipeline(days=1, repeats=2, folder=tmp_path, progress=told.append)
    assert found.hours == 25
    assert found.bytes > 10_000
    assert len(found.pipeline) == len(found.writing) == len(told) == 2
    assert min(*found.pipeline, *found.writing) > 0
    assert list(tmp_path.iterdir()) == []


def test_the_ratio_is_of_rates_not_of_times() -> None:
    found = bench.PipelineResult(
        24, pipeline=(4.0, 5.0, 100.0), writing=(2.0, 2.5, 3.0), bytes=1
    )
    assert found.ratio == 0.5


def test_a_folder_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "pipeline", "--folder", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
