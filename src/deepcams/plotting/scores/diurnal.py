"""The mean diurnal cycle at stations: observed, and of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of

_COLOURS = {"observed": "black", "field": style.OURS, "original": style.ORIGINAL}


@dataclass(frozen=True)
class Cycle:
    """One line of the figure.

    Attributes:
        name: name in the legend.
        kind: ``observed``, ``field`` or ``original``, which determines the colour.
        mean: (24,), ug m-3, for the hours 0-1, 1-2, .. 23-24; NaN where undefined.
        dashed: draw a dashed line.
        spread: (24,), half-width of the 95 % interval of the mean, drawn as a band; or ``None``.
    """

    name: str
    kind: str
    mean: np.ndarray
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
        cycles: lines to draw.
        title, note: texts above the axes.
        species: display name for the axis label.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.
        credit: the source line.
    """
    texts = Texts(title, note, credit)
    rows = [Row(above=0.05, tall=2.8)]
    paper = size_of(size).at_most(6.6)
    sheet = Sheet(paper, texts, rows, margins=(0.62, 0.18, 0.0), foot=0.51)
    # The cycle is periodic: the last hours are also drawn before the day, the first ones after it.
    hours = np.arange(-2, 26) + 0.5
    with own_style(sheet.k):
        axes, k = sheet.axes(0), sheet.k
        for cycle in cycles:
            colour = _COLOURS[cycle.kind]
            mean = np.pad(cycle.mean, 2, mode="wrap")
            line = (0, (4, 2)) if cycle.dashed else "-"
            axes.plot(
                hours, mean, c=colour, label=cycle.name, lw=1.8 * k, ls=line, zorder=3
            )
            if cycle.spread is not None:
                spread = np.pad(cycle.spread, 2, mode="wrap")
                band = mean - spread, mean + spread
                axes.fill_between(
                    hours, *band, color=colour, alpha=0.13, linewidth=0, zorder=1
                )
        axes.set_xlim(0, 24)
        axes.set_xticks(range(0, 25, 3))
        low, high = axes.get_ylim()
        axes.set_ylim(max(low - 0.05 * (high - low), 0), high + 0.08 * (high - low))
        axes.set_xlabel("local mean solar time (hours)")
        axes.set_ylabel(f"{style.species_text(species)} ({style.UNITS_TEXT})")
        axes.yaxis.set_major_formatter(style.NUMBERS)
        style.open_axes(axes, k)
        axes.legend()
    return sheet.figure
