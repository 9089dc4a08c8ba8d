"""How a training went: its loss and its validation, step by step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from deepcams.core.errors import InputError
from deepcams.files.atomic import os_errors_explained
from deepcams.plotting import style
from deepcams.plotting.page import Sheet, size_of

LOG, CURVE = "log.csv", "curve.png"
_WIDTH, _TALL, _LEFT, _RIGHT, _FOOT, _HEAD, _GAP = (
    7.0,
    2.5,
    0.85,
    0.25,
    0.55,
    0.05,
    0.2,
)  # inches of text size 1


def training_figure(folder: str | Path, size: str = "screen") -> Figure:
    """The ``log.csv`` of a training's folder: its loss, and its validation MAE against the strongest training-free one.

    Args:
        folder: of the training.
        size: one of :data:`deepcams.plotting.page.SIZES`.

    Raises:
        InputError: there is no such log, or nothing in it yet.
    """
    path = Path(folder) / LOG
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(
            folder, f"a training's folder, with {LOG}", error.strerror or error
        ) from error
    if not rows:
        raise InputError(path, "at least one step", "none yet")

    def column(name: str) -> tuple[list[int], list[float]]:
        found = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        found = [
            (step, value) for step, value in found if math.isfinite(value)
        ]  # fresh weights may answer anything
        return [step for step, _ in found], [value for _, value in found]

    paper = size_of(size)
    k = paper.text
    width = paper.width if paper.fixed else min(_WIDTH * k, paper.width)
    tall = min(_TALL * k, (paper.tallest - (_FOOT + _HEAD + _GAP) * k) / 2)
    sheet = Sheet(paper, 2 * tall + (_FOOT + _HEAD + _GAP) * k, width=width, left=_LEFT)
    wide = width - (_LEFT + _RIGHT) * k
    below = sheet.axes(_LEFT * k, _FOOT * k, wide, tall)
    above = sheet.axes(_LEFT * k, (_FOOT + _GAP) * k + tall, wide, tall)
    above.sharex(below)
    above.plot(*column("loss"), color="0.3", linewidth=k)
    losses = [value for value in column("loss")[1] if value > 0]
    if losses and max(losses) > 5 * min(losses):
        above.set_yscale("log")
        above.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        above.yaxis.set_minor_formatter(NullFormatter())
    above.yaxis.set_major_formatter(style.NUMBERS)
    above.set_ylabel("training loss", fontsize=9 * k)
    below.plot(*column("skill"), color="C0", marker=".", markersize=4 * k, linewidth=k)
    best = [(int(row["step"]), float(row["skill"])) for row in rows if row["best"] == "1"][-1:]
    below.plot(
        [step for step, _ in best],
        [value for _, value in best],
        "o",
        color="C3",
        markersize=5 * k,
        label="best, kept",
    )
    below.axhline(1, color="0.6", linewidth=0.8 * k, linestyle="--")
    values = column("skill")[1]
    if values:  # what begins far above 1 would hide what comes later
        below.set_ylim(
            min(*values, 1.0) - 0.05, min(max(*values, 1.05), 3 * min(*values, 1.0)) + 0.05
        )
    below.set_ylabel("validation MAE /\ntraining-free MAE", fontsize=9 * k)
    below.set_xlabel("step", fontsize=9 * k)
    below.legend(frameon=False, fontsize=style.points(8 * k))
    for axes in (above, below):
        axes.tick_params(which="both", labelsize=style.points(8 * k), width=0.7 * k)
        axes.tick_params(length=3 * k, labelbottom=axes is below)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=int(wide / k / 0.7), integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    return sheet.figure


def draw_curve(folder: str | Path) -> Path:
    """Draw :func:`training_figure` as ``curve.png`` into the training's folder.

    Raises:
        InputError: see :func:`training_figure`.
        OutputError: the picture cannot be written.
    """
    path = Path(folder) / CURVE
    figure = training_figure(folder)
    with os_errors_explained(path):
        figure.savefig(path, dpi=100)
    return path
