"""Frames of the original above the hourly fields made from them, on one time axis (Fig. 5 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from deepcams.core.errors import InputError
from deepcams.core.field import clock, grid_of
from deepcams.core.times import HOUR, stamp
from deepcams.plotting.compare import Panel, lay_out
from deepcams.plotting.figure_layout import Texts, size_of
from deepcams.plotting.maps import species_of
from deepcams.plotting.projection import View, window
from deepcams.plotting.reading import frame_at, index_at

USUAL = 6
"""Default number of hours, if available."""
_MOST = 12  # maximum number of frames in a row


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
    """Draw a row of maps of the original at its own times, and below it a row for each field, on one time axis.

    Args:
        fields: one to three canonical fields by name.
        start: first time, UTC; default: the first of the original (else of the first field).
        original: field that they were made from, at any cadence and on any grid.
        hours: length; default: :data:`USUAL`, or as many as the fields have from there on.
        every: hours between columns.
        box: W S E N, degrees; only this area is shown and read.
        scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.

    Raises:
        InputError: a field lacks a frame at one of the times (the message names the nearest), the box holds nothing of
            it, or there are too many columns.
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
    rows: list[list[Panel | None]] = []
    for name, field in fields.items():
        given = np.isin(times, field.time.values) | (field is not original)
        part, nodes = window(grid_of(field), view)
        values = [
            frame_at(field, t, name, nodes)[0] if known else None
            for t, known in zip(times, given, strict=True)
        ]
        titles = [f"{name}, {part.step:g}°", *[""] * times.size]
        rows.append(
            [
                each if each is None else Panel(text, each, part)
                for text, each in zip(titles, values, strict=False)
            ]
        )
    span = times[0], times[-1]
    title = title or f"{species_of(first)}, {_span_text(first, *span)}"
    texts = Texts.of(title, note, credit, fields.values(), span)
    moments, day = [], ""
    for text in map(stamp, times):
        below = f"\n{text[:10]} {clock(first)}" if text[:10] != day else ""
        moments.append(text[11:] + below)
        day = text[:10]
    paper = size_of(size)
    return lay_out(rows, [view], texts, str(first.name), scale, paper, moments=moments)


def _times(
    fields: Mapping[str, xr.DataArray],
    start: np.datetime64,
    hours: int | None,
    every: int,
) -> np.ndarray:
    """Return the times of the columns."""
    least = 1
    if hours is None:
        known = min(
            int((field.time.values[-1] - start) // HOUR) for field in fields.values()
        )
        hours, least = int(np.clip(known, 0, USUAL)), 0
    if every < 1 or not least <= hours // every < _MOST:
        found = f"{hours} hours, every {every}"
        raise InputError("--hours, --every", f"2 to {_MOST} frames", found)
    return np.asarray(start + np.arange(0, hours + 1, every) * HOUR)


def _span_text(field: xr.DataArray, start: np.datetime64, stop: np.datetime64) -> str:
    """Format two times; the day is written once if it is the same."""
    begin, end = stamp(start), stamp(stop)
    if begin == end:
        return f"{begin} {clock(field)}"
    if begin[:10] == end[:10]:
        end = end[11:]
    return f"{begin} to {end} {clock(field)}"
