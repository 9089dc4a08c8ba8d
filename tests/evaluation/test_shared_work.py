"""Scores, stations and training stores are the same to the bit, whoever does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepcams.cli import main


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated days of hourly fields in a small box, and stations in it."""
    folder = tmp_path_factory.mktemp("world")
    for layout in ("geos-cf", "openaq"):
        words = ["simulate", "-o", str(folder / layout), "--layout", layout, "-q"]
        words += [
            "--period",
            "2019-12-01..2019-12-02",
            "--bbox",
            "95",
            "25",
            "125",
            "45",
        ]
        assert main([*words, "--stations", "30"] if layout == "openaq" else words) == 0
    return folder


def both(client: Any, verb: list[str], out: Path) -> None:
    """Run a verb here and by Dask's workers, and compare all that it writes."""
    (out / "here").mkdir(parents=True)
    (out / "there").mkdir()
    assert main([each.format(out=out / "here") for each in verb]) == 0
    with client.as_current():
        assert main([each.format(out=out / "there") for each in verb]) == 0
    here, there = files(out / "here"), files(out / "there")
    assert here
    assert here == there


def test_scores(client: Any, world: Path, tmp_path: Path) -> None:
    verb = ["evaluate", str(world / "geos-cf"), "--task", "joint", "-q"]
    verb += [
        "--methods",
        "linear-then-bicubic,linear-then-log-bicubic",
        "--json",
        "{out}/a.json",
    ]
    both(client, verb, tmp_path)


def test_stations(
    client: Any, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcams.stations.validation.BATCH_ROWS", 300)
    verb = ["validate", str(world / "geos-cf"), "--stations", str(world / "openaq")]
    both(client, [*verb, "-q", "--draws", "10", "-o", "{out}/tables"], tmp_path)


def test_training_stores(client: Any, world: Path, tmp_path: Path) -> None:
    both(
        client,
        ["prepare", str(world / "geos-cf"), "-o", "{out}/s.zarr", "-q"],
        tmp_path,
    )
