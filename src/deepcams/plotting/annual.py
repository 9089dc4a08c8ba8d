"""Maps of means: a field beside its original, and their difference (Fig. 8 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress, shifted
from deepcams.core.text import counted
from deepcams.core.times import HOUR
from deepcams.methods.coarsen import coarsen
from deepcams.plotting import style
from deepcams.plotting.compare import Panel, lay_out, map_width
from deepcams.plotting.maps import span_words, species_of
from deepcams.plotting.page import Texts, size_of
from deepcams.plotting.projection import View, window
from deepcams.plotting.reading import mean, times_in


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
    """Draw the mean of a field over a period; with an original its mean, and the difference on the original's grid.

    For the difference the field's mean is averaged over the original's cells.

    Args:
        field: canonical.
        original: what it was made from: on the same grid, or on one an odd number of times as coarse.
        period: default all times of the field (the original's within the same span).
        box, projection, scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`; guidelines
            are those for a year where the mean is over more than 28 days.
        progress: of reading, over both.

    Raises:
        InputError: no time in the period, none of the box, or grids that do not nest.
    """
    view = View.of(grid_of(field), box, projection)
    times = times_in(field, period)
    if period is None:
        period = Period(field.time.values[0], field.time.values[-1] + HOUR)
    words, annual = span_words(field, times)
    paper = size_of(size)
    if original is None:
        panel, _ = _mean(field, times, "field", view, progress)
        rows: list[list[Panel | None]] = [[panel]]
    else:
        before = times_in(original, period, "original")
        frames = times.stop - times.start
        total = frames + before.stop - before.start
        new, new_mean = _mean(field, times, "field", view, shifted(progress, 0, total))
        old, old_mean = _mean(original, before, "original", view, shifted(progress, frames, total))
        change = difference(new_mean, old_mean)
        choices: list[list[list[Panel | None]]] = [
            [[old, new], [None, change]],
            [[old], [new], [change]],
            [[old, new, change]],
        ]
        rows = max(choices, key=lambda each: map_width(each, view, paper))
    span = period.start, field.time.values[times][-1]
    title = title or f"{species_of(field)}, {words.split(' UTC')[0]}"
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


def _mean(
    field: xr.DataArray, times: slice, name: str, view: View, progress: Progress
) -> tuple[Panel, xr.DataArray]:
    """Return the mean over frames in a view as a panel, and as a field of one time."""
    part, nodes = window(grid_of(field), view)
    values = mean(field, times, nodes, progress)
    frames = counted(times.stop - times.start, "frame")
    panel = Panel(f"{name}, {part.step:g}°, mean of {frames}", values, part)
    return panel, field_like(field.isel(time=slice(0, 1)), values[None], part)


def difference(field: xr.DataArray, original: xr.DataArray) -> Panel:
    """Return a field less its original, at the original's nodes for which the field has whole cells.

    Raises:
        InputError: the grids do not nest.
    """
    fine, coarse = grid_of(field), grid_of(original)
    factor = round(coarse.step / fine.step)
    if factor % 2 == 0 or abs(factor * fine.step - coarse.step) > 1e-6:
        expected = f"a grid an odd number of times as coarse as {fine.step:g} degrees"
        raise InputError("original", expected, f"{coarse.step:g} degrees")
    if factor > 1:
        # The nodes that make whole cells; those beyond them were read for the picture's edges alone.
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
    return Panel(f"field {style.MINUS} original, {grid.step:g}°", values, part, is_error=True)
