"""Write docs/ablations.md: what each choice is worth, one short training or evaluation a row, each with its command.

``python benchmarks/ablations.py [TRUTH] [--runs runs/weights] [--only NAME ..]``, after ``make weights`` has made the
stores. Trainings are short (minutes), so that rows of one table compare with each other and with nothing else; all are
measured on the real hours east of 75W, which none of them saw. What is done is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from deepcams.cli import main as deepcams

ROOT = Path(__file__).resolve().parents[1]
TRUTH = "../shared/data/geos_cf/geos_cf_20190308_0030-0330z_west.nc4"
UNSEEN = ["--bbox", "-75", "-90", "-0.5", "90"]
COLUMNS = ("R", "RMSE", "MAE", "MAE_p99")


@dataclass(frozen=True)
class Ablation:
    """One question.

    Attributes:
        title: of its section.
        says: what is asked, and how to read the table.
        trained: name of a row -> configuration and its changes; empty: shipped networks are compared.
        tested: name of a column group -> arguments of ``deepcams evaluate``.
        methods: of all tests, beside the trained ones.
        suffix: what a trained checkpoint is made with in space.
    """

    title: str
    says: str
    tested: dict[str, list[str]]
    trained: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    suffix: str = ""


SHORT = {
    "training.steps": "600",
    "training.schedule.warmup": "50",
    "training.ema": "0.99",
    "validation.every": "300",
}
SMALL_ABPN = SHORT | {
    "training.steps": "300",
    "validation.every": "150",
    "training.optimizer.lr": "2e-4",
    "network.options": "{d: 16, stages: 4, start_at_bicubic: true}",
    "training.batch": "8",
}
SMALL_XVFI = SHORT | {
    "training.steps": "200",
    "validation.every": "100",
    "samples.crop": "128",
    "training.batch": "6",
}  # 128 pixels suit S up to 3
SMALL_FLOW = SHORT | {
    "training.steps": "200",
    "network.options": "{width: 16}",
    "data.stores.1.weight": "0.0",
    "data.stores.1.validation_weight": "1",
    "validation.every": "200",
    "validation.samples": "8",
}
SPATIAL, TEMPORAL = ["--task", "spatial"], ["--task", "temporal"]
COARSE = [*TEMPORAL, "--resolution", "coarse"]
BOTH = {"0.25 degrees": TEMPORAL, "0.75 degrees": COARSE}

ABLATIONS = {
    "scaling": Ablation(
        "Scaling",
        "ABPN (16 features, 4 stages) in space: the paper's clip at 800 ug m-3, and scalings without one.",
        {"area": SPATIAL},
        {
            name: ("best-abpn", SMALL_ABPN | {"network.scaling": f"{{name: {name}}}"})
            for name in ("linear-clip", "linear", "asinh", "log")
        },
        ("bicubic", "log-bicubic+conserve"),
        "+conserve",
    ),
    "degradation": Ablation(
        "Degradation",
        "CellNet trained on one degradation (row) and tested on each.",
        {
            name: [*SPATIAL, "--degrade", name]
            for name in ("area", "imresize", "decimate")
        },
        {
            name: ("best-cellnet-large", SHORT | {"samples.degradation": name})
            for name in ("area", "imresize", "decimate")
        },
        ("bicubic", "log-bicubic+conserve"),
    ),
    "resolution": Ablation(
        "Training resolution",
        "FlowRefine (16 features), trained on coarse or fine real frames, or both.",
        BOTH,
        {
            name: ("best-flow-refine", SMALL_FLOW | {"samples.resolution": name})
            for name in ("coarse", "fine", "both")
        },
        ("linear", "flow"),
    ),
    "depth": Ablation(
        "Depth S of XVFI",
        "XVFI (16 features) with S levels above the lowest.",
        BOTH,
        {
            f"S = {s}": (
                "best-xvfi",
                SMALL_XVFI
                | {"network.options": f"{{nf: 16, depth: {s}, training_depth: {s}}}"},
            )
            for s in (1, 2, 3)
        },
        ("linear", "flow"),
    ),
    "conserve": Ablation(
        "Conservation",
        "The coarse means restored after each method in space (+conserve), or not.",
        {"area": [*SPATIAL, "--conserve", "both"]},
        methods=("bicubic", "log-bicubic", "cellnet"),
    ),
    "order": Ablation(
        "Order",
        "Time first, as the paper has it, or space first; on the whole task.",
        {
            "0.75 degrees, 3 h to 0.25 degrees, 1 h": [
                "--task",
                "joint",
                "--order",
                "both",
            ]
        },
        methods=(
            "linear",
            "flow",
            "flow-refine",
            "bicubic",
            "log-bicubic+conserve",
            "cellnet+conserve",
        ),
    ),
}


def train(
    name: str, row: str, config: str, changes: dict[str, str], runs: Path
) -> tuple[Path, str]:
    """Train unless that is done; the checkpoint, and the command as a user would give it."""
    stores = {
        "data.stores.0.path": str(runs / "real.zarr"),
        "data.stores.1.path": str(runs / "simulated.zarr"),
    }
    out = runs / "ablations" / f"{name}-{row.replace(' ', '')}"
    path = Path("configs") / f"{config}.yaml"
    shown = ["deepcams", "train", str(path), "-o", f"runs/{out.name}"]
    shown += [
        part for key, value in changes.items() for part in ("--set", f"{key}={value}")
    ]
    sets = [
        part
        for key, value in {**changes, **stores}.items()
        for part in ("--set", f"{key}={value}")
    ]
    print(shlex.join(shown), file=sys.stderr)
    status = deepcams(["train", str(ROOT / path), "-o", str(out), "--resume", *sets])
    if status:
        raise SystemExit(status)
    (checkpoint,) = out.glob("*.safetensors")
    return checkpoint, shlex.join(shown)


def measure(
    arguments: list[str], methods: list[str], truth: str
) -> dict[str, dict[str, float]]:
    """Method -> scores on the unseen hours."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        out = Path(folder) / "rows.json"
        command = [
            "evaluate",
            truth,
            *arguments,
            "--methods",
            ",".join(methods),
            *UNSEEN,
            "--json",
            str(out),
            "--quiet",
        ]
        status = deepcams(command)
        if status:
            raise SystemExit(status)
        return {
            row["method"]: row
            for row in json.loads(out.read_text())["rows"]
            if row["period"] == "all"
        }


def section(name: str, ablation: Ablation, truth: str, runs: Path) -> str:
    """One ablation's section."""
    trained, commands = {}, []
    for row, (config, changes) in ablation.trained.items():
        checkpoint, command = train(name, row, config, changes, runs)
        trained[f"{checkpoint}{ablation.suffix}"] = row
        commands.append(command)
    methods = [*ablation.methods, *trained]
    lines = [f"## {ablation.title}", "", ablation.says, ""]
    for test, arguments in ablation.tested.items():
        found = measure(arguments, methods, truth)
        shown = [
            *ablation.methods,
            *(f"runs/{Path(m).parent.name}/{Path(m).name}" for m in trained),
        ]
        command = [
            "deepcams",
            "evaluate",
            TRUTH,
            *arguments,
            "--methods",
            ",".join(shown),
            *UNSEEN,
        ]
        commands.append(shlex.join(command))
        lines += [
            f"Tested on: {test}",
            "",
            "| method | R | RMSE | MAE | MAE p99 |",
            "|---|---|---|---|---|",
        ]
        for method, score in found.items():
            values = " | ".join(
                f"{score[c]:.4f}" if c in ("R", "MAE") else f"{score[c]:.3f}"
                for c in COLUMNS
            )
            lines.append(f"| {trained.get(method, method)} | {values} |")
        lines.append("")
    return "\n".join([*lines, "```", *commands, "```", ""])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", nargs="?", default=str(ROOT / TRUTH))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "weights")
    parser.add_argument(
        "--only", nargs="*", default=list(ABLATIONS), choices=list(ABLATIONS)
    )
    given = parser.parse_args()
    sections = given.runs / "ablations"
    for name in given.only:
        text = section(name, ABLATIONS[name], given.truth, given.runs)
        (sections / f"{name}.md").write_text(text)
    head = (
        "# Ablations\n\nWritten by `python benchmarks/ablations.py` (after `make weights`). Each training is short, so "
        "rows of one table compare with each other and with nothing else. All scores: four real GEOS-CF hours east of "
        "75W, which no training saw; ug m-3. What each input of the method `sun` is worth: "
        "[the sun](sun.md#what-each-input-is-worth).\n"
    )
    found = [sections / f"{name}.md" for name in ABLATIONS]
    (ROOT / "docs" / "ablations.md").write_text(
        "\n".join([head, *(p.read_text() for p in found if p.exists())])
    )


if __name__ == "__main__":
    main()
