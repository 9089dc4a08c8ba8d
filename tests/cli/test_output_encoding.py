"""What the output's encoding lacks is escaped; figures do not depend on the user's matplotlib."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main


def write(path: Path) -> Path:
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(2) * np.timedelta64(3, "h")
    latitude, longitude = 60 - 0.75 * np.arange(4), 0.75 * np.arange(5)
    values = (
        np.random.default_rng(0).lognormal(2, 1, (2, 4, 5)).astype(np.float32) * 1e-9
    )
    coords = {"time": times, "latitude": latitude, "longitude": longitude}
    array = xr.DataArray(values, coords, ("time", "latitude", "longitude"), "pm2p5")
    array.assign_attrs(units="kg m**-3").to_netcdf(path)
    return path


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "deepcams", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, check=False
    )


def here(*arguments: object, encoding: str) -> tuple[int, bytes, bytes]:
    """Run a command in this process, with outputs of an encoding."""
    buffers = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(buffer, encoding) for buffer in buffers)
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(each) for each in arguments])
    out.flush(), err.flush()
    return status, buffers[0].getvalue(), buffers[1].getvalue()


@pytest.mark.parametrize(
    ("verb", "encoding", "own_process"),
    [
        ("info", "ascii", True),
        ("info", "cp1252", False),
        ("downscale", "ascii", False),
        ("downscale", "cp1252", True),
        ("nothing", "ascii", False),
        ("nothing", "cp1252", False),
    ],
)
def test_letters_that_an_encoding_lacks(
    tmp_path: Path, encoding: str, verb: str, own_process: bool
) -> None:
    path = write(tmp_path / "čams.nc")
    arguments: list[object] = [verb, path]
    if verb == "downscale":
        arguments += [
            "-o",
            tmp_path / "öut_č.nc",
            "--spatial",
            "none",
            "--temporal",
            "none",
        ]
    if verb == "nothing":
        arguments = ["info", tmp_path / "ničevo.nc"]
    if own_process:
        found = run(*arguments, PYTHONIOENCODING=encoding)
        status, out, err = found.returncode, found.stdout, found.stderr
    else:
        status, out, err = here(*arguments, encoding=encoding)
    assert status == (2 if verb == "nothing" else 0), err
    assert b"Traceback" not in err
    assert b"\\u010d" in out + err


def test_the_users_matplotlib_changes_no_picture(tmp_path: Path) -> None:
    path, rc = write(tmp_path / "a.nc"), tmp_path / "matplotlibrc"
    rc.write_text(
        "text.usetex: True\nsavefig.bbox: tight\naxes.grid: True\nfont.size: 30\n"
    )
    assert main(["plot", "map", str(path), "-o", str(tmp_path / "plain.png")]) == 0
    notebook = "module://matplotlib_inline.backend_inline"
    other = run(
        "plot",
        "map",
        path,
        "-o",
        tmp_path / "other.png",
        MPLBACKEND=notebook,
        MATPLOTLIBRC=str(rc),
    )
    assert other.returncode == 0, other.stderr
    assert (tmp_path / "other.png").read_bytes() == (
        tmp_path / "plain.png"
    ).read_bytes()


def test_names_that_the_locale_cannot_hold_are_told() -> None:
    """Python gives bytes that it cannot decode as lone surrogates, which netCDF's library refuses."""
    status, _, err = here("info", "b\udcc3\udca9.nc", encoding="ascii")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert b"set PYTHONUTF8=1" in err


@pytest.mark.skipif(os.name == "nt", reason="homes are found otherwise")
def test_a_home_that_cannot_be_written_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file, in which nothing can be made")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DEEPCAMS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    path, out = write(tmp_path / "a.nc"), tmp_path / "b.nc"
    methods = ["--temporal", "linear", "--spatial", "bicubic"]
    status, _, err = here("downscale", path, "-o", out, *methods, encoding="utf-8")
    assert (status, err) == (0, b"")
    assert here("info", out, encoding="utf-8")[0] == 0


def test_no_color_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.nc")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = here("info", path, encoding="utf-8")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    plain = here("info", path, encoding="utf-8")[1]
    colours = re.compile(rb"\x1b\[[0-9;]*m")
    assert not re.search(rb"\x1b\[(?:3|4|9)[0-9;]*m", plain)
    assert colours.sub(b"", coloured) == colours.sub(b"", plain)
