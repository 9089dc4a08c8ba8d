"""Measure what each command does before it opens its input: ``python benchmarks/first_byte.py``.

Each command is a process of its own. Told are the seconds of the processor (all threads) until Python opens one of the
command's inputs for the first time, and until its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
CAMS = DATA / "cams" / "cams_eac4_20191231_new_layout.nc"
TRUTH = DATA / "geos_cf" / "geos_cf_20190308_0030-0330z_west.nc4"
STATIONS = DATA / "stations" / "china_20191231.csv.gz"

WATCHED = """
import json, sys, time
inputs, arguments = json.loads(sys.argv[1])
first = []
def watch(event, given):
    if event in ("open", "os.listdir", "os.scandir") and not first:
        if any(name in str(given[0]) for name in inputs):
            first.append(time.process_time())
sys.addaudithook(watch)
from deepcams.cli import main
status = main(arguments)
print("FIRST", json.dumps([status, *first[:1], time.process_time()]))
"""


def measured(inputs: list[str], arguments: list[str]) -> tuple[float, float]:
    """Return the processor's seconds until an input is opened, and of the whole command."""
    command = [sys.executable, "-c", WATCHED, json.dumps([inputs, arguments])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("FIRST"))
    status, first, whole = json.loads(line.removeprefix("FIRST"))
    if status:
        raise SystemExit(f"{' '.join(arguments)}: exit status {status}")
    return first, whole


def main() -> None:
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        box = ["--bbox", "100", "20", "125", "45"]
        hourly, truth = "hourly.zarr", ["-180", "-90", "-75", "90"]
        out = ["-o", "z.csv"]
        commands = {
            "info": ["info", str(CAMS)],
            "downscale": ["downscale", str(CAMS), "-o", hourly, *box],
            "validate": ["validate", hourly, "--stations", str(STATIONS), "-o", "v"],
            "means": ["means", hourly, "-o", "days.zarr", "--complete", "10"],
            "zones": ["zones", hourly, "--zones", "countries", "--over", "hour", *out],
            "export": ["export", hourly, "--to", "netcdf", "-o", "nc"],
            "plot": ["plot", "map", hourly, "-o", "map.png"],
            "evaluate": [
                *("evaluate", str(TRUTH), "--task", "spatial"),
                *("--methods", "bicubic", "--bbox", "-75", "-60", "-30", "0"),
            ],
            "prepare": ["prepare", str(TRUTH), "-o", "store.zarr"],
            "train": [
                *("train", str(ROOT / "configs" / "smoke-spatial.yaml"), "-o", "run"),
                *("--set", "data.stores.0.path=store.zarr"),
                *("--set", f"split.train.regions=[[{','.join(truth)}]]"),
                *("--set", "split.validation.regions=[[-74,-90,-1,90]]"),
                *("--set", "split.train.periods=[]"),
                *("--set", "split.validation.periods=[]"),
                *("--set", "training.steps=1"),
            ],
        }
        print("| command | before the input is opened, s | whole, s |\n|---|---:|---:|")
        for name, arguments in commands.items():
            inputs = [str(CAMS), str(TRUTH), str(STATIONS), hourly, "store.zarr"]
            first, whole = measured(inputs, arguments)
            print(f"| `{name}` | {first:.2f} | {whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
