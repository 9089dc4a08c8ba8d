"""The mean diurnal cycle at stations: observed, and of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from deepcams.plotting import style
from deepcams.plotting.page import Sheet, Texts, size_of

_WIDTH, _TALL, _LEFT, _RIGHT, _FOOT = 6.6, 2.85, 0.62, 0.18, 0.55  # inches of text size 1
_COLOURS = {"observed": "black", "field": "#c8386a", "original": "#2878b5"}


@dataclass(frozen=True)
class Cycle:
    """One line.

    Attributes:
        name: what it is, for the legend.
        kind: ``observed``, ``field`` or ``original``: its colour.
        mean: (24,), ug m-3, for the hours 0-1, 1-2, .. 23-24; NaN where there is nothing.
        markers: draw points instead of a line.
        dashed: draw a dashed line.
        spread: (24,) half a 95 % interval of the mean, drawn as a band; or ``None``.
    """

    name: str
    kind: str
    mean: np.ndarray
    markers: bool = False
    dashed: bool = False
    spread: np.ndarray | None = None


def diurnal_figure(
    cycles: Sequence[Cycle],
    *,
    title: str = "",
    note: str = "",
    species: str = "PM2.5",
    size: str = "screen",
    credit: str = "",
) -> Figure:
    """Draw lines over the hours of the day, in local mean solar time.

    Args:
        cycles: what is drawn.
        title, note: written above.
        species: for the axis.
        size: one of :data:`deepcams.plotting.page.SIZES`.
        credit: the source line.
    """
    paper = size_of(size)
    k = paper.text
    width = paper.width if paper.fixed else min(_WIDTH * k, paper.width)
    texts = Texts(title, note, credit)
    sheet = Sheet(paper, (_TALL + _FOOT) * k, texts, width=width, left=_LEFT * k)
    wide = width - (_LEFT + _RIGHT) * k
    axes = sheet.axes(_LEFT * k, sheet.bottom + (_FOOT - 0.04) * k, wide, (_TALL - 0.05) * k)
    # The day goes on: its last hours are drawn before it too, its first ones after it.
    hours = np.arange(-2, 26) + 0.5
    for cycle in cycles:
        colour = _COLOURS[cycle.kind]
        mean = np.pad(cycle.mean, 2, mode="wrap")
        look: dict[str, Any] = {"linewidth": 1.8 * k, "zorder": 3}
        if cycle.markers:
            look = {"linestyle": "none", "marker": "o", "markersize": 4.5 * k, "zorder": 4}
            look["markerfacecolor"] = "white"
        elif cycle.dashed:
            look["linestyle"] = (0, (4, 2))
        axes.plot(hours, mean, color=colour, label=cycle.name, **look)
        if cycle.spread is not None:
            spread = np.pad(cycle.spread, 2, mode="wrap")
            band = mean - spread, mean + spread
            axes.fill_between(hours, *band, color=colour, alpha=0.13, linewidth=0, zorder=1)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low - 0.05 * (high - low), 0), high + 0.08 * (high - low))
    axes.set_xlabel("local mean solar time (hours)", fontsize=9 * k)
    axes.set_ylabel(f"{style.species_text(species)} ({style.UNITS_TEXT})", fontsize=9 * k)
    axes.yaxis.set_major_formatter(style.NUMBERS)
    axes.tick_params(labelsize=style.points(8.5 * k), length=3 * k)
    style.open_axes(axes, k)
    axes.legend(fontsize=style.points(8.5 * k), frameon=False, loc="best")
    return sheet.figure
