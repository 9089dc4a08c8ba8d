"""Density scatter of a model against observations, with R, the fitted line and the 1:1 line (Fig. 6 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from deepcams.plotting import style
from deepcams.plotting.page import Sheet, legible, size_of, text_width, writing_height

COUNT_COLOURS = "viridis"
_SIDE, _LEAST, _GAP, _LEFT, _RIGHT, _FOOT, _TITLE = (
    2.9,
    1.5,
    0.3,
    0.72,
    0.18,
    1.12,
    0.3,
)  # inches of text size 1
_FIGURES, _WITHIN = 0.56, 2.2  # height of a panel's figures; panels as wide have them within
_NARROWEST = 4.3
_LEGEND = 1.4  # what the legend needs beside a title
_SQUARES = 80  # across a panel, at most
_BEYOND = 0.004  # share of the pairs that may lie beyond the axes


@dataclass(frozen=True)
class ScatterPanel:
    """One product in one year (or in all).

    Attributes:
        title: what it is.
        density: (side, side), numbers of pairs by observed (rows) and model value (columns), 1 ug m-3 each.
        n: all pairs, also those beyond ``density``.
        r, rmse, bias: over all of them; slope, intercept: least squares of the model on the observed.
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
    """Panels on common axes and one logarithmic scale of numbers.

    Args:
        rows: panels as they stand; rows of the same length.
        title, note: written above.
        species: for the axes.
        size: one of :data:`deepcams.plotting.page.SIZES`; rows that a paper is too narrow for are broken.
        credit: the source line.
    """
    paper = size_of(size)
    k = paper.text
    room = paper.width - (_LEFT + _RIGHT) * k
    fit = max(int((room + _GAP * k) / ((_LEAST + _GAP) * k)), 1)
    rows = [row[at : at + fit] for at in range(0, len(rows[0]), fit) for row in rows]
    across, down = max(map(len, rows)), len(rows)
    long = (_LEFT + _RIGHT) * k + min(across * (_SIDE + _GAP) * k, room)  # to the last panel's end
    beside = _LEFT * k + text_width(legible(title), 12.5 * k, bold=True) + _LEGEND * k < long
    over = 0.0 if beside else 0.2 * k
    high = paper.tallest - writing_height(paper, title, note, credit) - _FOOT * k - over
    side = min(_SIDE * k, (room - (across - 1) * _GAP * k) / across)
    within = (
        side >= _WITHIN * k
    )  # in small panels the figures would hide most of the pairs: they stand above
    head = (_TITLE + (0.0 if within else _FIGURES)) * k
    side = min(side, max(high / down - head, 0.9 * k))
    panels = [panel for row in rows for panel in row]
    top = _top(panels)
    each = max(math.ceil(top / _SQUARES), 1)
    blocks = [_squares(panel.density, each) for panel in panels]
    largest = max((int(block.max()) for block in blocks), default=1)
    norm = LogNorm(1, max(largest, 10))
    width = (
        paper.width if paper.fixed else (_LEFT + _RIGHT + (across - 1) * _GAP) * k + across * side
    )
    width = max(width, min(_NARROWEST * k, paper.width))  # room for the source line
    left = (width - across * side - ((across - 1) * _GAP - _LEFT + _RIGHT) * k) / 2
    body = down * (side + head) + _FOOT * k + over
    sheet = Sheet(paper, body, width=width, title=title, note=note, credit=credit, left=left / k)
    figure = sheet.figure
    species = species.replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")
    above = _above([block[: math.ceil(top / each), : math.ceil(top / each)] for block in blocks])
    mesh: QuadMesh | None = None
    drawn = iter(blocks)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            bottom = sheet.top - over - (i + 1) * (side + head)
            axes = sheet.axes(left + j * (side + _GAP * k), bottom, side, side)
            mesh = _draw(axes, panel, next(drawn), each, top, norm, above if within else None, k)
            lowest = not any(len(below) > j for below in rows[i + 1 :])
            axes.tick_params(
                labelleft=j == 0,
                labelbottom=lowest,
                labelsize=style.points(8 * k),
                length=2.5 * k,
                width=0.8 * k,
            )
            if j == 0:
                axes.set_ylabel(f"model {species} ({style.UNITS_TEXT})", fontsize=9 * k)
            if lowest:
                axes.set_xlabel(f"observed {species} ({style.UNITS_TEXT})", fontsize=9 * k)
    # One legend for all panels, above them: within one it would hide pairs.
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        lines,
        names,
        loc="upper right",
        ncols=len(names),
        fontsize=style.points(8 * k),
        frameon=False,
        bbox_to_anchor=(
            (left + across * side + (across - 1) * _GAP * k) / width,
            1 - 0.1 * k / sheet.height if beside else sheet.top / sheet.height,
        ),
        handlelength=1.8,
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.2,
    )
    assert mesh is not None
    long = min(width - (_LEFT + _RIGHT) * k, 4.5 * k)
    axes = sheet.axes((width - long) / 2, sheet.bottom + 0.42 * k, long, 0.12 * k)
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=style.points(8 * k), length=2.5 * k)
    bar.set_label(
        f"pairs in each square of {each} {style.UNITS_TEXT}", fontsize=9 * k, labelpad=2 * k
    )
    return figure


def _top(panels: Sequence[ScatterPanel]) -> float:
    """End of both axes: all but a few of each panel's pairs lie within, on either axis."""
    ends = [20.0]
    for panel in panels:
        for axis in (0, 1):
            part = np.cumsum(panel.density.sum(axis=axis))
            beyond = panel.n - part
            within = np.flatnonzero(beyond <= _BEYOND * panel.n)
            ends.append(float(within[0] + 1) if within.size else float(part.size))
    found = max(ends)
    return float(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]).tick_values(0, found)[-1])


def _squares(density: np.ndarray, each: int) -> np.ndarray:
    """Sum the counts over squares of ``each`` ug m-3."""
    size = density.shape[0] // each
    part = density[: size * each, : size * each]
    return np.asarray(part.reshape(size, each, size, each).sum(axis=(1, 3)))


def _above(blocks: Sequence[np.ndarray]) -> bool:
    """Whether the figures stand in the upper left corner, where the model is too high, or in the lower right one.

    They stand in the same corner of every panel: that which fewer pairs share with them.

    Args:
        blocks: numbers of pairs within the axes.
    """
    whole = np.sum(blocks, axis=0)
    side = whole.shape[0]
    model_high = whole[: side // 2, -(side // 3) :].sum()
    model_low = whole[side // 2 :, : side // 3].sum()
    return bool(model_high <= model_low)


def _draw(
    axes: Axes,
    panel: ScatterPanel,
    block: np.ndarray,
    each: int,
    top: float,
    norm: LogNorm,
    above: bool | None,
    k: float,
) -> QuadMesh:
    number = min(math.ceil(top / each), block.shape[0])
    edges = each * np.arange(number + 1)
    part = block[:number, :number]
    colours = colormaps[COUNT_COLOURS].with_extremes(bad="white")
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_equal(part.T, 0), norm=norm, cmap=colours)
    axes.plot(
        [0, top], [0, top], color="0.35", linewidth=0.9 * k, linestyle=(0, (4, 3)), label="1:1"
    )
    if math.isfinite(panel.slope):
        ends = np.array([0.0, top])
        axes.plot(
            ends,
            panel.intercept + panel.slope * ends,
            color="#d62728",
            linewidth=1.3 * k,
            label="fit",
        )
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_title(
        panel.title,
        fontsize=9.5 * k,
        loc="left",
        pad=(4 if above is not None else 4 + 72 * _FIGURES) * k,
    )
    beyond = panel.n - int(panel.density[: math.ceil(top), : math.ceil(top)].sum())
    sign = style.MINUS if panel.intercept < 0 else "+"
    lines = [
        f"R = {panel.r:.3f}".replace("-", style.MINUS)
        if math.isfinite(panel.r)
        else "R: not defined",
        f"RMSE = {panel.rmse:.1f}, bias = {panel.bias:+.1f}".replace("-", style.MINUS),
        f"y = {panel.slope:.2f} x {sign} {abs(panel.intercept):.1f}".replace("-", style.MINUS)
        if math.isfinite(panel.slope)
        else "no fit",
        f"n = {panel.n:,}" + (f" ({beyond:,} beyond)" if beyond else ""),
    ]
    if above is None:
        axes.annotate(
            "\n".join(lines),
            (0, 1),
            (0, 3 * k),
            xycoords="axes fraction",
            textcoords="offset points",
            va="bottom",
            fontsize=style.points(7.5 * k),
            linespacing=1.2,
        )
        return mesh
    axes.text(
        0.03 if above else 0.97,
        0.97 if above else 0.03,
        "\n".join(lines),
        transform=axes.transAxes,
        fontsize=style.points(7.5 * k),
        ha="left" if above else "right",
        va="top" if above else "bottom",
        linespacing=1.35,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.88, "pad": 1.5},
    )
    return mesh
