"""Writing an output into an object store, against a plain copy of the same bytes to the same server.

``python benchmarks/object_store.py [--items 6] [--rounds 3] [--run]`` starts moto's S3 on loopback in a process of its
own. In each round it writes a global store (24 x 721 x 1440 an item) through deepcams' own target, values computed
before, then puts the same objects again with obstore alone, one after the other as they were written. It prints both
throughputs, their ratio, and where the time goes: encoding (compression), putting, waiting for the server. With
``--run`` it also times ``downscale`` (linear, bicubic) of a global field into the store and onto the local disk.
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
from deepcams.downscaling.job import Job, plan_job
from deepcams.files.object_storage import ObjectStorage
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


def write(job: Job, items: list[tuple[Any, ...]], url: str) -> tuple[float, list[str]]:
    """Write the items through deepcams' target; return the seconds and the keys in their order."""
    job.target = open_target(url)
    job.target.create(job.layout, job.plan.items, job.identity)
    begin = time.perf_counter()
    for item, values, status, record in items:
        job.target.write(item, values, status, record)
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
    ratios, encoding = [], []
    for number in range(rounds):
        url = f"s3://bench/{number}/out.zarr"
        seconds, keys = write(job, ready, url)
        plain, size = copy(ObjectStorage(Url(url)), f"s3://bench/{number}/copy", keys)
        begin = time.perf_counter()
        for item, values, status, _ in ready:
            job.target._encoded(item, values, status)
        encoding.append((time.perf_counter() - begin) / seconds)
        ratios.append(plain / seconds)
        print(
            f"round {number}: {size / 1e6:.0f} MB; written {size / 1e6 / seconds:.0f} MB/s, copied "
            f"{size / 1e6 / plain:.0f} MB/s: {ratios[-1]:.0%}; encoding is {encoding[-1]:.0%} of writing"
        )
    print(
        f"median of {rounds}: {statistics.median(ratios):.0%} of a plain copy's throughput (compute excluded)"
    )


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
