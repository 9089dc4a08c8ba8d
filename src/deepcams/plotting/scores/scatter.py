"""Density scatter of a model against observations, with R, the fitted line and the 1:1 line (Fig. 6 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of

COUNT_COLOURS = "viridis"

# Inches of text size 1.
_MARGINS = 0.72, 0.18, 0.3
_SIDE, _LEAST, _TITLE = 2.9, 1.5, 0.3
_SCORES, _WITHIN = (
    0.56,
    2.2,
)  # height of a panel's scores; width from which they are inside
_LEGEND = 0.22

_CORNERS = {
    "above": (0.0, 1.02, "left", "bottom"),
    "upper left": (0.03, 0.97, "left", "top"),
    "lower right": (0.97, 0.03, "right", "bottom"),
}
"""Possible positions of a panel's scores, with their alignment."""

_SQUARES = 80  # maximum number across a panel
_BEYOND = 0.004  # fraction of pairs that may lie beyond the axes
_TICKS = [1, 2, 2.5, 5, 10]


@dataclass(frozen=True)
class ScatterPanel:
    """One product in one year (or in all).

    Attributes:
        title: title of the panel.
        density: (side, side), numbers of pairs by observed (rows) and modelled value (columns), in bins of 1 ug m-3.
        n: number of pairs, including those beyond ``density``.
        r, rmse, bias: scores over all pairs; slope, intercept: least-squares fit of modelled on observed values.
    """

    title: str
    density: np.ndarray
    n: int
    r: float
    rmse: float
    bias: float
    slope: float
    intercept: float


def scatter_figure(
    rows: Sequence[Sequence[ScatterPanel]],
    *,
    title: str = "",
    note: str = "",
    species: str = "PM2.5",
    size: str = "screen",
    credit: str = "",
) -> Figure:
    """Draw panels with common axes and one logarithmic scale of counts.

    Args:
        rows: rows of panels, all of the same length.
        title, note: texts above the panels.
        species: display name for the axis labels.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`; rows too wide for the paper are broken.
        credit: the source line.
    """
    paper = size_of(size)
    left, right, gap = _MARGINS
    room = paper.width / paper.text - left - right + gap
    across = min(len(rows[0]), max(int(room / (_LEAST + gap)), 1))
    rows = [
        row[at : at + across] for at in range(0, len(rows[0]), across) for row in rows
    ]
    axes_of = _CommonAxes.of([panel for row in rows for panel in row])
    head = _TITLE
    if (
        room / across - gap < _WITHIN
    ):  # in small panels the scores would hide most pairs
        axes_of, head = replace(axes_of, scores="above"), _TITLE + _SCORES
    places = [Row(head + _LEGEND, 1.0), *[Row(head, 1.0)] * (len(rows) - 1)]
    texts = Texts(title, note, credit)
    sheet = Sheet(paper, texts, places, across, _MARGINS, foot=1.2, widest=_SIDE)
    unit = f"{style.species_text(species)} ({style.UNITS_TEXT})"
    with own_style(sheet.k):
        for i, row in enumerate(rows):
            for j, panel in enumerate(row):
                axes = sheet.axes(i, j)
                mesh = axes_of.draw(sheet, axes, panel)
                lowest = not any(len(below) > j for below in rows[i + 1 :])
                axes.tick_params(labelleft=j == 0, labelbottom=lowest)
                if j == 0:
                    axes.set_ylabel(f"model {unit}")
                if lowest:
                    axes.set_xlabel(f"observed {unit}")
        # One legend above all panels: inside a panel it would hide pairs.
        sheet.figure.legend(
            *sheet.figure.axes[0].get_legend_handles_labels(),
            loc="upper right",
            ncols=2,
            bbox_to_anchor=(
                (sheet.start(across - 1) + sheet.wide) / sheet.width,
                sheet.top / sheet.height,
            ),
            borderpad=0,
            borderaxespad=0,
        )
        label = f"pairs in each square of {axes_of.each} {style.UNITS_TEXT}"
        bar = sheet.colorbar(mesh, label)
        bar.ax.xaxis.set_major_formatter(
            FuncFormatter(lambda number, _: f"{number:,.0f}")
        )
        bar.ax.minorticks_off()
    return sheet.figure


@dataclass(frozen=True)
class _CommonAxes:
    """The axes shared by all panels.

    Attributes:
        top: end of both axes, ug m-3.
        each: side of a square, ug m-3.
        norm: colour norm of the counts.
        scores: position of a panel's scores: corner ``upper left`` or ``lower right``, or ``above`` it.
    """

    top: float
    each: int
    norm: LogNorm
    scores: str

    @classmethod
    def of(cls, panels: Sequence[ScatterPanel]) -> _CommonAxes:
        """Return axes that contain all but a few of each panel's pairs."""
        ends = [20.0]
        for panel in panels:
            for axis in (0, 1):
                inside = np.cumsum(panel.density.sum(axis=axis))
                enough = np.flatnonzero(panel.n - inside <= _BEYOND * panel.n)
                ends.append(float(enough[0] + 1) if enough.size else float(inside.size))
        top = float(MaxNLocator(nbins=8, steps=_TICKS).tick_values(0, max(ends))[-1])
        each = max(math.ceil(top / _SQUARES), 1)
        counts = [_squares(panel.density, each) for panel in panels]
        largest = max(int(block.max()) for block in counts)
        # The scores are in the same corner of every panel: the one with fewer pairs.
        number = math.ceil(top / each)
        whole = np.sum([block[:number, :number] for block in counts], axis=0)
        side = whole.shape[0]
        upper_left = whole[: side // 2, -(side // 3) :].sum()
        lower_right = whole[side // 2 :, : side // 3].sum()
        corner = "upper left" if upper_left <= lower_right else "lower right"
        return cls(top, each, LogNorm(1, max(largest, 10)), corner)

    def draw(self, sheet: Sheet, axes: Axes, panel: ScatterPanel) -> QuadMesh:
        """Draw one panel."""
        k = sheet.k
        block = _squares(panel.density, self.each)
        number = min(math.ceil(self.top / self.each), block.shape[0])
        edges = self.each * np.arange(number + 1)
        counts = np.ma.masked_equal(block[:number, :number].T, 0)
        colours = colormaps[COUNT_COLOURS].with_extremes(bad="white")
        mesh = axes.pcolormesh(edges, edges, counts, norm=self.norm, cmap=colours)
        ends = np.array([0.0, self.top])
        dashes = (0, (4, 3))
        axes.plot(
            ends, ends, color="0.35", linewidth=0.9 * k, linestyle=dashes, label="1:1"
        )
        if math.isfinite(panel.slope):
            fitted = panel.intercept + panel.slope * ends
            axes.plot(ends, fitted, color="#d62728", linewidth=1.3 * k, label="fit")
        axes.set_xlim(0, self.top)
        axes.set_ylim(0, self.top)
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=6, steps=_TICKS))
        sheet.title(axes, panel.title, _SCORES if self.scores == "above" else 0.0)
        self._write_scores(axes, panel, k)
        return mesh

    def _write_scores(self, axes: Axes, panel: ScatterPanel, k: float) -> None:
        end = math.ceil(self.top)
        beyond = panel.n - int(panel.density[:end, :end].sum())
        r, fit = "R: not defined", "no fit"
        if math.isfinite(panel.r):
            r = f"R = {panel.r:.3f}"
        if math.isfinite(panel.slope):
            sign = "-" if panel.intercept < 0 else "+"
            fit = f"y = {panel.slope:.2f} x {sign} {abs(panel.intercept):.1f}"
        errors = f"RMSE = {panel.rmse:.1f}, bias = {panel.bias:+.1f}"
        number = f"n = {panel.n:,}" + (f" ({beyond:,} beyond)" if beyond else "")
        text = "\n".join([r, errors, fit, number]).replace("-", style.MINUS)
        x, y, across, up = _CORNERS[self.scores]
        axes.text(
            x,
            y,
            text,
            transform=axes.transAxes,
            fontsize=7.5 * k,
            ha=across,
            va=up,
            linespacing=1.25,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.88, "pad": 1.5},
        )


def _squares(density: np.ndarray, each: int) -> np.ndarray:
    """Sum the counts over squares of ``each`` ug m-3."""
    size = density.shape[0] // each
    part = density[: size * each, : size * each]
    return np.asarray(part.reshape(size, each, size, each).sum(axis=(1, 3)))
