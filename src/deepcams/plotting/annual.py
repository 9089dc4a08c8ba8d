"""Maps of means: ours beside the original, and their difference (Fig. 8 of the paper)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.period import Period
from deepcams.core.text import counted
from deepcams.methods.coarsen import coarsen
from deepcams.plotting import style
from deepcams.plotting.compare import Panel, lay_out, map_width
from deepcams.plotting.extent import Box, View, window
from deepcams.plotting.maps import span_words, species_of
from deepcams.plotting.page import credit_of, size_of
from deepcams.plotting.reading import Progress, mean, times_in


def annual_figure(
    field: xr.DataArray,
    original: xr.DataArray | None = None,
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
    """The mean of a field over a period; with an original its mean, and the difference on the original's grid.

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
        stop = field.time.values[-1] + np.timedelta64(1, "h")
        period = Period(field.time.values[0], stop)
    spans = [times] if original is None else [times, times_in(original, period, "original")]
    total, before = sum(each.stop - each.start for each in spans), 0

    def over(one: xr.DataArray, frames: slice, name: str) -> tuple[Panel, xr.DataArray]:
        part, rows, columns = window(grid_of(one), view)
        done = before

        def tell(at: int, _: int) -> None:
            if progress is not None:
                progress(done + at, total)

        values = mean(one, frames, rows, columns, tell)
        panel = Panel(
            f"{name}, {part.step:g}°, mean of {counted(frames.stop - frames.start, 'frame')}",
            values,
            part,
        )
        return panel, field_like(one.isel(time=slice(0, 1)), values[None], part)

    ours, ours_mean = over(field, times, "field")
    words, annual = span_words(field, times)
    rows: list[list[Panel | None]] = [[ours]]
    if original is not None:
        before = times.stop - times.start
        theirs, theirs_mean = over(original, spans[1], "original")
        change = difference(ours_mean, theirs_mean)
        choices: list[list[list[Panel | None]]] = [
            [[theirs, ours], [None, change]],
            [[theirs], [ours], [change]],
            [[theirs, ours, change]],
        ]
        rows = max(choices, key=lambda each: map_width(each, view, size_of(size)))
    head = title or f"{species_of(field)}, {words.split(' UTC')[0]}"
    credit = (
        credit_of(original, field, span=(period.start, field.time.values[times][-1]))
        if credit is None
        else credit
    )
    return lay_out(
        [rows],
        [view],
        head,
        note,
        credit,
        field,
        scale,
        size_of(size),
        annual,
        error_words=f"field {style.MINUS} original ({style.UNITS_TEXT})",
    )


def difference(ours: xr.DataArray, theirs: xr.DataArray) -> Panel:
    """Ours less theirs, at the nodes of theirs for which ours has whole cells.

    Raises:
        InputError: the grids do not nest.
    """
    fine, coarse = grid_of(ours), grid_of(theirs)
    factor = round(coarse.step / fine.step)
    if factor % 2 == 0 or abs(factor * fine.step - coarse.step) > 1e-6:
        raise InputError(
            "original",
            f"a grid an odd number of times as coarse as {fine.step:g} degrees",
            f"{coarse.step:g} degrees",
        )
    here = ours if factor == 1 else coarsen(_whole(ours, factor), "area", factor)
    grid = grid_of(here)
    rows = slice(max(grid.north, coarse.north), min(grid.south, coarse.south) + 1)
    mine = here.values[0, rows.start - grid.north : rows.stop - grid.north]
    other = theirs.values[0, rows.start - coarse.north : rows.stop - coarse.north]
    place = (grid.west + np.arange(grid.columns) - coarse.west) % coarse.around
    known = place < coarse.columns
    full = np.full(mine.shape, np.nan, np.float32)
    full[:, known] = mine[:, known] - other[:, place[known]]
    part = type(grid)(grid.step, rows.start, grid.west, rows.stop - rows.start, grid.columns)
    return Panel(f"field {style.MINUS} original, {grid.step:g}°", full, part, is_error=True)


def _whole(field: xr.DataArray, factor: int) -> xr.DataArray:
    """The nodes that make whole cells (what is beyond them was read for the picture's edges alone)."""
    _, rows, columns = grid_of(field).whole_cells(factor)
    return field.isel(latitude=rows, longitude=columns)
