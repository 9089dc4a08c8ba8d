"""Maps of fields: drawing of a frame with coasts, borders and degrees, and the figure of one map.

All functions return a :class:`matplotlib.figure.Figure` without pyplot: they work in notebooks, in threads and without
a display. Coasts and borders are part of the package; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepcams.core.field import clock, grid_of, moments
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import label
from deepcams.core.text import counted
from deepcams.core.times import DAY
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Texts, own_style, size_of
from deepcams.plotting.outlines import on_paper
from deepcams.plotting.projection import View, window, within
from deepcams.plotting.reading import frame_at, mean, times_in

if TYPE_CHECKING:
    import xarray as xr

_LEFT = 0.62  # left margin of a map, inches of text size 1
TICKS = 0.3
"""Height of the degree labels below a map, inches of text size 1."""
_LONG = 28 * DAY  # annual guidelines apply to longer means


Place = tuple[float, float]
"""Longitude and latitude, or a direction on paper."""


def draw_map(
    axes: Axes,
    values: np.ndarray,
    grid: Grid,
    view: View,
    scale: style.ColourScale,
    k: float = 1.0,
    degrees: tuple[bool, bool] = (True, True),
    around: bool = False,
) -> AxesImage:
    """Draw one frame with coasts and borders; every cell is a uniform patch, centred on its node.

    Args:
        axes: axes to draw in; limits and aspect are set.
        values: (rows, columns) on ``grid``; NaN is grey.
        grid: grid of the values, regional or global.
        view: area shown.
        scale: colour scale.
        k: scale factor of all text.
        degrees: whether latitudes and longitudes are labelled.
        around: whether the meridians of a polar cap are labelled outside it, which needs space, or inside.
    """
    is_flat = view.projection == "plate-carree"
    cells, extent = pixels(values, grid, view, pixels_across(axes))
    image = axes.imshow(
        scale.shown(cells),
        norm=scale.norm,
        cmap=scale.colours,
        origin="upper",
        extent=extent,
        # In other projections these are output pixels already: colouring them last is equivalent and faster.
        interpolation="antialiased" if is_flat else "nearest",
        interpolation_stage="rgba" if is_flat else "data",
    )
    wide = inches(axes)[0] / k
    thin = k * float(np.clip(wide / 2.5, 0.45, 1))  # lines would dominate small maps
    countries = 0.6 if view.east - view.west > 120 else 1.0
    _draw_lines(
        axes, on_paper("borders", view), 0.7 * countries * thin, 0.35 * countries * thin
    )
    _draw_lines(axes, on_paper("coasts", view), 1.3 * thin, 0.55 * thin)
    if is_flat:
        show_flat(axes, view, k, degrees)
    else:
        x0, x1, y0, y1 = view.extent
        axes.set_xlim(x0, x1)
        axes.set_ylim(y0, y1)
        axes.set_aspect(view.aspect)
        _draw_net(axes, view, image, k, degrees, around)
    return image


def inches(axes: Axes) -> np.ndarray:
    """Return width and height of axes, inches."""
    return np.array(axes.bbox.size) / axes.figure.dpi


def pixels_across(axes: Axes) -> int:
    """Return the width of axes at the default resolution, pixels."""
    return max(int(axes.bbox.width), 1)


def show_flat(
    axes: Axes, view: View, k: float, degrees: tuple[bool, bool] = (True, True)
) -> None:
    """Set limits, aspect and degree ticks of a plate carree map; ``degrees``: whether each axis is labelled."""
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.set_aspect(view.aspect)
    wide, tall = inches(axes) / k
    axes.set_xticks(_ticks(view.west, view.east, wide / 0.6, 0.2 / wide))
    axes.set_yticks(_ticks(view.south, view.north, tall / 0.4, 0.0))
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    axes.tick_params(labelleft=degrees[0], labelbottom=degrees[1])


def _draw_lines(axes: Axes, lines: list[np.ndarray], halo: float, ink: float) -> None:
    """Draw lines visible on light and dark backgrounds: dark ones on wider white ones."""
    for colour, width in (("white", halo), ("0.15", ink)):
        drawn = LineCollection(lines, colors=colour, linewidths=width, zorder=2)
        axes.add_collection(drawn, autolim=False)


def pixels(
    values: np.ndarray, grid: Grid, view: View, across: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return a frame as an image about ``across`` pixels wide, or as wide as its cells if these are fewer.

    Args:
        values: (rows, columns) on ``grid``; NaN is missing.
        grid: grid of the values, regional or global.
        view: area shown.
        across: width of the map, pixels.

    Returns:
        the image, northern edge first, and its extent (west, east, south, north) on paper.
    """
    places, extent, size = _places(grid, view, across)
    # The index of pixels off the map, -1, selects the last value.
    cells = np.append(
        _block_means(values, size).ravel(), np.array(np.nan, values.dtype)
    )
    return cells[places], extent


@lru_cache(maxsize=8)
def _places(
    grid: Grid, view: View, across: int
) -> tuple[np.ndarray, tuple[float, float, float, float], int]:
    """Return the block of cells each image pixel shows (row by row; -1: none), the extent, and the block size.

    In plate carree pixels are blocks; in other projections they are output pixels.
    """
    size = max(int((view.east - view.west) / grid.step / across), 1)
    x0, x1, y0, y1 = view.extent
    step = down = (x1 - x0) / across
    is_flat = view.projection == "plate-carree"
    if is_flat:
        step, down = size * grid.step, size * grid.row_step
        west, north = (
            (grid.west - 0.5) * grid.step,
            90 - (grid.north - 0.5) * grid.row_step,
        )
        x0 = west + step * np.floor((x0 - west) / step + 1e-6)
        y1 = north - down * np.floor((north - y1) / down + 1e-6)
    x = np.arange(x0 + step / 2, x1 + step * (0.5 - 1e-6), step)
    y = np.arange(y1 - down / 2, y0 - down * (0.5 - 1e-6), -down)
    longitude, latitude = np.meshgrid(x, y)
    if not is_flat:
        longitude, latitude = view.plane.inverse(longitude, latitude)
    with np.errstate(
        invalid="ignore"
    ):  # NaN becomes an arbitrary number, excluded below
        row = np.rint((90 - latitude) / grid.row_step).astype(np.int32) - grid.north
        column = (
            np.rint(longitude / grid.step).astype(np.int32) - grid.west
        ) % grid.around
    rows, columns = (-(-cells // size) for cells in grid.shape)
    row, column = row // size, column // size
    known = np.isfinite(latitude) & (row >= 0) & (row < rows) & (column < columns)
    extent = float(x0), float(x0 + step * x.size), float(y1 - down * y.size), float(y1)
    return np.where(known, row * columns + column, -1), extent, size


def _block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Return means of valid values over blocks of ``size`` x ``size`` cells; the last blocks may be smaller."""
    if size == 1:
        return values
    rows, columns = (-cells % size for cells in values.shape)
    padded = np.pad(values, ((0, rows), (0, columns)), constant_values=np.nan)
    shape = (padded.shape[0] // size, size, padded.shape[1] // size, size)
    known = np.isfinite(padded)
    total = np.where(known, padded, 0).reshape(shape).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / known.reshape(shape).sum(axis=(1, 3)), values.dtype)


def _ticks(low: float, high: float, most: float, edge: float) -> list[float]:
    """Return round degrees between two ends, except in the fraction ``edge`` at each, where labels would protrude."""
    span = high - low
    steps: list[float] = [1, 2, 5, 10]
    if span > 90:
        steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10]
    elif span > 25:
        steps = [1, 1.5, 2, 3, 5, 10]
    locator = MaxNLocator(nbins=int(np.clip(most, 2, 6)), steps=steps)
    near = min(edge, 0.25) * span
    found = [
        float(tick)
        for tick in locator.tick_values(low, high)
        if low + near <= tick <= high - near
    ]
    if (
        len(found) > 1 and found[1] - found[0] < 2.2 * edge * span
    ):  # labels would overlap
        return [found[len(found) // 2]]
    return found


def _draw_net(
    axes: Axes,
    view: View,
    image: AxesImage,
    k: float,
    degrees: tuple[bool, bool],
    around: bool,
) -> None:
    """Draw the border, which clips the map, and a graticule with its degrees."""
    plane = view.plane
    along = np.linspace(view.west, view.east, 361)
    up = np.linspace(view.south, view.north, 181)
    across = inches(axes)[0] / k
    per_inch = (view.extent[1] - view.extent[0]) / across
    side = _length(plane.points(view.west, up)) / per_inch
    edge = view.cap_edge if plane.polar else view.south
    foot = _length(plane.points(along, edge)) / per_inch
    meridians = _multiples(view.west, view.east, across if view.is_cap else foot / 0.62)
    parallels = _multiples(view.south, view.north, side / 0.3)
    if view.is_whole:  # the globe's seam has two ends
        inside = (meridians < view.east - 1e-6) & (
            plane.polar | (meridians > view.west + 1e-6)
        )
        meridians = meridians[inside]
    net = [plane.points(each, up) for each in meridians]
    net += [plane.points(along, each) for each in parallels]
    lines = LineCollection(
        net, colors="0.35", linewidths=0.35 * k, alpha=0.55, zorder=1.5
    )
    axes.add_collection(lines, autolim=False)
    border = Path(view.border)
    axes.add_patch(
        PathPatch(
            border,
            fill=False,
            linewidth=0.8 * k,
            edgecolor="black",
            zorder=5,
            clip_on=False,
        )
    )
    for artist in (image, *axes.collections):
        artist.set_clip_path(border, axes.transData)
    axes.set_axis_off()
    halo: dict[str, Any] = {}
    if view.is_cap and not around:
        halo = {
            "path_effects": [withStroke(linewidth=1.6 * k, foreground="white")],
            "zorder": 4,
        }

    def label(text: str, place: Place, inner: Place, flat: Place, **look: Any) -> None:
        """Write degrees outside the border: away from an inner point on a polar map, else in a fixed direction."""
        at = plane.points(*place)
        away = at - plane.points(*inner) if plane.polar else np.array(flat)
        x, y = away / np.hypot(*away) * (-1 if halo else 1)
        look = {
            "ha": _alignment(x, ("right", "center", "left")),
            "va": _alignment(y, ("top", "center", "bottom")),
            **halo,
            **look,
        }
        shift = 3.5 * k * x, 4 * k * y
        axes.annotate(
            text,
            tuple(at),
            shift,
            textcoords="offset points",
            annotation_clip=False,
            **look,
        )

    if degrees[0] and not view.is_cap:
        near = view.north - 0.1 * (view.north - view.south) / side
        for each in parallels[abs(parallels) < 89]:
            # Near the upper edge the label is lower, to keep clear of the title.
            flat = -1.0, -0.4 if each > near else 0.0
            label(
                style.latitude_text(each),
                (view.west, each),
                (view.west + 0.5, each),
                flat,
            )
    if around or all(degrees) or (degrees[1] and not view.is_cap):
        inner = edge + (0.5 if edge == view.south else -0.5)
        near = view.east - 0.2 * (view.east - view.west) / foot
        for each in meridians:
            # Near the eastern end the label ends below its meridian, because a map may follow on the right.
            look = {"ha": "right"} if each > near and not plane.polar else {}
            label(
                style.longitude_text(each),
                (each, edge),
                (each, inner),
                (0.0, -1.0),
                **look,
            )


def _length(line: np.ndarray) -> float:
    """Return the length of a polyline, (n, 2)."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _multiples(low: float, high: float, most: float) -> np.ndarray:
    """Return round degrees from ``low`` to ``high``, at most ``most`` and at most 7."""
    steps = (1, 2, 5, 10, 15, 30, 60)
    step = next((step for step in steps if (high - low) / step <= min(most, 7)), 90)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _alignment(direction: float, names: Sequence[str]) -> str:
    """Return the alignment of a label that is offset from its position in a direction, -1..1."""
    return names[1 + int(np.sign(direction)) * (abs(direction) >= 0.35)]


def map_figure(
    field: xr.DataArray,
    time: np.datetime64 | None = None,
    *,
    period: Period | None = None,
    box: Sequence[float] | None = None,
    projection: str = "plate-carree",
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress = no_progress,
) -> Figure:
    """Draw one field at one time, or its mean over a period.

    Args:
        field: canonical field, regional or global.
        time: UTC; default: the field's first time. Between frames the last one, less than 3 h before, is shown.
        period: show the mean over this period instead.
        box: W S E N, degrees; only this area is shown and read.
        projection: one of :data:`deepcams.plotting.projection.PROJECTIONS`.
        scale: ``log``, or ``guideline`` (WHO 2021 levels: for 24 hours; annual if the mean is over more than 28 days).
        size: one of :data:`deepcams.plotting.figure_layout.SIZES`.
        title, note: texts above the map; default title: species, time and grid step.
        credit: source line; default: the field's own source.
        progress: callback while reading frames for a mean.

    Raises:
        InputError: the field is not canonical, lacks the time, or does not meet the box.
    """
    grid = grid_of(field)
    view = View.of(grid, box, projection)
    part, nodes = window(grid, view)
    annual = False
    if period is None:
        wanted = field.time.values[0] if time is None else time
        values, when = frame_at(field, wanted, "field", nodes)
        words, span = moments(field, when, when), (when, when)
    else:
        times = times_in(field, period)
        values = mean(field, times, nodes, progress)
        words, annual = span_words(field, times)
        span = field.time.values[times][0], field.time.values[times][-1]
    colours = style.ColourScale.of_concentrations(
        scale, [within(values, part, view)], str(field.name), annual
    )
    title = title or f"{species_of(field)}, {grid.step:g}°, {words}"
    texts = Texts.of(title, note, credit, [field], span)
    margins, above = (_LEFT, 0.15, 0.0), 0.06
    if view.plane.polar:  # a cap is labelled all around
        margins, above = (_LEFT, _LEFT, 0.0), TICKS
    rows = [Row(above, view.height, TICKS)]
    sheet = Sheet(size_of(size), texts, rows, margins=margins, scales=[colours])
    with own_style(sheet.k):
        draw_map(sheet.axes(0), values, part, view, colours, sheet.k, around=True)
        sheet.bars()
    return sheet.figure


def span_words(field: xr.DataArray, times: slice) -> tuple[str, bool]:
    """Describe the frames of a mean; also return whether annual guidelines apply to it."""
    found = field.time.values[times]
    first, last = found[0], found[-1]
    days = str(first.astype("datetime64[D]")), str(last.astype("datetime64[D]"))
    span = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    return f"mean of {span} {clock(field)} ({counted(found.size, 'frame')})", bool(
        last - first > _LONG
    )


def species_of(field: xr.DataArray) -> str:
    """Return a field's species as matplotlib markup."""
    return style.species_text(label(str(field.name)))
