"""Writing an output into an object store, against a plain copy of the same bytes to the same server.

``python benchmarks/object_store.py [--items 6] [--rounds 3] [--run]`` starts moto's S3 on loopback in a process of its
own. In each round it writes a global store (24 x 721 x 1440 an item) as a run does (two items at once: one is
compressed while one is sent), with values that are computed before; then it stores the same items, compressed before;
then it puts the same objects with obstore alone, one after the other. It prints the throughputs and their ratios to the
plain copy's. With ``--run`` it also times ``downscale`` (linear, bicubic) of a global field into the store and onto the
local disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.url import Url
from deepcams.downscaling.job import Downscaling, Job, plan_job
from deepcams.files.object_storage import ObjectStorage
from deepcams.workers import ThisProcess
from deepcams.writers import open_target

SERVER = """
import logging, sys, time
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
METHODS: dict[str, Any] = {
    "temporal": "linear",
    "spatial": "bicubic",
    "conserve": False,
}


def coarse_field(days: int) -> xr.DataArray:
    """Make smooth global fields, which compress like real ones, at 0.75 degrees every 3 hours."""
    rng = np.random.default_rng(0)
    latitude, longitude = np.arange(90, -90.1, -0.75), np.arange(0, 360, 0.75)
    times = np.datetime64("2019-01-01", "ns") + np.arange(8 * days) * np.timedelta64(
        3, "h"
    )
    y, x = np.radians(latitude)[:, None], np.radians(longitude)
    values = np.empty((times.size, latitude.size, longitude.size), np.float32)
    for k in range(times.size):
        field = np.zeros(values.shape[1:])
        for wave in range(1, 40):
            phase = rng.uniform(0, 2 * np.pi) + 0.05 * k * wave
            field += np.cos(wave * x + phase) * np.cos(y) ** (wave % 5) / wave
        values[k] = np.exp(2 + field + 0.05 * rng.standard_normal(field.shape))
    array = xr.DataArray(
        values,
        dims=("time", "latitude", "longitude"),
        coords={"time": times, "latitude": latitude, "longitude": longitude},
        name="pm2p5",
        attrs={"units": "ug m-3"},
    )
    return as_field(array)


class Ready(Downscaling):
    """The writing of a job, whose values are computed already, and perhaps compressed."""

    def compute(self, item: Any) -> Any:
        """Return what is there."""
        return item

    def write(self, item: Any, made: Any) -> None:
        """Write it."""
        if len(made) == 4:
            self.job.target.write(*made)
        else:
            self.job.target.store(*made)


def write(
    job: Job, items: list[tuple[Any, ...]], url: str, compressed: bool = False
) -> tuple[float, list[str]]:
    """Write the items through deepcams' target; return the seconds and the keys in their order."""
    job.target = open_target(url)
    job.target.create(job.layout, job.plan.items, job.identity)
    if compressed:
        items = [
            (item, job.target.encoded(item, values, status), record)
            for item, values, status, record in items
        ]
    begin = time.perf_counter()
    for _ in ThisProcess().map(Ready(job), items):
        pass
    seconds = time.perf_counter() - begin
    keys = [key for item, *_ in items for key in job.target.keys(item)]
    names = [f".deepcams/{item.name}.record.json" for item, *_ in items]
    return seconds, keys + names


def copy(source: ObjectStorage, target: str, keys: list[str]) -> tuple[float, int]:
    """Put the same objects with obstore alone; return the seconds and the bytes."""
    contents = {key: source.get(key) or b"" for key in keys}
    store = ObjectStorage(Url(target))._store
    begin = time.perf_counter()
    for key, data in contents.items():
        obstore.put(store, key, data, use_multipart=False)
    return time.perf_counter() - begin, sum(map(len, contents.values()))


def compare(items: int, rounds: int, root: str) -> None:
    """Print the throughputs of writing and of a plain copy."""
    job = plan_job(coarse_field(items), "s3://bench/plan.zarr", **METHODS)
    ready = []
    for item in job.plan.items:
        values, status, record = job.compute(item)
        ready.append((item, values, status, replace(record)))
    ratios: dict[str, list[float]] = {"written": [], "stored": []}
    for number in range(rounds):
        url = f"s3://bench/{number}/out.zarr"
        seconds, keys = write(job, ready, url)
        plain, size = copy(ObjectStorage(Url(url)), f"s3://bench/{number}/copy", keys)
        stored, _ = write(job, ready, f"s3://bench/{number}/stored.zarr", True)
        ratios["written"].append(plain / seconds)
        ratios["stored"].append(plain / stored)
        speeds = [size / 1e6 / each for each in (seconds, stored, plain)]
        print(
            f"round {number}: {size / 1e6:.0f} MB; MB/s written {speeds[0]:.0f}, stored {speeds[1]:.0f}, copied "
            f"{speeds[2]:.0f}"
        )
    for name, words in (("written", "with"), ("stored", "without")):
        median = statistics.median(ratios[name])
        print(f"median, {words} compression, without computing: {median:.0%} of a copy")


def run(items: int) -> None:
    """Print the time of whole runs into the store and onto the disk."""
    field = coarse_field(items)
    with tempfile.TemporaryDirectory() as folder:
        for out in (str(Path(folder) / "out.zarr"), "s3://bench/run/out.zarr"):
            summary = plan_job(field, out, **METHODS).run()
            print(
                f"{'s3' if '://' in out else 'disk'}: {summary.hours} hours in {summary.seconds:.1f} s"
            )


def main() -> None:
    """Start the server, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", action="store_true")
    given = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    root = server.stdout.readline().strip()
    os.environ.update(
        AWS_ENDPOINT_URL=root,
        AWS_ALLOW_HTTP="true",
        AWS_ACCESS_KEY_ID="bench",
        AWS_SECRET_ACCESS_KEY="bench",
        AWS_REGION="us-east-1",
    )
    try:
        request = urllib.request.Request(f"{root}/bench", b"", method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
        compare(given.items, given.rounds, root)
        if given.run:
            run(given.items)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
