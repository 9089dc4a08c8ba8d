"""The server behind the map, asked as the page asks it."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.view.chunk_cache import Blocks
from deepcams.view.server import Server
from deepcams.view.session import CODE_TOP, CODE_UNIT, Box, Shown, encode
from deepcams.view.start import open_shown, view
from deepcams.view.watch import ChangedError

START = np.datetime64("2019-12-31T00:00", "m")


def _field(step: float, every: int, hours: int) -> xr.DataArray:
    """Global; each value tells its hour, row and column."""
    grid = Grid.globe(step)
    times = START + np.arange(0, hours, every) * np.timedelta64(60, "m")
    number = np.arange(grid.rows * grid.columns).reshape(grid.shape) % 977
    values = (number[None] + np.arange(0, hours, every)[:, None, None]).astype(
        np.float32
    )
    coords = {
        "time": times.astype("datetime64[ns]"),
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    dims = ("time", "latitude", "longitude")
    return as_field(
        xr.DataArray(
            values,
            coords,
            dims,
            name="pm2p5",
            attrs={"units": "ug m-3", "source": "a test"},
        )
    )


@pytest.fixture(scope="module")
def shown() -> Shown:
    return Shown(_field(1.0, 1, 10), _field(3.0, 3, 10), title="<b>hostile</b>")


@pytest.fixture(scope="module")
def url(shown: Shown) -> Iterator[str]:
    with Server(shown, port=0) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def _minute(hour: int) -> int:
    return int(START.astype(np.int64)) + 60 * hour


def _decode(codes: np.ndarray) -> np.ndarray:
    values = CODE_UNIT * np.expm1(
        (codes.astype(float) - 1) / 65534 * np.log1p(CODE_TOP / CODE_UNIT)
    )
    return np.where(codes == 0, np.nan, values)


def test_codes_keep_values_from_clean_air_to_fires() -> None:
    values = np.array([0.0, 0.1, 12.34, 3657.0, np.nan, 1e7], np.float32)
    back = _decode(encode(values))
    np.testing.assert_allclose(back[:4], values[:4], rtol=2.5e-4, atol=1e-5)
    assert np.isnan(back[4])
    assert back[5] == pytest.approx(CODE_TOP)


@pytest.mark.parametrize(
    "box", [Box(-180, -90, 180, 90), Box(170, -20, 200, 20), Box(-10, 80, 12, 90)]
)
def test_frames_lie_where_they_say(url: str, shown: Shown, box: Box) -> None:
    query = f"field=ours&minute={_minute(7)}&west={box.west}&south={box.south}&east={box.east}&north={box.north}"
    with urllib.request.urlopen(f"{url}api/frame?{query}") as answer:
        about = json.loads(answer.headers["X-Frame"])
        codes = np.frombuffer(answer.read(), "<u2").reshape(
            about["rows"], about["columns"]
        )
    field = shown.blocks["ours"].field
    rows = about["north"] - about["step"] * (np.arange(about["rows"]) + 0.5)
    columns = about["west"] + about["step"] * (np.arange(about["columns"]) + 0.5)
    assert rows[0] >= min(box.north, 90) - 0.5
    assert columns[0] <= box.west + 0.5
    wanted = field.isel(time=7).sel(latitude=rows, longitude=columns % 360)
    np.testing.assert_allclose(_decode(codes), wanted.values, rtol=2.5e-4, atol=1e-5)


def test_the_original_stands_for_three_hours(url: str, shown: Shown) -> None:
    assert shown.frame("original", _minute(8), Box(0, 0, 9, 9)).minute == _minute(6)
    with pytest.raises(InputError, match="nearest is 2019-12-31 09:00"):
        shown.frame("ours", _minute(11), Box(0, 0, 9, 9))


def test_a_region_reads_only_its_blocks() -> None:
    blocks = Blocks(_field(0.25, 1, 2))
    blocks.frame(0, slice(210, 220), np.arange(1430, 1450) % 1440)
    assert blocks.blocks_read == 2  # of 7 x 8: either side of Greenwich
    blocks.frame(1, slice(210, 220), np.arange(1430, 1450) % 1440)
    assert blocks.blocks_read == 2


def test_what_is_kept_stays_within_its_bound() -> None:
    field = _field(1.0, 1, 20)
    blocks = Blocks(field, keep_bytes=1)
    for time in (0, 7, 14, 1):
        found = blocks.frame(time, slice(0, 181), np.arange(360))
        np.testing.assert_array_equal(found, field.values[time])


def test_bad_values_are_missing() -> None:
    field = _field(3.0, 1, 1)
    field.values[0, 0, :4] = [-0.5, -2, np.inf, np.nan]
    found = Blocks(field).frame(0, slice(0, 1), np.arange(4))
    np.testing.assert_array_equal(found, [[0, np.nan, np.nan, np.nan]])


def test_series_of_both(url: str) -> None:
    query = f"longitude=-179.8&latitude=10.2&first={_minute(1)}&last={_minute(6)}"
    with urllib.request.urlopen(f"{url}api/series?{query}") as answer:
        found = json.load(answer)
    assert found["fields"]["ours"]["longitude"] == 180
    assert len(found["fields"]["ours"]["values"]) == 6
    assert found["fields"]["original"]["minutes"] == [_minute(3), _minute(6)]
    with urllib.request.urlopen(f"{url}api/series?{query}&only=original") as answer:
        assert json.load(answer)["fields"] == {"original": found["fields"]["original"]}
    with urllib.request.urlopen(f"{url}api/series?{query}&only=station") as answer:
        assert json.load(answer)["fields"] == {}


def test_a_region_as_netcdf(url: str, shown: Shown, tmp_path: Path) -> None:
    query = f"field=ours&west=175&south=0&east=185&north=10&first={_minute(2)}&last={_minute(4)}"
    path = tmp_path / "region.nc"
    path.write_bytes(urllib.request.urlopen(f"{url}api/region.nc?{query}").read())
    found = xr.open_dataset(path)
    assert found.sizes["time"] == 3
    field = as_field(found.pm2p5)
    wanted = shown.blocks["ours"].field.sel(
        time=field.time, latitude=field.latitude, longitude=field.longitude % 360
    )
    np.testing.assert_array_equal(field.values, wanted.values)
    assert "cut out" in found.attrs["history"]
    assert (
        found[found.pm2p5.attrs["grid_mapping"]].attrs["grid_mapping_name"]
        == "latitude_longitude"
    )


def _points(lines: list[list[float]]) -> np.ndarray:
    return np.concatenate([np.reshape(line, (-1, 2)) for line in lines])


def test_coasts(shown: Shown) -> None:
    points = _points(shown.lines(Box(-20, 30, 20, 60))["coast"])
    assert points[:, 0].min() < -5
    assert len(points) > 500


@pytest.mark.parametrize("turn", [-360, 0, 360, 720])
def test_borders_lie_in_the_turn_that_is_asked_for(url: str, turn: int) -> None:
    """Of Spain and Portugal: near 7 W, 40 N in whichever turn."""
    query = f"west={turn - 10}&south=36&east={turn + 5}&north=44"
    with urllib.request.urlopen(f"{url}api/lines?{query}") as answer:
        points = _points(json.load(answer)["borders"])
    assert abs(points - (turn - 7, 40)).sum(axis=1).min() < 0.3
    assert points[:, 0].min() > turn - 30


def test_a_world_across_the_dateline_has_all_borders(shown: Shown) -> None:
    points = _points(shown.lines(Box(100, -90, 460, 90))["borders"])
    for place in (
        (285, -20),
        (368, 47),
        (105, 50),
    ):  # Bolivia and Chile nearby, the Alps, Mongolia
        assert abs(points - place).sum(axis=1).min() < 8, place
    ocean = shown.lines(Box(-160, -30, -130, 0))["borders"]
    assert ocean == []


@pytest.mark.parametrize(
    "path",
    [
        "api/frame?minute=x",
        "api/frame?field=no&minute=1&west=0&south=0&east=1&north=1",
        "api/series",
        "api/lines",
        "api/series?longitude=1&latitude=2&first=1&last=2&only=no",
    ],
)
def test_bad_questions_get_one_line(url: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url + path)
    assert caught.value.code == 400
    assert "\n" not in json.load(caught.value)["error"]


def test_nothing_but_its_pages_is_given(url: str) -> None:
    for path in ("../server.py", "page/../../errors.py", "%2e%2e/server.py", "x"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url + path)
        assert caught.value.code == 404
    page = urllib.request.urlopen(url)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert b"http" not in page.read().replace(
        b"http-equiv", b""
    )  # no address of another machine


@pytest.mark.parametrize(
    "host", ["LOCALHOST", "LocalHost:8642", "127.0.0.1", "[::1]:8642"]
)
def test_this_machine_may_be_named_in_any_letter_case(url: str, host: str) -> None:
    request = urllib.request.Request(url + "api/about", headers={"Host": host})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["version"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("", 200), ("map.js", 200), ("api/about", 200), ("no", 404), ("api/lines", 400)],
)
def test_head_is_get_without_a_body(url: str, path: str, status: int) -> None:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    connection = HTTPConnection(host, int(port), timeout=10)
    found = []
    for method in (
        "GET",
        "HEAD",
        "GET",
    ):  # one connection: a body would be taken for the next answer
        connection.request(method, f"/{path}")
        answer = connection.getresponse()
        headers = {k: v for k, v in answer.getheaders() if k != "Date"}
        found.append((answer.status, headers, len(answer.read())))
    connection.close()
    assert found[0][0] == status
    assert found[0] == found[2]
    assert found[1] == (status, found[0][1], 0)
    assert int(found[1][1]["Content-Length"]) == found[0][2] > 0


def test_another_site_may_not_read_through_a_name_of_its_own(url: str) -> None:
    request = urllib.request.Request(
        url + "api/about", headers={"Host": "evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 403


def test_a_taken_port_is_one_line(
    shown: Shown, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown.blocks["original"].field.isel(time=slice(0, 2)).to_netcdf(tmp_path / "a.nc")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert (
            main(
                ["view", str(tmp_path / "a.nc"), "--port", str(taken.getsockname()[1])]
            )
            == 2
        )
    error = capsys.readouterr().err
    assert "taken" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_it(shown: Shown, tmp_path: Path, ending: signal.Signals) -> None:
    shown.blocks["original"].field.isel(time=slice(0, 2)).to_netcdf(tmp_path / "a.nc")
    command = [
        sys.executable,
        "-m",
        "deepcams",
        "view",
        str(tmp_path / "a.nc"),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        out, err = _interrupt_until_it_ends(process, ending)
    assert (process.returncode, out, err) == (0, "stopped\n", "")


def _interrupt_until_it_ends(
    process: subprocess.Popen[str], ending: signal.Signals = signal.SIGINT
) -> tuple[str, str]:
    """As whoever is impatient does, at every stage of its ending; what it has said."""
    for _ in range(600):
        process.send_signal(ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.1)
    raise AssertionError("it does not end")


@pytest.mark.slow
def test_ctrl_c_stops_it_in_the_midst_of_an_answer(tmp_path: Path) -> None:
    _field(1.0, 1, 400).to_netcdf(tmp_path / "a.nc")
    command = [
        sys.executable,
        "-m",
        "deepcams",
        "view",
        str(tmp_path / "a.nc"),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = next(
            word
            for word in process.stdout.readline().split()
            if word.startswith("http")
        )
        host, port = address.removeprefix("http://").rstrip("/").split(":")
        query = f"field=ours&west=-180&south=-90&east=180&north=90&first={_minute(0)}&last={_minute(399)}"
        with socket.create_connection((host, int(port))) as asking:
            asking.sendall(
                f"GET /api/region.nc?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            asking.settimeout(0.5)
            with pytest.raises(TimeoutError):  # it takes longer than that
                asking.recv(1)
            out, err = _interrupt_until_it_ends(process)
    assert (process.returncode, out, err) == (0, "stopped\n", "")


def test_the_page_is_told_the_guidelines_of_its_species(shown: Shown) -> None:
    assert shown.about()["steps"] == [5, 15, 25, 37.5, 50, 75, 150]
    other = Shown(_field(3.0, 3, 4).rename("so2"), title="another species")
    assert other.about()["steps"] is None
    other.close()


def test_a_damaged_store_says_so_and_serves_on(tmp_path: Path) -> None:
    grid = Grid.globe(0.75).select((70, 5, 100, 25))[0]
    times = START.astype("datetime64[ns]") + np.arange(0, 48, 3) * np.timedelta64(
        1, "h"
    )
    values = (
        np.random.default_rng(0)
        .lognormal(2, 1, (times.size, *grid.shape))
        .astype(np.float32)
    )
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    made = as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )
    downscale_to(
        made, tmp_path / "a.zarr", temporal="linear", spatial="bicubic", conserve=False
    )
    shard = tmp_path / "a.zarr" / "pm2p5" / "c" / "1" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with Server(open_shown(tmp_path / "a.zarr"), port=0) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        thread.start()
        box = "west=72&south=6&east=99&north=24"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(
                f"{server.url}api/frame?field=ours&minute={_minute(30)}&{box}"
            )
        whole = urllib.request.urlopen(
            f"{server.url}api/frame?field=ours&minute={_minute(3)}&{box}"
        ).read()
        server.shutdown()
        thread.join()
    assert caught.value.code == 500
    assert "expected readable values" in json.load(caught.value)["error"]
    assert len(whole) > 1000


def test_a_folder_of_daily_netcdf(tmp_path: Path) -> None:
    field = _field(3.0, 3, 48)
    downscale_to(
        field,
        tmp_path / "days",
        temporal="linear",
        spatial="bicubic",
        conserve=False,
        split="day",
    )
    shown = open_shown(tmp_path / "days")
    assert shown.minutes["ours"].size == 46
    codes = shown.frame("ours", _minute(25), Box(-180, -90, 180, 90)).codes
    wanted = shown.blocks["ours"].field.isel(time=25).values
    assert codes.shape == wanted.shape
    assert shown.series(10, 20, _minute(0), _minute(45))["fields"]["ours"]["values"][
        25
    ] == pytest.approx(float(wanted[_row(shown, 20), 10 * 1]), rel=1e-3)
    shown.close()


def _row(shown: Shown, latitude: float) -> int:
    return int(abs(shown.blocks["ours"].grid.latitudes - latitude).argmin())


def test_letting_others_in_is_said(shown: Shown) -> None:
    stopped = threading.Event()

    def told(url: str) -> None:
        stopped.set()
        raise KeyboardInterrupt

    with pytest.warns(DeepcamsNotice, match="everyone who reaches"):
        view(shown, host="0.0.0.0", port=0, told=told)
    assert stopped.is_set()


def test_strange_questions_and_methods(url: str) -> None:
    for path in (
        "api/frame?minute=1e400&west=0&south=0&east=1&north=1",
        "api/series?longitude=nan&latitude=0",
        "api/frame?field=ours&minute=1&west=5&south=0&east=1&north=1",
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url + path)
        assert caught.value.code == 400
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, b"x", method="POST"))
    assert caught.value.code == 501
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url + "x" * 70_000)
    assert caught.value.code == 414


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
@pytest.mark.parametrize("replaced", [False, True])
def test_other_hours_values_are_never_given_under_old_times(
    kind: str, replaced: bool, tmp_path: Path
) -> None:
    hours = _field(3.0, 3, 12)
    names = ("a.zarr", "b.zarr") if kind == "zarr" else ("a.nc", "b.nc")
    for name, part in zip(names, (hours[:2], hours[2:]), strict=True):
        downscale_to(part, tmp_path / name, temporal="linear", spatial="bilinear")
    shown = tmp_path / ("shown.zarr" if kind == "zarr" else "shown.nc")
    (tmp_path / names[0]).rename(shown)
    minute = _minute(1)
    box = "west=0&east=30&south=0&north=30"
    questions = [
        f"api/frame?field=ours&minute={minute}&{box}",
        f"api/series?longitude=2&latitude=50&first={_minute(0)}&last={_minute(3)}",
        f"api/region.nc?field=ours&first={_minute(0)}&last={_minute(3)}&{box}",
    ]
    with Server(open_shown(shown), port=0) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        thread.start()
        try:
            for question in questions:
                assert urllib.request.urlopen(server.url + question).status == 200
            if shown.is_dir():
                shutil.rmtree(shown)
            else:
                shown.unlink()
            if replaced:
                (tmp_path / names[1]).rename(shown)
            for question in questions:
                with pytest.raises(urllib.error.HTTPError) as caught:
                    urllib.request.urlopen(server.url + question)
                assert caught.value.code == (409 if replaced else 410)
                words = "was replaced" if replaced else "was deleted"
                assert words in json.load(caught.value)["error"]
        finally:
            server.shutdown()
            thread.join()


def test_a_run_that_goes_on_does_not_close_the_map(tmp_path: Path) -> None:
    downscale_to(
        _field(3.0, 3, 12), tmp_path / "s.zarr", temporal="linear", spatial="bilinear"
    )
    shown = open_shown(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "pm2p5" / "c" / "9").mkdir()
    shown.watch.check()
    (tmp_path / "s.zarr" / "zarr.json").write_text(
        (tmp_path / "s.zarr" / "zarr.json").read_text()
    )
    with pytest.raises(ChangedError):
        shown.watch.check()
