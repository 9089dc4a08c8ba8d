"""Make the shipped weights from nothing: ``python benchmarks/weights.py [GEOS_CF] [--runs RUNS] [--only NAME ..]``.

Simulates a world, prepares it, the real GEOS-CF hours and other real fields for training, trains each network by its
experiment ``configs/best-*.yaml``, the large CellNet once more by ``configs/fields-cellnet-large.yaml`` (resuming an
earlier run), measures it on real hours east of 75W that none of them saw, and writes
``src/deepcams/weights/*.safetensors`` (with those figures in their cards) and ``docs/models.md``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from deepcams.cli import main as deepcams
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.evaluation import Experiment, evaluate, open_truth, rows
from deepcams.evaluation.diagnostics import of_diagnostics
from deepcams.evaluation.tables import Column, to_markdown
from deepcams.methods.onnx_export import export
from deepcams.networks import load, read_card, save
from deepcams.simulation import SimulatedWorld
from deepcams.training import prepare, read_experiment

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
TRUTH = DATA / "geos_cf" / "geos_cf_20190308_0030-0330z_west.nc4"
CAMS = DATA / "cams" / "cams_eac4_20191231_new_layout.nc"
AMMONIA = DATA / "other" / "cams_ifs_nh3_20181201-21_12Z_1deg.nc"
AIR = 1.2e9
"""ug of air in a cubic metre, near the ground: mixing ratios become concentrations."""
NETWORKS = ("cellnet-large", "cellnet", "flow-refine", "abpn", "xvfi", "spacetime")
"""In the order in which they are trained: ``cellnet-large`` teaches ``cellnet``."""
EXPORTED = ("cellnet-large", "cellnet", "spacetime")
"""Those that gain by an engine; ABPN's attention does not, and networks in time hold their own warping."""
AGAIN = {"cellnet-large": "fields-cellnet-large"}
"""The second experiment of a network, which starts from the weights of its first."""
SHIPPED = ROOT / "src" / "deepcams" / "weights"
UNSEEN = (-75.0, -90.0, -0.5, 90.0)
"""W S E N of the hours that no network saw."""
SEED, SPANS, HOURS = 7, 18, 7
"""Of the simulated world: spans of hours, spread over two years and over the hours of the day."""
FOUR_FRAMES = (11, 14, 10)
"""The same for a network that sees the frames around: each span has four."""

TASKS = {
    "temporal": {
        "0.25 degrees": Experiment("temporal", bbox=UNSEEN),
        "0.75 degrees": Experiment("temporal", resolution="coarse", bbox=UNSEEN),
    },
    "spatial": {"0.75 to 0.25 degrees": Experiment("spatial", bbox=UNSEEN)},
    "joint": {"3 h at 0.75 to 1 h at 0.25 degrees": Experiment("joint", bbox=UNSEEN)},
}
OTHERS = {
    "temporal": ("linear", "flow"),
    "spatial": ("bicubic", "log-bicubic+conserve", "cellnet-large+conserve"),
    "joint": (
        "log-bicubic+conserve-then-self-checked",
        "cellnet+conserve-then-self-checked",
    ),
}
"""The methods that a network of each kind is compared with."""
COLUMNS = ("R", "RMSE", "MAE", "bias", "MAE_p99")
SCALES = {
    "temporal": ("power_small", "R_change", "drift", "MAE_land", "MAE_sea"),
    "spatial": ("resolution", "power_small", "cell_variance", "FSS", "q9999"),
    "joint": ("resolution", "power_small", "R_change", "drift"),
}
"""Diagnostics that say most of a network of each kind."""


def simulated_hours(count: int, hours: int) -> np.ndarray:
    """Return the simulated hours: middles of hourly means, as GEOS-CF stamps them."""
    firsts = pd.date_range("2018-01-10T00:30", "2019-12-20", periods=count).floor("h")
    firsts += pd.Timedelta(minutes=30)
    spans = [pd.date_range(first, periods=hours, freq="h").values for first in firsts]
    return np.concatenate(spans)


def make_stores(truth: Path, runs: Path) -> None:
    """Write the stores that the experiments name, unless they exist."""
    prepare([str(truth)], runs / "real.zarr")
    worlds = {"simulated": (SEED, SPANS, HOURS), "four-frames": FOUR_FRAMES}
    for name, (seed, spans, hours) in worlds.items():
        times = simulated_hours(spans, hours)
        world = SimulatedWorld(seed).field(Grid.globe(0.25), times, mean=True)
        prepare(world, runs / f"{name}.zarr")
    prepare(str(CAMS), runs / "eac4.zarr", step=0.75)
    prepare(ammonia(AMMONIA), runs / "nh3.zarr", step=1.0)


def ammonia(path: Path) -> xr.DataArray:
    """Return ammonia's mixing ratios as concentrations; the levels of a day count as consecutive hours."""
    with xr.open_dataset(path) as found:
        ratios = found.nh3.load()
    hours = np.arange(ratios.level.size) * np.timedelta64(1, "h")
    times = (ratios.time.values[:, None] + hours).ravel()
    values = np.maximum(ratios.values, 0).reshape(times.size, *ratios.shape[2:]) * AIR
    like = xr.DataArray(0.0, name="nh3", attrs={"cell_methods": "time: point"})
    return field_like(like, values.astype(np.float32), Grid.globe(1.0), times)


def train(experiment: str, out: Path, runs: Path, device: str) -> None:
    """Train by ``configs/EXPERIMENT.yaml``, with the stores and weights in ``runs``; go on where it was."""
    config = ROOT / "configs" / f"{experiment}.yaml"
    values = read_experiment(config)
    changes = []
    for i, store in enumerate(values.data.stores):
        changes.append(f"data.stores.{i}.path={runs / Path(store.path).name}")
    if values.network.start:
        start = Path(values.network.start)
        changes.append(f"network.start={runs / start.parent.name / start.name}")
    arguments = [part for change in changes for part in ("--set", change)]
    arguments += ["-o", str(out), "--resume", "--device", device]
    status = deepcams(["train", str(config), *arguments])
    if status:
        raise SystemExit(status)


def figures(network: str, checkpoint: Path, truth: Path) -> dict[str, Any]:
    """Score a checkpoint and the methods it is compared with on the unseen region: task -> method -> figures."""
    found: dict[str, Any] = {}
    kind = read_card(checkpoint).kind
    own = f"{checkpoint}+conserve" if kind == "spatial" else str(checkpoint)
    for task, experiment in TASKS[kind].items():
        result = evaluate(open_truth([truth]), experiment, [*OTHERS[kind], own])
        found[task] = {}
        for row in rows(result):
            if row["period"] == "all":
                method = network if row["method"] == own else row["method"]
                found[task][method] = {
                    name: row[name] for name in (*COLUMNS, *SCALES[kind])
                }
    return found


def ship(network: str, trained: Path, truth: Path, folder: Path) -> None:
    """Copy a trained checkpoint into the package, in float16, with its figures on unseen real hours in its card."""
    checkpoint = load(trained)
    name = AGAIN.get(network, f"best-{network}")
    text = read_experiment(ROOT / "configs" / f"{name}.yaml").output.card
    unseen = {
        "what": "GEOS-CF v1, four hours of 2019-03-08, 75W..0.5W, 90S..90N: no weight was fitted to it",
        "units": "ug m-3",
        "scores": figures(network, trained, truth),
    }
    path = save(
        checkpoint.network,
        folder / network,
        checkpoint.scaling,
        variable=checkpoint.card.variable,
        provenance={**checkpoint.card.provenance, "card": text, "unseen": unseen},
        stored="float16",
    )
    if network in EXPORTED:
        export(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def training_text(given: dict[str, Any], head: str) -> list[str]:
    """Return what a training saw, and how long it took, as items of a list."""
    experiment = given["experiment"]
    training, scaling = experiment["training"], experiment["network"]["scaling"]
    seen = "; ".join(
        f"{part['hours']} hours of {part['store']} ({', '.join(part['regions'])}), drawn {part['weight']:g}"
        for part in given["split"]["train"]
    )
    optimizer, schedule = training["optimizer"], training["schedule"]
    recipe = (
        f"{given['steps']} steps of {training['batch']} samples of {experiment['samples']['crop']} x "
        f"{experiment['samples']['crop']} pixels, {optimizer['name']} {optimizer['lr']:g}, {schedule['name']}, "
        f"{training['precision']}; scaling {scaling['name']} {scaling['options'] or ''}".rstrip()
    )
    teacher = training.get("teacher")
    if teacher:
        recipe += f"; taught by {teacher['name']} for the first {teacher['until']:.0%}"
    return [
        f"- **{head}**: {seen}",
        f"- **Recipe**: {recipe}",
        f"- **Time**: {given['minutes']:.0f} minutes on {given['device']}",
    ]


def card_text(path: Path) -> str:
    """Return a checkpoint's card for people, as Markdown."""
    card = read_card(path)
    given = card.provenance
    begun = given.get("start")
    config = AGAIN[path.stem] if begun else f"best-{path.stem}"
    lines = [
        f"## {path.stem}",
        "",
        given["card"],
        "",
        f"- **Experiment**: `configs/{config}.yaml` (`deepcams models show {path.stem}` tells all of it)",
        *(training_text(begun, "First trained on") if begun else ()),
        *training_text(given, "Then trained on" if begun else "Trained on"),
        f"- **Size**: {path.stat().st_size / 1e6:.1f} MB, {card.stored}",
        f"- **Measured on**: {given['unseen']['what']}",
        "",
    ]
    of_scale = [of_diagnostics()[key] for key in SCALES[card.kind]]
    columns = [
        Column("task", "task"),
        Column("method", "method"),
        *(
            Column(
                name, name.replace("_", " "), ".4f" if name in ("R", "MAE") else ".3f"
            )
            for name in COLUMNS
        ),
        *(Column(each.key, each.head or each.key, each.form) for each in of_scale),
    ]
    table = [
        {"task": task, "method": method, **score}
        for task, scores in given["unseen"]["scores"].items()
        for method, score in scores.items()
    ]
    meaning = "; ".join(f"{each.head or each.key}: {each.name}" for each in of_scale)
    return "\n".join([*lines, to_markdown(table, columns), "", f"{meaning}."])


LIMITS = """## Limits of all of them

- The only real hours are four consecutive ones of one night in March, of the western hemisphere, from one model
  (GEOS-CF v1, which overestimates aerosols by 20 to 50 %). Other seasons, hours and continents were seen in the
  simulated world only.
- But for cellnet and cellnet-large, which have also seen four CAMS analyses coarsened to 2.25 degrees, they have seen
  GEOS-CF coarsened to 0.75 degrees, never a CAMS analysis; how the two differ is in [caveats](caveats.md).
- East of 75W is unseen in training and in choosing weights. But designs, shares of data and lengths of training were
  compared while its figures were in sight, and the simulated world was tuned to the hours west of 75W with the eastern
  summary in view ([how nearly](simulated-world.md)); so it is not as good a judge as a second data set.
"""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", nargs="?", type=Path, default=TRUTH)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "weights")
    parser.add_argument("--only", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument(
        "--ship",
        action="store_true",
        help="train nothing: measure and ship what is in RUNS, or what is shipped already",
    )
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    if not given.truth.exists():
        raise SystemExit(
            f"{given.truth}: expected hourly GEOS-CF files; name a folder of them"
        )
    if not given.ship:
        make_stores(given.truth, given.runs)
    for network in given.only:
        run = given.runs / network
        if not given.ship:
            first = run
            if network in AGAIN:
                first = given.runs / f"{network}-first"
            train(f"best-{network}", first, given.runs, given.device)
            if network in AGAIN:
                train(AGAIN[network], run, given.runs, given.device)
        trained = run / f"{network}.safetensors"
        if given.ship and not trained.exists():
            trained = SHIPPED / trained.name
        ship(network, trained, given.truth, SHIPPED)
    shipped = sorted(SHIPPED.glob("*.safetensors"))
    head = "# Shipped networks\n\nWritten by `make weights`; all numbers are measured, none is typed in.\n"
    text = "\n".join([head, *(card_text(path) + "\n" for path in shipped), LIMITS])
    (ROOT / "docs" / "models.md").write_text(text)


if __name__ == "__main__":
    main()
