"""Measure what the networks cost, case by case in one run: ``python benchmarks/networks.py``.

Each case runs in a process of its own, so that its peak memory is its own; cases to be compared alternate, and of each
the fastest round counts, so that another load on the machine affects neither. Processor seconds (all threads together)
are given with the wall clock's: on a busy machine believe their ratio. ``--only abpn`` (or xvfi, global, golden) runs
one part.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TILE = 120
GLOBE = (256, 512)
"""A global 0.75 degree frame, 241 x 480, padded to XVFI's multiples of 32."""


def peak() -> float:
    """Return the peak resident memory of this process so far, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(case: str, options: dict[str, Any]) -> dict[str, float]:
    """Run one case in this process: shortest times, s, and peak memory above what torch and the weights take, MiB."""
    import torch

    from deepcams.networks import build

    if options["threads"]:
        torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    network: Any = build(case, "released", **options.get("options", {})).eval()
    rows, columns = options["size"]
    frames = (
        torch.rand(1, 1, rows, columns)
        if case == "abpn"
        else torch.rand(1, 2, 1, rows, columns)
    )

    def run(frames: torch.Tensor) -> None:
        if case == "abpn":
            network.refine(frames)
        else:
            for times in options["passes"]:
                network.interpolate(frames, times)

    seconds, processor = [], []
    with torch.no_grad():
        run(frames[..., :32, :32])  # warm up
        before = peak()
        for _ in range(options.get("repeats", 1)):
            start, used = time.perf_counter(), time.process_time()
            run(frames)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - used)
    return {
        "seconds": min(seconds),
        "processor": min(processor),
        "MiB": peak() - before,
        "estimate": network.working_bytes(rows, columns) / 2**20,
    }


def isolated(case: str, **options: Any) -> dict[str, float]:
    """Run :func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps([case, options])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def alternate(
    cases: dict[str, tuple[str, dict[str, Any]]], rounds: int, threads: int
) -> dict[str, dict[str, float]]:
    """Run every case in turn, ``rounds`` times; return of each the shortest times and the largest memory."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (case, options) in cases.items():
            results[name].append(isolated(case, **{"threads": threads, **options}))
    return {
        name: {
            "seconds": min(r["seconds"] for r in runs),
            "processor": min(r["processor"] for r in runs),
            "MiB": max(r["MiB"] for r in runs),
            "estimate": runs[0]["estimate"],
        }
        for name, runs in results.items()
    }


def compare(
    title: str, cases: dict[str, tuple[str, dict[str, Any]]], rounds: int, threads: int
) -> None:
    print(title)
    results = alternate(cases, rounds, threads)
    first = next(iter(results.values()))
    for name, r in results.items():
        wall, processor = (
            r["seconds"] / first["seconds"],
            r["processor"] / first["processor"],
        )
        print(
            f"  {name:13} {r['seconds']:7.2f} s (x{wall:.2f})  processor {r['processor']:7.2f} s (x{processor:.2f})"
            f"  peak {r['MiB']:5.0f} MiB (working_bytes says {r['estimate']:.0f})"
        )


def abpn(rounds: int, threads: int) -> None:
    tile = {"size": (TILE, TILE)}
    compare(
        f"ABPN, released size, one tile of {TILE} x {TILE}, float32",
        {
            "sdpa": ("abpn", tile),
            "materialised": (
                "abpn",
                {**tile, "options": {"attention": "materialised"}},
            ),
        },
        rounds,
        threads,
    )


def xvfi(rounds: int, threads: int) -> None:
    third, two_thirds = 1 / 3, 2 / 3
    compare(
        f"XVFI, released size, {GLOBE[0]} x {GLOBE[1]}, two inner hours, float32",
        {
            "one pass": (
                "xvfi",
                {"size": GLOBE, "repeats": 5, "passes": [[third, two_thirds]]},
            ),
            "two passes": (
                "xvfi",
                {"size": GLOBE, "repeats": 5, "passes": [[third], [two_thirds]]},
            ),
        },
        rounds,
        threads,
    )


def whole(rounds: int, threads: int) -> None:
    print(
        "A global hour: 241 x 480 in ABPN tiles of 120 with a halo of 12 (3 x 5 of them), and XVFI's share"
    )
    size = {"size": (TILE, TILE)}
    results = alternate(
        {
            "tile": ("abpn", size),
            "pair": ("xvfi", {"size": GLOBE, "passes": [[1 / 3, 2 / 3]]}),
        },
        rounds,
        threads,
    )
    tiles = -(-241 // (TILE - 24)) * -(-480 // (TILE - 24))
    print(
        f"  ABPN {tiles} x {results['tile']['seconds']:.2f} s = {tiles * results['tile']['seconds']:.1f} s"
    )
    print(
        f"  XVFI {results['pair']['seconds'] / 3:.2f} s (a pair's two inner hours serve three hours)"
    )


def golden(_rounds: int, _threads: int) -> None:
    """Compare with every golden output, if the development data are available."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "golden"
    script = Path(__file__).resolve().parents[1] / "tests" / "networks" / "golden.py"
    if not folder.is_dir():
        print(
            "golden vectors: the development data folder ../shared/golden is not beside this checkout"
        )
        return
    for title, environment in (
        ("this machine's kernels", {}),
        ("AVX2 kernels", {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    ):
        command = [sys.executable, str(script), str(folder), "float32"]
        out = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(f"Golden outputs, max |difference| / max |value|, float32, {title}")
        for name, value in json.loads(out.stdout).items():
            print(f"  {name:40} {value:.1e}")


PARTS = {"golden": golden, "abpn": abpn, "xvfi": xvfi, "global": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="run one part")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="times that each case runs; the fastest counts",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="of torch; default: its own choice. With 1, another load hardly changes the processor seconds",
    )
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        case, options = json.loads(arguments.case)
        print(json.dumps(measure(case, options)))
        return
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
