"""Real files of each provider, behind the services, through the real clients: what arrives is what the readers know."""

from __future__ import annotations

import csv
import gzip
import io
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.core.period import Period
from deepcams.experiment.geos_cf_store import StoreFetch
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.endpoints import OPENDAP_ORIGIN, geos_cf_file
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import FetchError, RetryPolicy
from deepcams.fetch.status import status
from deepcams.readers.cams import open_cams
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.stations.archive.openaq import open_openaq
from deepcams.training.store.open import Prepared
from fetch.conftest import at
from services.bucket import Bucket
from services.data_store import DataStore
from services.files import FileTree, below
from services.record import Record

HOURS = Period.parse("2019-03-08T00..2019-03-08T03")


@pytest.mark.parametrize("name", ["as_downloaded", "new_layout", "old_layout"])
def test_cams_as_downloaded(
    name: str, cams_dir: Path, tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    """The zip under the name ``.nc`` that the data store sends, and both netCDF layouts."""
    real = cams_dir / f"cams_eac4_20191231_{name}.nc"
    with DataStore(lambda request: real) as store:
        period = Period.parse("2019-12-31T15..2019-12-31T23")
        request = CamsRequest(period, tmp_path / "out")
        fetch = Cams(
            request, at(ads=store.url), policy, environment=keys, poll=(0.01, 0.02)
        )
        assert fetch.run().fetched == 1
        other = CamsRequest(Period.parse("2019-12-30"), tmp_path / "other")
        with pytest.raises(FetchError, match="lacks 8 of 8 analyses"):
            Cams(
                other,
                at(ads=store.url),
                RetryPolicy(2, 0.01),
                environment=keys,
                poll=(0.01, 0.02),
            ).run()
    arrived = next((tmp_path / "out").glob("cams_eac4_*"))
    assert arrived.read_bytes() == real.read_bytes()
    assert arrived.suffix == (".zip" if name == "as_downloaded" else ".nc")
    xr.testing.assert_identical(
        open_cams(tmp_path / "out").load(), open_cams(real).load()
    )
    assert status(tmp_path / "out", check=True).sound


@pytest.fixture(scope="module")
def geos_cf_hours(geos_cf_west: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real hours, each in the file in which the server has it."""
    folder = tmp_path_factory.mktemp("real")
    with xr.open_dataset(geos_cf_west, decode_times=True) as data:
        for k, time in enumerate(data.time.values):
            about = {
                "PM25_RH35_GCC": {
                    "zlib": True,
                    "complevel": 1,
                    "chunksizes": (1, 1, 721, data.sizes["lon"]),
                }
            }
            data.isel(time=[k]).to_netcdf(
                folder / geos_cf_file(1, time.astype("M8[ns]")), encoding=about
            )
    return folder


def test_geos_cf_hours(
    geos_cf_hours: Path, geos_cf_west: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    real = open_geos_cf(geos_cf_west).load()
    with FileTree(below(geos_cf_hours, "das/")) as tree:
        endpoints = at(geos_cf_v1=tree.root)
        assert (
            GeosCf(GeosCfRequest(HOURS, tmp_path / "files"), endpoints, policy)
            .run()
            .fetched
            == 4
        )
        StoreFetch(GeosCfRequest(HOURS, tmp_path / "a.zarr"), endpoints, policy).run()
    np.testing.assert_array_equal(open_geos_cf(tmp_path / "files"), real)
    prepared = Prepared.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(prepared.times, real.time)
    fine = prepared.frame(2, "fine")
    np.testing.assert_array_equal(
        fine, real.sel(latitude=prepared.fine.latitudes).values[2][:, : fine.shape[1]]
    )


def test_geos_cf_over_opendap(
    geos_cf_west: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    real = open_geos_cf(geos_cf_west).load()
    first = int((real.time.values[0] - OPENDAP_ORIGIN) / np.timedelta64(1, "h"))

    def values(hour: int) -> np.ndarray | None:
        return real.values[hour - first][::-1] if 0 <= hour - first < 4 else None

    with Record(
        values, real.latitude.values[::-1], real.longitude.values, first + 10
    ) as record:
        request = GeosCfRequest(HOURS, tmp_path, via="opendap")
        assert (
            GeosCf(request, at(geos_cf_opendap=record.url), policy).run().fetched == 4
        )
    np.testing.assert_array_equal(open_geos_cf(tmp_path), real)


def as_archive(file: Path, most: int) -> dict[str, bytes]:
    """A table's first locations as the archive keeps them: an object for each location and local day."""
    pieces: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        rows = csv.reader(opened)
        header = next(rows)
        where, when = header.index("location_id"), header.index("datetime")
        known: set[str] = set()
        for row in rows:
            if row[where] not in known and len(known) == most:
                continue
            known.add(row[where])
            pieces[row[where], row[when][:10]].append(row)
    objects = {}
    for (location, day), lines in pieces.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *lines])
        year, month, short = day[:4], day[5:7], day.replace("-", "")
        key = f"records/csv.gz/locationid={location}/year={year}/month={month}/location-{location}-{short}.csv.gz"
        objects[key] = gzip.compress(text.getvalue().encode(), mtime=0)
    return objects


@pytest.mark.parametrize(
    ("name", "period", "most"),
    [
        ("china_20191231", "2019-12-30..2020-01-02", 40),
        ("poland_2019", "2019-01-01..2019-01-31", 2),
        ("global_20180206", "2018", 40),
    ],
)
def test_openaq_records(
    name: str,
    period: str,
    most: int,
    stations_dir: Path,
    tmp_path: Path,
    policy: RetryPolicy,
) -> None:
    """Chinese and Polish stations, and a day of the whole world's feed with its dirt."""
    objects = as_archive(stations_dir / f"{name}.csv.gz", most)
    with Bucket(objects) as bucket:
        request = OpenaqRequest(Period.parse(period), tmp_path / "out")
        summary = Openaq(
            request, at(openaq_archive=bucket.url), policy, environment={}
        ).run()
        fetched = [key for key in bucket.whole() if key.endswith(".gz")]
    assert summary.absent == []
    assert len(fetched) == len(set(fetched)) <= len(objects)
    original = tmp_path / "original"
    for key in fetched:  # the same objects, read as the archive's files
        path = original / key.split("/", 2)[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(objects[path.relative_to(original).as_posix()])
    assert rows_of(tmp_path / "out") == rows_of(original)
    here, there = open_openaq(tmp_path / "out"), open_openaq(original)
    assert here.rows == there.rows > 0
    pd.testing.assert_frame_equal(
        here.stations[["id", "latitude", "longitude"]],
        there.stations[["id", "latitude", "longitude"]],
    )


def rows_of(folder: Path) -> list[tuple[Any, ...]]:
    """All PM2.5 rows of a folder, sorted, as text and numbers."""
    names = ["location_id", "datetime", "lat", "lon", "value"]
    tables = [pd.read_parquet(path) for path in folder.rglob("*.parquet")]
    tables += [
        pd.read_csv(path, dtype={"location_id": str})
        for path in folder.rglob("*.csv.gz")
    ]
    table = pd.concat(tables)
    table = table[table["parameter"] == "pm25"]
    return sorted(
        map(
            tuple,
            table[names].astype({"location_id": str}).fillna(-1.0).to_numpy().tolist(),
        )
    )
