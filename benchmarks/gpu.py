"""Measure all that a GPU may gain, with one command: ``python benchmarks/gpu.py -o gpu``.

Written are ``gpu/gpu.json`` and ``gpu/gpu.md``: the default chain from file to store and the time of the whole record;
networks by batch, precision and compilation, the published ones in their published sizes among them; equality with
the CPU. ``--device cpu --quick`` goes the same way through PyTorch on the CPU, with small frames, in seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import xarray as xr

from deepcams.bench import inputs
from deepcams.bench.breakdown import Request, run_once, total
from deepcams.bench.stage_costs import OTHER, START
from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import Grid
from deepcams.downscaling.memory import keep_memory
from deepcams.methods.arrays import TorchArrays
from deepcams.methods.chains import BEST, weights_of
from deepcams.methods.device import choose_device, working
from deepcams.methods.engines import AUTO, TORCH
from deepcams.methods.fit_memory import out_of_memory
from deepcams.networks.abpn import ABPN, ABPNOptions
from deepcams.networks.checkpoint import load
from deepcams.networks.xvfi import XVFI, XVFIOptions

RECORD = 157_800
"""Hours of 2003 to 2020."""
BOUND = 1e-3
"""Of each value, or ug m-3 where that is more: how far a GPU may be from the CPU; bit-rounding may be as far off."""
PRECISIONS = {"float32": False, "tf32": True, "bfloat16": False}
"""And whether products and convolutions may round their factors to TF32."""
COMPILED = {"compiled": None, "CUDA graph": "reduce-overhead"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        step: degrees between coarse nodes.
        hours: of the chain's shorter and its longer run.
        batches: frames, tiles or pairs at once.
        tile: of ABPN, coarse nodes.
        seconds: that a repeated measurement takes, at least.
        small: networks with few features.
    """

    step: float
    hours: tuple[int, int]
    batches: tuple[int, ...]
    tile: int
    seconds: float
    small: bool


USUAL = Size(0.75, (25, 97), (1, 2, 4, 8, 16), 120, 1.0, small=False)
QUICK = Size(7.5, (4, 7), (1, 2), 12, 0.0, small=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; return the exit status, 1 where the device and the CPU differ, 2 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="the disk to measure with")
    given = parser.parse_args(arguments)
    try:
        device, size = choose_device(given.device), QUICK if given.quick else USUAL
        given.out.mkdir(parents=True, exist_ok=True)
        with mock.patch.object(inputs, "COARSE_STEP", size.step):
            tables = {
                "The default chain, file to store": chain(device, size, given.folder),
                "Networks": networks(device, size),
            }
            tables["Equality with the CPU"] = equality(device, size, given.folder)
    except (DeepcamsError, OSError) as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    name = "CPU"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    about = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
    text = json.dumps({**about, "tables": tables}, indent=1)
    (given.out / "gpu.json").write_text(text + "\n", encoding="utf-8")
    parts = [f"{name}, PyTorch {torch.__version__}."]
    parts += [f"## {title}\n\n{as_markdown(rows)}" for title, rows in tables.items()]
    (given.out / "gpu.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print("\n\n".join(parts))
    return 0 if all(row["within"] for row in tables["Equality with the CPU"]) else 1


def as_markdown(rows: Sequence[Row]) -> str:
    """Return rows as a table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


@contextmanager
def on_torch(device: torch.device) -> Iterator[None]:
    """Have motion and conserving in PyTorch on a CPU, too."""
    with ExitStack() as stack:
        if device.type == "cpu":
            where = "deepcams.methods.arrays.uses_gpu"
            stack.enter_context(mock.patch(where, return_value=True))
        yield


@contextmanager
def counted_copies() -> Iterator[dict[str, int]]:
    """Count the bytes that motion and conserving move to the device and back."""
    moved = {"to": 0, "back": 0}
    put, get = TorchArrays.put, TorchArrays.get

    def counted_put(self: TorchArrays, values: np.ndarray) -> Any:
        moved["to"] += values.nbytes
        return put(self, values)

    def counted_get(self: TorchArrays, values: Any) -> np.ndarray:
        found = get(self, values)
        moved["back"] += found.nbytes
        return found

    with (
        mock.patch.object(TorchArrays, "put", counted_put),
        mock.patch.object(TorchArrays, "get", counted_get),
    ):
        yield moved


def chain(device: torch.device, size: Size, folder: Path | None) -> list[Row]:
    """Return runs of the default chain; an hour's rate is of the longer runs less the shorter, so without any start."""
    keep_memory()
    short, long = size.hours
    rows = []
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-gpu-") as name,
        on_torch(device),
        counted_copies() as moved,
    ):
        source, out = Path(name) / "cams.nc", Path(name) / "out.zarr"
        inputs.write_input(source, days=-(-long // 24))

        def run(hours: int, **options: Any) -> dict[str, Any]:
            request = Request(
                str(source), str(out), hours, BEST, BEST, TORCH, **options
            )
            return run_once(request)[0]

        seconds = {}
        for what, hours in (("first", short), ("again", short), ("long", long)):
            costs = run(hours, device=str(device))
            seconds[what] = costs[OTHER].wall
            row = {"run": f"{what}, {hours} hours", "plan s": costs[START].wall}
            rows.append(row | {"wall s": costs[OTHER].wall})
        rows[0]["warm-up s"] = seconds["first"] - seconds["again"]
        an_hour = max((seconds["long"] - seconds["again"]) / (long - short), 1e-9)
        rows[2] |= {"hours/s": 1 / an_hour, "record h": RECORD * an_hour / 3600}
        moved.update(to=0, back=0)
        stages = run(long, device=str(device), one_by_one=True)
        whole = total(stages).wall - stages[START].wall
        copied = {f"MB {way} an hour": moved[way] / long / 1e6 for way in moved}
        row = {"run": f"items one by one, {long} hours", "wall s": whole, **copied}
        rows.append(row | {"over the overlapped": whole / seconds["long"]})
        if device.type == "cuda":
            rows[-1]["peak GPU MB"] = torch.cuda.max_memory_allocated(device) / 1e6
        for stage, cost in stages.items():
            rows.append({"run": f"of it {stage}", "wall s": cost.wall})
    return rows


def networks(device: torch.device, size: Size) -> list[Row]:
    """Return of each network its frames, tiles or pairs a second, by batch, precision and compilation."""
    grid = Grid.globe(size.step)
    checkpoint = load(weights_of("cellnet")[0])
    torch.manual_seed(0)
    options = ABPNOptions(tile=size.tile, halo=0, start_at_bicubic=True)
    nf = 64
    if size.small:
        options = ABPNOptions(4, 2, tile=size.tile, halo=0, start_at_bicubic=True)
        nf = 4
    spatial, temporal = ABPN(options), XVFI(XVFIOptions(nf=nf))
    rule = temporal.size_rule
    sides = [
        max(-(-n // rule.multiple) * rule.multiple, rule.minimum) for n in grid.shape
    ]
    rows = []
    for name, network, shape, work in (
        ("cellnet, a globe", checkpoint.network, (1, *grid.shape), "refine"),
        ("ABPN as published, a tile", spatial, (1, size.tile, size.tile), "refine"),
        ("XVFI as published, two hours of a pair", temporal, (2, 1, *sides), "pair"),
    ):
        network = network.eval().to(device, memory_format=torch.channels_last)

        def run(frames: Any, network: Any = network, work: str = work) -> Any:
            if work == "refine":
                return network.refine(frames)
            return network.interpolate(frames, [1 / 3, 2 / 3])

        for precision in PRECISIONS:
            for batch in size.batches:
                found = _rate(run, shape, batch, device, precision, size)
                rows.append({"network": name, "run": precision, "batch": batch} | found)
        if size.small:
            continue
        for way, mode in COMPILED.items():
            for batch in (size.batches[0], size.batches[-1]):
                torch._dynamo.reset()
                compiled = torch.compile(run, mode=mode, dynamic=False)
                found = _rate(compiled, shape, batch, device, "float32", size)
                rows.append(
                    {"network": name, "run": f"float32, {way}", "batch": batch} | found
                )
    return rows


def _rate(
    run: Callable[[Any], Any],
    shape: tuple[int, ...],
    batch: int,
    device: torch.device,
    precision: str,
    size: Size,
) -> Row:
    """Return items a second, and what the first time takes longer; or why there are none."""
    frames = torch.rand((batch, *shape), device=device)
    kind: Any = "bfloat16" if precision == "bfloat16" else "float32"

    def once() -> float:
        began = time.perf_counter()
        run(frames)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    with tf32(PRECISIONS[precision]), torch.inference_mode(), working(device, kind):
        try:
            first, done, spent = once(), 0, 0.0
            while not done or spent < size.seconds:
                spent += once()
                done += 1
        except Exception as error:  # what a compiler lacks is a result, too
            if not out_of_memory(error):
                return {"note": f"{type(error).__name__}: {error}".splitlines()[0][:90]}
            return {"note": "out of memory"}
    each = spent / done
    return {"items/s": batch / each, "ms an item": 1e3 * each / batch} | {
        "warm-up s": first - each
    }


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow convolutions and products to round their factors to TF32, or not."""
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = allowed
    try:
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            place.allow_tf32 = was


def equality(device: torch.device, size: Size, folder: Path | None) -> list[Row]:
    """Return how far the chain is from the CPU's own, with its quickest engine, with TF32 and without."""
    rows = []
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-gpu-") as name:
        source = Path(name) / "cams.nc"
        inputs.write_input(source, days=1)

        def made(out: str, where: str, engine: str) -> np.ndarray:
            path = str(Path(name) / out)
            request = Request(
                str(source), path, size.hours[0], BEST, BEST, engine, device=where
            )
            run_once(request)
            with xr.open_zarr(path) as dataset:
                return np.asarray(dataset.pm2p5.values)

        began = time.perf_counter()
        truth = made("cpu.zarr", "cpu", AUTO)
        seconds = time.perf_counter() - began
        for precision in ("float32", "tf32"):
            with tf32(PRECISIONS[precision]), on_torch(device):
                began = time.perf_counter()
                found = made(f"{precision}.zarr", str(device), TORCH)
                taken = time.perf_counter() - began
            apart = abs(found - truth)
            # Both are rounded when they are written.
            bound = 2 * BOUND * np.maximum(truth, 1)
            rows.append(
                {
                    "precision": precision,
                    "largest, ug m-3": float(apart.max()),
                    "mean, ug m-3": float(apart.mean()),
                    "share beyond the bound": float((apart > bound).mean()),
                    "within": bool(np.quantile(apart / bound, 0.999) <= 1),
                    "CPU's time over it": seconds / taken,
                }
            )
    return rows


if __name__ == "__main__":
    sys.exit(main())
