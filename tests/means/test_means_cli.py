"""deepcams means as people use it: what it says, what it refuses, and that nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import OutputError
from deepcams.core.field import as_field, grid_of
from deepcams.core.grid import Grid
from deepcams.core.values import ValueCounts
from deepcams.downscaling import output_identity
from deepcams.files.records import Record
from deepcams.files.storage import LocalStorage
from deepcams.means import means_to, run
from deepcams.means.bias import StationBias
from deepcams.writers import Contents, Layout, open_target, split_hours

GRID = Grid(15, 2, 0, 4, 24)
DAYS = 61


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    field_of: Callable[..., xr.DataArray],
) -> Path:
    """A folder with 61 days of hours in netCDF, three items of daily means."""
    monkeypatch.chdir(tmp_path)
    field = field_of(GRID, hours=24 * DAYS, start="2019-11-01T00")
    field.to_dataset().to_netcdf("hours.nc")
    return tmp_path


def _tree(folder: Path) -> dict[str, bytes]:
    """Bytes of all files but those that say when they were made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("zarr.json", "layout.record.json")
    }


def test_it_says_what_was_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["means", "hours.nc", "-o", "days.zarr", "--level", "WHO AQG"]) == 0
    told = capsys.readouterr().out
    assert "days.zarr: 61 days (61 complete, 0 incomplete, 0 missing)" in told
    assert "uncalibrated model" in told
    days = xr.open_zarr("days.zarr", decode_timedelta=False)
    assert days.attrs["comment"] == "uncalibrated model"
    above = days.pm2p5_hours_above_15
    assert above.attrs["comment"].startswith("uncalibrated model")
    assert "WHO AQG" in above.attrs["limits"]
    assert "since 2021-09-22" in above.attrs["limits"]
    assert main(["means", "hours.nc", "-o", "days.zarr", "--level", "WHO AQG"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["means", "days.zarr", "-o", "m.nc", "--over", "month"]) == 0
    assert "m.nc: 2 months (2 complete" in capsys.readouterr().out


REFUSED = [
    (["hours.nc", "-o", "a.zarr", "--level", "WHO AQQ"], "did you mean 'WHO AQG'?"),
    (
        ["hours.nc", "-o", "a.zarr", "--level", "-3"],
        "--level: expected a concentration",
    ),
    (["none.zarr", "-o", "a.zarr"], "none.zarr"),
    (["hours.nc", "-o", "a.tif"], "expected a name ending in .zarr or .nc"),
    (["hours.nc", "-o", "no/a.zarr"], "the folder no does not exist"),
    (["hours.nc", "-o", "hours.nc"], "expected a name of its own"),
    (["hours.nc", "-o", "a.zarr", "--complete", "0"], "--complete: expected a percent"),
    (["hours.nc", "-o", "a.zarr", "--period", "2018"], "--period: expected a period"),
    (["hours.nc", "-o", "a.zarr", "--rounding", "2"], "rounding: expected"),
    (["hours.nc", "-o", "a.zarr", "--validated", "."], "expected a folder with stati"),
    (["part.zarr", "-o", "a.zarr"], "expected a finished store, found 1 of 3 parts"),
    (["days.zarr", "-o", "a.zarr", "--over", "year"], "a year with 75 % of its days"),
    (["old.zarr", "-o", "a.zarr", "--over", "month"], "found 2 of 3 parts of it"),
    (["bad.zarr", "-o", "a.zarr", "--over", "month"], "bad.zarr: expected readable"),
    (
        ["hours.nc", "-o", "days.zarr", "--days", "nautical"],
        "days.zarr exists with other settings or inputs: means.days was utc, now nautic",
    ),
]


def test_bad_input_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = xr.open_dataarray("hours.nc")
    _write_a_third(hours, here / "part.zarr")
    means_to("hours.nc", "days.zarr")
    shutil.copytree("days.zarr", "old.zarr")
    Path("old.zarr/.deepcams/item-000001.record.json").unlink()
    shutil.copytree("days.zarr", "bad.zarr")
    Path("bad.zarr/pm2p5_max/c/0/0/0").write_bytes(b"no shard")
    before = _tree(here)
    for arguments, words in REFUSED:
        assert main(["means", *arguments]) == 2, arguments
        told = capsys.readouterr()
        assert words in told.err, arguments
        assert len(told.err.splitlines()) == 1, told.err
        assert not told.out
        assert _tree(here) == before, arguments


def _write_a_third(field: xr.DataArray, path: Path) -> None:
    """Begin a store of 60 hours, of which the first 24 are written."""
    times = field.time.values[:60]
    layout = Layout("pm2p5", times, grid_of(field), field.attrs)
    target, items = open_target(path), split_hours(times)
    target.create(layout, items, {})
    facts = asdict(Contents((0, 24, 0), ValueCounts(), 0, 1.0))
    values, status = field.values[:24], np.ones(24, np.int8)
    target.write(items[0], values, status, Record(items[0].name, facts=facts))


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means_to("hours.nc", "whole.zarr")
    put = LocalStorage.put

    def full(storage: LocalStorage, key: str, data: bytes) -> None:
        if key == "pm2p5_max/c/1/0/0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), key)
        put(storage, key, data)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStorage, "put", full)
        with pytest.raises(OutputError, match="No space left on device; free some"):
            means_to("hours.nc", "days.zarr")
    assert (here / "days.zarr/.deepcams/item-000000.record.json").exists()
    assert not (here / "days.zarr/.deepcams/item-000001.record.json").exists()
    again = means_to("hours.nc", "days.zarr")
    assert again.computed == DAYS - 24
    assert _tree(here / "days.zarr") == _tree(here / "whole.zarr")


def test_too_little_space_is_one_line_and_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_: object) -> int:
        return 10_000

    means_to("hours.nc", "enough.zarr")
    monkeypatch.setattr(output_identity, "free_bytes", nearly_full)
    before = set(here.iterdir())
    with pytest.raises(
        OutputError, match=r"days.zarr: expected about .* of free space"
    ):
        means_to("hours.nc", "days.zarr")
    with pytest.raises(OutputError, match=r"expected about .* of free space"):
        means_to("enough.zarr", "months.nc", over="month")
    assert set(here.iterdir()) == before


def test_a_changed_input_is_noticed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other values under the same name in as many bytes: they are not mixed with what is there."""
    monkeypatch.setattr(run, "describe_inputs", lambda _: [])
    hours = as_field(xr.load_dataarray("hours.nc"))
    means_to(hours, "days.zarr", levels=[15])
    means_to("days.zarr", "months.zarr", over="month", levels=[15])
    Path("days.zarr/.deepcams/item-000001.record.json").unlink()
    with pytest.raises(OutputError, match="output from 2019-11-01 on was computed"):
        means_to(2 * hours, "days.zarr", levels=[15])
    means_to(2 * hours, "days.zarr", levels=[15], overwrite=True)
    with pytest.raises(
        OutputError, match=r"months.zarr: the input .* output from 2019-11"
    ):
        means_to("days.zarr", "months.zarr", over="month", levels=[15])


def test_the_bias_at_stations_is_beside(here: Path) -> None:
    folder = here / "validation"
    folder.mkdir()
    table = (
        "id,latitude,longitude,field_own_n,field_own_bias\n"
        "1,60.1,15.1,100,4.0\n2,59.9,14.9,100,2.0\n3,60,15,3,-90\n4,-70,15,100,9\n"
    )
    (folder / "stations.csv").write_text(table, encoding="utf-8")
    found = means_to("hours.nc", "days.zarr", validated=folder)
    assert "uncalibrated model; at 2 stations of validation" in found.bias
    assert "+3 ug m-3 on average" in found.bias
    days = xr.open_zarr("days.zarr", decode_timedelta=False).load()
    assert "station_bias" in days.pm2p5_hours_above_15.attrs["ancillary_variables"]
    assert days.attrs["comment"] == found.bias
    near = np.argwhere(days.station_count.values)
    assert near.tolist() == [[0, 1]]
    assert float(days.station_bias[0, 1]) == 3
    assert np.isnan(days.station_bias.values).sum() == days.station_bias.size - 1


def test_stations_are_near_across_the_dateline() -> None:
    one = np.array([0.2]), np.array([-179.9]), np.array([5.0])
    grid = Grid(0.5, 178, 356, 6, 8)  # 1..-1.5 N, 178 E to 178.5 W
    bias, number = StationBias(*one, "v").near(grid)
    longitudes = grid.longitudes[number[2] > 0]
    assert longitudes.tolist() == [179.5, 180.0, 180.5]
    assert (bias[number > 0] == 5).all()


def test_real_cams_frames_give_their_means(
    cams_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 to 00 UTC in India, China and Nepal: ten hours, downscaled, and the four frames themselves."""
    monkeypatch.chdir(tmp_path)
    source = str(cams_dir / "cams_eac4_20191231_new_layout.nc")
    plain = ["--temporal", "linear", "--spatial", "bicubic", "--rounding", "0"]
    box = ["--bbox", "80", "25", "90", "30"]
    assert main(["downscale", source, "-o", "h.zarr", *plain, *box]) == 0
    hours = xr.open_zarr("h.zarr").pm2p5.load()
    for days in ("utc", "zones"):
        out = f"{days}.zarr"
        means_to("h.zarr", out, days=days, complete=15, rounding=0)  # type: ignore[arg-type]
        found = xr.open_zarr(out, decode_timedelta=False).load()
        shape = found.pm2p5_mean.shape[1:]
        shift = np.zeros(shape) if days == "utc" else found.utc_offset.values
        assert set(np.unique(shift)) == ({0} if days == "utc" else {5.5, 5.75, 6, 8})
        dates = found.time.values.astype("datetime64[D]")
        count, mean = found.pm2p5_count.values, found.pm2p5_mean.values
        for row, column in np.ndindex(shape):
            ahead = np.timedelta64(round(60 * float(shift[row, column])), "m")
            local = (hours.time.values + ahead).astype("datetime64[D]")
            for day, date in enumerate(dates):
                own = hours.values[local == date, row, column].astype(float)
                assert count[day, row, column] == own.size
                expected = own.mean() if own.size >= 4 else np.nan
                np.testing.assert_allclose(mean[day, row, column], expected, rtol=1e-6)
    direct = means_to(
        source, "frames.nc", complete=25, rounding=0, bbox=(80, 25, 90, 30)
    )
    assert direct.status == (0, 0, 1)
    frames = xr.open_dataset("frames.nc", decode_timedelta=False)
    assert frames.pm2p5_count.values.tolist()[0][0][0] == 3  # 15, 18 and 21 UTC


@pytest.mark.slow
def test_a_killed_run_goes_on(here: Path) -> None:
    """kill -9 in the middle; the same command writes what a run in one go writes."""
    means_to("hours.nc", "whole.zarr", rounding=0)
    slowly = (
        "import sys, time; from deepcams.means import means_to\n"
        "means_to('hours.nc', 'days.zarr', rounding=0, progress=lambda *_: time.sleep(1))"
    )
    record = here / "days.zarr/.deepcams/item-000000.record.json"
    for _ in range(2):
        run = subprocess.Popen([sys.executable, "-c", slowly])
        deadline = time.monotonic() + 120
        while not record.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (here / "days.zarr/.deepcams/item-000002.record.json").exists()
    command: list[Any] = [sys.executable, "-m", "deepcams", "means", "hours.nc"]
    done = subprocess.run(
        [*command, "-o", "days.zarr", "--rounding", "0"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "were there already" in done.stdout
    assert _tree(here / "days.zarr") == _tree(here / "whole.zarr")
