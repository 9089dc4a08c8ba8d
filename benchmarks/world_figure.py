"""The simulated world beside real hours: spectra, quantiles and hour-to-hour changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from deepcams.core.field import grid_of
from deepcams.plotting import style
from deepcams.plotting.maps import draw_map
from deepcams.plotting.projection import View

_REAL, _MARKS = "black", "os^Dv"
_COLOURS = (
    "#2878b5",
    "#c8386a",
    "#2f9e6e",
    "#e0912f",
    "#7a57a8",
)  # of latitude bands, told apart by order too


@dataclass(frozen=True)
class Statistics:
    """What is compared of one region's hours.

    Attributes:
        waves: (n,) number of waves round the globe.
        spectra: latitude band (its name) -> (n,) zonal power of log PM2.5 per wave number.
        quantiles: (m,) ug m-3, at the levels that all compared statistics share.
        changes: name of a change or error -> mean absolute difference of log PM2.5.
    """

    waves: np.ndarray
    spectra: Mapping[str, np.ndarray]
    quantiles: np.ndarray
    changes: Mapping[str, float]


def world_figure(
    frames: Mapping[str, xr.DataArray],
    regions: Mapping[str, tuple[Statistics, Sequence[Statistics]]],
    levels: Sequence[float],
    days: Mapping[str, tuple[np.ndarray, Sequence[np.ndarray]]],
) -> Figure:
    """Maps above; below them a row a region (spectra, quantiles, changes), and a row of mean days.

    Args:
        frames: title -> canonical field of one time, drawn side by side; of one grid.
        regions: title -> the real hours' statistics, and those of each simulated world.
        levels: of the quantiles, 0..1.
        days: title -> the real relative mean day, (24,), and that of each simulated world.
    """
    width, height, top = 9.6, 4.2 + 2.95 * len(regions) + 2.5, 3.85
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    _maps(figure, frames, top)
    for row, (title, (real, worlds)) in enumerate(regions.items()):
        bottom = height - top - 0.2 - 2.95 * (row + 1) + 0.5
        panels = [
            figure.add_axes(
                (left / width, bottom / height, 2.42 / width, 1.95 / height)
            )
            for left in (0.68, 3.85, 7.02)
        ]
        figure.text(
            0.08 / width,
            (bottom + 2.25) / height,
            title,
            fontsize=10,
            fontweight="bold",
        )
        _spectra(panels[0], real, worlds)
        _quantiles(panels[1], real, worlds, levels)
        _changes(panels[2], real, worlds)
    figure.text(
        0.08 / width,
        2.4 / height,
        "Mean day, PM relative to its mean",
        fontsize=10,
        fontweight="bold",
    )
    each = (width - 0.68 - 0.15) / len(days)
    for k, (title, (day, others)) in enumerate(days.items()):
        left = 0.68 + k * each
        axes = figure.add_axes(
            (left / width, 0.55 / height, (each - 0.12) / width, 1.5 / height)
        )
        _mean_day(axes, title, day, others, first=k == 0)
    return figure


def _mean_day(
    axes: Axes, title: str, real: np.ndarray, worlds: Sequence[np.ndarray], first: bool
) -> None:
    hours = np.arange(24) + 0.5
    for k, world in enumerate(worlds):
        axes.plot(
            hours,
            world,
            color=_COLOURS[0],
            linewidth=1,
            alpha=0.65,
            label="simulated worlds" if k == 0 else None,
        )
    axes.plot(hours, real, color=_REAL, linewidth=1.6, label="real")
    _settle(axes, "local solar hour", "", title)
    axes.set_xlim(0, 24)
    axes.set_xticks([0, 6, 12, 18, 24])
    axes.set_ylim(0, 2.5)
    axes.tick_params(labelleft=first)
    axes.title.set_fontsize(8.5)
    if first:
        axes.legend(fontsize=6.5, frameon=False, loc="upper right", borderaxespad=0.1)


def _maps(figure: Figure, frames: Mapping[str, xr.DataArray], top: float) -> None:
    width, height = figure.get_size_inches()
    values = [frame.values[0] for frame in frames.values()]
    colours = style.ColourScale.of_concentrations("log", values, "pm2p5")
    each = (width - 0.55 - 0.85) / len(frames)
    image = None
    for k, (title, frame) in enumerate(frames.items()):
        grid = grid_of(frame)
        west = float(grid.longitudes[0])
        view = View(west, -80, west + grid.columns * grid.step, 80)
        axes = figure.add_axes(
            (
                (0.5 + k * (each + 0.1)) / width,
                (height - top + 0.05) / height,
                each / width,
                (top - 0.35) / height,
            )
        )
        image = draw_map(axes, frame.values[0], grid, view, colours)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelsize=7.5, labelleft=k == 0)
    assert image is not None
    bar = figure.add_axes(
        (
            (width - 0.72) / width,
            (height - top + 0.35) / height,
            0.11 / width,
            (top - 0.9) / height,
        )
    )
    scale = figure.colorbar(
        image,
        cax=bar,
        extend=colours.extend,
        ticks=style.concentration_ticks(colours.norm),
    )
    scale.ax.yaxis.set_major_formatter(style.NUMBERS)
    scale.ax.yaxis.set_minor_formatter(NullFormatter())
    scale.ax.tick_params(labelsize=7.5)
    scale.ax.set_title(style.UNITS_TEXT, fontsize=7.5)


def _settle(axes: Axes, across: str, up: str, title: str) -> None:
    axes.set_xlabel(across, fontsize=8.5, labelpad=2)
    axes.set_ylabel(up, fontsize=8.5, labelpad=2)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7.5)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _spectra(axes: Axes, real: Statistics, worlds: Sequence[Statistics]) -> None:
    """Each band two decades below the one before, so that none lies upon another."""
    for k, (name, power) in enumerate(real.spectra.items()):
        shift, colour = 10.0 ** (-2 * k), _COLOURS[k]
        mean = np.exp(
            np.mean([np.log(world.spectra[name]) for world in worlds], axis=0)
        )
        axes.loglog(
            real.waves,
            power * shift,
            color=_REAL,
            linewidth=1.1,
            label="real" if k == 0 else None,
        )
        axes.loglog(
            real.waves,
            mean * shift,
            color=colour,
            linewidth=1.6,
            linestyle=(0, (3, 1.2)),
            label=name,
        )
    _settle(axes, "waves round the globe", "power of log PM, shifted", "Zonal spectra")
    axes.set_xticks([10, 20, 40, 100, 200, 400, 700])
    axes.xaxis.set_major_formatter(style.NUMBERS)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(
        fontsize=6.5,
        frameon=False,
        loc="lower left",
        handlelength=2.2,
        labelspacing=0.25,
        borderaxespad=0.1,
    )


def _quantiles(
    axes: Axes, real: Statistics, worlds: Sequence[Statistics], levels: Sequence[float]
) -> None:
    both = np.concatenate([real.quantiles, *(world.quantiles for world in worlds)])
    ends = both.min() / 1.4, both.max() * 1.4
    axes.loglog(ends, ends, color="0.6", linewidth=1, zorder=1)
    for world in worlds:
        axes.loglog(
            real.quantiles,
            world.quantiles,
            "-o",
            color=_COLOURS[0],
            markersize=3,
            linewidth=0.8,
            alpha=0.65,
        )
    mean = np.exp(np.mean([np.log(world.quantiles) for world in worlds], axis=0))
    for k, level in enumerate(levels):
        if level in (0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999):
            axes.annotate(
                f"{100 * level:g}",
                (real.quantiles[k], mean[k]),
                xytext=(5, -9),
                textcoords="offset points",
                fontsize=6.5,
                color="0.25",
            )
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(style.NUMBERS)
        axis.set_minor_formatter(NullFormatter())
    _settle(
        axes,
        f"real, {style.UNITS_TEXT}",
        f"simulated, {style.UNITS_TEXT}",
        "Quantiles (per cent)",
    )


def _changes(axes: Axes, real: Statistics, worlds: Sequence[Statistics]) -> None:
    names = list(real.changes)
    for k, name in enumerate(names):
        found = [world.changes[name] for world in worlds]
        axes.plot(
            np.full(len(found), k + 0.14),
            found,
            "o",
            color=_COLOURS[0],
            markersize=4,
            alpha=0.75,
            label="simulated worlds" if k == 0 else None,
        )
        axes.plot(
            [k - 0.14],
            [real.changes[name]],
            "D",
            color=_REAL,
            markersize=5,
            label="real" if k == 0 else None,
        )
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(0, 1.25 * axes.dataLim.ymax)
    _settle(
        axes,
        "change over 1 to 3 h, error across a 3 h gap",
        "mean |Δ log PM|",
        "Hour-to-hour changes",
    )
    axes.legend(
        fontsize=7,
        frameon=False,
        loc="upper left",
        handletextpad=0.2,
        borderaxespad=0.1,
    )
