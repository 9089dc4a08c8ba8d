"""deepcams info: what it says about good, odd and unusable files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.readers.formats import datasets
from deepcams.readers.inspect import Values, inspect
from deepcams.readers.stored import Stored


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("COLUMNS", "80")


def record(times: list[str], value: float = 1e-8) -> xr.DataArray:
    latitude, longitude = np.arange(90, -91, -30.0), np.arange(0, 360, 30.0)
    return xr.DataArray(
        np.full((len(times), 7, 12), value, np.float32),
        dims=("time", "latitude", "longitude"),
        coords={
            "time": np.array(times, "datetime64[ns]"),
            "latitude": latitude,
            "longitude": longitude,
        },
        name="pm2p5",
        attrs={"units": "kg m**-3"},
    )


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main(["info", *map(str, arguments)])
    return status, capsys.readouterr().out


def ask_json(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, dict[str, Any]]:
    status, out = ask(capsys, "--json", *arguments)
    return status, json.loads(out)


def test_real_file(cams_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = ask(capsys, cams_dir / "cams_eac4_20191231_as_downloaded.nc")
    assert status == 0
    for words in (
        "CAMS, netCDF as the data store writes it today, in a zip",
        "0.75 degrees, 241 x 480",
        "north first",
        "4: 2019-12-31 15:00 to 2020-01-01 00:00, every 3 h",
        "no gaps",
        "kg m**-3",
        "3657",
        "opens as: pm2p5, 4 instants, 0.75 degrees, 241 x 480, global",
    ):
        assert words in out
    assert max(map(len, out.splitlines())) <= 80


def test_real_geos_cf(geos_cf_west: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = ask_json(capsys, geos_cf_west)
    assert status == 0
    assert out["files"][0]["layout"] == "GEOS-CF version 1, hourly means"
    assert out["opens_as"].startswith("pm2p5, 4 means, 0.25 degrees, 721 x 717")
    raw = xr.open_dataset(geos_cf_west).PM25_RH35_GCC.values
    values = out["variables"][0]["values"]
    assert values == {
        "total": raw.size,
        "missing": 0,
        "negative": 0,
        "infinite": 0,
        "smallest": pytest.approx(float(raw.min())),
        "largest": pytest.approx(float(raw.max())),
    }


def test_counts_and_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = record(
        [
            "2019-01-01T00",
            "2019-01-01T03",
            "2019-01-01T06",
            "2019-01-01T15",
            "2019-01-01T18",
        ]
    )
    data[0, 0, :3] = np.nan
    data[1, 2, 4] = np.inf
    data[1, 2, 5] = -np.inf
    data[2, 3, :7] = -1e-12
    data.to_netcdf(tmp_path / "a.nc")
    status, out = ask_json(capsys, tmp_path / "a.nc")
    assert status == 0
    (variable,) = out["variables"]
    assert variable["values"] == {
        "total": 5 * 7 * 12,
        "missing": 3,
        "negative": 7,
        "infinite": 2,
        "smallest": pytest.approx(-1e-12),
        "largest": pytest.approx(1e-8),
    }
    assert variable["to_ug"] == 1e9
    assert out["times"]["cadence_hours"] == 3
    assert out["times"]["gaps"] == [
        {"after": "2019-01-01 06:00", "before": "2019-01-01 15:00", "missing": 2}
    ]
    _, text = ask(capsys, tmp_path / "a.nc")
    assert "1 gaps, 2 times missing" in text
    assert "2019-01-01 06:00 to 2019-01-01 15:00 (2 missing)" in text


def test_many_files_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(["2019-01-01T00", "2019-01-01T03"], 1e-9).to_netcdf(tmp_path / "b.nc")
    record(["2019-01-01T03", "2019-01-01T06"], 1e-9).to_netcdf(tmp_path / "a.nc")
    status, out = ask_json(capsys, tmp_path)
    assert status == 0
    assert out["times"]["count"] == 3
    assert out["times"]["repeated"] == 1
    assert out["variables"][0]["values"]["total"] == 4 * 7 * 12
    assert "1 time stands in the input more than once" in out["notes"][0]
    _, text = ask(capsys, tmp_path)
    assert "All 2 together" in text
    assert max(map(len, text.splitlines())) <= 80


def _calendar() -> xr.DataArray:
    dates = [cftime.Datetime360Day(2019, 2, 30, hour) for hour in (0, 3)]
    return record(["2019-01-01T00", "2019-01-01T03"]).assign_coords(time=dates)


def _curved() -> xr.Dataset:
    data = (
        record(["2019-01-01T00"])
        .rename(latitude="y", longitude="x")
        .drop_vars(["y", "x"])
    )
    y, x = np.meshgrid(np.arange(7.0), np.arange(12.0), indexing="ij")
    return data.assign_coords(lat=(("y", "x"), y), lon=(("y", "x"), x)).to_dataset()


@pytest.mark.parametrize(
    ("data", "words", "why"),
    [
        (
            _calendar(),
            ["calendar: 360_day", "2019-02-30 00:00 to 2019-02-30 03:00"],
            "dates of the standard calendar",
        ),
        (
            _curved(),
            ["2-dimensional coordinates (y 7 x x 12)"],
            "one-dimensional coordinates",
        ),
        (
            record(["2019-01-01"]).rename("t2m").assign_attrs(units="K"),
            ["t2m", "K"],
            "found only t2m (K)",
        ),
        (
            record(["2019-01-01"]).mean("longitude").to_dataset(),
            ["no latitude and longitude"],
            "expected a coordinate longitude",
        ),
        (xr.Dataset({"station": ("station", ["a", "b"])}), ["none"], "found no fields"),
    ],
    ids=["calendar", "curved", "temperature", "zonal mean", "no field"],
)
def test_what_cannot_be_used_is_shown_with_the_reason(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    data: xr.Dataset | xr.DataArray,
    words: list[str],
    why: str,
) -> None:
    data.to_netcdf(tmp_path / "a.nc")
    status, out = ask(capsys, tmp_path / "a.nc")
    flat = " ".join(out.split())
    assert status == 1
    for word in words:
        assert word in flat
    assert "cannot be used: " in flat
    _, told = ask_json(capsys, tmp_path / "a.nc")
    assert why in told["problem"]


def test_truncated_among_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(["2019-01-01"]).to_netcdf(tmp_path / "a.nc")
    content = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "b.nc").write_bytes(content[:-100])
    status, out = ask_json(capsys, tmp_path)
    assert status == 1
    assert "truncated" in out["files"][1]["problem"]
    assert out["files"][0]["problem"] == ""
    assert "b.nc: expected a whole file" in out["problem"]


def test_no_values_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(["2019-01-01", "2019-01-02"]).to_netcdf(tmp_path / "a.nc")

    def refuse(*_: object) -> None:
        raise AssertionError("values were read")

    monkeypatch.setattr(Stored, "read", refuse)
    monkeypatch.setattr("deepcams.readers.inspect.pieces", refuse)
    seen = inspect(tmp_path / "a.nc", values=False)
    assert seen.variables[0].values is None
    assert seen.opens_as


def test_values_are_read_in_pieces_and_progress_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = record([f"2019-01-{day:02d}" for day in range(1, 29)])
    data.to_netcdf(tmp_path / "a.nc")
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 5 * 7 * 12 * 4)
    told: list[tuple[int, int]] = []
    seen = inspect(
        tmp_path / "a.nc", progress=lambda done, total: told.append((done, total))
    )
    assert [done for done, _ in told] == [
        5 * 84,
        10 * 84,
        15 * 84,
        20 * 84,
        25 * 84,
        28 * 84,
    ]
    assert told[-1][1] == 28 * 84
    assert seen.variables[0].values is not None
    assert seen.variables[0].values.total == 28 * 84


def test_counts_add() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10, 50))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[3, 4] = np.inf
    values[5] = np.nan  # nothing finite in this piece
    whole = Values.of(values)
    parts = Values()
    for row in values:
        parts = parts + Values.of(row)
    assert parts == whole
    assert whole.missing == np.isnan(values).sum()


def test_zarr_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = record(["2019-01-01T00", "2019-01-01T01"]).to_dataset()
    data.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    status, out = ask(capsys, tmp_path / "a.zarr")
    assert status == 0
    assert "hourly" in out


@pytest.mark.parametrize(
    ("value", "told"), [(30.0, "3e+10 ug m-3"), (3e-17, "3e-08 ug m-3"), (3e-8, "")]
)
def test_values_that_no_air_has_are_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, told: str
) -> None:
    record(["2019-12-31T15", "2019-12-31T18"], value).to_netcdf(tmp_path / "a.nc")
    status, out = ask(capsys, tmp_path / "a.nc")
    assert status == 0
    words = " ".join(out.split())
    assert ("are the units right" in words) == bool(told)
    assert told in words
