"""Maps of stations, coloured by number of values or by correlation with a field (Fig. 1 of the paper)."""

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
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepcams.files.towns import cities
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of
from deepcams.plotting.maps import TICKS, inches, show_flat
from deepcams.plotting.outlines import land, on_paper
from deepcams.plotting.projection import View, into_turn

Colour = Literal["n", "R"]

# Inches of text size 1.
_MARGINS = 0.6, 0.15, 0.55
_LEAST, _TITLE, _WIDE = 2.0, 0.26, 6.5

_TOWNS_BELOW = 40.0  # degrees: narrower views name some towns
_TOWNS = 7  # at most
_HIDDEN = 3
"""Maximum number of stations that a town's name may cover; otherwise the name is omitted."""
_PLACES = np.array(
    [(1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1)]
)
"""Positions of a name relative to its town; the first of those that cover the fewest dots is used."""
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
    """Draw one map for each year, on one scale.

    Args:
        latitude, longitude: (stations,), degrees.
        values: (stations,) values of the dots, by title of the map; dots with NaN, or a count of 0, are not drawn.
        colour: ``n`` (counts, logarithmic) or ``R`` (-1..1).
        title, note: texts above the maps.
        label: label of the scale; default by ``colour``.
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.
        credit: the source line.
    """
    shown = {
        name: np.isfinite(latitude) & np.isfinite(each) & ((each > 0) | (colour == "R"))
        for name, each in values.items()
    }
    every = np.logical_or.reduce(list(shown.values()))
    view = view_of(latitude[every], longitude[every])
    drawn = [each[shown[name]] for name, each in values.items()]
    norm = _norm(np.concatenate(drawn), colour)
    paper, across = size_of(size), 1
    if view.height >= 0.62 and len(values) > 1:
        room = paper.width / paper.text - sum(_MARGINS[:2])
        across = min(len(values), 3, max(int(room / (_LEAST + _MARGINS[2])), 1))
    rows = [Row(_TITLE, view.height, TICKS)] * -(-len(values) // across)
    widest = _WIDE if across == 1 and view.height > 0.62 else np.inf
    texts = Texts(title, note, credit)
    sheet = Sheet(paper, texts, rows, across, _MARGINS, foot=0.85, widest=widest)
    east = view.west + (longitude - view.west) % 360
    with own_style(sheet.k):
        k, wide, tall = sheet.k, sheet.wide, sheet.wide * view.height
        for number, (name, each) in enumerate(values.items()):
            axes = sheet.axes(*divmod(number, across))
            _draw_ground(axes, view, k)
            if view.east - view.west < _TOWNS_BELOW and wide > 2.5 * k:
                _name_towns(axes, view, k, east[every], latitude[every])
            chosen = np.flatnonzero(shown[name])
            chosen = chosen[np.argsort(each[chosen], kind="stable")]
            area = np.clip(
                2600 * wide * tall / 25 / max(chosen.size, 1), 5 * k**2, 42 * k**2
            )
            dots = axes.scatter(
                east[chosen],
                latitude[chosen],
                c=each[chosen],
                s=float(area),
                norm=norm,
                cmap=colormaps["viridis"],
                edgecolors="black",
                linewidths=(0.35 if area > 9 * k**2 else 0.2) * k,
                zorder=3,
            )
            sheet.title(axes, f"{name}: {chosen.size:,} stations")
        _add_bar(sheet, dots, norm, drawn, label or _NAMES[colour], colour)
    return sheet.figure


def _add_bar(
    sheet: Sheet,
    dots: PathCollection,
    norm: Normalize,
    drawn: list[np.ndarray],
    label: str,
    colour: Colour,
) -> None:
    """Add the colour bar."""
    bar = sheet.colorbar(dots, label, extend=style.extend(norm, drawn))
    if isinstance(norm, LogNorm):
        bar.set_ticks(style.concentration_ticks(norm))
    elif colour == "n":
        bar.ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _norm(known: np.ndarray, colour: Colour) -> Normalize:
    if colour == "R":
        low = float(np.quantile(known, 0.05)) if known.size else 0.0
        return Normalize(min(0.0, max(-1.0, np.floor(low * 5) / 5)), 1.0)
    low, high = (float(known.min()), float(known.max())) if known.size else (1.0, 10.0)
    if high > 20 * low:
        return LogNorm(max(low, 1.0), high)
    return Normalize(0.0, high)


def view_of(latitude: np.ndarray, longitude: np.ndarray) -> View:
    """Return a view of all stations with a margin, with the longitude offset in which they are closest together."""
    if not latitude.size:
        return View(-180.0, -60.0, 180.0, 85.0)
    ordered = np.sort(longitude % 360)
    gaps = np.diff(np.append(ordered, ordered[0] + 360))
    widest = int(np.argmax(gaps))
    west = float(ordered[(widest + 1) % ordered.size])
    width = 360.0 - float(gaps[widest])
    south, north = float(latitude.min()), float(latitude.max())
    if width > 200:
        south, north = (
            max(min(south - 4, -56.0), -90.0),
            min(max(north + 4, 76.0), 90.0),
        )
        return View(-180.0, south, 180.0, north)
    margin = max(0.06 * max(width, north - south), 0.6)
    west, width = west - margin, width + 2 * margin
    south, north = max(south - margin, -90.0), min(north + margin, 90.0)
    least = 0.6 * (north - south)  # a narrow strip has no space for labels
    if width < least:
        west, width = west - (least - width) / 2, least
    west = (west + 180) % 360 - 180
    return View(west, south, west + width, north)


def _draw_ground(axes: Axes, view: View, k: float) -> None:
    """Draw land, coasts, borders and degrees."""
    axes.set_facecolor("#e9f0f5")
    rings = land(view)
    if rings:
        ground = Path.make_compound_path(*map(Path, rings))
        axes.add_patch(PathPatch(ground, facecolor="#f4f2ec", linewidth=0, zorder=0))
    for lines, colour, width in (
        (on_paper("coasts", view), "0.45", 0.6 * k),
        (on_paper("borders", view), "0.6", 0.4 * k),
    ):
        collection = LineCollection(lines, colors=colour, linewidths=width, zorder=1)
        axes.add_collection(collection, autolim=False)
    show_flat(axes, view, k)


@lru_cache(maxsize=1)
def _towns() -> list[tuple[str, float, float]]:
    """Return name, longitude and latitude of all towns, the largest first."""
    known = cities()
    columns = known.name, known.longitude, known.latitude
    order = np.argsort(-known.population, kind="stable")
    return list(zip(*(column[order].tolist() for column in columns), strict=True))


def _name_towns(
    axes: Axes, view: View, k: float, east: np.ndarray, latitude: np.ndarray
) -> None:
    """Name the largest towns of a map, behind the stations; each where it covers the fewest dots, or not at all.

    Args:
        axes, view: the map.
        k: scale factor of all text.
        east, latitude: coordinates of the dots, degrees, with the view's longitude offset.
    """
    # Positions and sizes are in inches of text size 1 from the map's lower left corner.
    size = inches(axes) / k
    low = np.array([view.west, view.south])
    per_degree = size / (view.east - view.west, view.north - view.south)
    taken = (np.stack([east, latitude], axis=1) - low) * per_degree
    named: list[np.ndarray] = []
    for name, town_east, town_north in _towns():
        degrees = into_turn(town_east, view.west), town_north
        place = (degrees - low) * per_degree
        near = any((abs(place - other) < (0.22, 0.08) * size).all() for other in named)
        if near or not ((place > 0) & (place < size)).all():
            continue
        long = 0.065 * len(name) + 0.02
        extent = np.array([long, 0.12])
        corners = place - extent / 2 + _PLACES * (extent / 2 + 0.04)
        fits = ((corners > 0.03) & (corners + extent < size - 0.03)).all(axis=1)
        over = (taken > corners[:, None] - 0.04) & (
            taken < corners[:, None] + extent + 0.04
        )
        hidden = np.where(fits, over.all(axis=2).sum(axis=1), _HIDDEN + 1)
        best = int(hidden.argmin())
        if hidden[best] > _HIDDEN:
            continue
        named.append(place)
        # Later names avoid this one, too: it counts as dots below all its letters.
        letters = corners[best] + [
            (step * 0.05, 0.07) for step in range(int(long / 0.05) + 1)
        ]
        taken = np.concatenate([taken, np.repeat(letters, 9, axis=0)])
        axes.plot(*degrees, marker="s", markersize=2.4 * k, color="0.2", zorder=2)
        axes.annotate(
            name,
            tuple(corners[best] / size),
            xycoords="axes fraction",
            fontsize=7.5 * k,
            color="0.15",
            va="bottom",
            zorder=2,
            path_effects=[withStroke(linewidth=1.8 * k, foreground="white")],
        )
        if len(named) == _TOWNS:
            return
