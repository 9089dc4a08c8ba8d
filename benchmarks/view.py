"""How fast ``deepcams view`` answers on a year of global hours: ``python benchmarks/view.py``.

A day is simulated and downscaled; a year's store is that day's shard under 365 names (hard links), beside a year of its
3-hourly input as netCDF. The server runs in a process of its own and is asked what the page asks: both maps at once.
A jump goes to a random hour whose shard has been dropped from the system's file cache, so its chunks come from disk.
``--page`` measures what a headless Chromium has drawn, too; it needs node, and PLAYWRIGHT_AT: a folder with
playwright-core.
``--day STORE`` takes a day of your own in place of the simulated one (24 global hours that deepcams has written).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import netCDF4
import numpy as np
import psutil

from deepcams.bench.inputs import write_input
from deepcams.core.field import grid_of
from deepcams.downscaling.job import downscale_to
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field
from deepcams.writers.layout import Layout, split_hours
from deepcams.writers.zarr_store import ZarrTarget

START = np.datetime64("2019-01-01T00", "ns")
HOUR = np.timedelta64(1, "h")
GLOBE = {"west": -180, "south": -90, "east": 180, "north": 90}
REGION = {"west": 70, "south": 5, "east": 130, "north": 45}


def make(folder: Path, days: int, day: Path | None) -> tuple[Path, Path]:
    """A store of that many days and its input; each a few seconds, whatever their size."""
    frames = folder / "day.nc"
    write_input(frames, 1)
    if day is None:
        day = folder / "day.zarr"
        downscale_to(
            open_cams(frames),
            day,
            temporal="linear",
            spatial="log-bicubic",
            period="2019-01-01",
        )
    return link_days(folder / "year.zarr", day, days), repeat_frames(
        folder / "cams.nc", frames, days
    )


def link_days(path: Path, day: Path, days: int) -> Path:
    """A store whose every day is the one of another store, under a name of its own."""
    one = open_field(day)
    times = START + np.arange(24 * days) * HOUR
    layout = Layout(str(one.name), times, grid_of(one), dict(one.attrs))
    items = split_hours(times)
    ZarrTarget(path).create(layout, items, {})
    for item in items:
        for name, place in (
            (layout.name, f"c/{item.index}/0/0"),
            ("status", f"c/{item.index}"),
        ):
            target = path / name / place
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(day / name / place.replace(str(item.index), "0", 1), target)
    return path


def repeat_frames(path: Path, frames: Path, days: int) -> Path:
    """A day's 3-hourly frames again and again, laid out as the data store does."""
    with netCDF4.Dataset(frames) as one, netCDF4.Dataset(path, "w") as many:
        for name, size in (("valid_time", None), ("latitude", 241), ("longitude", 480)):
            many.createDimension(name, size)
            axis = many.createVariable(name, "f8", (name,))
            axis.setncatts(
                one[name].__dict__
                if name != "valid_time"
                else {"units": "hours since 2019-01-01"}
            )
            axis[:] = np.arange(8 * days) * 3 if name == "valid_time" else one[name][:]
        made = many.createVariable(
            "pm2p5",
            "f4",
            ("valid_time", "latitude", "longitude"),
            compression="zlib",
            complevel=1,
            shuffle=True,
            chunksizes=(8, 241, 480),
        )
        made.units = "kg m**-3"
        values = one["pm2p5"][:8]
        for k in range(days):
            made[8 * k : 8 * k + 8] = values
    return path


class Page:
    """Asks as the page does: one connection for each map."""

    def __init__(self, url: str) -> None:
        self._links = {
            name: http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
            for name in ("ours", "original")
        }
        self._pool = ThreadPoolExecutor(2)

    def get(self, path: str, link: str = "ours", **query: object) -> bytes:
        """An answer's content."""
        self._links[link].request("GET", f"/api/{path}?{urlencode(query)}")
        answer = self._links[link].getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content.decode())
        return content

    def frames(self, hour: int, box: dict[str, float]) -> float:
        """Seconds until both maps have their values."""
        began = time.perf_counter()
        minute = int((START + hour * HOUR).astype("datetime64[m]").astype(int))
        asked = [
            self._pool.submit(self.get, "frame", name, field=name, minute=minute, **box)
            for name in self._links
        ]
        for one in asked:
            one.result()
        return time.perf_counter() - began

    def timed(
        self, path: str, hour: int, hours: int, link: str = "ours", **query: object
    ) -> float:
        """Seconds for a question about a span of hours."""
        began = time.perf_counter()
        first = int((START + hour * HOUR).astype("datetime64[m]").astype(int))
        self.get(path, link, first=first, last=first + 60 * (hours - 1), **query)
        return time.perf_counter() - began


def drawn(url: str, rounds: int) -> dict[str, list[float]]:
    """Seconds until a browser has drawn both maps."""
    script = Path(__file__).with_name("view_in_browser.mjs")
    done = subprocess.run(
        ["node", script, url, str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=200,
    )
    return {
        name: [one / 1000 for one in each]
        for name, each in json.loads(done.stdout).items()
    }


def forget(store: Path, hours: Iterable[int]) -> None:
    """Drop the shards of these hours from the system's file cache."""
    for item in {hour // 24 for hour in hours}:
        with (store / "pm2p5" / "c" / str(item) / "0" / "0").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(store: Path, page: Page, days: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of every case's every answer."""
    draw = random.Random(0)
    hours = 24 * days

    def somewhere(room: int = 1) -> int:
        hour = draw.randrange(hours - room)
        forget(store, range(hour, hour + room))
        return hour

    found: dict[str, list[float]] = {}
    found["jump, globe"] = [page.frames(somewhere(), GLOBE) for _ in range(rounds)]
    start = somewhere(rounds + 1)
    found["step, globe, as fast as it answers"] = [
        page.frames(start + k, GLOBE) for k in range(rounds)
    ]
    start = somewhere(24 * 15)
    found["step of 24 h, globe"] = [
        page.frames(start + 24 * k, GLOBE) for k in range(14)
    ]
    start = somewhere(2 * rounds)
    found["play, globe, 5 steps a second"] = paced(
        lambda k: page.frames(start + k, GLOBE), 2 * rounds, 0.2
    )
    found["jump, region"] = [page.frames(somewhere(), REGION) for _ in range(rounds)]
    at = somewhere()
    page.frames(at, GLOBE)
    boxes = [{**REGION, "west": 70 + k, "east": 110 + k} for k in range(rounds)]
    found["pan and zoom in a seen hour"] = [page.frames(at, box) for box in boxes]
    for span in (10, 31, 365):
        if span <= days:
            name = f"series of {span} days"
            found[name] = [
                page.timed(
                    "series",
                    somewhere(24 * span - 1) if span < days else 0,
                    24 * span,
                    longitude=draw.uniform(-180, 180),
                    latitude=draw.uniform(-60, 60),
                )
                for _ in range(3 if span > 31 else 8)
            ]
    found["series of 365 days, whole, as the page asks"] = [
        year_of_a_place(page, days, draw) for _ in range(3)
    ]
    found["netCDF of a region, a day"] = [
        page.timed("region.nc", somewhere(24), 24, field="ours", **REGION)
        for _ in range(5)
    ]
    return found


def year_of_a_place(page: Page, days: int, draw: random.Random) -> float:
    """Seconds until all pieces of both fields are there."""
    place = {"longitude": draw.uniform(-180, 180), "latitude": draw.uniform(-60, 60)}

    def pieces(name: str) -> None:
        for day in range(0, days, 31):
            page.timed(
                "series",
                24 * day,
                24 * min(31, days - day),
                link=name,
                only=name,
                **place,
            )

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(pieces, ("ours", "original")))
    return time.perf_counter() - began


def paced(ask: Callable[[int], float], count: int, every: float) -> list[float]:
    """Ask at even intervals, later where an answer takes longer."""
    found = []
    for k in range(count):
        found.append(ask(k))
        time.sleep(max(every - found[-1], 0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=365, help="at least 20")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--day", type=Path, help="a store of 24 global hours; default a simulated one"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the stores are made, or were by an earlier call; kept",
    )
    parser.add_argument(
        "--page", action="store_true", help="in a headless Chromium as well"
    )
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="deepcams-bench-view-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store, cams = folder / "year.zarr", folder / "cams.nc"
        if not cams.exists():
            store, cams = make(folder, options.days, options.day)
        run(store, cams, options.days, options.rounds, on_page=options.page)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


def run(store: Path, cams: Path, days: int, rounds: int, *, on_page: bool) -> None:
    command = [
        sys.executable,
        "-m",
        "deepcams",
        "view",
        str(store),
        "--original",
        str(cams),
        "--port",
        "0",
    ]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(
                word
                for word in process.stdout.readline().split()
                if word.startswith("http")
            )
            page = Page(url)
            json.loads(page.get("about"))
            print(f"ready after {time.perf_counter() - began:.1f} s")
            found = measure(store, page, days, rounds)
            found |= drawn(url, rounds) if on_page else {}
            memory = psutil.Process(process.pid).memory_info().rss
        finally:
            process.terminate()
    print(f"{'s':<38}{'median':>8}{'95 %':>8}{'most':>8}")
    for name, seconds in found.items():
        ordered = sorted(seconds)
        high = ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
        print(
            f"{name:<38}{statistics.median(ordered):8.3f}{high:8.3f}{ordered[-1]:8.3f}"
        )
    print(f"memory of the server: {memory / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
