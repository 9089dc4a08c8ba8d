"""deepcams prepare as people use it: what it says, writes, and survives."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.training.store.open import Prepared

LATITUDE, LONGITUDE = np.arange(40.25, 52.1, 0.25), np.arange(-5.75, 12.1, 0.25)


def write_hours(
    folder: Path,
    first: str,
    count: int,
    name: str = "PM25_RH35_GCC",
    grow: int = 1,
    each: int = 1,
) -> Path:
    """Write GEOS-CF files of ``each`` hours, south first; ``grow`` makes the region that many times wider."""
    folder.mkdir(exist_ok=True)
    longitude = LONGITUDE[0] + 0.25 * np.arange(LONGITUDE.size * grow)
    moments = np.datetime64(first, "m") + np.arange(0, count, each) * np.timedelta64(
        60, "m"
    )
    for number, moment in enumerate(moments):
        text = str(moment)
        draw = np.random.default_rng(int(moment.astype(int)))
        times = 60.0 * np.arange(min(each, count - number * each))
        stamp = f"{text[:10].replace('-', '')}_{text[11:13]}30z"
        with netCDF4.Dataset(folder / f"GEOS-CF.rpl.{stamp}.nc4", "w") as file:
            for axis, units, values in (
                ("lat", "degrees_north", LATITUDE),
                ("lon", "degrees_east", longitude),
                ("time", f"minutes since {text.replace('T', ' ')}:00", times),
            ):
                file.createDimension(axis, values.size)
                coordinate = file.createVariable(axis, "f8", (axis,))
                coordinate.units = units
                coordinate[:] = values
            pm = file.createVariable(
                name, "f4", ("time", "lat", "lon"), fill_value=np.float32(1e15)
            )
            pm.units = "ug m-3"
            shape = (times.size, LATITUDE.size, longitude.size)
            pm[:] = draw.lognormal(2, 1, shape).astype(np.float32)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "deepcams", "prepare", *map(str, arguments)]


def contents(path: Path) -> dict[str, bytes]:
    kept = ("headers.json",)
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in path.rglob("*")
        if p.is_file() and p.name not in kept
    }


def test_files_in_a_store_out_and_a_summary(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hours(here / "in", "2019-03-08T00:30", 6)
    next((here / "in").glob("*_0330z.nc4")).unlink()
    path = next((here / "in").glob("*_0430z.nc4"))
    path.write_bytes(path.read_bytes()[:5000])
    assert main(["prepare", "in", "-o", "s.zarr", "--degrade", "decimate"]) == 0
    told = capsys.readouterr().out
    assert "s.zarr: 4 hours, 2019-03-08 00:30 to 2019-03-08 05:30 UTC" in told
    assert "geos-cf v1, pm2p5, hourly means" in told
    assert "coarse 0.75 degrees, 16 x 23" in told
    assert "by decimate" in told
    assert "no file has the hour" in told
    assert "2019-03-08 03:30 (2)" in told
    assert "the file cannot be read" in told
    report = json.loads((here / "s.zarr" / ".deepcams" / "report.json").read_text())
    assert report["left out"] == {"missing": 2, "unreadable": 1}
    assert "truncated" in report["faults"][1]["detail"]
    assert main(["prepare", "in", "-o", "s.zarr", "--degrade", "decimate"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    again = ["prepare", "in", "-o", "s.zarr", "--degrade", "decimate", "--json"]
    assert main(again) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["output"], told["hours"], told["computed"]) == ("s.zarr", 4, 0)
    assert told["left_out"] == report["left out"]
    assert told["faults"] == report["faults"]


def test_options_reach_the_store(here: Path) -> None:
    write_hours(here / "in", "2019-03-08T00:30", 4, "PM10_RH35")
    arguments = [
        "--variable",
        "PM10_RH35",
        "--period",
        "2019-03-08T01..2019-03-08T02",
        "--bbox",
        "0",
        "42",
        "6",
        "48",
    ]
    assert main(["prepare", "in", "-o", "s.zarr", *arguments]) == 0
    store = Prepared.open("s.zarr")
    assert (store.variable, len(store), store.coarse.rows, store.coarse.columns) == (
        "PM10_RH35",
        2,
        9,
        9,
    )
    assert store.sources["settings"]["bbox"] == [0, 42, 6, 48]
    assert (
        main(
            ["prepare", "in", "-o", "s.zarr", "--variable", "PM10_RH35", "--overwrite"]
        )
        == 0
    )
    assert len(Prepared.open("s.zarr")) == 4


def no_data(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in" / "a.txt").write_text("x")


def one_hour(folder: Path) -> None:
    write_hours(folder / "in", "2019-03-08T00:30", 1)


def two_versions(folder: Path) -> None:
    one_hour(folder)
    write_hours(folder / "in", "2019-03-08T01:30", 1, "PM25_RH35")


def cams(folder: Path) -> None:
    write_hours(folder / "in", "2019-03-08T00:30", 1)
    with netCDF4.Dataset(next((folder / "in").iterdir()), "a") as file:
        file["lat"][:] = (
            3 * np.round(file["lat"][:])[0] / 3 + 0.75 * np.arange(LATITUDE.size) - 20.5
        )
        file["lon"][:] = 0.75 * np.arange(LONGITUDE.size)


CASES = {
    "nothing there": (lambda folder: None, [], "nothing of this name"),
    "empty folder": (lambda folder: (folder / "in").mkdir(), [], "an empty one"),
    "no data": (no_data, [], "1 other file"),
    "two versions": (two_versions, [], "geos-cf v1 in"),
    "coarse": (cams, [], "fields at 0.25 degrees"),
    "unknown degradation": (one_hour, ["--degrade", "cubic"], "cubic"),
    "bad period": (one_hour, ["--period", "today"], "period"),
    "period outside": (one_hour, ["--period", "2018"], "hours in the period"),
    "box outside": (one_hour, ["--bbox", "50", "0", "60", "9"], "--bbox"),
    "unknown variable": (one_hour, ["--variable", "NO2"], "PM25_RH35_GCC"),
    "no such folder": (one_hour, ["-o", "a/s.zarr"], "create"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_and_leaves_no_trace(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, arguments, says = CASES[name]
    make(here)
    before = contents(here)
    assert main(["prepare", "in", "-o", "s.zarr", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("deepcams: error: ")
    assert says in told.err
    assert contents(here) == before
    assert not (here / ".s.zarr.new").exists()


@pytest.mark.parametrize("limit", [pytest.param(300, marks=pytest.mark.slow), 30_000])
def test_a_full_disk_is_one_line_and_leaves_no_trace(
    tmp_path: Path, limit: int
) -> None:
    """The operating system refuses to let any file grow beyond ``limit`` bytes, as a full disk would."""
    write_hours(tmp_path / "in", "2019-03-08T00:30", 2, grow=3)
    done = subprocess.run(
        command("in", "-o", "s.zarr"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "s.zarr cannot be written: " in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def run_until(folder: Path, arguments: list[str], ready: str, how: int) -> int:
    """Start the command, wait until ``ready`` matches, then send the signal; its exit status."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 300
    while not (folder / ready).exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(how)
    _, told = process.communicate(timeout=300)
    if how != signal.SIGKILL:
        assert "what is finished is kept. Go on with:" in told, told
    return process.returncode


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hours(here / "in", "2019-03-08T00:30", 30, each=6)
    arguments = ["in", "-o", "s.zarr"]
    assert (
        run_until(
            here,
            arguments,
            "s.zarr/.deepcams/day-2019-03-08.record.json",
            signal.SIGKILL,
        )
        == -9
    )
    with pytest.raises(InputError, match="unfinished"):
        Prepared.open("s.zarr")
    assert main(["prepare", *arguments]) == 0
    assert "(24 were there already)" in capsys.readouterr().out
    assert main(["prepare", "in", "-o", "whole.zarr"]) == 0
    assert contents(here / "s.zarr") == contents(here / "whole.zarr")
    assert not list(here.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_anywhere_and_while_extended(here: Path) -> None:
    write_hours(here / "in", "2019-03-08T00:30", 60, each=3)
    arguments = ["in", "-o", "s.zarr"]
    assert (
        run_until(here, arguments, ".s.zarr.new/.deepcams/headers.json", signal.SIGKILL)
        == -9
    )
    assert not (here / "s.zarr").exists()
    assert (
        run_until(here, arguments, "s.zarr/fine/pm2p5/c.10.0.0", signal.SIGKILL) == -9
    )
    assert (
        run_until(
            here,
            arguments,
            "s.zarr/.deepcams/day-2019-03-08.record.json",
            signal.SIGINT,
        )
        == 130
    )
    assert main(["prepare", *arguments]) == 0
    assert main(["prepare", "in", "-o", "whole.zarr"]) == 0
    assert contents(here / "s.zarr") == contents(here / "whole.zarr")
    # A kill while it is extended leaves the finished store as it was, and readable.
    write_hours(here / "more", "2019-03-10T12:30", 60, each=3)
    assert (
        run_until(
            here,
            ["more", "-o", "s.zarr"],
            "s.zarr/.deepcams/day-2019-03-11.record.json",
            signal.SIGKILL,
        )
        == -9
    )
    assert len(Prepared.open("s.zarr")) == 60
    assert main(["prepare", "more", "-o", "s.zarr"]) == 0
    shutil.copytree("in", "both")
    shutil.copytree("more", "both", dirs_exist_ok=True)
    assert main(["prepare", "both", "-o", "both.zarr"]) == 0
    one, other = Prepared.open("s.zarr"), Prepared.open("both.zarr")
    assert one.sources["values"] == other.sources["values"]
    assert len(one) == 120
    for hour in (0, 59, 60, 119):
        np.testing.assert_array_equal(
            one.frame(hour, "fine"), other.frame(hour, "fine")
        )
        np.testing.assert_array_equal(
            one.frame(hour, "coarse"), other.frame(hour, "coarse")
        )
