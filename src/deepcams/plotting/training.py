"""How a training went: its loss and its validation, step by step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepcams.errors import InputError
from deepcams.store.records import writing_to

LOG, CURVE = "log.csv", "curve.png"


def training_figure(folder: str | Path) -> Figure:
    """The ``log.csv`` of a training's folder: its loss, and its validation MAE against the strongest training-free one.

    Raises:
        InputError: there is no such log, or nothing in it yet.
    """
    path = Path(folder) / LOG
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(folder, f"a training's folder, with {LOG}", error.strerror or error) from error
    if not rows:
        raise InputError(path, "at least one step", "none yet")

    def column(name: str) -> tuple[list[int], list[float]]:
        found = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        found = [(step, value) for step, value in found if math.isfinite(value)]  # fresh weights may answer anything
        return [step for step, _ in found], [value for _, value in found]

    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(*column("loss"), color="0.3", linewidth=1)
    above.set_yscale("log")
    above.set_ylabel("training loss")
    below.plot(*column("skill"), color="C0", marker=".", markersize=4, linewidth=1)
    best = [(int(row["step"]), float(row["skill"])) for row in rows if row["best"] == "1"][-1:]
    below.plot([step for step, _ in best], [value for _, value in best], "o", color="C3", label="best, kept")
    below.axhline(1, color="0.6", linewidth=0.8, linestyle="--")
    values = column("skill")[1]
    if values:  # what begins far above 1 would hide what comes later
        below.set_ylim(min(*values, 1.0) - 0.05, min(max(*values, 1.05), 3 * min(*values, 1.0)) + 0.05)
    below.set_ylabel("validation MAE / training-free MAE")
    below.set_xlabel("step")
    below.legend(frameon=False)
    return figure


def draw_curve(folder: str | Path) -> Path:
    """Draw :func:`training_figure` as ``curve.png`` into the training's folder.

    Raises:
        InputError: see :func:`training_figure`.
        OutputError: the picture cannot be written.
    """
    path = Path(folder) / CURVE
    figure = training_figure(folder)
    with writing_to(path):
        figure.savefig(path, dpi=100)
    return path
