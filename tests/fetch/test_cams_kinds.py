"""CAMS beyond PM2.5 of the reanalysis: gases with what makes them ug m-3, and forecasts, hour by hour."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.cli import main
from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import grid_of
from deepcams.core.period import Period
from deepcams.fetch.base import READING
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.endpoints import CAMS_DATASETS
from deepcams.fetch.retry import FetchError, RetryPolicy
from deepcams.readers.cams import open_cams
from fetch.conftest import BOX, at
from services.base import Fault
from services.cams_files import answer
from services.data_store import DataStore

Open = Callable[[str], DataStore]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Open]:
    """Opens the data store with one of our two data sets, which makes whatever it is asked for."""
    opened = []

    def make(request: dict[str, Any]) -> Path:
        with READING:  # the libraries are not for two threads
            return answer(request, tmp_path / f"{len(opened[0].jobs)}.zip")

    def start(dataset: str) -> DataStore:
        service = DataStore(make, CAMS_DATASETS[dataset].name, polls=0)
        opened.append(service)
        return service.__enter__()

    yield start
    for service in opened:
        service.__exit__(None, None, None)


def fetch(
    store: DataStore, request: CamsRequest, keys: dict[str, str], tries: int = 3
) -> Cams:
    policy = RetryPolicy(tries=tries, first=0.01, longest=0.05)
    ads = at(ads=store.url)
    return Cams(request, ads, policy, environment=keys, poll=(0.01, 0.02))


def asked(store: DataStore) -> list[dict[str, Any]]:
    return [job.request for job in store.jobs.values()]


def test_a_gas_comes_with_its_air(
    store: Open, tmp_path: Path, keys: dict[str, str]
) -> None:
    service, out = store("reanalysis"), tmp_path / "no2"
    period = Period.parse("2019-11-30..2019-12-02")
    request = CamsRequest(period, out, "nitrogen_dioxide", BOX, at_once=1)
    assert fetch(service, request, keys).run().fetched == 2
    assert asked(service)[1] == {
        "variable": ["nitrogen_dioxide", "temperature", "surface_pressure"],
        "date": ["2019-12-01/2019-12-02"],
        "time": [f"{hour:02d}:00" for hour in range(0, 24, 3)],
        "data_format": "netcdf_zip",
        "model_level": ["60"],
        "area": [36.0, 100.0, 30.0, 106.0],
    }
    field = open_cams(out, variable="no2")
    assert field.sizes["time"] == 24
    assert 5 < float(field.mean()) < 20  # 1e-8 kg/kg in air of 1.2 kg m-3
    assert fetch(service, request, {}).run().kept == 2


def test_what_lacks_its_pressure_is_not_kept(
    store: Open, tmp_path: Path, keys: dict[str, str]
) -> None:
    service, whole = store("reanalysis"), {}

    def without(request: dict[str, Any]) -> Path:
        whole.update(request)
        short = [name for name in request["variable"] if name != "surface_pressure"]
        return answer({**request, "variable": short}, tmp_path / "short.zip")

    service.make = without
    request = CamsRequest(Period.parse("2019-12-01T00"), tmp_path / "out", "o3", BOX)
    with pytest.raises(FetchError, match=r"what came is a mixing ratio \(kg kg\*\*-1"):
        fetch(service, request, keys).run()
    assert whole["variable"][2] == "surface_pressure"
    assert not list((tmp_path / "out").glob("cams*"))


def test_forecasts_hour_by_hour_and_as_truth(
    store: Open,
    tmp_path: Path,
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the command line: fetched by days, gone on with after a failure, and truth in time and in space."""
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    service, out = store("forecast"), tmp_path / "forecast"
    box = ["--bbox", *map(str, BOX)]
    command = ["fetch", "cams", "--dataset", "forecast", "-o", str(out), *box]
    command += ["--period", "2019-12-01..2019-12-02", "--per-request", "day"]
    command += ["--at-once", "1", "--endpoint", f"ads={service.url}"]
    assert main([*command, "--dry-run"]) == 0
    assert "48 forecast hours" in capsys.readouterr().out
    service.faults = lambda seen: (
        Fault("status", 400)
        if seen.path.endswith("/execution") and service.jobs
        else None
    )
    assert main(command) == 2
    assert "1 of 2 could not be fetched" in capsys.readouterr().err
    service.faults = lambda seen: None
    assert main(command) == 0
    assert "1 fetched" in capsys.readouterr().out
    assert asked(service)[1] == {
        "variable": ["particulate_matter_2.5um"],
        "date": ["2019-12-02/2019-12-02"],
        "time": ["00:00", "12:00"],
        "leadtime_hour": [str(lead) for lead in range(12)],
        "type": ["forecast"],
        "data_format": "netcdf_zip",
        "area": [36.0, 100.0, 30.0, 106.0],
    }
    assert sorted(path.name for path in out.glob("*.zip")) == [
        f"cams_forecast_pm2p5_2019120{day}.zip" for day in (1, 2)
    ]
    field = open_cams(out)
    assert (field.sizes["time"], grid_of(field).step) == (48, 0.4)
    assert "chained by lead time, 0 to 11 h, 4 analyses" in field.attrs["source"]
    scores = tmp_path / "scores.json"
    for task, methods, samples in (
        (["temporal"], "linear,cubic", 30),
        (["spatial", "--factor", "5"], "bicubic", 48),
    ):
        options = ["--task", *task, "--methods", methods, "--json", str(scores)]
        assert main(["evaluate", str(out), *options]) == 0
        rows = json.loads(scores.read_text())["rows"]
        assert {row["method"] for row in rows} == set(methods.split(","))
        assert {row["samples"] for row in rows} == {samples}
        assert all(0 < row["RMSE"] < 5 for row in rows)
    assert "factor 5" in capsys.readouterr().out


def test_gases_of_forecasts_are_three_hourly(
    store: Open,
    tmp_path: Path,
    keys: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are truth where they are read as what they are; networks of PM2.5 are left out, or refused."""
    service = store("forecast")
    request = CamsRequest(
        *(Period.parse("2019-12-01"), tmp_path / "out", "o3", BOX),
        dataset="forecast",
    )
    fetch(service, request, keys).run()
    (sent,) = asked(service)
    assert (sent["leadtime_hour"], sent["model_level"]) == (list("0369"), ["137"])
    assert open_cams(tmp_path / "out", variable="o3").sizes["time"] == 8
    command = ["evaluate", str(tmp_path / "out"), "--task", "spatial", "-q"]
    command += ["--variable", "ozone"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "log-bicubic" in shown.out
    assert "cellnet" not in shown.out
    assert "cellnet is left out: " in shown.err
    assert main([*command, "--methods", "cellnet"]) == 2
    assert "expected weights trained on o3" in capsys.readouterr().err


def test_what_cannot_be_asked_for(
    store: Open, tmp_path: Path, keys: dict[str, str]
) -> None:
    day = Period.parse("2019-12-01")
    for variable, dataset, period, words in (
        ("pm25x", "reanalysis", "2019", "--species: expected one of pm1, .*so2, found"),
        ("pm2p5", "forecast", "2014", "2015-01-01 or later"),
        ("no2", "forecast", "2019-07", "2019-07-10 or later"),
        ("no2", "hindcast", "2019", "--dataset: expected .*reanalysis"),
    ):
        wrong: Any = {"variable": variable, "dataset": dataset}
        with pytest.raises(InputError, match=words):
            CamsRequest(Period.parse(period), tmp_path, **wrong).parts()
    service, out = store("reanalysis"), tmp_path / "out"
    fetch(service, CamsRequest(day, out, bbox=BOX), keys).run()
    other = CamsRequest(day, out, bbox=BOX, dataset="forecast")
    with pytest.raises(OutputError, match="dataset"):
        fetch(service, other, keys).run()


def test_hours_of_the_parts_are_those_of_the_period() -> None:
    """A piece of a day is asked for by the runs and leads that hold it; months by whole days."""
    piece = CamsRequest(
        Period.parse("2019-12-01T11..2019-12-01T13"), Path(), dataset="forecast"
    )
    (part,) = piece.parts()
    np.testing.assert_array_equal(
        part.times, np.array(["2019-12-01T11", "2019-12-01T12", "2019-12-01T13"], "M8")
    )
    assert part.request()["time"] == ["00:00", "12:00"]
    assert part.request()["leadtime_hour"] == ["0", "1", "11"]
    months = CamsRequest(Period.parse("2019"), Path(), dataset="forecast").parts()
    assert [part.times.size for part in months[:2]] == [744, 672]
    assert months[1].stem == "cams_forecast_pm2p5_201902"
    assert months[1].request()["date"] == ["2019-02-01/2019-02-28"]
