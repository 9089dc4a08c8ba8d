"""deepcams downscale as people use it: what it says, writes, and survives."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main

LINEAR = ["--temporal", "linear", "--spatial", "bicubic", "--no-conserve"]


def write_record(
    path: Path, frames: int, step: float = 7.5, start: str = "2019-12-31T00"
) -> Path:
    """A CAMS-like file: 3-hourly frames of the globe in kg m-3."""
    draw = np.random.default_rng(5)
    latitude, longitude = np.arange(90, -90.01, -step), np.arange(0, 360, step)
    values = draw.lognormal(1, 1, (frames, latitude.size, longitude.size)).astype(
        np.float32
    ) * np.float32(1e-9)
    times = np.datetime64(start, "ns") + np.arange(frames) * np.timedelta64(3, "h")
    coordinates = {"valid_time": times, "latitude": latitude, "longitude": longitude}
    attributes = {"units": "kg m**-3", "long_name": "Particulate matter d <= 2.5 um"}
    array = xr.DataArray(values, coordinates, tuple(coordinates), "pm2p5", attributes)
    array.to_netcdf(
        path,
        encoding={
            "pm2p5": {
                "zlib": True,
                "complevel": 1,
                "chunksizes": (8, *values.shape[1:]),
            }
        },
    )
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``cams.nc``: 17 frames, so 49 hours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write_record(tmp_path / "cams.nc", 17)
    return tmp_path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "deepcams", "downscale", *map(str, arguments)]


def test_a_file_in_a_store_out_and_a_summary(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["downscale", "cams.nc", "-o", "out.zarr", *LINEAR]) == 0
    told = capsys.readouterr().out
    assert "out.zarr: 49 hours (17 analysis, 32 interpolated, 0 missing)" in told
    assert "49 hours in" in told
    assert "h/s" in told
    found = xr.open_zarr(here / "out.zarr")
    assert found.pm2p5.shape == (49, 73, 144)
    assert f"largest {float(found.pm2p5.max()):.3g}"[:11] in told
    assert main(["downscale", "cams.nc", "-o", "out.zarr", *LINEAR]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_options_reach_the_output(here: Path) -> None:
    arguments = [
        "--bbox",
        "-20",
        "-30",
        "40.5",
        "50",
        "--period",
        "2019-12-31T03..2020-01-01T02",
        "--rounding",
        "0",
    ]
    assert (
        main(
            [
                "downscale",
                "cams.nc",
                "-o",
                "out.nc",
                *LINEAR,
                *arguments,
                "--order",
                "temporal-first",
            ]
        )
        == 0
    )
    with xr.open_dataset("out.nc") as found:
        assert found.pm2p5.shape[0] == 24
        assert str(found.time.values[0])[:13] == "2019-12-31T03"
        assert found.longitude.values[0] <= -20
        assert found.longitude.values[-1] >= 40
        assert "quantization" not in found.pm2p5.attrs
        run = json.loads(found.attrs["deepcams_run"])
    assert [part["name"] for part in run["chain"]] == ["linear", "bicubic"]
    assert run["inputs"] == [
        {"name": "cams.nc", "bytes": (here / "cams.nc").stat().st_size}
    ]


def test_a_folder_gets_a_file_a_day(here: Path) -> None:
    assert main(["downscale", "cams.nc", "-o", "days", "--split", "day", *LINEAR]) == 0
    names = sorted(p.name for p in (here / "days").glob("*.nc"))
    assert names == ["pm2p5_20191231.nc", "pm2p5_20200101.nc", "pm2p5_20200102.nc"]
    with xr.open_mfdataset("days/*.nc") as found:
        assert found.pm2p5.shape == (49, 73, 144)


def test_dry_run_tells_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["downscale", "cams.nc", "-o", "out.zarr", *LINEAR, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "49 hours" in told
    assert "73 x 144" in told
    assert "size: about" in told
    assert "time: about" in told
    assert [p.name for p in here.iterdir()] == ["cams.nc"]


def test_other_settings_are_refused_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["downscale", "cams.nc", "-o", "out.nc", *LINEAR]) == 0
    capsys.readouterr()
    assert (
        main(
            [
                "downscale",
                "cams.nc",
                "-o",
                "out.nc",
                *LINEAR[:2],
                "--spatial",
                "log-bicubic",
            ]
        )
        == 2
    )
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "chain was bicubic, linear, now log-bicubic, linear" in told
    assert (
        main(["downscale", "cams.nc", "-o", "out.nc", *LINEAR[:2], "--overwrite"]) == 0
    )


def contents(store: Path) -> dict[str, object]:
    """Every file of a store but for dates."""
    found: dict[str, object] = {}
    for path in sorted(store.rglob("*")):
        if path.name == "layout.record.json":  # has the root's digest, with its dates
            continue
        if path.is_file():
            name = str(path.relative_to(store))
            found[name] = path.read_bytes()
            if path == store / "zarr.json":
                parsed = json.loads(path.read_text())
                dates = [
                    key
                    for key in parsed["attributes"]
                    if key.startswith("date_") or key == "history"
                ]
                assert len(dates) == 5
                for key in dates:
                    del parsed["attributes"][key]
                found[name] = parsed
    return found


def records(folder: Path) -> list[str]:
    """Completion records; unlike ``rglob``, a walk does not mind folders that are renamed meanwhile."""
    names = (name for _, _, files in os.walk(folder) for name in files)
    return [name for name in names if fnmatch(name, "item-*.json")]


def kill_and_rerun(out: Path, arguments: list[str], kills: int, seed: int) -> None:
    """Run until finished, killed ``kills`` times at random moments of its work."""
    draw = random.Random(seed)
    hits = attempts = 0
    while hits < kills:
        attempts += 1
        assert attempts <= 5 * kills, "the run ends before it is killed"
        before = len(records(out.parent))
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wanted, deadline = before + draw.randint(0, 2), time.monotonic() + 600
        while len(records(out.parent)) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if wanted == before:
            time.sleep(draw.uniform(0, 1.5))  # start, opening, layout
        time.sleep(draw.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            hits += 1
        else:  # it was done: begin anew
            for left in out.parent.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert main(["downscale", *map(str, arguments)]) == 0


@pytest.mark.parametrize(
    ("kills", "frames"), [(2, 65), pytest.param(10, 241, marks=pytest.mark.slow)]
)
def test_a_store_killed_and_rerun_is_equal_byte_for_byte(
    here: Path, kills: int, frames: int
) -> None:
    write_record(here / "cams.nc", frames, step=3.0)
    whole, killed = here / "whole" / "a.zarr", here / "killed" / "a.zarr"
    whole.parent.mkdir()
    killed.parent.mkdir()
    assert main(["downscale", "cams.nc", "-o", str(whole), *LINEAR]) == 0
    arguments = ["cams.nc", "-o", str(killed), *LINEAR]
    kill_and_rerun(killed, arguments, kills, seed=frames)
    assert contents(killed) == contents(whole)
    assert [p.name for p in killed.parent.iterdir()] == ["a.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "split"), [("a.nc", []), ("days", ["--split", "day"]), ("months", [])]
)
def test_netcdf_killed_and_rerun_is_equal(
    here: Path, name: str, split: list[str]
) -> None:
    write_record(here / "cams.nc", 121, step=3.0)
    whole, killed = here / "whole" / name, here / "killed" / name
    whole.parent.mkdir()
    killed.parent.mkdir()
    subprocess.run(
        command("cams.nc", "-o", whole, *split, *LINEAR),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    arguments = ["cams.nc", "-o", str(killed), *split, *LINEAR]
    kill_and_rerun(killed, arguments, 4, seed=1)
    files = sorted(p.relative_to(whole.parent) for p in whole.parent.rglob("*.nc"))
    assert files == sorted(
        p.relative_to(killed.parent) for p in killed.parent.rglob("*.nc")
    )
    assert not list(killed.parent.rglob("*.part*"))
    for file in files:
        with (
            xr.open_dataset(whole.parent / file) as first,
            xr.open_dataset(killed.parent / file) as second,
        ):
            xr.testing.assert_equal(first.load(), second.load())


@pytest.mark.parametrize(
    "with_signal", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopping_says_how_to_go_on(
    here: Path, capsys: pytest.CaptureFixture[str], with_signal: signal.Signals
) -> None:
    write_record(here / "cams.nc", 241, step=3.0)
    arguments = ["cams.nc", "-o", "my out.zarr", *LINEAR]
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while not records(here):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(with_signal)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    line = told.strip().splitlines()[-1].strip()
    assert (
        line
        == "deepcams downscale cams.nc -o 'my out.zarr' --temporal linear --spatial bicubic --no-conserve"
    )
    assert not list(here.rglob("*.partial"))
    finished = len(records(here))
    assert main(["downscale", *arguments]) == 0
    assert f"({24 * finished} were there already)" in capsys.readouterr().out


def test_the_three_layouts_of_cams_give_the_same(
    cams_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    found = []
    for layout in ("new_layout", "as_downloaded", "old_layout"):
        out = tmp_path / f"{layout}.zarr"
        arguments = [
            str(cams_dir / f"cams_eac4_20191231_{layout}.nc"),
            "-o",
            str(out),
            *LINEAR,
            "--rounding",
            "0",
        ]
        assert main(["downscale", *arguments]) == 0
        found.append(xr.open_zarr(out).pm2p5)
    assert found[0].shape == (10, 721, 1440)
    assert float(found[0].max()) >= 3657
    np.testing.assert_array_equal(found[0], found[1])
    # The old layout is packed with an error of 0.028 ug m-3, which the bicubic kernel's weights enlarge a little.
    np.testing.assert_allclose(found[0], found[2], atol=0.028 * 1.5**2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_record(here: Path) -> None:
    """Peak memory of a global run, and that a record three times as long takes no more."""
    peaks = []
    for days in (3, 9):
        shutil.rmtree("out.zarr", ignore_errors=True)
        write_record(here / "cams.nc", days * 8 + 1, step=0.75)
        arguments = ["downscale", "cams.nc", "-o", "out.zarr", *LINEAR]
        # What the system tells of an ended process counts the test's own memory, too, from which it was forked.
        told = "sys.stderr.write(next(x for x in open('/proc/self/status') if x.startswith('VmHWM')))"
        code = f"import sys; from deepcams.cli import main; status = main({arguments!r}); {told}; sys.exit(status)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stderr.split()[-2]) / 1024)
    assert max(peaks) < 1500
    assert (
        peaks[1] < 1.25 * peaks[0]
    )  # a short run does not always meet the worst overlap of computing and writing
