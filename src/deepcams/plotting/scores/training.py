"""Training curves: loss and validation by step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepcams.core.errors import InputError
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, save, size_of

LOG, CURVE = "log.csv", "curve.png"


def training_figure(folder: str | Path, size: str = "screen") -> Figure:
    """Draw a training's ``log.csv``: loss, and validation MAE relative to the best training-free method.

    Args:
        folder: folder of the training.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.

    Raises:
        InputError: the log does not exist, or is still empty.
    """
    path = Path(folder) / LOG
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        expected = f"a training's folder, with {LOG}"
        raise InputError(folder, expected, error.strerror or error) from error
    if not rows:
        raise InputError(path, "at least one step", "none yet")
    loss = _column(rows, "loss")
    skill = _column(rows, "skill")
    best = _column([row for row in rows if row["best"] == "1"][-1:], "skill")
    paper = size_of(size).at_most(7.0)
    tall = min(2.5, (paper.tallest / paper.text - 0.9) / 2)
    places = [Row(0.05, tall=tall, below=0.2), Row(0.0, tall=tall)]
    sheet = Sheet(paper, Texts(), places, margins=(0.85, 0.25, 0.0), foot=0.5)
    with own_style(sheet.k):
        above, below, k = sheet.axes(0), sheet.axes(1), sheet.k
        above.sharex(below)
        _draw_loss(above, loss, k)
        _draw_skill(below, skill, best, k)
        above.tick_params(labelbottom=False)
        for axes in (above, below):
            axes.xaxis.set_major_locator(
                MaxNLocator(int(sheet.wide / k / 0.7), integer=True)
            )
            axes.xaxis.set_major_formatter(
                FuncFormatter(lambda step, _: f"{step:,.0f}")
            )
    return sheet.figure


def _column(rows: list[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    """Return the steps and finite values of a column; fresh weights may give non-finite ones."""
    found = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
    found = [(step, value) for step, value in found if math.isfinite(value)]
    return [step for step, _ in found], [value for _, value in found]


def _draw_loss(axes: Axes, loss: tuple[list[int], list[float]], k: float) -> None:
    axes.plot(*loss, color="0.3", linewidth=k)
    positive = [value for value in loss[1] if value > 0]
    if positive and max(positive) > 5 * min(positive):
        style.logarithmic(axes)
    axes.yaxis.set_major_formatter(style.NUMBERS)
    axes.set_ylabel("training loss")


def _draw_skill(
    axes: Axes,
    skill: tuple[list[int], list[float]],
    best: tuple[list[int], list[float]],
    k: float,
) -> None:
    axes.plot(*skill, color="C0", marker=".", markersize=4 * k, linewidth=k)
    axes.plot(*best, "o", color="C3", markersize=5 * k, label="best, kept")
    axes.axhline(1, color="0.6", linewidth=0.8 * k, linestyle="--")
    if skill[1]:  # initial values far above 1 would hide later ones
        low, high = min(*skill[1], 1.0), max(*skill[1], 1.05)
        axes.set_ylim(low - 0.05, min(high, 3 * low) + 0.05)
    axes.set_ylabel("validation MAE /\ntraining-free MAE")
    axes.set_xlabel("step")
    axes.legend()


def draw_curve(folder: str | Path) -> Path:
    """Save :func:`training_figure` as ``curve.png`` in the training's folder.

    Raises:
        InputError: see :func:`training_figure`.
        OutputError: the picture cannot be written.
    """
    return save(training_figure(folder), Path(folder) / CURVE)
