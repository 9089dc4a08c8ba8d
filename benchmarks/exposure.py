"""How fast, and how exact, ``deepcams zones`` and ``points`` are: ``python benchmarks/exposure.py``.

Areas of countries in the cells of the 0.25 degree globe, and their means, beside exactextract alone in the same run;
both against polygons whose edges are densified and cut with shapely in an equal-area projection. Then whole commands
on a year of global hours: a day is simulated and downscaled, and its shard stands under 365 names (hard links), so
that a year takes the disk of a day but the reading of a year.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exactextract
import geopandas
import numpy as np
import pandas as pd
import shapely
from exactextract.raster import NumPyRasterSource

from deepcams.bench.inputs import write_input
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.exposure import country_zones, simulated_population
from deepcams.exposure.weights import _weigh, lines_of
from deepcams.readers.cams import open_cams
from view import link_days

GRID = Grid.globe(0.25)
RADIUS = 6371.0072
MAPS = 8


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a result, and the wall and processor seconds that it took."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - processor


def true_areas(shape: Any) -> np.ndarray:
    """Return a polygon's area in each cell it meets: (rows, columns) of the globe; unit sphere.

    Edges are cut into pieces of a thousandth of a degree first, since straight ones are curved in the projection.
    """

    def project(points: np.ndarray) -> np.ndarray:
        x, y = np.deg2rad(points).T
        return np.stack([x, np.sin(y)], axis=1)

    lines = lines_of(GRID)
    found = np.zeros(lines.shape)
    plane = shapely.transform(shapely.segmentize(shape, 0.001), project)
    west, south, east, north = shape.bounds
    first = int((90.125 - north) / 0.25)
    last = int((90.125 - south) / 0.25)
    left, right = int(np.floor((west + 0.125) / 0.25)), int((east + 0.125) // 0.25)
    sines = np.sin(np.deg2rad(lines.rows))
    for row in range(first, last + 1):
        for column in range(left, right + 1):
            at = np.deg2rad(0.25 * column - 0.125)
            cell = shapely.box(at, sines[row + 1], at + np.deg2rad(0.25), sines[row])
            found[row, column % 1440] += plane.intersection(cell).area
    return found


def areas() -> None:
    """Compare areas and means with exactextract's."""
    zones = country_zones()
    table = geopandas.GeoDataFrame(
        {"code": zones.ids}, geometry=zones.geometries(), crs=4326
    )
    weights, wall, processor = timed(lambda: _weigh(zones, GRID, None, lambda *_: None))
    print(
        f"weights of {len(zones)} countries: {wall:.2f} s ({processor:.2f} s processor)"
    )
    rng = np.random.default_rng(1)
    maps = rng.gamma(2.0, 8.0, (MAPS, *GRID.shape))
    total = np.asarray(weights.area.sum(axis=1)).ravel()
    means, wall, processor = timed(
        lambda: (weights.area @ maps.reshape(MAPS, -1).T).T / total
    )
    print(f"means of {MAPS} maps with them: {wall:.3f} s ({processor:.3f} s)")
    # exactextract has no globe: its columns begin half a cell west of the 180th meridian.
    turned = np.roll(maps, 720, axis=2)
    rasters = [
        NumPyRasterSource(
            each,
            -180.125,
            -90.125,
            179.875,
            90.125,
            name=f"m{k}",
            srs_wkt=table.crs.to_wkt(),
        )
        for k, each in enumerate(turned)
    ]
    mean = "mean(coverage_weight=area_spherical_m2)"
    one, wall, processor = timed(
        lambda: exactextract.exact_extract(rasters[:1], table, mean, output="pandas")
    )
    print(f"exactextract alone, 1 map: {wall:.2f} s ({processor:.2f} s)")
    many, wall, processor = timed(
        lambda: exactextract.exact_extract(rasters, table, mean, output="pandas")
    )
    print(f"exactextract alone, {MAPS} maps: {wall:.2f} s ({processor:.2f} s)")
    del one
    theirs = many.to_numpy(float).T
    inside = np.array(
        [shape.bounds[0] > -180 and shape.bounds[2] < 179.8 for shape in table.geometry]
    )
    apart = np.abs(means - theirs)[:, inside] / means[:, inside]
    print(
        f"their means differ by a median of {np.median(apart):.1e}, at most {apart.max():.1e} "
        f"({inside.sum()} countries that do not meet the 180th meridian)"
    )
    for code in ("LUX", "CHE", "NPL", "SVN", "ISL"):
        number = zones.ids.index(code)
        truth = true_areas(table.geometry[number])
        exact = float((truth * maps[0]).sum() / truth.sum())
        print(
            f"  {code}: error of the mean {abs(means[0, number] - exact) / exact:.1e}, "
            f"exactextract's {abs(theirs[0, number] - exact) / exact:.1e}; "
            f"of the area {abs(total[number] - truth.sum()) / truth.sum():.1e}"
        )
    people, wall, processor = timed(
        lambda: _weigh(zones, GRID, simulated_population(), lambda *_: None)
    )
    assert people.people is not None
    print(
        f"weights by 1800 x 3600 cells of people, too: {wall:.1f} s ({processor:.1f} s)"
    )


def make(folder: Path, days: int) -> Path:
    """Return a store of so many days."""
    frames, day = folder / "day.nc", folder / "day.zarr"
    write_input(frames, 1)
    downscale_to(
        open_cams(frames),
        day,
        temporal="linear",
        spatial="log-bicubic",
        period="2019-01-01",
    )
    year = link_days(folder / "year.zarr", day, days)
    # Without records it is a store like any other's, and whole.
    shutil.rmtree(year / ".deepcams", ignore_errors=True)
    return year


def homes(folder: Path, number: int) -> Path:
    """Write a list of places, near towns."""
    from deepcams.files.towns import towns

    rng = np.random.default_rng(2)
    known = towns()
    at = rng.integers(0, known.latitude.size, number)
    place = np.clip(known.latitude[at] + rng.normal(0, 0.1, number), -89, 89)
    table = pd.DataFrame(
        {
            "id": [f"p{k:06}" for k in range(number)],
            "latitude": place,
            "longitude": known.longitude[at] % 360,
        }
    )
    path = folder / f"homes-{number}.csv"
    table.to_csv(path, index=False)
    return path


def command(*arguments: object, cache: Path) -> None:
    """Run a command and say what it took."""
    environment = {**os.environ, "DEEPCAMS_CACHE": str(cache)}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "deepcams", *map(str, arguments), "-q"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed")
    wall, busy = time.perf_counter() - began, used.ru_utime + used.ru_stime
    shown = " ".join(Path(str(each)).name for each in arguments)
    size = Path(str(arguments[-1])).stat().st_size
    print(
        f"{shown}: {wall:.0f} s ({busy:.0f} s processor), {size / 1e6:.0f} MB out, "
        f"at most {used.ru_maxrss / 1e6:.1f} GB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path, help="keep the store there")
    arguments = parser.parse_args()
    areas()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        store = folder / "year.zarr"
        if not store.exists():
            make(folder, arguments.days)
        cache = Path(temporary) / "cache"
        zones = ("zones", store, "--zones", "countries")
        command(*zones, "--over", "day", "-o", folder / "days.csv", cache=cache)
        people = ("--population", "simulated", "--classes", "5,10,15,25,35")
        out = folder / "people.parquet"
        command(*zones, *people, "--over", "day", "-o", out, cache=cache)
        few, many = homes(folder, 10_000), homes(folder, 100_000)
        for over, suffix in (("hour", "parquet"), ("day", "csv")):
            out = folder / f"few.{suffix}"
            command("points", store, few, "--over", over, "-o", out, cache=cache)
        out = folder / "many.parquet"
        command("points", store, many, "--over", "day", "-o", out, cache=cache)


if __name__ == "__main__":
    main()
