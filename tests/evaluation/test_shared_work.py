"""Scores, stations and training stores are the same to the bit, whoever does the work."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.cli import main
from deepcams.core.grid import Grid
from deepcams.simulation.station_network import Station
from deepcams.simulation.write_geos_cf import write_geos_cf
from fetch.conftest import field_of, objects_of


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of hourly fields in a small box, and 30 stations in it."""
    folder = tmp_path_factory.mktemp("world")
    times = np.arange(
        "2019-12-01T00:30", "2019-12-03", np.timedelta64(1, "h"), "M8[ns]"
    )
    grid = Grid.globe(0.25).select((100, 30, 110, 40))[0]
    write_geos_cf(field_of(grid, times, mean=True), folder / "geos-cf")
    towns = [
        Station(k, f"Town {k}", 30.5 + 0.3 * k, 100.5 + 0.3 * k, "Asia/Shanghai")
        for k in range(1, 31)
    ]
    for key, content in objects_of(
        towns, [date(2019, 12, 1), date(2019, 12, 2)]
    ).items():
        path = folder / "openaq" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
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
