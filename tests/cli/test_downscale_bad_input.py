"""Bad input: one line, status 2, and a folder that is as it was."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main


def record(frames: int = 3, step: float = 7.5) -> xr.Dataset:
    latitude, longitude = np.arange(90, -91, -step), np.arange(0, 360, step)
    values = (
        np.random.default_rng(1)
        .lognormal(1, 1, (frames, latitude.size, longitude.size))
        .astype(np.float32)
    )
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(frames) * np.timedelta64(
        3, "h"
    )
    coordinates = {"valid_time": times, "latitude": latitude, "longitude": longitude}
    array = xr.DataArray(
        values * np.float32(1e-9),
        coordinates,
        tuple(coordinates),
        attrs={"units": "kg m**-3"},
    )
    return xr.Dataset({"pm2p5": array})


@dataclass
class Case:
    """A way to go wrong.

    Attributes:
        make: puts the input into the folder; returns further arguments.
        says: what the line must contain.
        out: where the output was to go.
    """

    make: Callable[[Path], list[str] | None]
    says: list[str]
    out: str = "out.zarr"
    arguments: list[str] = field(default_factory=list)


def missing_file(folder: Path) -> None:
    pass


def no_netcdf(folder: Path) -> None:
    (folder / "cams.nc").write_text(
        "<html><title>503 Service Unavailable</title></html>"
    )


def truncated(folder: Path) -> None:
    record(20).to_netcdf(folder / "cams.nc")
    content = (folder / "cams.nc").read_bytes()
    (folder / "cams.nc").write_bytes(content[: len(content) // 2])


def empty_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "cams.nc", "w") as archive:
        archive.writestr("readme.txt", "nothing here")


def climbing_zip(folder: Path) -> None:
    record().to_netcdf(folder / "inner.nc")
    with zipfile.ZipFile(folder / "cams.nc", "w") as archive:
        archive.write(folder / "inner.nc", "../../escaped.nc")
    (folder / "inner.nc").unlink()


def other_variable(folder: Path) -> None:
    record().rename(pm2p5="pm10").to_netcdf(folder / "cams.nc")


def changed(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Path], None]:
    return lambda folder: change(record()).to_netcdf(folder / "cams.nc")


def unknown_units(data: xr.Dataset) -> xr.Dataset:
    data.pm2p5.attrs["units"] = "kg kg**-1"
    return data


def two_dimensional(data: xr.Dataset) -> xr.Dataset:
    latitude, longitude = np.meshgrid(data.latitude, data.longitude, indexing="ij")
    plain = data.drop_vars(["latitude", "longitude"]).rename(
        latitude="y", longitude="x"
    )
    return plain.assign_coords(
        latitude=(("y", "x"), latitude), longitude=(("y", "x"), longitude)
    )


def irregular(data: xr.Dataset) -> xr.Dataset:
    latitude = data.latitude.values.copy()
    latitude[5] += 1
    return data.assign_coords(latitude=latitude)


def no_multiple(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(longitude=data.longitude + 1.3)


def other_calendar(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(
        valid_time=[cftime.Datetime360Day(2019, 2, 30, 3 * h) for h in range(3)]
    )


def all_missing(data: xr.Dataset) -> xr.Dataset:
    data.pm2p5.values[:] = np.nan
    return data


def infinite(data: xr.Dataset) -> xr.Dataset:
    data.pm2p5.values[1, 2, 3] = np.inf
    return data


def contradicting(folder: Path) -> list[str]:
    record().to_netcdf(folder / "cams.nc")
    other = record()
    other["pm2p5"] = (other.pm2p5 * 2).assign_attrs(other.pm2p5.attrs)
    other.to_netcdf(folder / "again.nc")
    return ["again.nc"]


def good(folder: Path) -> None:
    record().to_netcdf(folder / "cams.nc")


def another_output(folder: Path) -> None:
    good(folder)
    assert main(["downscale", "cams.nc", "-o", "out.zarr", "--temporal", "linear"]) == 0


def output_of_others(folder: Path) -> None:
    good(folder)
    (folder / "out.nc").write_text("x")


def inner(folder: Path) -> list[str]:
    good(folder)
    (folder / "folder").mkdir()
    later = record()
    later = later.assign_coords(valid_time=later.valid_time + np.timedelta64(1, "D"))
    later.to_netcdf(folder / "folder" / "more.nc")
    return ["folder/more.nc"]


def unwritable() -> str:
    """A folder that nobody can write into, root included."""
    return "/proc/out.zarr" if os.geteuid() == 0 else "locked/out.zarr"


def locked(folder: Path) -> None:
    good(folder)
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0o555)


CASES = {
    "missing file": Case(missing_file, ["cams.nc", "nothing of this name"]),
    "no netCDF": Case(no_netcdf, ["cams.nc", "HTML"]),
    "truncated netCDF": Case(truncated, ["cams.nc", "truncated"]),
    "zip without data": Case(empty_zip, ["cams.nc"]),
    "zip that climbs out": Case(climbing_zip, ["escaped.nc"]),
    "no PM2.5": Case(other_variable, ["pm10", "--variable"]),
    "unknown units": Case(changed(unknown_units), ["units", "kg kg**-1"]),
    "two-dimensional coordinates": Case(changed(two_dimensional), ["dimension"]),
    "irregular grid": Case(changed(irregular), ["latitude", "regular"]),
    "nodes beside the grid": Case(changed(no_multiple), ["multiples of the step"]),
    "different values at one time": Case(contradicting, ["2019-12-31"]),
    "non-standard calendar": Case(changed(other_calendar), ["calendar"]),
    "all missing": Case(changed(all_missing), ["cams.nc", "missing ones and no other"]),
    "infinities": Case(
        changed(infinite), ["cams.nc", "infinite one at 2019-12-31T18:00, 75 N 22.5 E"]
    ),
    "single frame": Case(
        changed(lambda data: data.isel(valid_time=[0])),
        ["single frame", "--temporal none"],
    ),
    "output with other settings": Case(
        another_output,
        ["chain was cellnet, linear, now cellnet, self-checked", "--overwrite"],
    ),
    "output of others": Case(
        output_of_others, ["out.nc exists", "--overwrite"], "out.nc"
    ),
    "output over the input": Case(
        good, ["cams.nc", "a name of its own"], "cams.nc", ["--overwrite"]
    ),
    "output over the input's folder": Case(
        inner, ["a name of its own"], "folder", ["--overwrite"]
    ),
    "unwritable folder": Case(locked, ["out.zarr"], unwritable()),
    "folder that is not there": Case(good, ["absent", "create"], "absent/out.zarr"),
    "unknown ending": Case(good, [".txt", ".zarr or .nc"], "out.txt"),
    "split of a single file": Case(
        good, ["--split", "folder"], "out.nc", ["--split", "day"]
    ),
    "box outside the data": Case(
        changed(lambda data: data.isel(longitude=slice(4, 20))),
        ["bbox"],
        "out.nc",
        ["--bbox", "200", "-10", "220", "10"],
    ),
    "box upside down": Case(
        good, ["bbox"], "out.nc", ["--bbox", "0", "50", "20", "10"]
    ),
    "period outside the data": Case(
        good, ["--period", "2019-12-31T15:00"], "out.nc", ["--period", "2018"]
    ),
    "period that is none": Case(
        good, ["period", "yesterday"], "out.nc", ["--period", "yesterday"]
    ),
    "unknown method": Case(good, ["bicubic"], "out.nc", ["--spatial", "bicubik"]),
    "rounding beyond reason": Case(good, ["rounding"], "out.nc", ["--rounding", "2"]),
}


def listing(folder: Path) -> dict[str, object]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_and_leaves_no_trace(
    name: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path_factory.mktemp("cache")))
    case = CASES[name]
    more = case.make(tmp_path) or []
    before = listing(tmp_path)
    capsys.readouterr()
    status = main(["downscale", "cams.nc", *more, "-o", case.out, *case.arguments])
    told = capsys.readouterr()
    assert status == 2, told
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("deepcams: error: ")
    for words in case.says:
        assert words in told.err
    assert listing(tmp_path) == before


def with_files_up_to(
    limit: int, arguments: list[str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command that fails in one line, as the operating system lets no file grow beyond ``limit`` bytes."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "deepcams", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done


@pytest.mark.parametrize("out", ["out.zarr", "out.nc", "folder"])
@pytest.mark.parametrize("limit", [pytest.param(300, marks=pytest.mark.slow), 100_000])
def test_a_full_disk_is_one_line_and_leaves_no_trace(
    tmp_path: Path, out: str, limit: int
) -> None:
    """The operating system refuses to let any file grow beyond ``limit`` bytes, as a full disk would."""
    good(tmp_path)
    before = listing(tmp_path)
    done = with_files_up_to(
        limit, ["downscale", "cams.nc", "-o", out, "--temporal", "linear"], tmp_path
    )
    assert f"{out} cannot be written: " in done.stderr
    assert listing(tmp_path) == before


@pytest.mark.slow
def test_what_a_full_disk_interrupted_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(25).to_netcdf("cams.nc")
    arguments = ["downscale", "cams.nc", "-o", "out.nc", "--temporal", "linear"]
    limit = 1_100_000  # more than a part has, less than the whole file
    with_files_up_to(limit, arguments, tmp_path)
    assert not Path("out.nc").exists()
    assert len(list(tmp_path.rglob("item-*.json"))) == 4
    assert main(arguments) == 0
    assert Path("out.nc").stat().st_size > limit
    assert not Path(".out.nc.deepcams").exists()


_SECRET = "s3://user:secret@bucket/a.zarr"
_HERE = "a path on this machine"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["info", f"{_SECRET}?token=abc"], "a URL without a user, a password"),
        (["downscale", "cams.nc", "-o", _SECRET], "a URL without a user, a password"),
        (["downscale", "a.nc", "-o", "a.nc", "--report", _SECRET], _HERE),
        (["validate", "cams.nc", f"--stations={_SECRET}"], _HERE),
        (["prepare", _SECRET, "-o", "store.zarr"], _HERE),
        (["report", _SECRET], _HERE),
        (["view", _SECRET], _HERE),
    ],
)
def test_a_url_is_named_as_typed_without_its_credentials(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"deepcams: error: s3://bucket/a.zarr: expected {expected}")
    assert told.count("\n") == 1
    assert "secret" not in told


def test_a_wrong_command_line_shows_no_credentials(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", f"{_SECRET}?token=abc"]) == 2
    told = capsys.readouterr().err
    assert "s3://bucket/a.zarr" in told
    assert "secret" not in told
    assert "abc" not in told


@pytest.mark.parametrize(
    "words", [["--title", "https://a.org"], ["--note=https://a.org"]]
)
def test_a_url_may_stand_in_a_text(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", "map", "absent.nc", "-o", "a.png", *words]) == 2
    assert "absent.nc: expected a file" in capsys.readouterr().err
