"""Where the time of a run goes: each stage's share, and its rates over what this machine does at best.

Each run is a process of its own, like ``deepcams downscale``: so its start counts, and its peak memory is its own.
Three things take turns: the run as users have it (one item is written while the next is computed), where there is
more than one item; the run with its items one by one and its stages counted; before and after that, the machine's own
rates.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.bench.flop import flop_of
from deepcams.bench.inputs import write_input
from deepcams.bench.machine import measure_machine
from deepcams.bench.stage_costs import OTHER, START, Cost, StageCosts, total
from deepcams.core.errors import DeepcamsError
from deepcams.core.period import Period
from deepcams.core.stages import STAGES, listening
from deepcams.core.times import HOUR
from deepcams.downscaling.job import Job, plan_job
from deepcams.downscaling.memory import keep_memory
from deepcams.methods.chains import BEST
from deepcams.methods.engines import AUTO, TORCH

_BEGIN = np.datetime64("2019-01-01", "ns")


@dataclass(frozen=True)
class Request:
    """One run.

    Attributes:
        source: CAMS file.
        out: Zarr store to write.
        hours: of output.
        temporal, spatial: as ``deepcams downscale`` takes them.
        engine, device: run networks in space, and all that a GPU can; likewise.
        as_released: run :func:`deepcams.bench.as_released.as_released` in their place.
        one_by_one: run items one by one and count what the stages cost.
        began: ``time.monotonic`` when the process was started; None: it has done other things before.
    """

    source: str
    out: str
    hours: int
    temporal: str
    spatial: str
    engine: str = AUTO
    as_released: bool = False
    one_by_one: bool = False
    began: float | None = None
    device: str = AUTO

    def job(self) -> Job:
        """Plan the run."""
        from deepcams.readers.cams import open_cams

        settings: dict[str, Any] = {
            "temporal": self.temporal,
            "spatial": self.spatial,
            "engine": self.engine,
            "device": self.device,
        }
        if self.as_released:  # the same hours and grids
            settings = {"temporal": "linear", "spatial": "bicubic", "conserve": False}
        job = plan_job(
            open_cams(self.source),
            self.out,
            period=Period(_BEGIN, _BEGIN + self.hours * HOUR),
            overwrite=True,
            inputs=[self.source],
            **settings,
        )
        if not self.as_released:
            return job
        from deepcams.bench.as_released import as_released

        return replace(job, plan=replace(job.plan, chain=as_released()))


@dataclass(frozen=True)
class Turn:
    """What one turn found.

    Attributes:
        stages: cost of each stage of the run one by one.
        usual: cost of the usual run: :data:`START` and :data:`OTHER`, all the rest. None: it has one item only.
        machine: rates of :class:`deepcams.bench.machine.Machine`, means of before and after the run one by one.
        bytes: size of the output.
    """

    stages: Mapping[str, Cost]
    usual: Mapping[str, Cost] | None
    machine: Mapping[str, float | None]
    bytes: int


@dataclass(frozen=True)
class Amount:
    """The least that a stage has to do.

    Attributes:
        bytes: of the arrays that it takes and gives, each once.
        flop: of a network, from the shapes of its convolutions and products; None: not counted.
    """

    bytes: int
    flop: int | None = None


def run_once(request: Request) -> tuple[dict[str, Cost], int]:
    """Do one run in this process; return what its stages cost and the size of the output."""
    costs = StageCosts(request.began)
    with listening(costs) if request.one_by_one else nullcontext():
        with costs(START):
            keep_memory()
            job = request.job()
        with costs(OTHER):
            summary = job.run()
    return costs.costs, summary.bytes


def run_in_own_process(request: Request) -> tuple[dict[str, Cost], int]:
    """Do :func:`run_once` in a process of its own.

    Raises:
        DeepcamsError: it failed.
    """
    request = replace(request, began=time.monotonic())
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(asdict(request))],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise DeepcamsError(f"the measured run failed: {reason[-1]}")
    costs, size = json.loads(done.stdout)
    return {name: Cost(**cost) for name, cost in costs.items()}, size


def amounts(job: Job, size: int) -> dict[str, Amount]:
    """Return the least that each stage of a run has to do.

    Args:
        job: the run, planned.
        size: bytes of its output.
    """
    plan = job.plan
    grid, hours = plan.crop.region, plan.times.size
    fine = grid.refine(plan.chain.factor)
    coarse_bytes, fine_bytes = (
        4 * grid.rows * grid.columns,
        4 * fine.rows * fine.columns,
    )
    frames = sum(plan.frames(item).size for item in plan.items)
    # Of a pair's two inner hours both are counted, whatever the period leaves of them.
    pairs = sum(plan.ends(item).size for item in plan.items)
    inner = 2 * pairs
    # A method that sees the frames around hides about as many frames as there are pairs.
    sought = pairs * (1 + plan.chain.reach)
    space_first = any(part.factor > 1 for part in plan.chain.parts[:1])
    refined = frames if space_first else frames + inner
    between = fine_bytes if space_first else coarse_bytes
    flow = 2 * between
    found = {
        "read": Amount(frames * coarse_bytes),
        "space": Amount(refined * (coarse_bytes + fine_bytes)),
        "conserve": Amount(refined * (coarse_bytes + 2 * fine_bytes)),
        "motion": Amount(sought * (2 * between + flow)),
        "carry": Amount(pairs * (2 * between + flow) + inner * 2 * between),
        "blend": Amount(inner * 3 * between),
        "round": Amount(hours * 2 * fine_bytes),
        "compress": Amount(hours * fine_bytes + size),
        "write": Amount(size),
    }
    for part in plan.chain.parts:
        name = "motion" if part.hourly else "space"
        flop = flop_of(part, grid if part.factor > 1 or not space_first else fine)
        count = pairs if part.hourly else refined
        found[name] = replace(found[name], flop=flop and flop * count)
    return found


Row = dict[str, float | None]
"""Figures by name; None: not known, or not counted."""

_RATES = {"flop": ("product", "convolution"), "bytes": ("copy",)}
"""The machine's rates that a stage's are compared with."""


@dataclass(frozen=True)
class Breakdown:
    """What the turns found; figures are medians of the turns', ratios of each turn's own.

    Attributes:
        method: the chain's name.
        settings: of the chain's parts, the engine among them.
        hours: of output.
        grid: rows and columns of the output.
        least: the least that each stage has to do.
        turns: one after the other.
    """

    method: str
    settings: Sequence[Mapping[str, Any]]
    hours: int
    grid: tuple[int, int]
    least: Mapping[str, Amount]
    turns: Sequence[Turn]

    def stages(self) -> dict[str, Row]:
        """Return of each stage its cost, its shares of the whole, and its rates in a second of processor time."""
        names = [START, *STAGES, OTHER]
        found = self.turns[0].stages
        return {
            name: _median([self._row(turn, name) for turn in self.turns])
            for name in names
            if name in found
        }

    def whole(self) -> Row:
        """Return the cost of the run one by one."""
        return _median([asdict(total(turn.stages)) for turn in self.turns])

    def usual(self) -> Row | None:
        """Return the cost of the usual run, and its ratio to the run one by one; None if there was none."""
        rows = []
        for turn in self.turns:
            if turn.usual is None:
                return None
            usual, whole = total(turn.usual), total(turn.stages)
            ratio = {"of_one_by_one": usual.wall / whole.wall}
            rows.append(asdict(usual) | ratio)
        return _median(rows)

    def machine(self) -> Row:
        """Return the machine's rates."""
        return _median([dict(turn.machine) for turn in self.turns])

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types: seconds, bytes, FLOP, shares and ratios of 1."""
        return {
            "method": self.method,
            "settings": list(self.settings),
            "hours": self.hours,
            "grid": list(self.grid),
            "turns": len(self.turns),
            "cores": os.cpu_count(),
            "output_bytes": self.turns[0].bytes,
            "stages": self.stages(),
            "whole": self.whole(),
            "usual": self.usual(),
            "machine": self.machine(),
        }

    def _row(self, turn: Turn, name: str) -> Row:
        cost, whole = turn.stages[name], total(turn.stages)
        row: Row = asdict(cost)
        row["wall_share"] = cost.wall / whole.wall
        row["processor_share"] = cost.processor / whole.processor
        least = self.least.get(name)
        for unit, rates in _RATES.items():
            work = getattr(least, unit, None)
            rate = work / max(cost.processor, 1e-3) if work else None
            row[unit] = work
            row[f"{unit}_rate"] = rate
            for best in rates:
                row[f"of_{best}"] = _ratio(rate, turn.machine[best])
        return row


def _ratio(rate: float | None, best: float | None) -> float | None:
    return rate / best if rate and best else None


def _mean(before: Row, after: Row) -> Row:
    """Return the means of rates before and after a run: other work on the machine comes and goes."""
    return {
        name: rate and (rate + (after[name] or rate)) / 2
        for name, rate in before.items()
    }


def _median(rows: Sequence[Mapping[str, float | None]]) -> Row:
    """Return the median of each figure."""
    found: Row = {}
    for name in rows[0]:
        values = [value for row in rows if (value := row[name]) is not None]
        found[name] = statistics.median(values) if values else None
    return found


def breakdown(
    hours: int = 10,
    repeats: int = 3,
    folder: Path | None = None,
    *,
    temporal: str = BEST,
    spatial: str = BEST,
    engine: str = AUTO,
    as_released: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Breakdown:
    """Measure where the time of a run goes.

    Args:
        hours: simulated global hours a run.
        repeats: turns.
        folder: where to write (default: the system's folder for temporary files); left as it was.
        temporal, spatial, engine: as ``deepcams downscale`` takes them.
        as_released: the published chain at its published cost in their place (needs PyTorch).
        progress: told of each turn.

    Raises:
        InputError: an unknown method, or one whose weights are missing.
        DeepcamsError: a run failed.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        source, out = str(Path(name) / "cams.nc"), str(Path(name) / "out.zarr")
        request = Request(source, out, hours, temporal, spatial, engine, as_released)
        write_input(Path(source), days=-(-hours // 24))
        job = request.job()
        grid = job.plan.crop.region
        turns = []
        for turn in range(repeats):
            overlaps = len(job.plan.items) > 1
            usual = run_in_own_process(request)[0] if overlaps else None
            before = measure_machine(grid.rows, grid.columns)
            stages, size = run_in_own_process(replace(request, one_by_one=True))
            after = measure_machine(grid.rows, grid.columns)
            turns.append(
                Turn(stages, usual, _mean(asdict(before), asdict(after)), size)
            )
            told = f"{turn + 1} of {repeats}: {total(stages).wall:.1f} s"
            progress(told + (f", usually {total(usual).wall:.1f} s" if usual else ""))
        fine = job.plan.crop.grid
        shape = (fine.rows, fine.columns)
        # What an engine computes is counted in PyTorch's layers, which are the same.
        counted = replace(request, engine=TORCH).job() if find_spec(TORCH) else job
        least = amounts(counted, size)
        chain = job.plan.chain
        settings = chain.settings()["chain"]
        return Breakdown(chain.name, settings, hours, shape, least, turns)


def main() -> None:
    """Do the run that the parent process asks for."""
    costs, size = run_once(Request(**json.loads(sys.argv[1])))
    print(json.dumps([{name: asdict(cost) for name, cost in costs.items()}, size]))


if __name__ == "__main__":
    main()
