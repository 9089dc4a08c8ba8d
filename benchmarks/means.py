"""``deepcams means`` next to a plain read of the same hours, and to CDO: ``python benchmarks/means.py [--days 365]``.

A few simulated global days are downscaled; a record of any length is made of hard links to their shards. All is
measured in one run: a plain read (xarray, day by day, nothing computed), daily means in days of UTC, and of a shorter
record also by longitude and by time zones; CDO's ``daymean`` of a netCDF file of the downscaled days; longer periods.
Times and peak memory are of whole processes; the plain read is measured before and after, and its mean is the
reference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.bench.inputs import write_input
from deepcams.core.field import grid_of
from deepcams.readers.open import open_field
from deepcams.writers import Layout, split_hours
from deepcams.writers.zarr_store import ZarrTarget

PLAIN = """
import sys, xarray as xr
field = xr.open_dataset(sys.argv[1], engine=sys.argv[2], chunks=None)["pm2p5"]
for start in range(0, field.sizes["time"], 24):
    field[start : start + 24].values
"""


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall clock and of processors, and the peak memory of a process in MB."""

    wall: float
    used: float
    peak: float


def run(command: list[str]) -> Cost:
    """Run a command to its end and return what it cost."""
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    words = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}: {words.decode()[-500:]}")
    wall = time.perf_counter() - start
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def deepcams(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "deepcams", *map(str, arguments)]


def link(source: Path, out: Path, days: int) -> None:
    """Make a store of so many days whose shards are hard links to those of a shorter store."""
    field = open_field(str(source))
    times = field.time.values[0] + np.arange(24 * days) * np.timedelta64(1, "h")
    layout = Layout(str(field.name), times, grid_of(field), field.attrs)
    target, items = ZarrTarget(out), split_hours(times)
    target.create(layout, items, {"benchmark": "hard links"})
    old = ZarrTarget(source)
    # Each whole item of the source once, again and again; the last hour is an item of its own.
    whole = len(split_hours(field.time.values)) - 1
    for item in items:
        first = replace(item, index=item.index % whole)
        record = old.records.get(first.name)
        assert record is not None
        for key in (f"{field.name}/c/{{}}/0/0", "status/c/{}"):
            place = out / key.format(item.index)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / key.format(first.index), place)
        target.records.put(replace(record, item=item.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=365, help="length of the record")
    parser.add_argument(
        "--short", type=int, default=60, help="a shorter one, for memory"
    )
    parser.add_argument("--distinct", type=int, default=4, help="days that differ")
    parser.add_argument(
        "--folder", type=Path, help="where to work, and what to use again"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(exist_ok=True)
        measure(folder, given.days, given.short, given.distinct)


def measure(folder: Path, days: int, short: int, distinct: int) -> None:
    """Measure all, and print it."""
    source = folder / "distinct.zarr"
    if not source.exists():
        write_input(folder / "cams.nc", distinct)
        run(deepcams("downscale", folder / "cams.nc", "-o", source))
    stores = {number: folder / f"{number}.zarr" for number in (short, days)}
    for number, store in stores.items():
        if not store.exists():
            link(source, store, number)
    # Read once, so that all shards are in memory.
    run([sys.executable, "-c", PLAIN, str(stores[short]), "zarr"])
    for number, store in stores.items():
        plain = [sys.executable, "-c", PLAIN, str(store), "zarr"]
        costs = {"plain read": run(plain)}
        for kind in ("utc",) if number == days else ("utc", "nautical", "zones"):
            out = folder / f"{number}-{kind}.zarr"
            command = deepcams("means", store, "-o", out, "--overwrite")
            costs[f"days of {kind}"] = run([*command, "--days", kind])
        costs["plain read again"] = run(plain)
        show(costs, f"{number} global days (hard links to {distinct})")
    if shutil.which("cdo"):
        against_cdo(folder, source, distinct)
    costs = {}
    for over in ("month", "year") if days >= 365 else ():
        command = deepcams("means", folder / f"{days}-utc.zarr", "--over", over)
        out = folder / f"{days}-{over}.zarr"
        costs[f"{over}s from days"] = run([*command, "-o", str(out), "--overwrite"])
    show(costs, f"longer periods from {days} daily means")


def show(costs: dict[str, Cost], title: str) -> None:
    """Print costs; speeds are relative to the mean of the two plain reads."""
    reads = [cost for name, cost in costs.items() if name.startswith("plain")]
    print(title, flush=True)
    for name, cost in costs.items():
        share = ""
        if reads:
            walls, used = (
                np.mean([getattr(each, key) for each in reads])
                for key in ("wall", "used")
            )
            share = f"speed {walls / cost.wall:4.0%} by wall, {used / cost.used:4.0%} by processor"
        print(
            f"  {name:24} wall {cost.wall:7.1f} s  processor {cost.used:7.1f} s  peak {cost.peak:6.0f} MB  {share}",
            flush=True,
        )


def against_cdo(folder: Path, source: Path, days: int) -> None:
    """Compare daily means of a netCDF file with CDO's, in turn."""
    hours = folder / "hours.nc"
    if not hours.exists():
        run(deepcams("downscale", folder / "cams.nc", "-o", hours))
    out = {name: folder / f"{name}.nc" for name in ("cdo", "deepcams")}
    cdo = f"cdo -s -O -f nc4 -z zip_1 -daymean -selname,pm2p5 {hours} {out['cdo']}"
    commands = {
        "cdo": cdo.split(),
        "deepcams": deepcams(
            "means",
            hours,
            "-o",
            out["deepcams"],
            "--overwrite",
            "--rounding",
            "0",
            "--level",
            "none",
        ),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(3):
        for name, command in commands.items():
            costs[name].append(run(command))
    print(f"daily means of {days} global days in netCDF, median of 3")
    for name, found in costs.items():
        cost = sorted(found, key=lambda each: each.wall)[1]
        print(
            f"  {name:24} wall {cost.wall:7.1f} s  processor {cost.used:7.1f} s  peak {cost.peak:6.0f} MB"
        )
    with (
        xr.open_dataset(out["cdo"]) as one,
        xr.open_dataset(out["deepcams"], decode_timedelta=False) as other,
    ):
        size = other.sizes["time"]
        theirs, own = one.pm2p5.values[:size], other.pm2p5_mean.values
        print(
            f"  largest relative difference {np.max(np.abs(own - theirs) / theirs):.1e}"
        )


if __name__ == "__main__":
    main()
