"""Maps of fields: what is shown, how a frame is drawn, and the figure of one map.

All functions return a :class:`matplotlib.figure.Figure` and touch no global state: they work in a notebook, in
threads and without a screen. Coastlines come with the package; nothing is downloaded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from deepcams.field import grid_of
from deepcams.grid import Grid
from deepcams.period import Period
from deepcams.plotting import style
from deepcams.plotting.coastlines import land_share
from deepcams.plotting.reading import Progress, frame_at, mean, stamp, times_in
from deepcams.plotting.sheet import Sheet, credit_of, foot_height, head_height, size_of, wrap
from deepcams.plotting.view import Box, View, window, within
from deepcams.store.attributes import label

_LEFT, _RIGHT, _TICKS, _BAR = 0.62, 0.15, 0.3, 0.78  # round a map, and its scale below it; inches of text size 1
_LONG = np.timedelta64(28, "D")  # means over more than this are measured by guidelines for a year


def pixels(
    values: np.ndarray, grid: Grid, view: View, across: int
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A frame as an image of about ``across`` pixels or cells, the fewer of both.

    Args:
        values: (rows, columns) on ``grid``; NaN is missing.
        grid: of the values; a region or the globe.
        view: what is shown.
        across: pixels of the map from west to east.

    Returns:
        the image, northern edge first, and its extent (west, east, south, north) on paper.
    """
    many = max(int((view.east - view.west) / grid.step / max(across, 1)), 1)
    if view.projection == "plate-carree":
        values, west = _turned(values, grid, view)
        values = _blocks(values, many)
        north, south = 90 - grid.step * (grid.north - 0.5), 90 - grid.step * (grid.south + 0.5)
        tall, wide = (size * many * grid.step for size in values.shape)
        return values, (west, west + wide, min(south, north - tall), north)
    x0, x1, y0, y1 = view.extent
    step = (x1 - x0) / across
    x = np.arange(x0 + step / 2, x1, step)
    y = np.arange(y1 - step / 2, y0, -step)
    longitude, latitude = view.plane.inverse(x[None, :], y[:, None])
    known = np.isfinite(longitude) & np.isfinite(latitude)
    row = np.where(known, np.rint((90 - np.where(known, latitude, 0)) / grid.step), 0).astype(int) - grid.north
    column = np.where(known, np.rint(np.where(known, longitude, 0) / grid.step), 0).astype(int) - grid.west
    column %= grid.around
    known &= (row >= 0) & (row < grid.rows) & (column < grid.columns)
    values = _blocks(values, many)
    image = values[np.where(known, row // many, 0), np.where(known, column // many, 0)]
    return np.where(known, image, np.nan), (x0, x0 + step * x.size, y1 - step * y.size, y1)


def _turned(values: np.ndarray, grid: Grid, view: View) -> tuple[np.ndarray, float]:
    """The values in the view's turn, and their western edge."""
    west = float(grid.longitude_bounds[0, 0])
    if not grid.periodic:
        return values, west + 360 * round((view.west + view.east - 2 * west - grid.step * grid.columns) / 720)
    first = int(np.floor((view.west - west) / grid.step + 1e-6))  # begin the circle at the view's western edge
    spare = int(np.ceil((view.east - west - first * grid.step) / grid.step - 1e-6)) - grid.columns
    values = np.roll(values, -first, axis=1)
    return np.concatenate([values, values[:, : max(spare, 0)]], axis=1), west + first * grid.step


def _blocks(values: np.ndarray, many: int) -> np.ndarray:
    """Means of ``many`` x ``many`` cells of what is there; the last ones may be smaller."""
    if many == 1:
        return values
    rows, columns = (-size % many for size in values.shape)
    padded = np.pad(values, ((0, rows), (0, columns)), constant_values=np.nan)
    there = np.isfinite(padded)
    shape = (padded.shape[0] // many, many, padded.shape[1] // many, many)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(there, padded, 0).reshape(shape).sum(axis=(1, 3), dtype=np.float64)
        return np.asarray(total / there.reshape(shape).sum(axis=(1, 3)), values.dtype)


def shown(values: np.ndarray, norm: Normalize, colours: str) -> np.ndarray:
    """Values as an image takes them: 0 and less lie below a logarithmic scale, and in the guidelines' first step."""
    if colours == style.CONCENTRATION_COLOURS:
        lowest = 0.0 if isinstance(norm, BoundaryNorm) else float(np.finfo(np.float32).tiny)
        values = np.where(values <= lowest, lowest, values)
    return np.ma.masked_invalid(values)


def draw_map(
    axes: Axes, values: np.ndarray, grid: Grid, view: View, norm: Normalize, colours: str, k: float = 1.0,
    degrees: tuple[bool, bool] = (True, True),
) -> AxesImage:  # fmt: skip
    """Draw one frame with coastlines; every cell is one flat patch, where its node is the middle.

    Args:
        axes: to draw in; its limits and aspect are set.
        values: (rows, columns) on ``grid``; NaN is grey.
        grid: of the values; a region or the globe.
        view: what is shown.
        norm: scale of the colours; below a logarithmic scale lie also 0 and less.
        colours: name of a matplotlib colour map.
        k: factor of all writing.
        degrees: whether latitudes and longitudes are written.
    """
    x0, x1, y0, y1 = view.extent
    image_values, extent = pixels(values, grid, view, pixels_across(axes))
    image = axes.imshow(
        shown(image_values, norm, colours), norm=norm, cmap=style.colours(colours), origin="upper", extent=extent,
        interpolation="antialiased", interpolation_stage="rgba",
    )  # fmt: skip
    lines = coast(view)
    for colour, width in (("white", 1.3), ("0.15", 0.55)):  # seen on pale and on dark
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width * k, zorder=2), autolim=False)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    axes.set_aspect(view.aspect)
    if view.projection != "plate-carree":
        _frame(axes, view, image, k, degrees)
        return image
    wide, tall = axes.get_position().size * axes.figure.get_size_inches() / k  # type: ignore[union-attr]
    axes.set_xticks(_ticks(view.west, view.east, wide / 0.6, ends=False))
    axes.set_yticks(_ticks(view.south, view.north, tall / 0.4, ends=True))
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    axes.tick_params(labelsize=8 * k, length=2.5 * k, width=0.6 * k, labelleft=degrees[0], labelbottom=degrees[1])
    for spine in axes.spines.values():
        spine.set_linewidth(0.7 * k)
    return image


def pixels_across(axes: Axes) -> int:
    """Of the axes, as saved by default."""
    figure = axes.figure
    return max(int(axes.get_position().width * figure.get_size_inches()[0] * figure.get_dpi()), 1)  # type: ignore[union-attr]


@lru_cache(maxsize=16)
def coast(view: View) -> list[np.ndarray]:
    """Coastlines of a view on paper, each (n, 2)."""
    from contourpy import contour_generator

    longitudes, latitudes, land = land_share(view.west, view.south, view.east, view.north)
    if not land.min() < 0.5 < land.max():
        return []
    found = contour_generator(longitudes, latitudes, land).lines(0.5)
    lines = [np.asarray(line) for line in found]
    if view.projection == "plate-carree":
        return lines
    return [np.stack(view.plane.forward(line[:, 0], line[:, 1]), axis=1) for line in lines]


def _frame(axes: Axes, view: View, image: AxesImage, k: float, degrees: tuple[bool, bool]) -> None:
    """The border that all is clipped to, and a net of meridians and parallels with their degrees."""
    plane, border = view.plane, Path(view.border)
    wide = view.east - view.west
    room = axes.get_position().width * axes.figure.get_size_inches()[0] / k / 0.62  # type: ignore[union-attr]
    spread = next(step for step in (1, 2, 5, 10, 15, 30, 60, 90) if wide / step <= min(room, 7) or step == 90)
    whole = wide > 359.9
    meridians = np.arange(np.ceil(view.west / spread), np.floor(view.east / spread) + 1) * spread
    parallels = np.arange(np.ceil(view.south / spread), np.floor(view.north / spread) + 1) * spread
    around, up = np.linspace(view.west, view.east, 361), np.linspace(view.south, view.north, 181)
    net = [np.stack(plane.forward(np.full(181, each), up), axis=1) for each in meridians]
    net += [np.stack(plane.forward(around, np.full(361, each)), axis=1) for each in parallels]
    axes.add_collection(LineCollection(net, colors="0.35", linewidths=0.35 * k, alpha=0.55, zorder=1.5), autolim=False)
    edge = PathPatch(border, fill=False, linewidth=0.8 * k, edgecolor="black", zorder=5, clip_on=False)
    axes.add_patch(edge)
    for artist in (image, *axes.collections):
        artist.set_clip_path(border, axes.transData)
    axes.set_axis_off()
    write: dict[str, Any] = {"fontsize": 8 * k, "annotation_clip": False, "textcoords": "offset points"}
    if plane.polar and whole:
        end = view.south if view.projection == "north-polar" else view.north
        for each in meridians[meridians < view.east - 1e-6]:
            x, y = (float(part) for part in plane.forward(each, end))
            size = float(np.hypot(x, y))
            side = "center" if abs(x) < 0.1 * size else "left" if x > 0 else "right"
            axes.annotate(
                style.longitude_text(each), (x, y), (x / size * 4 * k, y / size * 8 * k), ha=side, va="center", **write
            )
        return
    for each in parallels[abs(parallels) < 89] if degrees[0] else ():
        x, y = (float(part) for part in plane.forward(view.west, each))
        axes.annotate(style.latitude_text(each), (x, y), (-3 * k, 0), ha="right", va="center", **write)
    for each in meridians if degrees[1] else ():
        x, y = (float(part) for part in plane.forward(each, view.south))
        if whole and abs(abs(each - plane.centre) - 180) < 1e-6:  # both ends of the globe's seam
            continue
        axes.annotate(style.longitude_text(each), (x, y), (0, -4 * k), ha="center", va="top", **write)


def _ticks(low: float, high: float, most: float, *, ends: bool) -> list[float]:
    """Round degrees between two ends; without ``ends`` none so near them that its label would stick out."""
    bins = int(np.clip(most, 2, 6))
    near = 0.0 if ends else 0.03 * (high - low)
    steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if high - low > 90 else [1, 1.5, 2, 3, 5, 10]
    found = MaxNLocator(nbins=bins, steps=steps).tick_values(low, high)
    return [float(tick) for tick in found if low + near <= tick <= high - near]


def map_figure(
    field: xr.DataArray, time: np.datetime64 | None = None, *, period: Period | None = None, box: Box | None = None,
    projection: str = "plate-carree", scale: str = "log", size: str = "screen", title: str = "", note: str = "",
    credit: str | None = None, progress: Progress | None = None,
) -> Figure:  # fmt: skip
    """One field at one time, or its mean over a period.

    Args:
        field: canonical, a region or the globe.
        time: UTC; default the field's first. Between frames the last one, less than 3 h before, is shown.
        period: show the mean over it instead.
        box: show only this, and read nothing else.
        projection: one of :data:`deepcams.plotting.projection.PROJECTIONS`.
        scale: ``log``, or ``guideline`` (the steps of WHO 2021: for 24 hours; for a year where the mean is over more
            than 28 days).
        size: one of :data:`deepcams.plotting.sheet.SIZES`.
        title, note: written above; the title defaults to the species, the time and the grid's step.
        credit: the source line; default what the field says of itself.
        progress: of reading frames for a mean.

    Raises:
        InputError: the field is not canonical, has no such time, or none of the box.
    """
    grid = grid_of(field)
    view = View.of(grid, box, projection)
    part, rows, columns = window(grid, view)
    annual = False
    if period is None:
        values, when = frame_at(field, field.time.values[0] if time is None else time, "field", rows, columns)
        words = f"{stamp(when)} UTC"
    else:
        times = times_in(field, period)
        values = mean(field, times, rows, columns, progress)
        words, annual = span_words(field, times)
    inside = [within(values, part, view)]
    paper = size_of(size)
    head = title or f"{species_of(field)}, {grid.step:g}°, {words}"
    norm = style.norm_of(scale, inside, str(field.name), annual)
    label_text = f"{species_of(field)} ({style.UNITS_TEXT}){style.scale_words(scale, annual)}"
    k = paper.text
    bar_room = (_BAR + (0.12 if scale == "guideline" else 0)) * k
    credit = credit_of(field) if credit is None else credit
    polar = view.plane.polar
    right, top = (_LEFT, _TICKS) if polar else (_RIGHT, 0.06)  # a cap has its degrees all around
    other = (_TICKS + top) * k + bar_room
    texts = head_height(wrap(head, 12.5 * k, paper.width), wrap(note, 9 * k, paper.width)) + foot_height(credit)
    wide = min(paper.width - (_LEFT + right) * k, (paper.tallest - other - texts * k) / view.height)
    wide = max(wide, 1.0)
    width = paper.width if wide > 0.5 * paper.width or paper.fixed else 0.55 * paper.width
    left = (width - wide + (_LEFT - right) * k) / 2
    sheet = Sheet(paper, wide * view.height + other, width=width, title=head, note=note, credit=credit,
                  left=left / k if left < 1.5 * k else _LEFT)  # fmt: skip
    axes = sheet.axes(left, sheet.bottom + bar_room + _TICKS * k, wide, wide * view.height)
    image = draw_map(axes, values, part, view, norm, style.CONCENTRATION_COLOURS, k)
    long = min(width * 0.8, 5.0 * k)
    sheet.scale(image, inside, ((width - long) / 2, sheet.bottom + bar_room - 0.3 * k, long), label_text)
    return sheet.figure


def span_words(field: xr.DataArray, times: slice) -> tuple[str, bool]:
    """What a mean is over, for people; and whether that is measured by a year's guidelines."""
    found = field.time.values[times]
    first, last = found[0], found[-1]
    days = str(first.astype("datetime64[D]")), str(last.astype("datetime64[D]"))
    span = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    return f"mean of {span} UTC ({found.size:,} frames)", bool(last - first > _LONG)


def species_of(field: xr.DataArray) -> str:
    """The species for people, as matplotlib sets it."""
    return label(str(field.name)).replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")
