"""Taylor's diagram (2001, doi 10.1029/2000JD900719): correlation, standard deviation and centred error in one point.

A point's distance from the origin is the ratio of the modelled to the observed standard deviation, its angle follows
from R, and its distance from the observed point (1 on the axis) is the centred RMSE divided by the observed standard
deviation. The diagram does not show the bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc

from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of

_COLOURS = {"field": style.OURS, "original": style.ORIGINAL}
_RAYS = 0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99
_PALE, _ERROR = "0.82", "#3d8b60"
_LEAST, _FARTHEST = 1.25, 4.0
"""Minimum and maximum end of the axes; points beyond are drawn at the edge, with their ratio in the name."""


@dataclass(frozen=True)
class TaylorPoint:
    """One product on one set of pairs.

    Attributes:
        name: name in the legend.
        kind: ``field`` or ``original``, which determines the colour.
        ratio: modelled divided by observed standard deviation.
        r: correlation.
        hollow: draw only the marker's edge.
    """

    name: str
    kind: str
    ratio: float
    r: float
    hollow: bool = False


def taylor_figure(
    points: Sequence[TaylorPoint],
    *,
    title: str = "",
    note: str = "",
    size: str = "screen",
    credit: str = "",
) -> Figure:
    """Draw points in a quarter circle, or in a half circle if a correlation is negative.

    Args:
        points: points to draw; all values must be defined.
        title, note: texts above the axes.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.
        credit: the source line.
    """
    half = any(point.r < 0 for point in points)
    farthest = max((point.ratio for point in points), default=1.0)
    top = min(max(math.ceil(farthest * 1.05 * 4) / 4, _LEAST), _FARTHEST)
    paper = size_of(size).at_most(6.2 if half else 4.9)
    sheet = Sheet(
        paper,
        Texts(title, note, credit),
        [Row(above=0.28, slope=0.5 if half else 1.0)],
        margins=(0.62, 0.5, 0.0),
        foot=0.5 + 0.165 * len(points),
    )
    with own_style(sheet.k):
        axes, k = sheet.axes(0), sheet.k
        _frame(axes, top, half, k)
        for point in points:
            _mark(axes, point, top, k)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.42 * k / sheet.tall(sheet.rows[0])),
            ncols=1,
            borderaxespad=0,
            handletextpad=0.4,
            labelspacing=0.35,
        )
    return sheet.figure


def _mark(axes: Axes, point: TaylorPoint, top: float, k: float) -> None:
    """Draw a point; if beyond the axes, at their edge, with its ratio in the name."""
    far = point.ratio > top
    radius = min(point.ratio, top)
    name = f"{point.name}: R {point.r:.2f}, ratio {point.ratio:.2f}"
    colour = _COLOURS[point.kind]
    axes.plot(
        radius * point.r,
        radius * math.sqrt(max(1 - point.r**2, 0.0)),
        marker="^" if far else {"field": "o", "original": "s"}[point.kind],
        # Larger, so that it stays visible behind another of its kind.
        markersize=(9 if point.hollow else 6) * k,
        markeredgewidth=1.4 * k,
        markeredgecolor=colour,
        markerfacecolor="none" if point.hollow else colour,
        linestyle="none",
        label=name.replace("-", style.MINUS),
        clip_on=False,
        zorder=4,
    )


def _frame(axes: Axes, top: float, half: bool, k: float) -> None:
    """Draw the grid: arcs of equal ratio and of equal centred error, rays of equal correlation."""
    axes.set_xlim(-top if half else 0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    for side in ("top", "right", *(("left",) if half else ())):
        axes.spines[side].set_visible(False)
    end = 180 if half else 90
    thin: dict[str, Any] = {"lw": 0.7 * k, "zorder": 1}
    step = 0.5 if top > 1.5 else 0.25
    ratios = np.arange(step, top + 1e-9, step)
    for ratio in ratios:
        whole = abs(ratio - 1) < 1e-9
        look = {"color": "0.35", "ls": (0, (4, 3))} if whole else {"color": _PALE}
        axes.add_patch(
            Arc((0, 0), 2 * ratio, 2 * ratio, theta1=0, theta2=end, **look, **thin)
        )
    axes.add_patch(
        Arc((0, 0), 2 * top, 2 * top, theta1=0, theta2=end, color="0.2", lw=0.9 * k)
    )
    _errors(axes, top, half, k)
    rays = sorted({*_RAYS, *(-r for r in _RAYS)} if half else _RAYS)
    for r in rays:
        up = math.sqrt(1 - r**2)
        axes.plot([0, top * r], [0, top * up], color=_PALE, **thin)
        axes.text(
            1.015 * top * r,
            1.015 * top * up,
            f"{r:g}".replace("-", style.MINUS),
            fontsize=7.5 * k,
            ha="left" if r > 0.1 else "right" if r < -0.1 else "center",
            va="center" if abs(r) > 0.7 else "bottom",
        )
    turn = 0.72
    axes.text(
        1.13 * top * turn,
        1.13 * top * turn,
        "correlation",
        fontsize=9 * k,
        rotation=-45,
        ha="center",
        va="center",
    )
    axes.plot(1, 0, marker="*", color="black", markersize=10 * k, clip_on=False)
    axes.set_xticks(np.r_[-ratios[::-1], 0, ratios] if half else np.r_[0, ratios])
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel("standard deviation / observed (★: observed)")
    if half:
        axes.set_yticks([])
        return
    axes.set_yticks(np.r_[0, ratios])
    axes.yaxis.set_major_formatter(style.NUMBERS)
    axes.set_ylabel("standard deviation / observed")


def _errors(axes: Axes, top: float, half: bool, k: float) -> None:
    """Draw arcs of equal centred error around the observed point, with their values."""
    angle = np.linspace(0, math.pi, 361)
    for error in np.arange(0.5, top + 1, 0.5):
        x, y = 1 + error * np.cos(angle), error * np.sin(angle)
        inside = (np.hypot(x, y) <= top) & (x >= (-top if half else 0))
        # Short pieces at the edge are omitted.
        if inside.sum() * error * math.pi / 360 < 0.35 * top:
            continue
        # The part inside the outer arc is contiguous: the left part of the circle.
        axes.plot(
            x[inside], y[inside], color=_ERROR, ls=(0, (1, 2)), lw=0.9 * k, zorder=1
        )
        named = inside & (np.hypot(x, y) <= 0.93 * top)
        at = np.flatnonzero(named)[np.argmin(abs(angle[named] - 0.62 * math.pi))]
        axes.text(
            x[at],
            y[at],
            f"{error:g}",
            fontsize=7 * k,
            color=_ERROR,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            zorder=2,
        )
