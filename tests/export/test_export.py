"""deepcams export: every node where it belongs, resumable, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.grid import Grid
from deepcams.export import job
from deepcams.export.geotiff import block_size, raster_grid
from deepcams.export.source import pieces_of, turned
from deepcams.means import means_to
from deepcams.readers.open import open_field

Told = pytest.CaptureFixture[str]


def _rolled(stored: xr.Dataset) -> np.ndarray:
    """The store's values from -180 eastward."""
    longitude = stored.longitude.values
    order = np.argsort((longitude + 180) % 360, kind="stable")
    return stored.pm2p5.values[:, :, order]


def test_a_cog_holds_each_node_in_its_pixel(
    store: Path, stored: xr.Dataset, tmp_path: Path, capsys: Told
) -> None:
    rasterio: Any = pytest.importorskip("rasterio")
    out = tmp_path / "cog"
    assert main(["export", str(store), "--to", "cog", "-o", str(out)]) == 0
    assert "13 hours in 2 files" in capsys.readouterr().out
    values = _rolled(stored)
    names = ["pm2p5_20191231.tif", "pm2p5_20200101.tif"]
    assert sorted(path.name for path in out.glob("*")) == [".deepcams", *names]
    hour = 0
    for name, bands in zip(names, (9, 4), strict=True):
        with rasterio.open(out / name) as raster:
            assert raster.count == bands
            assert raster.crs.to_epsg() == 4326
            assert raster.bounds == (-181.25, -88.75, 178.75, 88.75)
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert np.isnan(raster.nodata)
            assert set(raster.units) == {"ug m-3"}
            assert set(raster.scales) == {1.0}
            told = raster.tags()
            assert told["license"].startswith("Licence to use Copernicus")
            assert "deepcams downscale_to" in told["history"].replace(".", " ")
            assert told["TIFFTAG_DATETIME"] == (
                "2019:12:31 15:00:00" if hour == 0 else "2020:01:01 00:00:00"
            )
            for band in range(1, bands + 1):
                frame = values[hour]
                np.testing.assert_array_equal(raster.read(band), frame[1:-1])
                moment = f"{np.datetime_as_string(stored.time.values[hour], 'm')}Z"
                assert raster.descriptions[band - 1] == f"pm2p5 {moment}"
                tags = raster.tags(band)
                assert tags["TIME"] == moment
                assert tags["STATUS"] == ("interpolated" if hour % 3 else "analysis")
                inside = frame[1:-1].astype(np.float64)
                for key, expected in (
                    ("STATISTICS_MINIMUM", np.nanmin(inside)),
                    ("STATISTICS_MEAN", np.nanmean(inside)),
                    ("STATISTICS_STDDEV", np.nanstd(inside)),
                    ("NORTH_POLE", frame[0].mean()),
                    ("SOUTH_POLE", frame[-1].mean()),
                ):
                    assert float(tags[key]) == pytest.approx(expected, rel=1e-6)
                hour += 1
    assert hour == 13


def test_netcdf_is_the_same_field_again(
    store: Path, stored: xr.Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "all.nc"
    assert main(["export", str(store), "--to", "netcdf", "-o", str(out)]) == 0
    with xr.open_dataset(out) as found:
        np.testing.assert_array_equal(found.longitude, np.arange(-180, 180, 2.5))
        np.testing.assert_array_equal(found.pm2p5, _rolled(stored))
        np.testing.assert_array_equal(found.status, stored.status)
        assert found.pm2p5.attrs["grid_mapping"] == "crs"
        assert found.pm2p5.attrs["quantization_nsb"] == 9
        assert found.attrs["geospatial_lon_min"] == -180
        for name in ("title", "license", "acknowledgement", "source"):
            assert found.attrs[name] == stored.attrs[name]
        assert stored.attrs["history"] in found.attrs["history"]
        assert "deepcams_run" not in found.attrs
    xr.testing.assert_identical(open_field(out).load(), open_field(store).load())


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("month", ["pm2p5_201912.nc", "pm2p5_202001.nc"]),
        ("hour", ["pm2p5_20191231T2300.nc", "pm2p5_20200101T0000.nc"]),
    ],
)
def test_files_by_period(
    store: Path, tmp_path: Path, by: str, names: list[str]
) -> None:
    arguments = ["export", str(store), "--to", "netcdf", "--by", by]
    arguments += ["--period", "2019-12-31T23..2020-01-01T00", "-o", str(tmp_path)]
    assert main(arguments) == 0
    assert sorted(path.name for path in tmp_path.glob("*.nc")) == names
    assert open_field(tmp_path).sizes["time"] == 2


def test_a_box_across_the_dateline_stays_in_one_piece(
    store: Path, stored: xr.Dataset, tmp_path: Path
) -> None:
    rasterio: Any = pytest.importorskip("rasterio")
    out = tmp_path / "fiji.tif"
    box = ["--bbox", "170", "-25", "-170", "-10", "--period", "2019-12-31T17"]
    assert main(["export", str(store), "--to", "cog", "-o", str(out), *box]) == 0
    expected = stored.pm2p5.sel(latitude=slice(-10, -25), longitude=slice(170, 190))
    with rasterio.open(out) as raster:
        assert raster.bounds == (168.75, -26.25, 191.25, -8.75)
        np.testing.assert_array_equal(raster.read(1), expected.values[2])
        assert not set(raster.tags(1)) & {"NORTH_POLE", "SOUTH_POLE"}


def test_longitudes_of_the_west_are_negative() -> None:
    for west, first in ((-20, -50.0), (90, -135.0), (68, 170.0), (71, 177.5)):
        grid, _ = turned(Grid(2.5, 10, west, 5, 10).canonical(), np.arange(10))
        assert grid.longitudes[0] == first
    odd, columns = turned(Grid.globe(72), np.arange(5))
    assert odd.longitudes.tolist() == [-144, -72, 0, 72, 144]
    assert columns.tolist() == [3, 4, 0, 1, 2]


def test_a_pole_has_no_pixels_and_a_box_loses_nothing() -> None:
    inside, rows = raster_grid(Grid.globe(0.25))
    assert (inside.rows, rows) == (719, slice(1, 720))
    assert inside.latitudes[[0, -1]].tolist() == [89.75, -89.75]
    grid = Grid(0.25, 100, 0, 20, 20)
    assert raster_grid(grid) == (grid, slice(0, 20))


def test_blocks_of_many_bands_fit_into_memory() -> None:
    assert [block_size(bands) for bands in (1, 24, 100, 744)] == [512, 512, 256, 128]


def test_half_hours_have_names_of_their_own() -> None:
    times = np.array(["2019-03-08T00:30", "2019-03-08T01:30"], "datetime64[ns]")
    assert [piece.date for piece in pieces_of(times, "hour")] == [
        "20190308T0030",
        "20190308T0130",
    ]
    assert [piece.hours for piece in pieces_of(times, None)] == [2]


def _expected(stored: xr.Dataset) -> Any:
    """The hours 23 and 0 as a table, in the order of time, north to south, eastward."""
    part = stored[["pm2p5", "status"]].isel(time=slice(8, 10))
    longitude = (part.longitude + 180) % 360 - 180
    part = part.assign_coords(longitude=longitude).sortby("longitude")
    return part.to_dataframe(dim_order=["time", "latitude", "longitude"]).reset_index()


def _in_order(table: Any) -> Any:
    table = table.sort_values(
        ["time", "latitude", "longitude"], ascending=[True, False, True]
    )
    return table.reset_index(drop=True)


TWO_HOURS = ["--period", "2019-12-31T23..2020-01-01T00"]


def test_csv_gives_the_same_numbers_again(
    store: Path, stored: xr.Dataset, tmp_path: Path
) -> None:
    arguments = ["export", str(store), "--to", "csv", *TWO_HOURS, "--by", "hour"]
    assert main([*arguments, "-o", str(tmp_path)]) == 0
    files = sorted(tmp_path.glob("*.csv"))
    assert [path.name for path in files] == [
        "pm2p5_20191231T2300.csv",
        "pm2p5_20200101T0000.csv",
    ]
    found = pd.concat(
        [
            pd.read_csv(path, dtype={"pm2p5": np.float32}, parse_dates=["time"])
            for path in files
        ]
    )
    expected = _in_order(_expected(stored))
    assert expected.pm2p5.isna().sum() == 18
    np.testing.assert_array_equal(found.pm2p5, expected.pm2p5)
    for name in ("latitude", "longitude"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert found.time.dt.tz_localize(None).tolist() == expected.time.tolist()
    assert found.status.tolist() == ["interpolated"] * 10512 + ["analysis"] * 10512
    about = json.loads((tmp_path / "csv-metadata.json").read_text())
    columns = {one["name"]: one for one in about["tableSchema"]["columns"]}
    assert list(columns) == list(found)
    assert columns["pm2p5"]["dc:description"] == "ug m-3"
    assert about["dc:license"].startswith("Licence to use Copernicus")


def test_parquet_says_its_units(
    store: Path, stored: xr.Dataset, tmp_path: Path
) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "a.parquet"
    arguments = ["export", str(store), "--to", "parquet", *TWO_HOURS, "-o", str(out)]
    assert main(arguments) == 0
    table = parquet.read_table(out)
    assert table.schema.field("pm2p5").metadata == {b"units": b"ug m-3"}
    assert b"Licence to use Copernicus" in table.schema.metadata[b"license"]
    assert table.column("pm2p5").null_count == 18
    assert parquet.ParquetFile(out).num_row_groups == 2
    found, expected = table.to_pandas(), _in_order(_expected(stored))
    np.testing.assert_array_equal(found.pm2p5, expected.pm2p5)
    np.testing.assert_array_equal(found.longitude, expected.longitude)
    assert found.time.dt.tz_localize(None).tolist() == expected.time.tolist()
    assert set(found.status) == {"interpolated", "analysis"}


def test_zarr2_is_the_same_field_again(
    store: Path, tmp_path: Path, capsys: Told
) -> None:
    out = tmp_path / "a.zarr"
    arguments = ["export", str(store), "--to", "zarr2", "-o", str(out)]
    assert main(arguments) == 0
    assert {".zgroup", ".zattrs", ".zmetadata"} <= {path.name for path in out.iterdir()}
    assert json.loads((out / "pm2p5" / ".zarray").read_text())["compressor"] == {
        "id": "zlib",
        "level": 1,
    }
    with xr.open_zarr(out, consolidated=True) as found:
        np.testing.assert_array_equal(found.longitude, np.arange(-180, 180, 2.5))
        assert found.status.dtype.kind == "i"
    mine, theirs = open_field(out).load(), open_field(store).load()
    xr.testing.assert_identical(mine, theirs)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "a.zarr exists; choose another name" in capsys.readouterr().err
    assert main([*arguments, *TWO_HOURS, "--overwrite"]) == 0
    assert open_field(out).sizes["time"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    other = tmp_path / "other.zarr"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    mistaken = ["export", str(store), "--to", "zarr2", "-o", str(other), "--overwrite"]
    assert main(mistaken) == 2
    assert "is no Zarr store and will not be replaced" in capsys.readouterr().err
    assert (other / "mine.txt").exists()


def _export(store: Path, out: Path, *more: str) -> int:
    return main(["export", str(store), "--to", "netcdf", "-o", str(out), *more])


def test_what_is_there_and_unchanged_is_kept(
    store: Path, tmp_path: Path, capsys: Told
) -> None:
    copy, out = tmp_path / "copy.nc", tmp_path / "out"
    with xr.open_zarr(store) as dataset:
        dataset[["pm2p5"]].to_netcdf(copy)
    assert _export(copy, out) == 0
    first, second = sorted(out.glob("*.nc"))
    before = first.read_bytes()
    second.write_bytes(b"damaged")
    capsys.readouterr()
    assert _export(copy, out) == 0
    assert "(1 were there already; 1 written again" in capsys.readouterr().out
    assert first.read_bytes() == before
    assert open_field(second).sizes["time"] == 4
    with xr.open_zarr(store) as dataset:
        changed = dataset[["pm2p5"]].load()
    changed.pm2p5[3] += 1
    copy.unlink()
    changed.to_netcdf(copy)
    assert _export(copy, out) == 0
    assert "(1 were there already; 1 written again" in capsys.readouterr().out
    xr.testing.assert_equal(
        open_field(out).load().drop_attrs(), open_field(copy).load().drop_attrs()
    )


def test_a_stop_leaves_whole_files_and_the_next_run_goes_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    form = job.FORMS["netcdf"]
    written: list[str] = []

    def stopping(path: Path, *arguments: Any) -> None:
        form.write(path, *arguments)
        written.append(path.name)
        if len(written) == 2:
            raise KeyboardInterrupt

    stopped = job.Form(form.suffix, stopping)
    monkeypatch.setitem(job.FORMS, "netcdf", stopped)
    assert _export(store, tmp_path) == 130
    assert "Go on with" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        ".deepcams",
        "pm2p5_20191231.nc",
    ]
    assert _export(store, tmp_path) == 0
    assert written[2:] == [".pm2p5_20200101.nc.partial"]


def test_nothing_of_others_is_replaced(
    store: Path, tmp_path: Path, capsys: Told
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    foreign = out / "pm2p5_20191231.nc"
    foreign.write_text("mine")
    assert _export(store, out) == 2
    assert "exists and was not written by this command" in capsys.readouterr().err
    assert foreign.read_text() == "mine"
    foreign.unlink()
    assert _export(store, out) == 0
    assert _export(store, out, "--by", "month") == 2
    assert "exists with other settings or inputs: by was day" in capsys.readouterr().err
    assert _export(store, out, "--by", "month", "--overwrite") == 0
    assert sorted(path.name for path in out.glob("*.nc")) == [
        "pm2p5_201912.nc",
        "pm2p5_202001.nc",
    ]
    single = tmp_path / "a.nc"
    assert _export(store, single) == 0
    assert _export(store, single) == 2
    assert "a.nc exists; choose another name" in capsys.readouterr().err
    assert _export(store, single, "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--period", "2018"], "--period"),
        (["--period", "spring"], "'spring'"),
        (["--bbox", "1", "1", "2", "2"], "a box that holds nodes of the data"),
        (["--bbox", "10", "50", "20", "40"], "S < N"),
        (["-o", "a.tif"], "a name ending in .nc for --to netcdf"),
        (["-o", "a.nc", "--by", "day"], "a folder of files as output"),
        (["--to", "zarr2", "-o", "a"], "a name ending in .zarr for --to zarr2"),
        (["--to", "zarr2", "-o", "a.zarr", "--by", "day"], "leave --by out"),
        (["--variable", "ozone"], "ozone"),
        (["--to", "png"], "'png'"),
        (["--by", "year"], "'year'"),
        (["-o", "s3://bucket/a.nc"], "a path on this machine"),
    ],
)
def test_what_is_wrong_is_one_line(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Told,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"-o": "out", "--to": "netcdf"}
    line = [part for pair in given.items() if pair[0] not in arguments for part in pair]
    assert main(["export", str(store), *line, *arguments]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert words in told.err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_nothing(
    store: Path, tmp_path: Path, capsys: Told
) -> None:
    """Of a limit on the size of files, which both libraries meet like a full disk."""
    resource = pytest.importorskip("resource")
    pytest.importorskip("rasterio")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        for form, name in (("netcdf", "a.nc"), ("cog", "a.tif")):
            out = tmp_path / name
            assert main(["export", str(store), "--to", form, "-o", str(out)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert f"{out} cannot be written" in line
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_without_rasterio_the_extra_is_named(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(job, "need", asked.append)
    job.export_to([store], tmp_path / "out", "cog", period="2019-12-31T15")
    job.export_to([store], tmp_path / "nc", "netcdf", period="2019-12-31T15")
    assert asked == ["rasterio"]  # before anything is opened or written


def test_daily_means_are_maps_too(store: Path, tmp_path: Path, capsys: Told) -> None:
    """What ``deepcams means`` wrote; each band says which interval it is the mean of."""
    rasterio: Any = pytest.importorskip("rasterio")
    days, out = tmp_path / "days.nc", tmp_path / "days.tif"
    means_to([str(store)], days, complete=5)
    assert main(["export", str(days), "--to", "cog", "-o", str(out)]) == 0
    with xr.open_dataset(days) as made, rasterio.open(out) as raster:
        expected = np.roll(made.pm2p5_mean.values, 72, axis=2)[:, 1:-1]
        np.testing.assert_array_equal(raster.read(), expected)
        assert raster.descriptions[0] == "pm2p5_mean 2019-12-31T12:00Z"
        tags = [raster.tags(band)["TIME_INTERVAL"] for band in (1, 2)]
    assert tags == [
        "2019-12-31T00:00Z/2020-01-01T00:00Z",
        "2020-01-01T00:00Z/2020-01-02T00:00Z",
    ]
    again = tmp_path / "again.nc"
    arguments = ["export", str(days), "--to", "netcdf", "-o", str(again)]
    assert main([*arguments, "--variable", "pm2p5_max"]) == 0
    with xr.open_dataset(again) as found, xr.open_dataset(days) as made:
        np.testing.assert_array_equal(found.time_bounds, made.time_bounds)
        assert found.pm2p5_max.attrs["cell_methods"] == "time: maximum"
    capsys.readouterr()
    assert main([*arguments, "--variable", "pm2p5_count", "--overwrite"]) == 2
    assert "one of pm2p5_max, pm2p5_mean" in capsys.readouterr().err


def test_cams_itself_is_exported(cams_dir: Path, tmp_path: Path) -> None:
    """A file that is no output of deepcams has no status; its values and times stay."""
    source = cams_dir / "cams_eac4_20191231_new_layout.nc"
    assert main(["export", str(source), "--to", "netcdf", "-o", str(tmp_path)]) == 0
    with xr.open_dataset(tmp_path / "pm2p5_20191231.nc") as found:
        assert "status" not in found
        assert "ancillary_variables" not in found.pm2p5.attrs
    mine, theirs = open_field(tmp_path).load(), open_field(source).load()
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(mine.time, theirs.time)
