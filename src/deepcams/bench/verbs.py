"""What verbs cost: before their first byte of input, stage by stage, and over merely reading the same input."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

from deepcams.bench import inputs
from deepcams.bench.inputs import write_hours, write_input, write_stations
from deepcams.bench.one_run import measured
from deepcams.bench.stage_costs import OTHER, START, Cost, total
from deepcams.core.errors import choose
from deepcams.core.grid import Grid
from deepcams.files.land_mask import land_fraction

CAMS, HOURLY, HOURS = "cams.nc", "hourly.zarr", "hours"
STATIONS, STORE, EXPERIMENT = "stations.parquet", "store.zarr", "experiment.yaml"
_BATCH = 16


@dataclass(frozen=True)
class Command:
    """A verb as it is measured.

    Attributes:
        inputs: what it reads all of, in its folder.
        arguments: after the verb.
        out: what it makes, in its folder.
        share: of the input that it reads.
    """

    inputs: tuple[str, ...]
    arguments: tuple[str, ...]
    out: str = ""
    share: float = 1.0


_FOLDER = ("-o", "made")
COMMANDS = {
    "info": Command((CAMS,), (CAMS,)),
    "downscale": Command((CAMS,), (CAMS, "-o", HOURLY), HOURLY),
    "validate": Command(
        (HOURLY, CAMS, STATIONS),
        (HOURLY, "--original", CAMS, "--stations", STATIONS, *_FOLDER),
        "made",
    ),
    "evaluate": Command(
        (HOURS,), (HOURS, "--methods", "cellnet+conserve-then-self-checked")
    ),
    "prepare": Command((HOURS,), (HOURS, "-o", STORE), STORE),
    "train": Command((STORE,), (EXPERIMENT, *_FOLDER), "made", 1 / 8),
    "means": Command(
        (HOURLY,), (HOURLY, "-o", "days.zarr", "--complete", "10"), "days.zarr"
    ),
    "zones": Command(
        (HOURLY,),
        (HOURLY, "--zones", "countries", "--over", "hour", "-o", "made.csv"),
        "made.csv",
    ),
    "export": Command((HOURLY,), (HOURLY, "--to", "netcdf", *_FOLDER), "made"),
    "plot": Command((HOURLY,), ("map", HOURLY, "-o", "made.png"), "made.png"),
}
"""In this order each finds its input, where those before it were run."""

_EXPERIMENT = """version: 1
data: {{stores: [{{path: {store}}}]}}
split: {{train: {{regions: [[-180, -90, 60, 90]]}}, validation: {{regions: [[70, -90, 170, 90]]}}}}
samples: {{task: spatial, crop: {crop}}}
network: {{name: cellnet, preset: small, scaling: {{name: linear, options: {{unit: 1}}}}}}
training: {{optimizer: {{name: adamw, lr: 1e-3}}, batch: {batch}, steps: {steps}, precision: bfloat16}}
validation: {{every: {steps}, samples: 48, margin: 2}}
output: {{name: bench}}
"""


@dataclass(frozen=True)
class Verb:
    """What a verb costs; medians of the turns.

    Attributes:
        name: of the verb.
        stages: name -> cost; all of the run is in one or another.
        input_bytes: size of its input.
        reading: cost of reading as much of it as the verb needs, without what comes before the first byte; ``None``: it
            needs little of it.
    """

    name: str
    stages: dict[str, Cost]
    input_bytes: int
    reading: Cost | None

    @property
    def whole(self) -> Cost:
        """All stages together; of the peaks the highest."""
        return total(self.stages)

    @property
    def of_reading(self) -> float | None:
        """Rate from the first byte on over the rate of reading alone, in processor seconds: at best 1."""
        if self.reading is None:
            return None
        after = self.whole.processor - self.stages[START].processor
        return self.reading.processor / max(after, 1e-3)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types: seconds, bytes, shares of 1."""
        whole = self.whole
        found = asdict(self) | {"whole": asdict(whole), "of_reading": self.of_reading}
        for name, cost in self.stages.items():
            share = cost.processor / max(whole.processor, 1e-9)
            found["stages"][name]["processor_share"] = share
        return found


def measure_verbs(
    names: Sequence[str] = (),
    days: int = 1,
    stations: int = 1000,
    repeats: int = 3,
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Verb]:
    """Measure verbs on simulated input, each run in a process of its own.

    The cache holds the land mask, which is made once, and nothing that belongs to the input.

    Args:
        names: of :data:`COMMANDS`; none: all.
        days: of global fields, 3-hourly and hourly.
        stations: simulated ones, hourly.
        repeats: turns: in each all verbs follow one another, and each is followed by reading its input alone.
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told of each run.

    Raises:
        InputError: an unknown verb.
        DeepcamsError: a run failed.
    """
    wanted = [choose("VERB", name, COMMANDS) for name in names] or list(COMMANDS)
    needed = _with_what_they_need(wanted)
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        place = Path(name)
        with mock.patch.dict(os.environ, {"DEEPCAMS_CACHE": str(place / "cache")}):
            land_fraction.__wrapped__()
        _write_inputs(place, needed, days, stations)
        turns: list[dict[str, tuple[dict[str, Cost], dict[str, Cost] | None]]] = []
        for turn in range(repeats):
            found = {}
            for verb in needed:
                if verb in wanted or not turn:
                    found[verb] = _run(place, verb, verb in wanted)
                    seconds = total(found[verb][0]).processor
                    progress(f"{turn + 1} of {repeats}: {verb}, {seconds:.2f} s")
            turns.append(found)
        sizes = {verb: _size(place, COMMANDS[verb].inputs) for verb in wanted}
    return [
        Verb(
            verb,
            _median([turn[verb][0] for turn in turns]),
            sizes[verb],
            _reading([turn[verb][1] for turn in turns], COMMANDS[verb].share),
        )
        for verb in COMMANDS
        if verb in wanted
    ]


def _with_what_they_need(wanted: Collection[str]) -> list[str]:
    """Return verbs and those that make their inputs, in order."""
    needed = set(wanted)
    for verb in reversed(COMMANDS):
        if verb in needed:
            inputs = COMMANDS[verb].inputs
            needed |= {
                name for name, each in COMMANDS.items() if each.out in (*inputs,)
            }
    return [verb for verb in COMMANDS if verb in needed]


def _write_inputs(
    place: Path, needed: Collection[str], days: int, stations: int
) -> None:
    read = {name for verb in needed for name in COMMANDS[verb].inputs}
    if CAMS in read:
        write_input(place / CAMS, days)
    if HOURS in read:
        (place / HOURS).mkdir()
        write_hours(place / HOURS, days)
    if STATIONS in read:
        write_stations(place / STATIONS, stations, days)
    grid = Grid.globe(inputs.COARSE_STEP)
    crop = min(32, grid.rows // 3)
    # As many samples as fill their share of the hours.
    cells = COMMANDS["train"].share * 24 * days * grid.rows * grid.columns
    steps = max(int(cells) // (_BATCH * crop**2), 1)
    text = _EXPERIMENT.format(store=STORE, crop=crop, batch=_BATCH, steps=steps)
    (place / EXPERIMENT).write_text(text, encoding="utf-8")


def _run(
    place: Path, verb: str, reads: bool
) -> tuple[dict[str, Cost], dict[str, Cost] | None]:
    """Run a verb, then read its input alone."""
    command, cache = COMMANDS[verb], place / "cache"
    if command.out:
        _remove(place / command.out)
    arguments = [verb, *command.arguments]
    if verb == "prepare":
        arguments += ["--step", str(inputs.COARSE_STEP / 3)]
    for folder in cache.glob("*/"):
        shutil.rmtree(folder)
    environment = {"DEEPCAMS_CACHE": str(cache)}
    costs = measured("deepcams", arguments, command.inputs, place, environment)
    if not reads or verb in ("info", "plot"):
        return costs, None
    module = "deepcams.bench.reading"
    return costs, measured(module, command.inputs, command.inputs, place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(place: Path, names: Sequence[str]) -> int:
    files = [
        file for name in names for file in (place / name, *(place / name).rglob("*"))
    ]
    return sum(file.stat().st_size for file in files if file.is_file())


def _median(turns: Sequence[dict[str, Cost]]) -> dict[str, Cost]:
    """Return the medians of stages, those of the end last."""
    names = dict.fromkeys(name for turn in turns for name in turn if name != OTHER)
    return {
        name: Cost(
            **{
                each.name: statistics.median(
                    getattr(turn.get(name, Cost()), each.name) for turn in turns
                )
                for each in fields(Cost)
            }
        )
        for name in (*names, OTHER)
    }


def _reading(turns: Sequence[dict[str, Cost] | None], share: float) -> Cost | None:
    read = [turn for turn in turns if turn is not None]
    if not read:
        return None
    costs = _median(read)
    del costs[START]
    cost = total(costs)
    return replace(cost, wall=share * cost.wall, processor=share * cost.processor)


def as_text(found: Sequence[Verb]) -> str:
    """Return two tables: the verbs, and the stages of each."""
    row = "{:10} {:>11} {:>9} {:>8} {:>9} {:>9} {:>11} {:>11}"
    titles = ("", "first byte", "whole", "", "peak", "input", "reading", "rate over")
    units = (
        "verb",
        "processor s",
        "proc. s",
        "wall s",
        "MB",
        "MB",
        "proc. s",
        "reading's",
    )
    lines = [row.format(*titles), row.format(*units)]
    for verb in found:
        whole, start = verb.whole, verb.stages[START]
        alone = ("", "")
        if verb.reading is not None and verb.of_reading is not None:
            alone = f"{verb.reading.processor:.2f}", f"{100 * verb.of_reading:.0f} %"
        lines.append(
            row.format(
                verb.name,
                f"{start.processor:.2f}",
                f"{whole.processor:.2f}",
                f"{whole.wall:.2f}",
                f"{whole.peak / 1e6:.0f}",
                f"{verb.input_bytes / 1e6:.1f}",
                *alone,
            )
        )
    lines += ["", "processor seconds of each stage:"]
    for verb in found:
        stages = sorted(verb.stages.items(), key=lambda stage: -stage[1].processor)
        told = ", ".join(f"{name} {cost.processor:.2f}" for name, cost in stages)
        lines.append(f"{verb.name:10} {told}")
    return "\n".join(line.rstrip() for line in lines)
