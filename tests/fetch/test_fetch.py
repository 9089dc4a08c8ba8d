"""Each provider's data come complete, verified, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.fetch.base import Estimate, Summary
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.fetch.status import status
from deepcams.readers.cams import open_cams
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.simulation.station_network import Station
from deepcams.stations.archive.openaq import open_openaq
from fetch.conftest import BOX, DAY, at, objects_of
from services.bucket import Bucket
from services.data_store import DataStore
from services.files import FileTree
from services.station_list import StationList

HOURS = Period.parse(f"{DAY}T00..{DAY}T05")


def test_cams(
    data_store: DataStore, tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    request = CamsRequest(
        Period.parse("2019-11-30..2019-12-02"), tmp_path / "cams", bbox=BOX
    )
    fetch = Cams(
        request, at(ads=data_store.url), policy, environment=keys, poll=(0.01, 0.02)
    )
    summary = fetch.run()
    assert (summary.fetched, summary.kept) == (2, 0)
    field = open_cams(tmp_path / "cams")
    np.testing.assert_array_equal(
        field.time,
        np.arange("2019-11-30", "2019-12-03", np.timedelta64(3, "h"), "M8[ns]"),
    )
    submitted = [one for one in data_store.seen if one.path.endswith("/execution")]
    assert len(submitted) == 2
    assert all(
        one.headers["user-agent"].startswith("deepcams/") for one in data_store.seen
    )
    before = len(data_store.seen)
    again = Cams(
        request, at(ads=data_store.url), policy, environment={}, poll=(0.01, 0.02)
    ).run()
    assert (again.fetched, again.kept, len(data_store.seen)) == (0, 2, before)
    assert status(tmp_path / "cams", check=True).sound


def test_geos_cf(
    tree: FileTree, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(HOURS, tmp_path / "geos")
    summary = GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    assert (summary.fetched, summary.absent) == (6, [])
    for path in (world / "geos_cf").glob("*.nc4"):
        assert (tmp_path / "geos" / path.name).read_bytes() == path.read_bytes()
    before = len(tree.seen)
    assert GeosCf(request, at(geos_cf_v1=tree.root), policy).run().kept == 6
    assert len(tree.seen) == before


def test_openaq_with_a_key(
    bucket: Bucket,
    station_list: StationList,
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    request = OpenaqRequest(Period.parse("2019-12-31..2020-01-01"), tmp_path / "openaq")
    endpoints = at(openaq_archive=bucket.url, openaq_api=station_list.url)
    summary = Openaq(request, endpoints, policy, environment=keys).run()
    assert summary.fetched == 6  # three locations in two years
    assert sorted(path.name for path in (tmp_path / "openaq").glob("*.parquet")) == [
        "openaq_2019.parquet",
        "openaq_2020.parquet",
    ]
    fetched = open_openaq(
        tmp_path / "openaq", metadata=tmp_path / "openaq" / "stations.json"
    )
    for key in bucket.objects:
        (tmp_path / "archive" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / key).write_bytes(bucket.read(key))
    original = open_openaq(tmp_path / "archive")
    assert set(fetched.stations.is_monitor) == {True, False}
    pd.testing.assert_frame_equal(
        fetched.stations[["id", "latitude", "longitude"]],
        original.stations[["id", "latitude", "longitude"]],
    )
    days = {key.rpartition("-")[2][:8] for key in bucket.whole() if key.endswith(".gz")}
    assert days == {
        "20191230",
        "20191231",
        "20200101",
        "20200102",
    }  # a day more at either end: local days
    assert fetched.rows == 3 * 4 * 24
    before = len(bucket.seen)
    assert Openaq(request, endpoints, policy, environment=keys).run().kept == 6
    assert len(bucket.seen) == before


def test_nothing_is_left_behind(
    tree: FileTree,
    bucket: Bucket,
    tmp_path: Path,
    policy: RetryPolicy,
    cams_file: Callable[[dict[str, Any]], Path],
) -> None:
    GeosCf(GeosCfRequest(HOURS, tmp_path / "a"), at(geos_cf_v1=tree.root), policy).run()
    Openaq(
        OpenaqRequest(Period.parse("2019-12-31"), tmp_path / "b"),
        at(openaq_archive=bucket.url),
        policy,
        environment={},
    ).run()
    names = {
        path.name for folder in ("a", "b") for path in (tmp_path / folder).rglob("*")
    }
    assert not [
        name
        for name in names
        if name.endswith((".part", ".about", ".partial", ".pack", ".cut"))
    ]


def test_a_box_is_cut_out(
    tree: FileTree, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(HOURS, tmp_path / "geos", bbox=(101, 31, 103, 33))
    GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    cut, whole = open_geos_cf(tmp_path / "geos"), open_geos_cf(world / "geos_cf")
    assert cut.shape == (6, 9, 9)
    np.testing.assert_array_equal(
        cut, whole.sel(latitude=cut.latitude, longitude=cut.longitude)
    )
    assert cut.attrs["source"] == whole.attrs["source"]


def test_years_have_their_own_days_and_one_more_at_the_ends(
    stations: list[Station], tmp_path: Path, policy: RetryPolicy
) -> None:
    told = [
        "2018-12-30",
        "2018-12-31",
        "2019-06-15",
        "2019-12-31",
        "2020-01-01",
        "2020-01-02",
        "2020-12-31",
    ]
    with Bucket(
        objects_of(stations[:1], [date.fromisoformat(day) for day in told])
    ) as bucket:
        endpoints = at(openaq_archive=bucket.url)
        Openaq(
            OpenaqRequest(Period.parse("2019"), tmp_path),
            endpoints,
            policy,
            environment={},
        ).run()
        assert (
            len([key for key in bucket.whole() if key.endswith(".gz")]) == 4
        )  # 2018-12-31 to 2020-01-01
        Openaq(
            OpenaqRequest(Period.parse("2019..2020"), tmp_path),
            endpoints,
            policy,
            environment={},
        ).run()
        keys = [key for key in bucket.whole() if key.endswith(".gz")]
    assert (
        len(keys) == len(set(keys)) == 6
    )  # no day twice, though both years' ends overlap
    assert open_openaq(tmp_path).rows == 6 * 24


def test_cams_as_grib(
    tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    """A day of the globe as ECMWF codes it, recognised by its content."""
    eccodes = pytest.importorskip("eccodes", reason="the extra [grib] is not installed")
    pytest.importorskip("eccodes", reason="the extra [grib] is not installed")
    maps = np.random.default_rng(0).gamma(2.0, 5e-9, (8, 241 * 480))
    with (tmp_path / "day").open("wb") as file:
        for k, values in enumerate(maps):
            handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
            for key, value in {
                "centre": "ecmf",
                "Ni": 480,
                "Nj": 241,
                "latitudeOfFirstGridPointInDegrees": 90.0,
                "longitudeOfFirstGridPointInDegrees": 0.0,
                "latitudeOfLastGridPointInDegrees": -90.0,
                "longitudeOfLastGridPointInDegrees": 359.25,
                "iDirectionIncrementInDegrees": 0.75,
                "jDirectionIncrementInDegrees": 0.75,
                "paramId": 210073,
                "dataDate": 20191201,
                "dataTime": 300 * k,
                "stepRange": "0",
                "bitsPerValue": 16,
            }.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, values)
            eccodes.codes_write(handle, file)
            eccodes.codes_release(handle)
    with DataStore(lambda request: tmp_path / "day") as store:
        request = CamsRequest(Period.parse("2019-12-01"), tmp_path / "out", form="grib")
        fetch = Cams(
            request, at(ads=store.url), policy, environment=keys, poll=(0.01, 0.02)
        )
        assert fetch.run().fetched == 1
        assert [job.request["data_format"] for job in store.jobs.values()] == ["grib"]
    (arrived,) = (tmp_path / "out").glob("cams_eac4_*")
    assert arrived.name == "cams_eac4_pm2p5_20191201T00-20191201T21.grib"
    np.testing.assert_allclose(
        open_cams(tmp_path / "out").values.reshape(8, -1), maps * 1e9, atol=1e-2
    )


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999.6, "1.0 kB"),
        (99_960, "100 kB"),
        (999_600_000, "1.0 GB"),
        (3_460_000, "3.5 MB"),
        (2e12, "2.0 TB"),
    ],
)
def test_sizes_are_told_in_the_same_words_everywhere(count: float, words: str) -> None:
    assert size(count) == words
    assert words in Estimate("x", [], count, 1.0).text()
    assert (
        f"({words} in"
        in Summary("x", "hours", 1, 1, bytes=round(count), seconds=0.01).text()
    )
