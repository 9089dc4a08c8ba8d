"""Maps of fields: how a frame is drawn with coasts, borders and degrees, and the figure of one map.

All functions return a :class:`matplotlib.figure.Figure` and touch no global state: they work in a notebook, in
threads and without a screen. Coasts and borders come with the package; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
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

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import label
from deepcams.core.text import counted
from deepcams.core.times import DAY, stamp
from deepcams.plotting import style
from deepcams.plotting.outlines import on_paper
from deepcams.plotting.page import Columns, Margins, Sheet, Texts, size_of
from deepcams.plotting.projection import View, window, within
from deepcams.plotting.reading import frame_at, mean, times_in

if TYPE_CHECKING:
    import xarray as xr

_LEFT, _RIGHT, _TICKS, _BAR = 0.62, 0.15, 0.3, 0.78  # round a map; inches of text size 1
_LONG = 28 * DAY  # means over more than this are measured by guidelines for a year


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
    """Draw one frame with coasts and borders; every cell is one flat patch, with its node in the middle.

    Args:
        axes: to draw in; its limits and aspect are set.
        values: (rows, columns) on ``grid``; NaN is grey.
        grid: of the values; a region or the globe.
        view: what is shown.
        scale: of the colours.
        k: factor of all writing.
        degrees: whether latitudes and longitudes are written.
        around: whether a polar cap has its meridians' degrees outside, where it needs room, or within.
    """
    is_flat = view.projection == "plate-carree"
    cells, extent = pixels(values, grid, view, pixels_across(axes))
    image = axes.imshow(
        scale.shown(cells),
        norm=scale.norm,
        cmap=scale.colours,
        origin="upper",
        extent=extent,
        # In other projections these are pixels of paper already: colouring them last is quicker, and the same.
        interpolation="antialiased" if is_flat else "nearest",
        interpolation_stage="rgba" if is_flat else "data",
    )
    wide = inches(axes)[0] / k
    thin = k * float(np.clip(wide / 2.5, 0.45, 1))  # small maps would be all lines
    countries = 0.6 if view.east - view.west > 120 else 1.0
    _draw_lines(axes, on_paper("borders", view), 0.7 * countries * thin, 0.35 * countries * thin)
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
    """Return the width and the height of axes, inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return np.asarray(axes.get_position().size * figure.get_size_inches())


def pixels_across(axes: Axes) -> int:
    """Return the width of axes as saved by default, pixels."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return max(int(inches(axes)[0] * figure.get_dpi()), 1)


def show_flat(axes: Axes, view: View, k: float, degrees: tuple[bool, bool] = (True, True)) -> None:
    """Set limits and aspect of a map in plate carree, and ticks in degrees; ``degrees``: whether each axis has them."""
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.set_aspect(view.aspect)
    wide, tall = inches(axes) / k
    axes.set_xticks(_ticks(view.west, view.east, wide / 0.6, 0.2 / wide))
    axes.set_yticks(_ticks(view.south, view.north, tall / 0.4, 0.0))
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    axes.tick_params(labelsize=style.points(8 * k), length=2.5 * k, width=0.6 * k)
    axes.tick_params(labelleft=degrees[0], labelbottom=degrees[1])
    for spine in axes.spines.values():
        spine.set_linewidth(0.7 * k)


def _draw_lines(axes: Axes, lines: list[np.ndarray], halo: float, ink: float) -> None:
    """Draw lines that are seen on pale and on dark: dark ones upon wider white ones."""
    for colour, width in (("white", halo), ("0.15", ink)):
        drawn = LineCollection(lines, colors=colour, linewidths=width, zorder=2)
        axes.add_collection(drawn, autolim=False)


def pixels(
    values: np.ndarray, grid: Grid, view: View, across: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return a frame as an image of about ``across`` pixels or cells, the fewer of both.

    Args:
        values: (rows, columns) on ``grid``; NaN is missing.
        grid: of the values; a region or the globe.
        view: what is shown.
        across: pixels of the map from west to east.

    Returns:
        the image, northern edge first, and its extent (west, east, south, north) on paper.
    """
    size = max(int((view.east - view.west) / grid.step / max(across, 1)), 1)
    if view.projection == "plate-carree":
        values, west = _turned(values, grid, view)
        values = block_means(values, size)
        north = 90 - grid.row_step * (grid.north - 0.5)
        south = 90 - grid.row_step * (grid.south + 0.5)
        tall = values.shape[0] * size * grid.row_step
        wide = values.shape[1] * size * grid.step
        return values, (west, west + wide, min(south, north - tall), north)
    x0, x1, y0, y1 = view.extent
    step = (x1 - x0) / across
    x = np.arange(x0 + step / 2, x1, step)
    y = np.arange(y1 - step / 2, y0, -step)
    place = cell_at(x[None, :], y[:, None], grid, view, size)
    # The number of places off the map, -1, is that of the value after all others.
    cells = np.append(block_means(values, size).ravel(), np.array(np.nan, values.dtype))
    return cells[place], (x0, x0 + step * x.size, y1 - step * y.size, y1)


def _turned(values: np.ndarray, grid: Grid, view: View) -> tuple[np.ndarray, float]:
    """Return the values in the view's turn, and the longitude of their western edge."""
    west = float(grid.longitude_bounds[0, 0])
    if not grid.periodic:
        apart = view.west + view.east - 2 * west - grid.step * grid.columns
        return values, west + 360 * round(apart / 720)
    first = int(np.floor((view.west - west) / grid.step + 1e-6))
    west += first * grid.step
    more = int(np.ceil((view.east - west) / grid.step - 1e-6)) - grid.columns
    values = np.roll(values, -first, axis=1)
    return np.concatenate([values, values[:, : max(more, 0)]], axis=1), west


def block_means(values: np.ndarray, size: int) -> np.ndarray:
    """Return means over ``size`` x ``size`` cells of what is known; the last ones may be smaller."""
    if size == 1:
        return values
    rows, columns = (-cells % size for cells in values.shape)
    padded = np.pad(values, ((0, rows), (0, columns)), constant_values=np.nan)
    known = np.isfinite(padded)
    shape = (padded.shape[0] // size, size, padded.shape[1] // size, size)
    total = np.where(known, padded, 0).reshape(shape).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / known.reshape(shape).sum(axis=(1, 3)), values.dtype)


def cell_at(x: np.ndarray, y: np.ndarray, grid: Grid, view: View, size: int = 1) -> np.ndarray:
    """Return the number of the block of cells (row by row, ``size`` x ``size``) at places of the paper; -1 off it."""
    if view.projection == "plate-carree":
        longitude, latitude = np.broadcast_arrays(x, y)
    else:
        longitude, latitude = view.plane.inverse(x, y)
    with np.errstate(invalid="ignore"):  # NaN becomes some number, and is left out below
        row = np.rint((90 - latitude) / grid.row_step).astype(np.int32) - grid.north
        column = (np.rint(longitude / grid.step).astype(np.int32) - grid.west) % grid.around
    known = np.isfinite(latitude) & np.isfinite(longitude)
    known &= (row >= 0) & (row < grid.rows) & (column < grid.columns)
    across = -(-grid.columns // size)
    return np.where(known, row // size * across + column // size, -1)


def _ticks(low: float, high: float, most: float, edge: float) -> list[float]:
    """Return round degrees between two ends; none in the share ``edge`` next to each, where labels would stick out."""
    span = high - low
    steps: list[float] = [1, 2, 5, 10]
    if span > 90:
        steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10]
    elif span > 25:
        steps = [1, 1.5, 2, 3, 5, 10]
    locator = MaxNLocator(nbins=int(np.clip(most, 2, 6)), steps=steps)
    near = min(edge, 0.25) * span
    found = [
        float(tick) for tick in locator.tick_values(low, high) if low + near <= tick <= high - near
    ]
    if len(found) > 1 and found[1] - found[0] < 2.2 * edge * span:  # their labels would overlap
        return [found[len(found) // 2]]
    return found


def _draw_net(
    axes: Axes, view: View, image: AxesImage, k: float, degrees: tuple[bool, bool], around: bool
) -> None:
    """Draw the border that all is clipped to, and a net of meridians and parallels with their degrees."""
    plane = view.plane
    along = np.linspace(view.west, view.east, 361)
    up = np.linspace(view.south, view.north, 181)
    across = inches(axes)[0] / k
    per_inch = (view.extent[1] - view.extent[0]) / across
    side = _length(plane.points(view.west, up)) / per_inch
    foot = _length(plane.points(along, view.south)) / per_inch
    meridians = _multiples(view.west, view.east, across if view.is_cap else foot / 0.62)
    parallels = _multiples(view.south, view.north, side / 0.3)
    net = [plane.points(each, up) for each in meridians]
    net += [plane.points(along, each) for each in parallels]
    lines = LineCollection(net, colors="0.35", linewidths=0.35 * k, alpha=0.55, zorder=1.5)
    axes.add_collection(lines, autolim=False)
    border = Path(view.border)
    axes.add_patch(
        PathPatch(border, fill=False, linewidth=0.8 * k, edgecolor="black", zorder=5, clip_on=False)
    )
    for artist in (image, *axes.collections):
        artist.set_clip_path(border, axes.transData)
    axes.set_axis_off()
    if view.is_cap:
        if around or all(degrees):
            _label_cap(axes, view, meridians, k, around)
        return
    if degrees[0]:
        near = 0.1 * (view.north - view.south) / side
        for each in parallels[abs(parallels) < 89]:
            # Next to the upper edge the label is lower, for a title is above the map.
            flat = (-1.0, -0.4 if view.north - each < near else 0.0)
            text = style.latitude_text(each)
            _label_edge(axes, view, text, (view.west, each), (view.west + 0.5, each), flat, k)
    if degrees[1]:
        near = 0.2 * (view.east - view.west) / foot
        for each in meridians:
            if view.is_whole and abs(abs(each - plane.centre) - 180) < 1e-6:  # the globe's seam
                continue
            # Next to the eastern end the label ends below its meridian, for another map is at the right.
            across = "right" if not plane.polar and view.east - each < near else ""
            text, inner = style.longitude_text(each), (each, view.south + 0.5)
            _label_edge(axes, view, text, (each, view.south), inner, (0.0, -1.0), k, across)


def _length(line: np.ndarray) -> float:
    """Return the length of a line of points, (n, 2)."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _multiples(low: float, high: float, most: float) -> np.ndarray:
    """Return the round degrees from ``low`` to ``high``, so few that there are ``most`` at most, and 7."""
    steps = (1, 2, 5, 10, 15, 30, 60)
    step = next((step for step in steps if (high - low) / step <= min(most, 7)), 90)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _label(
    axes: Axes,
    text: str,
    place: np.ndarray,
    shift: tuple[float, float],
    alignment: tuple[str, str],
    k: float,
    **look: Any,
) -> None:
    """Write degrees next to a place of the map's border, ``shift`` points away from it."""
    axes.annotate(
        text,
        (float(place[0]), float(place[1])),
        shift,
        textcoords="offset points",
        ha=alignment[0],
        va=alignment[1],
        fontsize=style.points(8 * k),
        annotation_clip=False,
        **look,
    )


def _label_cap(axes: Axes, view: View, meridians: np.ndarray, k: float, around: bool) -> None:
    """Write the meridians' degrees at the circle of a polar map, outside or within."""
    look: dict[str, Any] = {}
    if not around:
        look = {"path_effects": [withStroke(linewidth=1.6 * k, foreground="white")], "zorder": 4}
    outward = 1.0 if around else -1.0
    for each in meridians[meridians < view.east - 1e-6]:
        place = view.plane.points(each, view.cap_edge)
        x, y = outward * place / np.hypot(*place)
        across = _alignment(x, 0.1, ("right", "center", "left"))
        shift = 4 * k * x, 8 * k * y
        _label(axes, style.longitude_text(each), place, shift, (across, "center"), k, **look)


def _label_edge(
    axes: Axes,
    view: View,
    text: str,
    place: tuple[float, float],
    inner: tuple[float, float],
    flat: tuple[float, float],
    k: float,
    across: str = "",
) -> None:
    """Write degrees outside the border of a map.

    Args:
        axes, view: the map.
        text: the degrees.
        place: longitude and latitude of a place of the border.
        inner: those of a place within, away from which a polar map's label is.
        flat: in which direction the label of another map is.
        k: factor of all writing.
        across: its alignment, if that does not follow from the direction.
    """
    at = view.plane.points(*place)
    x, y = flat
    if view.plane.polar:
        away = at - view.plane.points(*inner)
        x, y = away / np.hypot(*away)
    across = across or _alignment(x, 0.35, ("right", "center", "left"))
    up = _alignment(y, 0.35, ("top", "center", "bottom"))
    _label(axes, text, at, (3.5 * k * x, 4 * k * y), (across, up), k)


def _alignment(direction: float, least: float, names: Sequence[str]) -> str:
    """Return the alignment of a label that is away from its place in a direction, -1..1."""
    if abs(direction) < least:
        return names[1]
    return names[0] if direction < 0 else names[2]


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
        field: canonical, a region or the globe.
        time: UTC; default the field's first. Between frames the last one, less than 3 h before, is shown.
        period: show the mean over it instead.
        box: W S E N, degrees: show only this, and read nothing else.
        projection: one of :data:`deepcams.plotting.projection.PROJECTIONS`.
        scale: ``log``, or ``guideline`` (the steps of WHO 2021: for 24 hours; for a year where the mean is over more
            than 28 days).
        size: one of :data:`deepcams.plotting.page.SIZES`.
        title, note: written above; the title defaults to the species, the time and the grid's step.
        credit: the source line; default the field's own source.
        progress: of reading frames for a mean.

    Raises:
        InputError: the field is not canonical, has no such time, or none of the box.
    """
    grid = grid_of(field)
    view = View.of(grid, box, projection)
    part, nodes = window(grid, view)
    annual = False
    if period is None:
        wanted = field.time.values[0] if time is None else time
        values, when = frame_at(field, wanted, "field", nodes)
        words, span = f"{stamp(when)} UTC", (when, when)
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
    paper = size_of(size)
    k = paper.text
    bar = (_BAR + colours.extra_height) * k
    margins, top = Margins(_LEFT, _RIGHT), 0.06
    if view.plane.polar:  # a cap has its degrees all around
        margins, top = Margins(_LEFT, _LEFT), _TICKS
    other = (_TICKS + top) * k + bar
    room = paper.tallest - other - texts.height(paper)
    wide = max(min(paper.width - margins.sides(1) * k, room / view.height), 1.0)
    least = paper.width if wide > 0.5 * paper.width else 0.55 * paper.width
    place = Columns.of(paper, margins, 1, wide, least)
    left = place.left if place.left < 1.5 * k else _LEFT * k
    tall = wide * view.height
    sheet = Sheet(paper, tall + other, texts, width=place.width, left=left)
    axes = sheet.axes(place.left, sheet.bottom + bar + _TICKS * k, wide, tall)
    draw_map(axes, values, part, view, colours, k, around=True)
    sheet.bar(colours, _BAR + colours.extra_height - 0.3)
    return sheet.figure


def span_words(field: xr.DataArray, times: slice) -> tuple[str, bool]:
    """Return the frames of a mean in words, and whether the guidelines for a year apply to it."""
    found = field.time.values[times]
    first, last = found[0], found[-1]
    days = str(first.astype("datetime64[D]")), str(last.astype("datetime64[D]"))
    span = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    return f"mean of {span} UTC ({counted(found.size, 'frame')})", bool(last - first > _LONG)


def species_of(field: xr.DataArray) -> str:
    """Return a field's species as matplotlib sets it."""
    return style.species_text(label(str(field.name)))
