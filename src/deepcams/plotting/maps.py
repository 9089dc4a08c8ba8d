"""Maps of fields: what is shown, how a frame is drawn, and the figure of one map.

All functions return a :class:`matplotlib.figure.Figure` and touch no global state: they work in a notebook, in
threads and without a screen. Coasts and borders come with the package; nothing is downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.species import label
from deepcams.core.text import counted
from deepcams.plotting import style
from deepcams.plotting.extent import Box, View, window, within
from deepcams.plotting.outlines import borders, coast
from deepcams.plotting.page import Sheet, Size, credit_of, credit_words, size_of, writing_height
from deepcams.plotting.raster import pixels, pixels_across, shown
from deepcams.plotting.reading import Progress, cleaned, frame_at, mean, stamp, times_in

if TYPE_CHECKING:
    import xarray as xr

    from deepcams.writers.own import Frame

_LEFT, _RIGHT, _TICKS, _BAR = (
    0.62,
    0.15,
    0.3,
    0.78,
)  # round a map, and its scale below it; inches of text size 1
_LONG = np.timedelta64(28, "D")  # means over more than this are measured by guidelines for a year


def draw_map(
    axes: Axes,
    values: np.ndarray,
    grid: Grid,
    view: View,
    norm: Normalize,
    colours: str,
    k: float = 1.0,
    degrees: tuple[bool, bool] = (True, True),
    around: bool = False,
) -> AxesImage:
    """Draw one frame with coasts and borders; every cell is one flat patch, where its node is the middle.

    Args:
        axes: to draw in; its limits and aspect are set.
        values: (rows, columns) on ``grid``; NaN is grey.
        grid: of the values; a region or the globe.
        view: what is shown.
        norm: scale of the colours; below a logarithmic scale lie also 0 and less.
        colours: name of a matplotlib colour map.
        k: factor of all writing.
        degrees: whether latitudes and longitudes are written.
        around: whether a polar cap has its meridians' degrees outside, where it needs room, or within.
    """
    x0, x1, y0, y1 = view.extent
    image_values, extent = pixels(values, grid, view, pixels_across(axes))
    image = axes.imshow(
        shown(image_values, norm, colours),
        norm=norm,
        cmap=style.colours(colours),
        origin="upper",
        extent=extent,
        # Else already pixels of paper: painted after they are placed, which gives the same and is quicker.
        interpolation="antialiased" if view.projection == "plate-carree" else "nearest",
        interpolation_stage="rgba" if view.projection == "plate-carree" else "data",
    )
    wide, tall = axes.get_position().size * axes.figure.get_size_inches() / k  # type: ignore[union-attr]
    thin = k * float(np.clip(wide / 2.5, 0.45, 1))  # small maps would be all lines
    countries = 0.6 if view.east - view.west > 120 else 1.0
    for lines, halo, ink in (
        (borders(view), 0.7 * countries, 0.35 * countries),
        (coast(view), 1.3, 0.55),
    ):
        for colour, width in (("white", halo), ("0.15", ink)):  # seen on pale and on dark
            drawn = LineCollection(lines, colors=colour, linewidths=width * thin, zorder=2)
            axes.add_collection(drawn, autolim=False)
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    axes.set_aspect(view.aspect)
    if view.projection != "plate-carree":
        _frame(axes, view, image, k, degrees, around)
        return image
    axes.set_xticks(_ticks(view.west, view.east, wide / 0.6, 0.2 / wide))
    axes.set_yticks(_ticks(view.south, view.north, tall / 0.4, 0.0))
    axes.xaxis.set_major_formatter(style.LONGITUDES)
    axes.yaxis.set_major_formatter(style.LATITUDES)
    size = style.points(8 * k)
    axes.tick_params(
        labelsize=size, length=2.5 * k, width=0.6 * k, labelleft=degrees[0], labelbottom=degrees[1]
    )
    for spine in axes.spines.values():
        spine.set_linewidth(0.7 * k)
    return image


def _frame(
    axes: Axes, view: View, image: AxesImage, k: float, degrees: tuple[bool, bool], around: bool
) -> None:
    """The border that all is clipped to, and a net of meridians and parallels with their degrees."""
    plane, border = view.plane, Path(view.border)
    wide, high = view.east - view.west, view.north - view.south
    across = axes.get_position().width * axes.figure.get_size_inches()[0] / k  # type: ignore[union-attr]
    whole = wide > 359.9
    per_inch = (view.extent[1] - view.extent[0]) / across
    side, foot = (
        np.stack(plane.forward(*edge), axis=1)
        for edge in (
            (np.full(50, view.west), np.linspace(view.south, view.north, 50)),
            (np.linspace(view.west, view.east, 50), np.full(50, view.south)),
        )
    )
    along_side, along_foot = (
        np.hypot(*np.diff(edge, axis=0).T).sum() / per_inch for edge in (side, foot)
    )
    spread, rise = (
        next(
            step
            for step in (1, 2, 5, 10, 15, 30, 60, 90)
            if length / step <= min(room, 7) or step == 90
        )
        for length, room in (
            (wide, across if plane.polar and whole else along_foot / 0.62),
            (high, along_side / 0.3),
        )
    )
    meridians = np.arange(np.ceil(view.west / spread), np.floor(view.east / spread) + 1) * spread
    parallels = np.arange(np.ceil(view.south / rise), np.floor(view.north / rise) + 1) * rise
    along, up = np.linspace(view.west, view.east, 361), np.linspace(view.south, view.north, 181)
    net = [np.stack(plane.forward(np.full(181, each), up), axis=1) for each in meridians]
    net += [np.stack(plane.forward(along, np.full(361, each)), axis=1) for each in parallels]
    axes.add_collection(
        LineCollection(net, colors="0.35", linewidths=0.35 * k, alpha=0.55, zorder=1.5),
        autolim=False,
    )
    edge = PathPatch(
        border, fill=False, linewidth=0.8 * k, edgecolor="black", zorder=5, clip_on=False
    )
    axes.add_patch(edge)
    for artist in (image, *axes.collections):
        artist.set_clip_path(border, axes.transData)
    axes.set_axis_off()
    write: dict[str, Any] = {
        "fontsize": style.points(8 * k),
        "annotation_clip": False,
        "textcoords": "offset points",
    }
    if plane.polar and whole:
        end = view.south if view.projection == "north-polar" else view.north
        inward = 1.0 if around else -1.0
        if not around:
            write |= {
                "path_effects": [withStroke(linewidth=1.6 * k, foreground="white")],
                "zorder": 4,
            }
        for each in meridians[meridians < view.east - 1e-6] if around or all(degrees) else ():
            x, y = (float(part) for part in plane.forward(each, end))
            size = float(np.hypot(x, y))
            towards = "center" if abs(x) < 0.1 * size else "left" if (x > 0) == around else "right"
            shift = inward * x / size * 4 * k, inward * y / size * 8 * k
            axes.annotate(
                style.longitude_text(each), (x, y), shift, ha=towards, va="center", **write
            )
        return

    def outside(
        text: str, place: tuple[float, float], flat: tuple[float, float], inner: tuple[float, float]
    ) -> None:
        """Write next to a place of the border: in a direction, on a polar map away from a place within."""
        at, within = (np.array(plane.forward(*each), float) for each in (place, inner))
        x, y = (at - within) / np.hypot(*(at - within)) if plane.polar else flat
        # The one next to the eastern end keeps off what stands right of this map.
        last = not plane.polar and flat[1] < 0 and view.east - place[0] < 0.2 * wide / along_foot
        across = "right" if last or x <= -0.35 else "center" if x < 0.35 else "left"
        up = "center" if abs(y) < 0.35 else "bottom" if y > 0 else "top"
        axes.annotate(text, (at[0], at[1]), (3.5 * k * x, 4 * k * y), ha=across, va=up, **write)

    for each in parallels[abs(parallels) < 89] if degrees[0] else ():
        # Next to the upper edge it keeps off a title above the map.
        low = 0.4 if view.north - each < 0.1 * high / along_side else 0.0
        outside(style.latitude_text(each), (view.west, each), (-1, -low), (view.west + 0.5, each))
    for each in meridians if degrees[1] else ():
        if whole and abs(abs(each - plane.centre) - 180) < 1e-6:  # both ends of the globe's seam
            continue
        outside(style.longitude_text(each), (each, view.south), (0, -1), (each, view.south + 0.5))


def _ticks(low: float, high: float, most: float, edge: float) -> list[float]:
    """Round degrees between two ends; none in the share ``edge`` next to each, where labels would stick out."""
    span = high - low
    bins = int(np.clip(most, 2, 6))
    steps = (
        [1, 1.5, 2, 3, 4.5, 6, 9, 10]
        if span > 90
        else [1, 1.5, 2, 3, 5, 10]
        if span > 25
        else [1, 2, 5, 10]
    )
    found = MaxNLocator(nbins=bins, steps=steps).tick_values(low, high)
    near = min(edge, 0.25) * span
    kept = [float(tick) for tick in found if low + near <= tick <= high - near]
    if (
        len(kept) > 1 and kept[1] - kept[0] < 2.2 * edge * span
    ):  # on a small map they would lie upon one another
        kept = kept[len(kept) // 2 :][:1]
    return kept


def map_figure(
    field: xr.DataArray,
    time: np.datetime64 | None = None,
    *,
    period: Period | None = None,
    box: Box | None = None,
    projection: str = "plate-carree",
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress | None = None,
) -> Figure:
    """One field at one time, or its mean over a period.

    Args:
        field: canonical, a region or the globe.
        time: UTC; default the field's first. Between frames the last one, less than 3 h before, is shown.
        period: show the mean over it instead.
        box: show only this, and read nothing else.
        projection: one of :data:`deepcams.plotting.projection.PROJECTIONS`.
        scale: ``log``, or ``guideline`` (the steps of WHO 2021: for 24 hours; for a year where the mean is over more
            than 28 days).
        size: one of :data:`deepcams.plotting.page.SIZES`.
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
        values, when = frame_at(
            field, field.time.values[0] if time is None else time, "field", rows, columns
        )
        words, span = f"{stamp(when)} UTC", (when, when)
    else:
        times = times_in(field, period)
        values = mean(field, times, rows, columns, progress)
        words, annual = span_words(field, times)
        span = field.time.values[times][0], field.time.values[times][-1]
    credit = credit_of(field, span=span) if credit is None else credit
    head = title or f"{species_of(field)}, {grid.step:g}°, {words}"
    return _on_paper(
        values, part, view, str(field.name), scale, annual, size_of(size), head, note, credit
    )


def frame_figure(
    frame: Frame,
    *,
    box: Box | None = None,
    projection: str = "plate-carree",
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
) -> Figure:
    """:func:`map_figure` of what was read of a store without xarray.

    Args:
        frame: of :func:`deepcams.writers.own.own_frame`.
        box, projection, scale, size, title, note: as :func:`map_figure` takes them.

    Raises:
        InputError: no such projection, scale or size, or nothing of the box.
    """
    view = View.of(frame.grid, box, projection)
    part, rows, columns = window(frame.grid, view)
    values = cleaned(frame.values[rows] if columns is None else frame.values[rows][:, columns])
    head = title or f"{_species(frame.name)}, {frame.grid.step:g}°, {stamp(frame.time)} UTC"
    credit = credit_words([(frame.source, frame.grid.step)], (frame.time, frame.time))
    return _on_paper(
        values, part, view, frame.name, scale, False, size_of(size), head, note, credit
    )


def _on_paper(
    values: np.ndarray,
    part: Grid,
    view: View,
    name: str,
    scale: str,
    annual: bool,
    paper: Size,
    head: str,
    note: str,
    credit: str,
) -> Figure:
    """A sheet with one map and its scale."""
    inside = [within(values, part, view)]
    norm = style.norm_of(scale, inside, name, annual)
    label_text = f"{_species(name)} ({style.UNITS_TEXT}){style.scale_words(scale, annual)}"
    k = paper.text
    bar_room = (_BAR + (0.12 if scale == "guideline" else 0)) * k
    polar = view.plane.polar
    right, top = (_LEFT, _TICKS) if polar else (_RIGHT, 0.06)  # a cap has its degrees all around
    other = (_TICKS + top) * k + bar_room
    texts = writing_height(paper, head, note, credit)
    wide = min(paper.width - (_LEFT + right) * k, (paper.tallest - other - texts) / view.height)
    wide = max(wide, 1.0)
    width = paper.width if wide > 0.5 * paper.width or paper.fixed else 0.55 * paper.width
    left = (width - wide + (_LEFT - right) * k) / 2
    sheet = Sheet(
        paper,
        wide * view.height + other,
        width=width,
        title=head,
        note=note,
        credit=credit,
        left=left / k if left < 1.5 * k else _LEFT,
    )
    axes = sheet.axes(left, sheet.bottom + bar_room + _TICKS * k, wide, wide * view.height)
    image = draw_map(axes, values, part, view, norm, style.CONCENTRATION_COLOURS, k, around=True)
    long = min(width * 0.8, 5.0 * k)
    sheet.scale(
        image, inside, ((width - long) / 2, sheet.bottom + bar_room - 0.3 * k, long), label_text
    )
    return sheet.figure


def span_words(field: xr.DataArray, times: slice) -> tuple[str, bool]:
    """What a mean is over, for people; and whether that is measured by a year's guidelines."""
    found = field.time.values[times]
    first, last = found[0], found[-1]
    days = str(first.astype("datetime64[D]")), str(last.astype("datetime64[D]"))
    span = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    return f"mean of {span} UTC ({counted(found.size, 'frame')})", bool(last - first > _LONG)


def species_of(field: xr.DataArray) -> str:
    """The species for people, as matplotlib sets it."""
    return _species(str(field.name))


def _species(name: str) -> str:
    return label(name).replace("PM2.5", "PM$_{2.5}$").replace("PM10", "PM$_{10}$")
