"""What the output's encoding lacks is escaped; figures do not depend on the user's matplotlib."""

from __future__ import annotations

import io
import os
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
