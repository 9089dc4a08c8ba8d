"""Speed of fetching relative to a plain concurrent copy of the same objects from the same server, on loopback."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import xarray as xr

from deepcams.bench.pipeline import timed
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.fetch.endpoints import Endpoints, geos_cf_url
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.files.optional import need
from deepcams.simulation.write_geos_cf import write_geos_cf

DAY = "2019-03-08"
BUCKET = "openaq-data-archive"
_YEAR = 2019
_FILES_AT_ONCE, _OBJECTS_AT_ONCE = 4, 32


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        objects: how many.
        bytes: of all of them.
        plain, fetch: seconds of each repeat: a copy without any check, and deepcams, by turns.
        held: bytes that the process held after a tenth of the objects, two tenths and so on.
    """

    objects: int
    bytes: int
    plain: tuple[float, ...]
    fetch: tuple[float, ...]
    held: tuple[int, ...] = ()

    @property
    def ratios(self) -> list[float]:
        """Rate of the fetch relative to the plain copy's beside it."""
        return [
            plain / fetch for plain, fetch in zip(self.plain, self.fetch, strict=True)
        ]

    @property
    def ratio(self) -> float:
        """The median of them."""
        return statistics.median(self.ratios)


def files(hours: int = 72, folder: Path | None = None, repeats: int = 5) -> Speed:
    """Global GEOS-CF files over HTTP, written to disk; the fetch opens, decodes and hashes each, too.

    Args:
        hours: how many files.
        folder: and so the disk.
        repeats: how often each of both, by turns, after one of each that does not count.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        world, out = Path(place) / "world", Path(place) / "out"
        times = np.datetime64(f"{DAY}T00:30", "ns") + np.arange(hours) * np.timedelta64(
            1, "h"
        )
        served = [
            Path(geos_cf_url(Endpoints(geos_cf_v1=str(world)), 1, t, "das"))
            for t in times
        ]
        for stamp, path in zip(times, served, strict=True):
            write_geos_cf(_field(stamp), path.parent)
            _add_species(path)
        size = sum(path.stat().st_size for path in served)
        period = Period(
            times[0] - np.timedelta64(30, "m"), times[-1] + np.timedelta64(30, "m")
        )
        plain, fetch = list[float](), list[float]()
        with _serving(world) as root:
            urls = [f"{root}/{path.relative_to(world).as_posix()}" for path in served]
            for _ in range(repeats + 1):
                out.mkdir()
                with timed(plain), ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
                    list(pool.map(_copy, urls, (out / path.name for path in served)))
                shutil.rmtree(out)
                request = GeosCfRequest(period, out, at_once=_FILES_AT_ONCE)
                with timed(fetch):
                    GeosCf(request, Endpoints(geos_cf_v1=root), RetryPolicy()).run()
                shutil.rmtree(out)
        return Speed(hours, size, tuple(plain[1:]), tuple(fetch[1:]))


def objects(count: int = 10_000, folder: Path | None = None, repeats: int = 1) -> Speed:
    """Tiny objects of OpenAQ's archive; the fetch checks, unpacks, parses and joins them, too.

    Args:
        count: about how many.
        folder: and so the disk.
        repeats: how often each of both, by turns.
    """
    import psutil

    locations = -(-count // 365)
    process = psutil.Process()
    size, plain, fetch, held = 0, list[float](), list[float](), dict[int, int]()

    def tell(stage: str, done: int, total: int) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth and tenth not in held:
            held[tenth] = process.memory_info().rss

    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        _serving(Path(place) / "world") as root,
    ):
        _write_objects(Path(place) / "world" / BUCKET, locations)
        endpoints = Endpoints(openaq_archive=f"{root}/{BUCKET}")
        for _ in range(repeats):
            with timed(plain):
                size = asyncio.run(_copy_all(root, locations, Path(place) / "plain"))
            out = Path(place) / "out"
            request = OpenaqRequest(
                Period.parse(str(_YEAR)), out, at_once=_OBJECTS_AT_ONCE
            )
            with timed(fetch):
                Openaq(request, endpoints, RetryPolicy(), tell, environment={}).run()
            shutil.rmtree(out)
    return Speed(
        locations * 365, size, tuple(plain), tuple(fetch), tuple(held.values())
    )


def _field(stamp: np.datetime64) -> xr.DataArray:
    grid = Grid.globe(0.25)
    data = np.random.default_rng(0).gamma(2.0, 5.0, (1, *grid.shape)).astype("float32")
    about = {"cell_methods": "time: mean", "source": "noise, no data"}
    return field_like(
        xr.DataArray(name="pm2p5", attrs=about), data, grid, np.array([stamp])
    )


def _add_species(path: Path) -> None:
    """Add the four gases that the real files hold too."""
    import netCDF4

    with netCDF4.Dataset(path, "a") as file:
        values = file["PM25_RH35_GCC"][:]
        for name in ("CO", "NO2", "O3", "SO2"):
            gas = file.createVariable(
                name,
                "f4",
                ("time", "lev", "lat", "lon"),
                zlib=True,
                complevel=1,
                shuffle=True,
            )
            gas[:] = values * 1e-9


def _copy(url: str, path: Path) -> None:
    with urlopen(url) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


async def _copy_all(root: str, locations: int, folder: Path) -> int:
    """Read all objects with the same client, and write each into a file."""
    store = need("obstore.store").S3Store(
        BUCKET,
        config={"endpoint": root, "skip_signature": True, "region": "us-east-1"},
        client_options={"allow_http": True},
    )
    client, gate = need("obstore"), asyncio.Semaphore(_OBJECTS_AT_ONCE)
    sizes = []

    async def one(key: str) -> None:
        async with gate:
            data = bytes(await (await client.get_async(store, key)).bytes_async())
        (folder / key.replace("/", "_")).write_bytes(data)
        sizes.append(len(data))

    folder.mkdir()
    for location in range(1, locations + 1):
        await asyncio.gather(*(one(key) for key in _keys(location)))
    shutil.rmtree(folder)
    return sum(sizes)


def _keys(location: int) -> list[str]:
    place, name = f"records/csv.gz/locationid={location}", f"location-{location}"
    days = [date(_YEAR, 1, 1) + timedelta(days=k) for k in range(365)]
    return [
        f"{place}/year={_YEAR}/month={day:%m}/{name}-{day:%Y%m%d}.csv.gz"
        for day in days
    ]


def _write_objects(bucket: Path, locations: int) -> None:
    """Write a year's objects of some locations; all of a location have the same content."""
    for location in range(1, locations + 1):
        rows = [
            "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
        ]
        for hour in range(24):
            stamp = f"{_YEAR}-06-01T{hour:02d}:00:00Z"
            place = f"{location % 60}.5,{location % 170}.25"
            rows.append(f'{location},{location}0,"Town",{stamp},{place},pm25,ug,{hour}')
        content = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
        for key in _keys(location):
            (bucket / key).parent.mkdir(parents=True, exist_ok=True)
            (bucket / key).write_bytes(content)


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """Serve a folder from a process of its own, so that the server's time is not the client's."""
    command = [sys.executable, "-m", "deepcams.bench.server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
