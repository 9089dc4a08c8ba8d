"""Opening many files: the cost of each must not grow with their number.

``python benchmarks/many_files.py [--counts 100 400 1600] [--kind netcdf|grib]`` writes files of one frame each (a
region of 20 x 20 nodes, so that opening is what costs), then, in a process of its own for each number of files, opens
them as one field, reads one frame, reads all frames, and runs ``deepcams info``. It prints milliseconds a file and the
ratio to the smallest number of files.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

MEASURE = """
import contextlib, io, json, resource, sys, time
from deepcams.cli import main
from deepcams.readers.open import open_field
import deepcams.readers.formats.grib, dask, netCDF4
files = sys.argv[1:]
spent = {}
def since(start, name):
    spent[name] = time.perf_counter() - start
    return time.perf_counter()
begin = time.perf_counter()
field = open_field(files)
at = since(begin, "open")
field[len(files) // 2].values
at = since(at, "one frame")
field.values
at = since(at, "all frames")
with contextlib.redirect_stdout(io.StringIO()):
    status = main(["info", *files])
assert status == 0
since(at, "info")
spent["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps(spent))
"""


def write_files(folder: Path, count: int, kind: str) -> list[Path]:
    """Write one frame every 3 hours from 2003 on, each in its own file."""
    rng = np.random.default_rng(0)
    times = np.datetime64("2003-01-01", "ns") + np.arange(count) * np.timedelta64(
        3, "h"
    )
    latitude, longitude = 60 - 0.75 * np.arange(20), 0.75 * np.arange(20)
    files = []
    for number, time in enumerate(times):
        values = rng.lognormal(2, 1, (1, 20, 20)).astype(np.float32) * 1e-9
        path = folder / f"{number:05d}.{'nc' if kind == 'netcdf' else 'grib'}"
        if kind == "grib":
            _write_grib(path, values[0], time, latitude, longitude)
        else:
            coordinates = {"time": [time], "latitude": latitude, "longitude": longitude}
            field = xr.DataArray(
                values, coordinates, tuple(coordinates), "pm2p5", {"units": "kg m**-3"}
            )
            field.to_netcdf(path)
        files.append(path)
    return files


def _write_grib(
    path: Path,
    values: np.ndarray,
    time: np.datetime64,
    latitude: np.ndarray,
    longitude: np.ndarray,
) -> None:
    import eccodes

    stamp = str(time.astype("datetime64[h]")).replace("-", "")
    message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    keys = {
        "Ni": longitude.size,
        "Nj": latitude.size,
        "latitudeOfFirstGridPointInDegrees": float(latitude[0]),
        "latitudeOfLastGridPointInDegrees": float(latitude[-1]),
        "longitudeOfFirstGridPointInDegrees": float(longitude[0]),
        "longitudeOfLastGridPointInDegrees": float(longitude[-1]),
        "iDirectionIncrementInDegrees": 0.75,
        "jDirectionIncrementInDegrees": 0.75,
        "dataDate": int(stamp[:8]),
        "dataTime": int(stamp[9:11]) * 100,
        "paramId": 210073,
    }
    for key, value in keys.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, values.ravel().astype(float))
    with path.open("wb") as file:
        eccodes.codes_write(message, file)
    eccodes.codes_release(message)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--kind", choices=["netcdf", "grib"], default="netcdf")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = write_files(Path(name), max(given.counts), given.kind)
        first: dict[str, float] = {}
        for count in given.counts:
            command = [sys.executable, "-c", MEASURE, *map(str, files[:count])]
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True
            )
            spent = json.loads(done.stdout.splitlines()[-1])
            cells = [f"peak memory {spent.pop('peak memory, MB'):.0f} MB"]
            for what, seconds in spent.items():
                each = seconds / (1 if what == "one frame" else count)
                first.setdefault(what, each)
                cells.append(
                    f"{what} {each * 1000:.1f} ms ({each / first[what]:.2f} x)"
                )
            print(f"{given.kind}, {count} files: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
