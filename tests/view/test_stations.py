"""Real stations beside a map: Poland and China, and one dirty day of the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from deepcams.stations.archive.openaq import open_openaq
from deepcams.view.station_layer import FARTHEST_KM, Stations


def _minutes(first: str, last: str) -> tuple[int, int]:
    start, stop = (
        int(np.datetime64(each, "m").astype(np.int64)) for each in (first, last)
    )
    return start, stop


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))


def test_china_in_its_own_time_zone(stations_dir: Path) -> None:
    stations = Stations(open_openaq(stations_dir / "china_20191231.csv.gz"))
    assert len(stations.places()) == 1474
    first, last = _minutes("2019-12-30T16:00", "2019-12-31T16:00")
    found = stations.near(116.4, 39.9, first, last)
    assert found is not None
    assert found["kilometres"] < 5
    assert len(found["values"]) == len(found["minutes"]) >= 12
    assert all(
        first <= minute <= last and minute % 60 == 30 for minute in found["minutes"]
    )
    assert all(0 <= value <= 1000 for value in found["values"])
    assert (
        stations.near(2.35, 48.85, first, last) is None
    )  # Paris: nothing within reach


def test_a_dirty_day_of_the_world(stations_dir: Path) -> None:
    stations = Stations(open_openaq(stations_dir / "global_20180206.csv.gz"))
    places = np.array(stations.places())
    assert np.isfinite(places).all()  # those without a place are left out
    assert len(places) == 1430
    span = _minutes("2018-02-05T12:00", "2018-02-07T12:00")
    found = [stations.near(float(x), float(y), *span) for x, y in places[::40]]
    reports = [one for one in found if one is not None]
    assert len(reports) == len(found)  # each is within reach of itself
    assert sum(bool(one["values"]) for one in reports) > len(reports) / 2
    assert all(0 <= value <= 1000 for one in reports for value in one["values"])


def test_a_silent_station_gives_way_to_its_neighbour(tmp_path: Path) -> None:
    rows = ["location_id,location,datetime,lat,lon,parameter,units,value"]
    for number, latitude, day in ((1, 50.0, 7), (2, 50.5, 8), (3, 50.9, 8)):
        rows += [
            f"{number},S{number},2019-03-{day:02d}T{hour:02d}:00:00Z,{latitude},20,pm25,ug/m3,{20 + hour % 5}"
            for hour in range(1, 24)
        ]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    stations = Stations(open_openaq(tmp_path / "a.csv"))
    near = {
        day: stations.near(
            20, 50, *_minutes(f"2019-03-{day}T00:00", f"2019-03-{day}T23:00")
        )
        for day in ("07", "08", "09")
    }
    names = {day: found and found["name"] for day, found in near.items()}
    assert names == {"07": "S1", "08": "S2", "09": "S1"}
    assert near["09"] is not None
    assert near["09"]["values"] == []
    assert (
        stations.near(
            20, 50 - 1.01 * FARTHEST_KM / 111.2, *_minutes("2019-03-07", "2019-03-08")
        )
        is None
    )


@pytest.mark.slow
def test_years_of_poland(stations_dir: Path) -> None:
    stations = Stations(
        open_openaq(
            [stations_dir / f"poland_{year}.csv.gz" for year in (2017, 2018, 2019)]
        )
    )
    first, last = _minutes("2018-12-25", "2019-01-05")
    found = stations.near(19.95, 50.06, first, last)
    assert found is not None
    assert found["kilometres"] < 10
    assert 200 < len(found["values"]) <= 11 * 24
    assert max(found["values"]) > 60  # smog, and fireworks
