"""A small simulated world behind services on loopback, and policy that does not make tests wait."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.retry import RetryPolicy
from deepcams.simulation.station_network import Station
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_openaq import openaq_path
from services.bucket import Bucket
from services.data_store import KEY as ADS_KEY
from services.data_store import DataStore
from services.files import FileTree, below
from services.station_list import KEY as OPENAQ_KEY
from services.station_list import StationList

BOX = (100.0, 30.0, 106.0, 36.0)
DAY = "2019-12-01"


def field_of(grid: Grid, times: np.ndarray, mean: bool) -> xr.DataArray:
    """A smooth field that no two hours or nodes share; quick to make."""
    hours = (times - np.datetime64("2019-01-01", "ns")) / np.timedelta64(1, "h")
    waves = (
        np.sin(np.deg2rad(grid.latitudes * 7))[:, None]
        + np.cos(np.deg2rad(grid.longitudes * 9))[None]
    )
    data = (20 + 5 * waves[None] + 0.1 * (hours % 200)[:, None, None]).astype("float32")
    attributes = {
        "units": "ug m-3",
        "cell_methods": "time: mean" if mean else "time: point",
        "source": "a simulated world",
        "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
        "long_name": "PM2.5",
    }
    coords = {
        "time": times.astype("datetime64[ns]"),
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    return as_field(
        xr.DataArray(
            data, coords, ("time", "latitude", "longitude"), "pm2p5", attributes
        )
    )


def objects_of(stations: list[Station], days: list[date]) -> dict[str, bytes]:
    """The archive's objects: a station's day each, PM2.5 and PM10, stamped with an offset."""
    objects = {}
    for station in stations:
        for day in days:
            rows = [
                "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
            ]
            for hour in range(24):
                stamp = f"{day}T{hour:02d}:00:00+08:00"
                head = f'{station.id},{station.id * 10},"{station.name}",{stamp},{station.latitude},{station.longitude}'
                rows.append(f"{head},pm25,µg/m³,{station.id % 50 + hour}.5")
                rows.append(f"{head},pm10,µg/m³,{hour}.0")
            key = openaq_path(Path(), station.id, day).as_posix()
            objects[key] = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
    return objects


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hours of GEOS-CF in its own layout."""
    folder = tmp_path_factory.mktemp("world")
    times = np.arange(f"{DAY}T00:30", f"{DAY}T06:30", np.timedelta64(1, "h"), "M8[ns]")
    write_geos_cf(
        field_of(Grid.globe(0.25).select(BOX)[0], times, mean=True), folder / "geos_cf"
    )
    return folder


@pytest.fixture(scope="session")
def stations() -> list[Station]:
    return [
        Station(k, f"Town {k}", 31.0 + k / 4, 101.0 + k / 4, "Asia/Shanghai")
        for k in (1, 2, 3)
    ]


@pytest.fixture(scope="session")
def days() -> list[date]:
    return [date(2019, 12, 29) + timedelta(days=k) for k in range(6)]


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(tries=4, first=0.01, longest=0.05, timeout=30.0)


@pytest.fixture
def keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment with the services' keys; nothing of the user's own is read."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in (
        "ECMWF_DATASTORES_KEY",
        "CDSAPI_KEY",
        "ECMWF_DATASTORES_RC_FILE",
        "DEEPCAMS_ENDPOINTS",
    ):
        monkeypatch.delenv(name, raising=False)
    return {"ADSAPI_KEY": ADS_KEY, "OPENAQ_API_KEY": OPENAQ_KEY}


@pytest.fixture(scope="session")
def cams_file(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[dict[str, Any]], Path]:
    """Finds what the data store answers a request with; made beforehand, for the libraries are not for two threads."""
    folder = tmp_path_factory.mktemp("cams")
    step = np.timedelta64(3, "h")
    for span in (
        "2019-11-30..2019-11-30",
        "2019-12-01..2019-12-02",
        "2019-12-01..2019-12-01",
    ):
        first, last = (np.datetime64(day) for day in span.split(".."))
        times = np.arange(first, last + np.timedelta64(1, "D"), step, "M8[ns]")
        (folder / span).mkdir()
        write_cams(
            field_of(Grid.globe(0.75).select(BOX)[0], times, mean=False),
            folder / span / "cams.zip",
            "zip",
        )

    def find(request: dict[str, Any]) -> Path:
        first, _, last = request["date"][0].partition("/")
        return next((folder / f"{first}..{last or first}").glob("*.zip"))

    return find


@pytest.fixture
def data_store(cams_file: Callable[[dict[str, Any]], Path]) -> Iterator[DataStore]:
    with DataStore(cams_file) as service:
        yield service


@pytest.fixture
def tree(world: Path) -> Iterator[FileTree]:
    with FileTree(below(world / "geos_cf", "das/")) as service:
        yield service


@pytest.fixture
def bucket(stations: list[Station], days: list[date]) -> Iterator[Bucket]:
    with Bucket(objects_of(stations, days)) as service:
        yield service


@pytest.fixture
def station_list(stations: list[Station]) -> Iterator[StationList]:
    with StationList(stations) as service:
        yield service


def without_waiting(policy: RetryPolicy) -> list[float]:
    """Let waits take no time but on the policy's own clock; they are listed."""
    waits, now = list[float](), [0.0]

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    policy.wait = wait  # type: ignore[method-assign]
    policy.clock = lambda: now[0]
    return waits


def at(**urls: str) -> Endpoints:
    """Endpoints on loopback; what is not named goes nowhere."""
    nowhere = dict.fromkeys(Endpoints().as_dict(), "http://127.0.0.1:9")
    return Endpoints(**{**nowhere, **urls})


def hours_of(paths: list[Path]) -> np.ndarray:
    """The times that GEOS-CF files hold."""
    from deepcams.readers.geos_cf import open_geos_cf

    return open_geos_cf(paths).time.values
