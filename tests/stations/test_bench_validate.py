"""deepcams bench validate: what it counts, what it leaves, and days that are links to others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepcams.bench.validation import (
    _PeakMemory,
    validation,
    write_field,
    write_original,
)
from deepcams.cli import main
from deepcams.readers.open import open_field


@pytest.fixture(autouse=True)
def _small_globe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepcams.bench.COARSE_STEP", 7.5)


def test_what_it_counts(tmp_path: Path) -> None:
    found = validation(days=1, stations=50, folder=tmp_path)
    assert (found.stations, found.rows) == (50, 24 * 50)
    assert 0 < found.pairs <= found.rows
    assert min(found.opening, found.again, found.comparing, found.reading) > 0
    assert found.memory >= found.before > 0
    assert 0 < found.read <= found.whole == 4 * (25 * 73 * 144 + 9 * 25 * 48)
    assert found.disk >= 0
    assert list(tmp_path.iterdir()) == []


def test_days_that_are_not_written_are_those_that_are_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcams.bench.validation._FILE_DAYS", 4)
    inputs = write_original(tmp_path / "cams", 7)
    assert len(inputs) == 2
    write_field(inputs, tmp_path / "whole.zarr")
    write_field(inputs, tmp_path / "linked.zarr", written=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cams",
        "linked.zarr",
        "whole.zarr",
    ]
    whole, linked = (
        open_field(tmp_path / "whole.zarr"),
        open_field(tmp_path / "linked.zarr"),
    )
    np.testing.assert_array_equal(linked.time, whole.time)
    assert linked.encoding["tile"] == whole.encoding["tile"]
    source = np.arange(linked.sizes["time"]) % (3 * 24)
    np.testing.assert_array_equal(linked.values, whole.values[source])
    files = [
        path
        for path in (tmp_path / "linked.zarr" / "pm2p5" / "c").rglob("*")
        if path.is_file()
    ]
    assert len(files) == 8  # the last is of the closing hour
    assert len({path.stat().st_ino for path in files}) == 3


def test_the_bench_says_which_days_are_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "bench",
        "validate",
        "--days",
        "3",
        "--stations",
        "20",
        "--folder",
        str(tmp_path),
    ]
    assert main([*arguments, "--written", "1"]) == 0
    told = capsys.readouterr()
    assert "72 hours of field written, those after day 1 as links" in told.err
    assert "20 stations, 72 hours" in told.out
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_hard_links_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    arguments = [
        "bench",
        "validate",
        "--days",
        "3",
        "--stations",
        "20",
        "--folder",
        str(tmp_path),
    ]
    assert main([*arguments, "--written", "1"]) == 2
    assert "a disk with hard links" in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_peak_of_memory_is_of_what_is_held_inside() -> None:
    """Numbers stand in for the process's memory: what it gives back, and when, is the system's affair."""
    held = [100]
    with _PeakMemory(lambda: held[0]) as peak:
        held[0] = 300
    held[0] = 500
    assert (peak.before, peak.bytes) == (100, 300)
    with _PeakMemory(lambda: held[0]) as peak:
        held[0] = 400
    assert (peak.before, peak.bytes) == (500, 500)
