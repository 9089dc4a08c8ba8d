"""Maps side by side: methods at one time, their errors and zoomed boxes; means (Figs. 3, 4 and 8 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from deepcams.core.errors import InputError
from deepcams.core.field import clock, field_like, grid_of, moments
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress, shifted
from deepcams.core.text import counted
from deepcams.core.times import HOUR, stamp
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Size, Texts, own_style, size_of
from deepcams.plotting.lettering import legible, text_width
from deepcams.plotting.maps import (
    TICKS,
    draw_map,
    inches,
    map_figure,
    span_words,
    species_of,
)
from deepcams.plotting.projection import View, into_turn, window, within
from deepcams.plotting.reading import EVERYWHERE, frame_at, mean, times_in

_TITLE, _LINE = (
    0.26,
    0.135,
)  # height of a title, and of a line of scores below it; inches of text size 1
_MOMENT = 0.42  # height of a time below a map, inches of text size 1
_SCORES = "MAE 0.000   RMSE 00.0"
"""Longest text of the scores, for the layout."""


@dataclass(frozen=True)
class Panel:
    """One map of a figure, in any number of views."""

    title: str
    values: np.ndarray
    grid: Grid
    is_error: bool = False


Rows = Sequence[Sequence[Panel | None]]
"""Rows of panels; ``None`` leaves a position empty."""


def compare_maps(
    fields: Mapping[str, xr.DataArray],
    time: np.datetime64,
    *,
    truth: xr.DataArray | None = None,
    source: tuple[str, xr.DataArray] | None = None,
    box: Sequence[float] | None = None,
    zooms: Sequence[Sequence[float]] = (),
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
) -> Figure:
    """Draw methods side by side at one time, on one scale: the whole region, then each zoomed box.

    A truth is drawn left of the methods, and each method's error (method - truth, with MAE and RMSE over the shown
    area) below it; the source is below the truth. Without a truth, source and methods are in one row.

    Args:
        fields: one to four canonical fields by name.
        time: UTC. A field without a frame at this time shows its last one less than 3 h before, with its time.
        truth: canonical field on the methods' grid.
        source: name and field of the methods' input, on any grid.
        box: area of the first block of maps; default: that of the truth (or of the first field).
        zooms: boxes shown enlarged below, named A, B, .. and outlined above.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field is not canonical, lacks the time, or is outside the box; a method has another grid or
            time than the truth.
    """
    if not 1 <= len(fields) <= 4:
        raise InputError("fields", "one to four", len(fields))
    first = next(iter(fields.values())) if truth is None else truth
    time = np.datetime64(time).astype("datetime64[ns]")
    overview = View.of(grid_of(first), box)
    views = [overview, *[View.of(grid_of(first), zoom) for zoom in zooms]]
    inner = box is not None and all(overview.holds(view) for view in views)

    def panel(name: str, field: xr.DataArray) -> tuple[Panel, np.datetime64]:
        grid = grid_of(field)
        part, nodes = window(grid, overview) if inner else (grid, EVERYWHERE)
        values, when = frame_at(field, time, name, nodes)
        late = "" if when == time else f", {stamp(when)[11:]} UTC"
        return Panel(f"{name}, {grid.step:g}°{late}", values, part), when

    given = panel(*source)[0] if source else None
    made = {name: panel(name, field) for name, field in fields.items()}
    top = [each for each, _ in made.values()]
    rows: list[list[Panel | None]] = [[*([given] if given else []), *top]]
    if truth is not None:
        true, when = panel("Truth", truth)
        errors = [_error(name, *each, true, when) for name, each in made.items()]
        rows = [[true, *top], [given, *errors]]
    title = title or f"{species_of(first)}, {moments(first, time, time)}"
    drawn = [source[1] if source else None, truth, *fields.values()]
    texts = Texts.of(title, note, credit, drawn, (time, time))
    return lay_out(rows, views, texts, str(first.name), scale, size_of(size))


def _error(
    name: str, panel: Panel, time: np.datetime64, truth: Panel, true_time: np.datetime64
) -> Panel:
    """Return the panel of a method's error.

    Raises:
        InputError: the method has another grid or time than the truth.
    """
    if panel.grid != truth.grid or time != true_time:
        expected = (
            f"the truth's grid and time ({truth.grid.describe()}, {stamp(true_time)})"
        )
        raise InputError(name, expected, f"{panel.grid.describe()} at {stamp(time)}")
    values = panel.values - truth.values
    return Panel(f"{name} {style.MINUS} truth", values, truth.grid, is_error=True)


def _sheet(
    rows: Rows,
    views: Sequence[View],
    texts: Texts,
    paper: Size,
    scales: Sequence[style.ColourScale] = (),
    lines: int = 0,
    moments: Sequence[str] = (),
) -> Sheet:
    """Return a sheet for rows of maps for each view; ``lines``: number of score lines between a title and its map."""
    places = []
    for view in views:
        for number, row in enumerate(rows, 1):
            scores = lines * any(panel is not None and panel.is_error for panel in row)
            below = (_MOMENT if moments else TICKS) if number == len(rows) else 0.0
            places.append(Row(_TITLE + scores * _LINE, view.height, below))
    margins = (0.62, 0.1, 0.07) if moments else (0.62, 0.15, 0.14)
    return Sheet(paper, texts, places, max(map(len, rows)), margins, scales)


def lay_out(
    rows: Rows,
    views: Sequence[View],
    texts: Texts,
    species: str,
    scale: str,
    paper: Size,
    annual: bool = False,
    error_words: str = f"error: method {style.MINUS} truth ({style.UNITS_TEXT})",
    moments: Sequence[str] = (),
) -> Figure:
    """Draw rows of maps for each view, one below the other, with one scale for values and one for errors.

    Args:
        rows: the panels.
        views: the views; those after the first are outlined in it.
        texts: texts of the sheet.
        species: name of the species.
        scale: kind of the concentration scale.
        paper: size of the figure.
        annual: whether annual guidelines apply.
        error_words: label of the error scale.
        moments: times of the columns, written below them instead of longitudes; the first title of a row then may
            take its whole width.
    """
    panels = [panel for row in rows for panel in row if panel is not None]
    shown = {
        kind: [
            within(each.values, each.grid, views[0])
            for each in panels
            if each.is_error == kind
        ]
        for kind in (False, True)
    }
    scales = [style.ColourScale.of_concentrations(scale, shown[False], species, annual)]
    if shown[True]:
        scales.append(style.ColourScale.of_errors(shown[True], error_words))
    sheet = _sheet(rows, views, texts, paper, scales, moments=moments)
    k, lines = sheet.k, 0
    titles = [legible(each.title) for each in panels if each.is_error]
    if any(
        text_width(f"A: {each}    {_SCORES}", 9 * k) >= sheet.wide for each in titles
    ):
        lines = 1 if text_width(_SCORES, 8 * k) < 0.95 * sheet.wide else 2
        sheet = _sheet(rows, views, texts, paper, scales, lines)
    with own_style(sheet.k):
        for number, (view, r) in enumerate(product(views, range(len(rows)))):
            letter = f"{chr(64 + number // len(rows))}: " if number >= len(rows) else ""
            for c, panel in enumerate(rows[r]):
                if panel is None:
                    continue
                axes = sheet.axes(number, c)
                below = [each[c] for each in rows[r + 1 :] if c < len(each)]
                degrees = not any(rows[r][:c]), not any(below) and not moments
                colours = scales[panel.is_error]
                draw_map(axes, panel.values, panel.grid, view, colours, k, degrees)
                above = lines * panel.is_error * _LINE
                sheet.title(axes, letter + panel.title, above, len(moments) or 1)
                if moments:
                    axes.set_xticks([])
                    axes.set_xlabel("" if any(below) else moments[c], fontsize=8 * k)
                if panel.is_error:
                    _write_scores(
                        axes, within(panel.values, panel.grid, view), k, lines
                    )
                if not letter:
                    _outline(axes, view, views[1:], k)
        sheet.bars()
    return sheet.figure


def _write_scores(axes: Axes, errors: np.ndarray, k: float, lines: int) -> None:
    """Write scores above the map: right-aligned in the title line (0 lines), or left-aligned in one or two lines."""
    known = errors[np.isfinite(errors)].astype(np.float64)
    if not known.size:
        return
    mae, rmse = abs(known).mean(), np.sqrt((known**2).mean())
    words = [
        f"{name} {score:#.3g}".rstrip(".")
        for name, score in (("MAE", mae), ("RMSE", rmse))
    ]
    axes.annotate(
        ("\n" if lines == 2 else "   ").join(words),
        (0 if lines else 1, 1),
        (0, 3 * k),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        ha="left" if lines else "right",
        linespacing=1.05,
    )


def _outline(axes: Axes, view: View, zooms: Sequence[View], k: float) -> None:
    """Draw boxes with their letters: inside the box, or above or below a box that is too small."""
    letter = 0.13 * k / inches(axes)[0] * (view.east - view.west)  # degrees
    for number, zoom in enumerate(zooms):
        west = into_turn(zoom.west, view.west)
        width, height = zoom.east - zoom.west, zoom.north - zoom.south
        # A box across the seam of the view appears at both edges.
        for turn in (west, west - 360):
            if view.west - width < turn < view.east:
                frame = Rectangle(
                    (turn, zoom.south),
                    width,
                    height,
                    fill=False,
                    linewidth=1.1 * k,
                    zorder=4,
                    edgecolor="black",
                    path_effects=[withStroke(linewidth=2.4 * k, foreground="white")],
                )
                axes.add_patch(frame)
        at, text, across, up = (west, zoom.north), " ", "left", "top"
        if width <= 2.2 * letter:
            middle = min(max(west + width / 2, view.west + letter), view.east - letter)
            at, text, across, up = (middle, zoom.north), "", "center", "bottom"
            if zoom.north + 1.5 * letter > view.north:
                at, up = (middle, zoom.south), "top"
        axes.text(
            *at,
            text + chr(65 + number),
            fontsize=9 * k,
            zorder=4,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.2 * k, foreground="white")],
            ha=across,
            va=up,
        )


def annual_figure(
    field: xr.DataArray,
    original: xr.DataArray | None = None,
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
    """Draw the mean of a field over a period, and optionally that of its original and the difference.

    The difference is on the original's grid; for it the field's mean is averaged over the original's cells.

    Args:
        field: canonical field.
        original: field it was made from, on the same grid or one coarser by an odd factor.
        period: period of the mean; default: all times of the field (for the original the same span).
        box, projection, scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`; annual
            guidelines apply if the mean is over more than 28 days.
        progress: callback while reading both.

    Raises:
        InputError: no time in the period, no node in the box, or grids that do not nest.
    """
    if period is None:
        period = Period(field.time.values[0], field.time.values[-1] + HOUR)
    if original is None:
        return map_figure(
            field,
            period=period,
            box=box,
            projection=projection,
            scale=scale,
            size=size,
            title=title,
            note=note,
            credit=credit,
            progress=progress,
        )
    view = View.of(grid_of(field), box, projection)
    times, before = times_in(field, period), times_in(original, period, "original")
    frames = times.stop - times.start
    total = frames + before.stop - before.start
    new, new_mean = _mean_panel(
        field, times, "field", view, shifted(progress, 0, total)
    )
    old, old_mean = _mean_panel(
        original, before, "original", view, shifted(progress, frames, total)
    )
    change = difference(new_mean, old_mean)
    choices: list[list[list[Panel | None]]] = [
        [[old, new], [None, change]],
        [[old], [new], [change]],
        [[old, new, change]],
    ]
    paper = size_of(size)
    rows = max(choices, key=lambda each: _sheet(each, [view], Texts(), paper).wide)
    words, annual = span_words(field, times)
    zone = f" {clock(field)}"
    span = period.start, field.time.values[times][-1]
    title = title or f"{species_of(field)}, {words.partition(zone)[0]}"
    return lay_out(
        rows,
        [view],
        Texts.of(title, note, credit, [original, field], span),
        str(field.name),
        scale,
        paper,
        annual,
        error_words=f"field {style.MINUS} original ({style.UNITS_TEXT})",
    )


def _mean_panel(
    field: xr.DataArray, times: slice, name: str, view: View, progress: Progress
) -> tuple[Panel, xr.DataArray]:
    """Return the mean over frames in a view, as a panel and as a field with one time."""
    part, nodes = window(grid_of(field), view)
    values = mean(field, times, nodes, progress)
    frames = counted(times.stop - times.start, "frame")
    panel = Panel(f"{name}, {part.step:g}°, mean of {frames}", values, part)
    return panel, field_like(field.isel(time=slice(0, 1)), values[None], part)


def difference(field: xr.DataArray, original: xr.DataArray) -> Panel:
    """Return the panel of field minus original, at the original's nodes for which the field has whole cells.

    Raises:
        InputError: the grids do not nest.
    """
    fine, coarse = grid_of(field), grid_of(original)
    factor = round(coarse.step / fine.step)
    if factor % 2 == 0 or abs(factor * fine.step - coarse.step) > 1e-6:
        expected = f"a grid an odd number of times as coarse as {fine.step:g} degrees"
        raise InputError("original", expected, f"{coarse.step:g} degrees")
    if factor > 1:
        # Only nodes in whole cells; the others were read for the edges of the map.
        _, whole_rows, whole_columns = fine.whole_cells(factor)
        whole = field.isel(latitude=whole_rows, longitude=whole_columns)
        field = coarsen(whole, "area", factor)
    grid = grid_of(field)
    top, bottom = max(grid.north, coarse.north), min(grid.south, coarse.south)
    new = field.values[0, top - grid.north : bottom + 1 - grid.north]
    old = original.values[0, top - coarse.north : bottom + 1 - coarse.north]
    place = (grid.west + np.arange(grid.columns) - coarse.west) % coarse.around
    known = place < coarse.columns
    values = np.full(new.shape, np.nan, np.float32)
    values[:, known] = new[:, known] - old[:, place[known]]
    part = replace(grid, north=top, rows=bottom + 1 - top)
    return Panel(
        f"field {style.MINUS} original, {grid.step:g}°", values, part, is_error=True
    )
