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
from matplotlib.ticker import LogFormatter, MaxNLocator

from deepcams.plotting import style

COUNT_COLOURS = "viridis"
_SIDE, _GAP, _LEFT, _RIGHT, _HEAD, _FOOT, _TITLE = 2.9, 0.3, 0.72, 0.18, 0.42, 1.12, 0.3  # inches
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
    rows: Sequence[Sequence[ScatterPanel]], *, title: str = "", note: str = "", species: str = "PM2.5"
) -> Figure:
    """Panels on common axes and one logarithmic scale of numbers.

    Args:
        rows: panels as they stand; rows of the same length.
        title, note: written above.
        species: for the axes.
    """
    across, down = len(rows[0]), len(rows)
    side = min(_SIDE, (10.5 - _LEFT - _RIGHT - (across - 1) * _GAP) / across) if across > 3 else _SIDE
    panels = [panel for row in rows for panel in row]
    top = _top(panels)
    each = max(math.ceil(top / _SQUARES), 1)
    blocks = [_squares(panel.density, each) for panel in panels]
    largest = max((int(block.max()) for block in blocks), default=1)
    norm = LogNorm(1, max(largest, 10))
    head = _HEAD + (0.2 if note else 0.0)
    width = _LEFT + across * side + (across - 1) * _GAP + _RIGHT
    height = head + down * (side + _TITLE) + _FOOT
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    species = species.replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")
    above = _above([block[: math.ceil(top / each), : math.ceil(top / each)] for block in blocks])
    mesh: QuadMesh | None = None
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            bottom = height - head - (i + 1) * (side + _TITLE)
            place = ((_LEFT + j * (side + _GAP)) / width, bottom / height, side / width, side / height)
            axes = figure.add_axes(place)
            mesh = _draw(axes, panel, blocks[i * across + j], each, top, norm, above)
            axes.tick_params(labelleft=j == 0, labelbottom=i == down - 1, labelsize=8, length=2.5)
            if j == 0:
                axes.set_ylabel(f"model {species} ({style.UNITS_TEXT})", fontsize=9)
            if i == down - 1:
                axes.set_xlabel(f"observed {species} ({style.UNITS_TEXT})", fontsize=9)
    figure.text(_LEFT / width, 1 - 0.14 / height, title, fontsize=12, fontweight="bold", va="top")
    figure.text(_LEFT / width, 1 - 0.4 / height, note, fontsize=8.5, va="top", color="0.25")
    # One legend for all panels, above them: within one it would hide pairs.
    lines, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        lines, names, loc="upper right", bbox_to_anchor=(1 - _RIGHT / width, 1 - 0.1 / height), ncols=len(names),
        fontsize=8, frameon=False, handlelength=1.8, borderpad=0, borderaxespad=0, columnspacing=1.2,
    )  # fmt: skip
    assert mesh is not None
    long = min(width - _LEFT - _RIGHT, 4.5)
    axes = figure.add_axes(((width - long) / 2 / width, 0.46 / height, long / width, 0.12 / height))
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")
    bar.ax.xaxis.set_major_formatter(LogFormatter(minor_thresholds=(0, 0)))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8, length=2.5)
    bar.set_label(f"pairs in each square of {each} {style.UNITS_TEXT}", fontsize=9, labelpad=2)
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
    axes: Axes, panel: ScatterPanel, block: np.ndarray, each: int, top: float, norm: LogNorm, above: bool
) -> QuadMesh:
    number = min(math.ceil(top / each), block.shape[0])
    edges = each * np.arange(number + 1)
    part = block[:number, :number]
    colours = colormaps[COUNT_COLOURS].with_extremes(bad="white")
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_equal(part.T, 0), norm=norm, cmap=colours)
    axes.plot([0, top], [0, top], color="0.35", linewidth=0.9, linestyle=(0, (4, 3)), label="1:1")
    if math.isfinite(panel.slope):
        ends = np.array([0.0, top])
        axes.plot(ends, panel.intercept + panel.slope * ends, color="#d62728", linewidth=1.3, label="fit")
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_title(panel.title, fontsize=9.5, loc="left", pad=4)
    beyond = panel.n - int(panel.density[: math.ceil(top), : math.ceil(top)].sum())
    sign = style.MINUS if panel.intercept < 0 else "+"
    lines = [
        f"R = {panel.r:.3f}".replace("-", style.MINUS),
        f"RMSE = {panel.rmse:.1f}, bias = {panel.bias:+.1f}".replace("-", style.MINUS),
        f"y = {panel.slope:.2f} x {sign} {abs(panel.intercept):.1f}",
        f"n = {panel.n:,}" + (f" ({beyond:,} beyond)" if beyond else ""),
    ]
    axes.text(
        0.03 if above else 0.97, 0.97 if above else 0.03, "\n".join(lines), transform=axes.transAxes, fontsize=7.5,
        ha="left" if above else "right", va="top" if above else "bottom", linespacing=1.35,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.88, "pad": 1.5},
    )  # fmt: skip
    return mesh
