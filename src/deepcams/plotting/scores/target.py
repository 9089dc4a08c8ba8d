"""FAIRMODE's target diagram: stations by bias and centred error, both relative to the measurement uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of

_MET, _MISSED = style.ORIGINAL, style.OURS

# Inches of text size 1.
_MARGINS = 0.72, 0.18, 0.45
_HEAD, _FOOT, _WIDEST = 0.62, 0.51, 3.4

_LEAST, _FARTHEST = 1.5, 4.0
"""Minimum and maximum end of the axes; stations beyond are drawn at the edge as triangles, and counted."""


@dataclass(frozen=True)
class TargetPanel:
    """One product.

    Attributes:
        title: title of the panel.
        x, y: (stations,), centred error (negative if correlation dominates) and bias, divided by the measurement
            uncertainty; none missing.
        mqi_90: 90th percentile of the stations' indicator; ``None`` if undefined.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    mqi_90: float | None


def target_figure(
    panels: Sequence[TargetPanel],
    *,
    title: str = "",
    note: str = "",
    species: str = "PM2.5",
    size: str = "screen",
    credit: str = "",
) -> Figure:
    """Draw panels on common axes: a circle of radius 1, within which the objective is met, and one of radius 0.5.

    Args:
        panels: panels from the left; at least one.
        title, note: texts above the panels.
        species: display name for the note.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`; on narrow paper panels are stacked.
        credit: the source line.
    """
    paper = size_of(size)
    left, right, gap = _MARGINS
    room = paper.width / paper.text - left - right + gap
    across = min(len(panels), max(int(room / (1.9 + gap)), 1))
    number = math.ceil(len(panels) / across)
    rows = [Row(_HEAD, 1.0)] + [Row(_HEAD + _FOOT - 0.2, 1.0)] * (number - 1)
    words = f"{style.species_text(species)}, {note}" if note else ""
    sheet = Sheet(
        paper.at_most(across * (_WIDEST + gap) + left + right),
        Texts(title, words, credit),
        rows,
        across,
        _MARGINS,
        foot=_FOOT,
        widest=_WIDEST,
    )
    top = _top(panels)
    with own_style(sheet.k):
        for at, panel in enumerate(panels):
            row, column = divmod(at, across)
            axes = sheet.axes(row, column)
            _frame(axes, top, sheet.k)
            beyond = _points(axes, panel, top, sheet.k)
            sheet.title(axes, panel.title, 0.32)
            _figures(axes, panel, beyond, sheet.k)
            axes.tick_params(labelleft=column == 0)
            if column == 0:
                axes.set_ylabel("bias / (2 RMS$_U$)")
            if at + across >= len(panels):
                axes.set_xlabel("centred RMSE / (2 RMS$_U$)")
    return sheet.figure


def _top(panels: Sequence[TargetPanel]) -> float:
    """Return the end of all axes: a round number beyond the farthest station, within the limits."""
    farthest = max(
        float(abs(side).max(initial=0.0))
        for panel in panels
        for side in (panel.x, panel.y)
    )
    return min(max(math.ceil(farthest * 1.05 * 2) / 2, _LEAST), _FARTHEST)


def _frame(axes: Axes, top: float, k: float) -> None:
    """Draw the circles and axis lines, and label the two halves."""
    axes.set_xlim(-top, top)
    axes.set_ylim(-top, top)
    axes.set_aspect("equal")
    axes.add_patch(
        Circle((0, 0), 1, facecolor="0.93", edgecolor="0.2", lw=1.1 * k, zorder=0)
    )
    dashes = (0, (4, 3))
    axes.add_patch(
        Circle(
            (0, 0),
            0.5,
            facecolor="none",
            edgecolor="0.45",
            lw=0.8 * k,
            ls=dashes,
            zorder=1,
        )
    )
    for line in (axes.axhline, axes.axvline):
        line(0, color="0.6", linewidth=0.7 * k, zorder=1)
    look: dict[str, Any] = {
        "transform": axes.transAxes,
        "fontsize": 7 * k,
        "color": "0.3",
    }
    axes.text(
        0.015, 0.985, "correlation\nhas the larger part", ha="left", va="top", **look
    )
    axes.text(
        0.985,
        0.985,
        "standard deviation\nhas the larger part",
        ha="right",
        va="top",
        **look,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(style.NUMBERS)


def _points(axes: Axes, panel: TargetPanel, top: float, k: float) -> int:
    """Draw the stations; return the number beyond the axes."""
    far = (abs(panel.x) > top) | (abs(panel.y) > top)
    met = np.hypot(panel.x, panel.y) <= 1
    inner = 0.985 * top
    x, y = (np.clip(side, -inner, inner) for side in (panel.x, panel.y))
    look: dict[str, Any] = {
        "linewidths": 0.4 * k,
        "edgecolors": "white",
        "alpha": 0.9,
        "zorder": 3,
    }
    for chosen, colour, marker in (
        (met & ~far, _MET, "o"),
        (~met & ~far, _MISSED, "s"),
        (far, _MISSED, "^"),
    ):
        axes.scatter(x[chosen], y[chosen], s=16 * k**2, c=colour, marker=marker, **look)
    return int(far.sum())


def _figures(axes: Axes, panel: TargetPanel, beyond: int, k: float) -> None:
    """Write the indicator and the number of stations that meet the objective above a panel."""
    met = int((np.hypot(panel.x, panel.y) <= 1).sum())
    text = "MQI, 90 %: not defined"
    if panel.mqi_90 is not None:
        text = f"MQI, 90 % = {panel.mqi_90:.2f}, objective {'met' if panel.mqi_90 <= 1 else 'not met'}"
    second = f"{met:,} of {panel.x.size:,} stations within 1"
    if beyond:
        second += f" ({beyond:,} beyond the axes)"
    axes.text(
        0.0,
        1.02,
        f"{text}\n{second}",
        transform=axes.transAxes,
        fontsize=7.5 * k,
        ha="left",
        va="bottom",
        linespacing=1.25,
    )
