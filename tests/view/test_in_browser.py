"""The report and the map in a headless Chromium, driven by playwright-core."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.readers.open import open_field
from deepcams.report import write_report as report
from deepcams.report.page import render
from deepcams.simulation.write_cams import write_cams
from deepcams.view.server import Server
from deepcams.view.session import Shown
from deepcams.view.start import open_shown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the driver needs; skips where there is no browser or no node."""
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if chromium is None or shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("chromium, node and npm are needed to open pages")
    at = os.environ.get("PLAYWRIGHT_AT")
    if at is None:
        folder = tmp_path_factory.mktemp("node")
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            "playwright-core",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            pytest.skip(
                f"playwright-core cannot be installed: {done.stderr.strip().splitlines()[-1:]}"
            )
        at = str(folder)
    return {**os.environ, "PLAYWRIGHT_AT": at, "CHROMIUM": chromium}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A downscaled region with a gap from 07:00 to 14:00, its input, and a station in its middle."""
    folder = tmp_path_factory.mktemp("run")
    grid = Grid.globe(0.75).select((70, 5, 100, 25))[0]
    hours = np.array([0, 3, 6, 15, 18, 21]) * np.timedelta64(1, "h") + np.datetime64(
        "2019-03-08", "ns"
    )
    values = (
        np.random.default_rng(0)
        .lognormal(3, 0.5, (hours.size, *grid.shape))
        .astype(np.float32)
    )
    coords = {"time": hours, "latitude": grid.latitudes, "longitude": grid.longitudes}
    field = as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )
    write_cams(field, folder / "cams.nc")
    downscale_to(
        field,
        folder / "out.zarr",
        temporal="linear",
        spatial="bicubic",
        conserve=False,
        inputs=[folder / "cams.nc"],
    )
    rows = ["location_id,location,datetime,lat,lon,parameter,units,value"]
    rows += [
        f"7,<b>Middle,2019-03-08T{hour:02d}:00:00Z,15.1,85.1,pm25,ug/m3,{20 + hour % 5}"
        for hour in range(1, 24)
    ]
    (folder / "stations.csv").write_text("\n".join(rows) + "\n")
    return folder


def _drive(
    browser: dict[str, str], what: str, address: str, out: Path
) -> dict[str, Any]:
    """Run the driver; whatever it has started ends with it."""
    command = [
        "node",
        str(Path(__file__).with_name("drive.mjs")),
        what,
        address,
        str(out),
    ]
    with subprocess.Popen(
        command,
        env=browser,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            told, problem = process.communicate(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        faulthandler.dump_traceback()  # where the server's threads are, should one of them be what was waited for
    assert process.returncode == 0, problem
    found: dict[str, Any] = json.loads(told)
    return found


@contextlib.contextmanager
def _served(shown: Shown) -> Iterator[str]:
    with Server(shown, port=0) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join(timeout=30)
            shown.close()
            assert not thread.is_alive()


def test_the_report_opens_on_a_phone_and_on_a_desk(
    browser: dict[str, str], run: Path, tmp_path: Path
) -> None:
    path = report(run, tmp_path / "report.html")
    told = _drive(browser, "report", path.as_uri(), tmp_path)
    assert told["errors"] == []
    assert set(told["requests"]) == {path.as_uri()}
    assert len(told["images"]) == 3
    assert all(width > 300 and alt > 15 for width, alt in told["images"])
    assert told["widths"] == [0, 0, 0]


def test_the_map_is_played_zoomed_clicked_saved_and_compared(
    browser: dict[str, str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path / "cache"))
    with _served(
        open_shown(run / "out.zarr", run / "cams.nc", run / "stations.csv")
    ) as url:
        told = _drive(browser, "view", url, tmp_path)
    assert told["errors"] == []
    assert all(asked.startswith(url) for asked in told["requests"])
    assert (told["maps"], told["alone"]) == (2, 1)
    assert told["before"] != told["after"]
    assert len({told["start"], told["played"], told["zoomed"]}) == 3
    assert told["rescaled"]
    assert told["missing"] == [
        "the original has no frame of this hour, or of the 3 h before it",
        "all that is shown is missing at this hour",
    ]
    assert told["stamps"] == [
        "0.75°, 2019-03-08 15:00 UTC",
        "0.25°, 2019-03-08 17:00 UTC",
    ]
    address, shown, again = told["linked"]
    assert address.startswith("#time=2019-03-08T17:00&at=")
    assert "&colours=guideline&place=" in address
    assert shown == again
    first = f"{told['stamps'][1][7:17]} 00:00 UTC"
    assert told["misled"] == [
        first,
        "“soon” is no time: write YYYY-MM-DD HH:MM (UTC), or the date alone",
    ]
    assert "µg m⁻³" in told["readout"]
    for words in (
        "deepcams at",
        "original at",
        "station <b>Middle",
        "hours after quality control",
    ):
        assert words in told["note"], words
    assert told["overflow"] == [0, 0]
    start, end = "2019-03-08 00:00", "2019-03-08 21:00"
    assert [word for word, _, _ in told["words"]] == [
        "“8.3.2019” is no time: write YYYY-MM-DD HH:MM (UTC), or the date alone",
        "there is no time 2019-02-30",
        "there is no time 2019-03-08 25:00",
        "",
        "there is no 2019-03-08 16:20; the nearest is shown",
        f"there is no 2031-01-01 (the data go from {start} to {end}); the nearest is shown",
    ]
    assert [wrong for _, wrong, _ in told["words"]] == ["true"] * 3 + ["false"] * 3
    assert [when for _, _, when in told["words"]][2:] == [
        "2019-03-08 17:00 UTC",
        f"{start} UTC",
        "2019-03-08 16:00 UTC",
        f"{end} UTC",
    ]
    assert told["files"] == [
        "deepcams_2019030817.nc",
        "deepcams_2019030817.png",
        "deepcams_original_2019030817.nc",
    ]
    (tmp_path / "original.nc").write_bytes((tmp_path / "saved_original").read_bytes())
    beside = open_field(tmp_path / "original.nc")
    assert beside.time.values.tolist() == [
        np.datetime64("2019-03-08T15", "ns").astype(int)
    ]
    frames = open_field(run / "cams.nc").sel(
        time=beside.time, latitude=beside.latitude, longitude=beside.longitude
    )
    np.testing.assert_array_equal(beside.values, np.maximum(frames.values, 0))
    (tmp_path / "region.nc").write_bytes((tmp_path / "saved_netcdf").read_bytes())
    cut, whole = open_field(tmp_path / "region.nc"), open_field(run / "out.zarr")
    assert cut.sizes["longitude"] < whole.sizes["longitude"]
    same = whole.sel(time=cut.time, latitude=cut.latitude, longitude=cut.longitude)
    np.testing.assert_array_equal(cut.values, same.values)
    assert (tmp_path / "saved_png").read_bytes().startswith(b"\x89PNG")


def test_no_seam_shows_where_the_globe_is_drawn_again(
    browser: dict[str, str], tmp_path: Path
) -> None:
    """Nor at the dateline, at Greenwich, or where the blocks meet that are read."""
    grid = Grid.globe(0.25)
    coords = {
        "time": [np.datetime64("2019-03-08", "ns")],
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    turn, height = (
        np.deg2rad(grid.longitudes)[None, :],
        np.deg2rad(grid.latitudes)[:, None],
    )
    values = (20 * np.exp(0.5 * np.cos(height) * np.sin(turn + 0.4)))[None].astype(
        np.float32
    )
    field = xr.DataArray(
        values, coords, ("time", "latitude", "longitude"), "pm2p5", {"units": "ug m-3"}
    )
    with _served(Shown(as_field(field), title="a smooth field")) as url:
        told = _drive(browser, "seam", url, tmp_path)
    assert told["errors"] == []
    assert all(0 < step <= 8 for steps in told["steps"] for step in steps), told[
        "steps"
    ]
    for (_, end), (begin, _) in told["edges"]:
        assert end == pytest.approx(begin, abs=1e-6)
        assert end == pytest.approx(round(end), abs=1e-6), "a pixel is shared"


def test_a_year_of_a_place_is_read_in_pieces(
    browser: dict[str, str], tmp_path: Path
) -> None:
    grid = Grid.globe(0.75).select((70, 5, 76, 11))[0]
    hours = np.arange(24 * 100) * np.timedelta64(1, "h") + np.datetime64(
        "2019-01-01", "ns"
    )
    values = (
        np.random.default_rng(0)
        .lognormal(3, 0.5, (hours.size, *grid.shape))
        .astype(np.float32)
    )
    coords = {"time": hours, "latitude": grid.latitudes, "longitude": grid.longitudes}
    field = as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )
    with _served(
        Shown(field, field.isel(time=slice(None, None, 3)), title="a year")
    ) as url:
        told = _drive(browser, "place", url, tmp_path)
    assert told["errors"] == []
    assert told["during"].startswith("reading …")
    assert "deepcams at" in told["note"]
    assert "original at" in told["note"]
    for name in ("ours", "original"):
        asked = [
            parse_qs(urlsplit(one).query)
            for one in told["requests"]
            if f"only={name}" in one
        ]
        spans = sorted((int(one["first"][0]), int(one["last"][0])) for one in asked)
        assert len(spans) == 4
        assert all(after[0] == before[1] + 1 for before, after in pairwise(spans))
        minutes = (hours - np.datetime64(0, "ns")) // np.timedelta64(1, "m")
        assert (spans[0][0], spans[-1][1]) == (minutes[0], minutes[-1])


def test_folded_parts_of_the_report_are_printed(
    browser: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    trainings = [("A training", [], "its experiment")]
    path.write_text(render(name="a report", trainings=trainings), encoding="utf-8")
    told = _drive(browser, "paper", path.as_uri(), tmp_path)
    assert len(told["folded"]) == 1
    assert all(
        not unfolded and height > 10 and seen
        for unfolded, height, seen in told["folded"]
    ), told["folded"]
