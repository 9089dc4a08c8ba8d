"""The report and the map in a headless Chromium, driven by playwright-core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.field import as_field
from deepcams.grid import Grid
from deepcams.production.job import downscale_to
from deepcams.report.report import report
from deepcams.sources.open import open_field
from deepcams.sources.simulation.cams_files import write_cams
from deepcams.view.server import Server
from deepcams.view.view import open_shown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the driver needs; skips where there is no browser or no node."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("chromium, node and npm are needed to open pages")
    at = os.environ.get("PLAYWRIGHT_AT")
    if at is None:
        folder = tmp_path_factory.mktemp("node")
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "playwright-core"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            pytest.skip(f"playwright-core cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
        at = str(folder)
    return {**os.environ, "PLAYWRIGHT_AT": at, "CHROMIUM": chromium}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    grid = Grid.globe(0.75).select((70, 5, 100, 25))[0]
    hours = np.arange(0, 24, 3) * np.timedelta64(1, "h") + np.datetime64("2019-03-08", "ns")
    values = np.random.default_rng(0).lognormal(3, 0.5, (8, *grid.shape)).astype(np.float32)
    coords = {"time": hours, "latitude": grid.latitudes, "longitude": grid.longitudes}
    field = as_field(xr.DataArray(values, coords, ("time", "latitude", "longitude"), "pm2p5", {"units": "ug m-3"}))
    write_cams(field, folder / "cams.nc")
    downscale_to(field, folder / "out.zarr", temporal="linear", spatial="bicubic", conserve=False,
                 inputs=[folder / "cams.nc"])  # fmt: skip
    return folder


def _drive(browser: dict[str, str], what: str, address: str, out: Path) -> dict[str, Any]:
    command = ["node", str(Path(__file__).with_name("drive.mjs")), what, address, str(out)]
    done = subprocess.run(command, env=browser, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_report_opens_on_a_phone_and_on_a_desk(browser: dict[str, str], run: Path, tmp_path: Path) -> None:
    page = report(run, tmp_path / "report.html")
    told = _drive(browser, "report", page.as_uri(), tmp_path)
    assert told["errors"] == []
    assert set(told["requests"]) == {page.as_uri()}
    assert len(told["images"]) == 3
    assert all(width > 300 and alt > 15 for width, alt in told["images"])
    assert told["widths"] == [0, 0]


def test_the_map_is_played_zoomed_clicked_saved_and_compared(
    browser: dict[str, str], run: Path, tmp_path: Path
) -> None:
    with Server(open_shown(run / "out.zarr", run / "cams.nc"), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            told = _drive(browser, "view", server.url, tmp_path)
        finally:
            server.shutdown()
            thread.join()
    assert told["errors"] == []
    assert all(url.startswith(server.url) for url in told["requests"])
    assert (told["maps"], told["alone"]) == (2, 1)
    assert told["before"] != told["after"]
    assert len({told["start"], told["played"], told["zoomed"]}) == 3
    assert "deepcams at" in told["note"]
    assert "original at" in told["note"]
    assert told["overflow"] == 0
    (tmp_path / "region.nc").write_bytes((tmp_path / "saved_netcdf").read_bytes())
    cut, whole = open_field(tmp_path / "region.nc"), open_field(run / "out.zarr")
    assert cut.sizes["longitude"] < whole.sizes["longitude"]
    same = whole.sel(time=cut.time, latitude=cut.latitude, longitude=cut.longitude)
    np.testing.assert_array_equal(cut.values, same.values)
    assert (tmp_path / "saved_png").read_bytes().startswith(b"\x89PNG")
