"""How much two workers gain over one, and what sharing costs.

``OMP_NUM_THREADS=1 python benchmarks/workers.py CAMS``: each worker is a process of one thread. The gain is that of the
same work items, in turn, without the workers' start. The cost is that of items that do nothing: 6,575 of them are the
days of 2003 to 2020.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import psutil

import deepcams
from deepcams.downscaling.job import plan_job
from deepcams.workers import DaskWorkers, Work, _local_cluster

ITEMS = 6575


class Nothing(Work[int, None, None]):
    """Work that takes no time."""

    def compute(self, item: int) -> None:
        """Do nothing."""

    def write(self, item: int, made: None) -> None:
        """Write nothing."""


def overhead() -> None:
    memory = psutil.Process().memory_info().rss
    with _local_cluster(2) as client:
        began = time.perf_counter()
        results = DaskWorkers(client).map(Nothing(), range(ITEMS))
        next(results)
        first = time.perf_counter() - began
        early = psutil.Process().memory_info().rss
        done = sum(1 for _ in results) + 1
        seconds = time.perf_counter() - began
        late = psutil.Process().memory_info().rss
    print(f"{done} items that do nothing, 2 workers: the first after {first:.2f} s,")
    print(f"  {1e3 * seconds / done:.2f} ms each; client and scheduler hold")
    print(f"  {early / 1e6:.0f} MB at the first, {late / 1e6:.0f} MB at the last ")
    print(f"  ({memory / 1e6:.0f} MB before the scheduler began)")


def gain(inputs: list[str], rounds: int, folder: Path) -> None:
    field = deepcams.open_cams(inputs)
    ratios = []
    for number in range(rounds):
        seconds = {}
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            job = plan_job(field, folder / f"{number}-{workers}.zarr", inputs=inputs)
            with _local_cluster(workers) as client:
                team = DaskWorkers(client)
                list(team.map(Nothing(), range(8)))  # all workers have begun
                began = time.perf_counter()
                job.run(workers=team)
                seconds[workers] = time.perf_counter() - began
        ratios.append(seconds[1] / seconds[2])
        items = len(job.plan.items)
        print(
            f"round {number + 1}: {items} items, 1 worker {seconds[1]:.1f} s, 2 workers {seconds[2]:.1f} s, "
            f"gain {ratios[-1]:.2f}"
        )
    print(f"median gain {sorted(ratios)[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", nargs="*", help="CAMS files; none: the cost alone")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    overhead()
    if given.inputs:
        with tempfile.TemporaryDirectory() as place:
            gain(given.inputs, given.rounds, Path(place))
