"""deepcams next to CDO, in turn: ``python benchmarks/cdo.py [--days 1] [--repeats 3]``.

Both interpolate a simulated global record bicubically to 0.25 degrees and linearly to hours, with two threads, and
write netCDF with the same compression (zlib 1, no rounding). The default method, and Zarr as the README has it,
follow. All times are of whole commands; ratios are of medians to CDO's.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deepcams.bench.inputs import write_input


def commands(source: Path, folder: Path) -> dict[str, list[str]]:
    """Return the commands to compare, CDO's first."""
    cdo = f"cdo -s -O -P 2 -b F32 -f nc4 -z zip_1 -remapbic,r1440x721 -inttime,2019-01-01,00:00:00,1hour {source}"
    deepcams = [sys.executable, "-m", "deepcams", "downscale", str(source)]
    plain = ["--temporal", "linear", "--spatial", "bicubic", "--no-conserve"]
    netcdf = ["--overwrite", "--rounding", "0", "-o", str(folder / "out.nc")]
    zarr = ["--overwrite", "-o", str(folder / "out.zarr")]
    return {
        "cdo": [*cdo.split(), str(folder / "cdo.nc")],
        "linear + bicubic, netCDF": [*deepcams, *plain, *netcdf],
        "linear + bicubic, Zarr": [*deepcams, *plain, *zarr],
        "default, netCDF": [*deepcams, *netcdf],
        "default, Zarr": [*deepcams, *zarr],
    }


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds on the wall clock and of processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if shutil.which("cdo") is None:
        raise SystemExit("cdo: expected on the PATH, found none; install CDO")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "cams.nc"
        write_input(source, given.days)
        cases = commands(source, Path(name))
        times: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
        for _ in range(given.repeats):
            for case, command in cases.items():
                times[case].append(timed(command))
    medians = {
        case: [statistics.median(each) for each in zip(*found, strict=True)]
        for case, found in times.items()
    }
    print(f"{24 * given.days + 1} global hours, median of {given.repeats}")
    for case, (wall, used) in medians.items():
        by_wall, by_used = wall / medians["cdo"][0], used / medians["cdo"][1]
        print(
            f"{case:26} wall {wall:6.2f} s (x{by_wall:.2f})  processor {used:6.2f} s (x{by_used:.2f})"
        )


if __name__ == "__main__":
    main()
