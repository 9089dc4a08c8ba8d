"""The original's frames above what was made of them hour by hour, on one axis of time (Fig. 5 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR, stamp
from deepcams.plotting import style
from deepcams.plotting.maps import draw_map, species_of
from deepcams.plotting.page import Layout, Row, Sheet, Texts, legible, sheet_of, size_of
from deepcams.plotting.projection import View, window
from deepcams.plotting.reading import frame_at, index_at

_ROW, _TIMES = 0.22, 0.5  # a row's name, and the axis of time; inches of text size 1

USUAL = 6
"""Hours, where there are so many."""
_MOST = 12  # frames in a row


def sequence_figure(
    fields: Mapping[str, xr.DataArray],
    start: np.datetime64 | None = None,
    *,
    original: xr.DataArray | None = None,
    hours: int | None = None,
    every: int = 1,
    box: Sequence[float] | None = None,
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
) -> Figure:
    """Draw a row of maps of the original at its own hours, and below it a row for each field, on one axis of time.

    Args:
        fields: name -> canonical field, one to three of them.
        start: first time, UTC; default the first of the original (else of the first field).
        original: what the fields were made from, at any cadence and on any grid.
        hours: how long; default :data:`USUAL`, or as many as the fields have from there on.
        every: hours from one column to the next.
        box: W S E N, degrees: show only this, and read nothing else.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field has no frame at one of the times (the nearest is named), or the box holds nothing of it;
            too many columns.
    """
    if not 1 <= len(fields) <= 3:
        raise InputError("fields", "one to three", len(fields))
    first = next(iter(fields.values()))
    if start is None:
        start = (first if original is None else original).time.values[0]
    times = _times(fields, np.datetime64(start).astype("datetime64[ns]"), hours, every)
    view = View.of(grid_of(first), box)
    if original is not None:
        index_at(original, times[0], "original")
        fields = {"original": original, **fields}
    rows: dict[str, list[tuple[np.ndarray, Grid] | None]] = {}
    for name, field in fields.items():
        given = np.isin(times, field.time.values) | (field is not original)
        part, nodes = window(grid_of(field), view)
        rows[name] = [
            (frame_at(field, time, name, nodes)[0], part) if known else None
            for time, known in zip(times, given, strict=True)
        ]
    drawn = [each[0] for row in rows.values() for each in row if each is not None]
    colours = style.ColourScale.of_concentrations(scale, drawn, str(first.name))
    span = times[0], times[-1]
    title = title or f"{species_of(first)}, {_span_text(*span)}"
    texts = Texts.of(title, note, credit, fields.values(), span)
    heads = [Row(_ROW, view.height) for _ in rows]
    heads[-1] = Row(_ROW, view.height, _TIMES)
    margins = 0.62, 0.1, 0.07
    layout = Layout(size_of(size), texts, heads, times.size, margins, [colours], foot=0.9)
    with sheet_of(layout) as sheet:
        k, wide = sheet.k, sheet.wide
        for r, (name, row) in enumerate(rows.items()):
            text = legible(f"{name}, {grid_of(fields[name]).step:g}°")
            sheet.write(text, sheet.left, sheet.base(r) + wide * view.height + 0.05 * k, 9 * k)
            for c, each in enumerate(row):
                if each is not None:
                    axes = sheet.axes(r, c)
                    draw_map(axes, *each, view, colours, k, (c == 0, False))
                    axes.set_xticks([])
        _time_axis(sheet, times)
        sheet.bars()
    return sheet.figure


def _times(
    fields: Mapping[str, xr.DataArray], start: np.datetime64, hours: int | None, every: int
) -> np.ndarray:
    """Return the times of the columns."""
    least = 1
    if hours is None:
        known = min(int((field.time.values[-1] - start) // HOUR) for field in fields.values())
        hours, least = int(np.clip(known, 0, USUAL)), 0
    if every < 1 or not least <= hours // every < _MOST:
        found = f"{hours} hours, every {every}"
        raise InputError("--hours, --every", f"2 to {_MOST} frames", found)
    return np.asarray(start + np.arange(0, hours + 1, every) * HOUR)


def _span_text(first: np.datetime64, last: np.datetime64) -> str:
    """Return two times for people, UTC; the day once where it is the same."""
    begin, end = stamp(first), stamp(last)
    if begin == end:
        return f"{begin} UTC"
    if begin[:10] == end[:10]:
        end = end[11:]
    return f"{begin} to {end} UTC"


def _time_axis(sheet: Sheet, times: np.ndarray) -> None:
    """Draw a line of time below the columns: a tick in the middle of each, with its hour; the day where it begins."""
    k = sheet.k
    whole = sheet.start(times.size - 1) + sheet.wide - sheet.left
    bottom = sheet.base(len(sheet.layout.rows) - 1)
    axes = sheet.place(sheet.left, bottom - 0.1 * k, whole, 0.02 * k)
    axes.set_xlim(0, whole)
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.set_yticks([])
    words, day = [], ""
    for text in map(stamp, times):
        new = f"\n{text[:10]} UTC" if text[:10] != day else ""
        words.append(text[11:] + new)
        day = text[:10]
    middles = [sheet.start(c) - sheet.left + sheet.wide / 2 for c in range(times.size)]
    axes.set_xticks(middles, words)
    axes.tick_params(pad=1.5 * k)
