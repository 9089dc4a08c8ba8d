"""The original's frames above what was made of them hour by hour, on one axis of time (Fig. 5 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.plotting import style
from deepcams.plotting.extent import Box, View, window
from deepcams.plotting.maps import draw_map, species_of
from deepcams.plotting.page import Sheet, credit_of, legible, size_of, writing_height
from deepcams.plotting.reading import frame_at, index_at, span_text, stamp

_LEFT, _RIGHT, _GAP, _ROW, _TIMES, _FOOT = 0.62, 0.1, 0.07, 0.22, 0.5, 0.98  # inches of text size 1
USUAL = 6
"""Hours, where there are so many."""
_MOST = 12  # frames in a row
_HOUR = np.timedelta64(1, "h")


def sequence_figure(
    fields: Mapping[str, xr.DataArray],
    start: np.datetime64 | None = None,
    *,
    original: xr.DataArray | None = None,
    hours: int | None = None,
    every: int = 1,
    box: Box | None = None,
    scale: str = "log",
    size: str = "screen",
    title: str = "",
    note: str = "",
    credit: str | None = None,
) -> Figure:
    """A row of maps of the original at its own hours, and below it a row for each field, all on one axis of time.

    Args:
        fields: name -> canonical field, one to three of them.
        start: first time, UTC; default the first of the original (else of the first field).
        original: what the fields were made from, at any cadence and on any grid.
        hours: how long; default :data:`USUAL`, or as many as the fields have from there on.
        every: hours from one column to the next.
        box: show only this, and read nothing else.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field has no frame at one of the times (the nearest is named), or the box holds nothing of it;
            too many columns.
    """
    if not 1 <= len(fields) <= 3:
        raise InputError("fields", "one to three", len(fields))
    first = next(iter(fields.values()))
    begin = start if start is not None else (first if original is None else original).time.values[0]
    begin = np.datetime64(begin).astype("datetime64[ns]")
    least = 1
    if hours is None:
        there = min(int((field.time.values[-1] - begin) // _HOUR) for field in fields.values())
        hours, least = int(np.clip(there, 0, USUAL)), 0
    if every < 1 or not least <= hours // every < _MOST:
        raise InputError(
            "--hours, --every", f"2 to {_MOST} frames", f"{hours} hours, every {every}"
        )
    times = begin + np.arange(0, hours + 1, every) * _HOUR
    view = View.of(grid_of(first), box)

    def frame(name: str, field: xr.DataArray, time: np.datetime64) -> tuple[np.ndarray, Grid]:
        part, rows, columns = window(grid_of(field), view)
        return frame_at(field, time, name, rows, columns)[0], part

    rows: dict[str, list[tuple[np.ndarray, Grid] | None]] = {}
    if original is not None:
        index_at(original, times[0], "original")
        given = np.isin(times, original.time.values)
        rows["original"] = [
            frame("original", original, time) if known else None
            for time, known in zip(times, given, strict=True)
        ]
    for name, field in fields.items():
        rows[name] = [frame(name, field, time) for time in times]
    steps = {name: grid_of(field).step for name, field in fields.items()}
    if original is not None:
        steps["original"] = grid_of(original).step

    paper, across = size_of(size), times.size
    k = paper.text
    head = title or f"{species_of(first)}, {span_text(times[0], times[-1])}"
    credit = (
        credit_of(original, *fields.values(), span=(times[0], times[-1]))
        if credit is None
        else credit
    )
    drawn = [each[0] for row in rows.values() for each in row if each is not None]
    norm = style.norm_of(scale, drawn, str(first.name))
    sides = (_LEFT + _RIGHT + (across - 1) * _GAP) * k
    foot = (_FOOT + (0.12 if scale == "guideline" else 0)) * k
    fixed = (len(rows) * _ROW + _TIMES) * k + foot
    texts = writing_height(paper, head, note, credit)
    wide = min(
        (paper.width - sides) / across, (paper.tallest - fixed - texts) / len(rows) / view.height
    )
    tall = wide * view.height
    width = paper.width if paper.fixed else max(across * wide + sides, min(5.5 * k, paper.width))
    left = (width - across * wide - (across - 1) * _GAP * k + (_LEFT - _RIGHT) * k) / 2
    sheet = Sheet(
        paper,
        fixed + len(rows) * tall,
        width=width,
        title=head,
        note=note,
        credit=credit,
        left=left / k,
    )
    image: AxesImage | None = None
    top = sheet.top
    for name, row in rows.items():
        sheet.figure.text(
            left / width,
            (top - 0.17 * k) / sheet.height,
            legible(f"{name}, {steps[name]:g}°"),
            fontsize=9 * k,
        )
        top -= _ROW * k + tall
        for c, each in enumerate(row):
            if each is None:
                continue
            axes = sheet.axes(left + c * (wide + _GAP * k), top, wide, tall)
            image = draw_map(
                axes, *each, view, norm, style.CONCENTRATION_COLOURS, k, (c == 0, False)
            )
            axes.set_xticks([])
    _time_axis(sheet, times, left, wide, _GAP * k, top, k)
    assert image is not None
    long = min(width * 0.8, 5.0 * k)
    text = f"{species_of(first)} ({style.UNITS_TEXT}){style.scale_words(scale)}"
    sheet.scale(image, drawn, ((width - long) / 2, sheet.bottom + foot - 0.48 * k, long), text)
    return sheet.figure


def _time_axis(
    sheet: Sheet, times: np.ndarray, left: float, wide: float, gap: float, bottom: float, k: float
) -> None:
    """A line of time below the columns: a tick in the middle of each, with its hour; the day where it begins."""
    axes = sheet.axes(left, bottom - 0.1 * k, times.size * wide + (times.size - 1) * gap, 0.02 * k)
    whole = times.size * wide + (times.size - 1) * gap
    axes.set_xlim(0, whole)
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_yticks([])
    middles = [c * (wide + gap) + wide / 2 for c in range(times.size)]
    words = []
    for c, time in enumerate(times):
        text = stamp(time)
        new = c == 0 or text[:10] != stamp(times[c - 1])[:10]
        words.append(text[11:] + (f"\n{text[:10]} UTC" if new else ""))
    axes.xaxis.set_ticks_position("bottom")
    axes.set_xticks(middles, words)
    axes.tick_params(labelsize=style.points(8 * k), length=3 * k, width=0.8 * k, pad=1.5 * k)
    axes.spines["top"].set_linewidth(0.8 * k)
