"""What figures read of a field: one frame, a mean over frames, a series; only the part that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.field import SMALL_NEGATIVE, frame_index
from deepcams.core.period import Period

if TYPE_CHECKING:
    import xarray as xr

_TOGETHER = 64 << 20  # bytes that are read at a time
Rows = slice
Progress = Callable[[int, int], None]
"""Called with the number of frames read, and of all."""


def stamp(time: np.datetime64) -> str:
    """A time for people, UTC."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def span_text(first: np.datetime64, last: np.datetime64) -> str:
    """Two times for people, UTC; the day once where it is the same."""
    begin, end = stamp(first), stamp(last)
    if begin == end:
        return f"{begin} UTC"
    return f"{begin} to {end[11:] if begin[:10] == end[:10] else end} UTC"


def index_at(field: xr.DataArray, time: np.datetime64, name: str = "field") -> int:
    """Number of the frame at a time, else of the last one less than 3 h before it.

    Raises:
        InputError: no such frame; the nearest is named.
    """
    times = field.time.values
    at = frame_index(times, time)
    if at is None:
        nearest = times[int(np.argmin(abs(times - time)))]
        raise InputError(
            f"{name}: time",
            f"a frame at {stamp(time)} UTC or less than 3 h before",
            f"none (times {stamp(times[0])} to {stamp(times[-1])})",
            f"the nearest is {stamp(nearest)}",
        )
    return at


def frame_at(
    field: xr.DataArray,
    time: np.datetime64,
    name: str = "field",
    rows: Rows = slice(None),
    columns: np.ndarray | None = None,
) -> tuple[np.ndarray, np.datetime64]:
    """The frame at a time (:func:`index_at`): values (rows, columns), and its own time.

    Args:
        field: canonical.
        time: UTC.
        name: of the field, for messages.
        rows, columns: only these; columns may wrap round the globe.
    """
    at = index_at(field, time, name)
    return read(field, slice(at, at + 1), rows, columns)[0], field.time.values[at]


def read(
    field: xr.DataArray, times: slice, rows: Rows = slice(None), columns: np.ndarray | None = None
) -> np.ndarray:
    """Values (times, rows, columns), float32: small negatives are 0, lower ones missing, as in all of deepcams."""
    runs = [slice(None)] if columns is None else _runs(columns)
    # One slice of what Dask opened, computed on its own: of more than that it would read whole maps.
    parts = [np.asarray(field.data[times, rows, run], np.float32) for run in runs]
    return cleaned(np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0])


def cleaned(values: np.ndarray) -> np.ndarray:
    """Values as they are shown: small negatives are 0, lower ones missing."""
    with np.errstate(invalid="ignore"):
        if (values < 0).any():
            values = np.where(values < SMALL_NEGATIVE, np.float32(np.nan), np.maximum(values, 0))
    return values


def _runs(columns: np.ndarray) -> list[slice]:
    """Stretches of neighbouring columns, as slices."""
    breaks = np.flatnonzero(np.diff(columns) != 1) + 1
    return [slice(int(part[0]), int(part[-1]) + 1) for part in np.split(columns, breaks)]


def times_in(field: xr.DataArray, period: Period | None, name: str = "field") -> slice:
    """The frames in a period.

    Raises:
        InputError: there are none; the nearest is named.
    """
    times = field.time.values
    if period is None:
        return slice(0, times.size)
    first, stop = (int(np.searchsorted(times, moment)) for moment in (period.start, period.end))
    if first == stop:
        nearest = times[int(np.argmin(abs(times - period.start)))]
        raise InputError(
            f"{name}: period",
            f"times within {stamp(times[0])} to {stamp(times[-1])}",
            period,
            f"the nearest is {stamp(nearest)}",
        )
    return slice(first, stop)


def stretches(field: xr.DataArray, times: slice, nodes: int) -> Iterator[slice]:
    """Cut frames into stretches of few bytes, of whole chunks where chunks are smaller."""
    most = max(_TOGETHER // (4 * max(nodes, 1)), 1)
    lengths = field.chunks[0] if field.chunks is not None else (field.shape[0],)
    edges = np.cumsum((0, *lengths))
    first = times.start
    while first < times.stop:
        inner = edges[(edges > first) & (edges <= first + most)]
        stop = min(int(inner[-1]) if inner.size else first + most, times.stop)
        yield slice(first, stop)
        first = stop


def mean(
    field: xr.DataArray,
    times: slice,
    rows: Rows = slice(None),
    columns: np.ndarray | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Mean over frames of what is there: (rows, columns), float32; NaN where nothing is. Memory stays level."""
    height = len(range(*rows.indices(field.shape[1])))
    nodes = height * (field.shape[2] if columns is None else columns.size)
    total: np.ndarray | None = None
    number: np.ndarray | None = None
    for part in stretches(field, times, nodes):
        values = read(field, part, rows, columns)
        there = np.isfinite(values)
        sums = np.where(there, values, 0).sum(axis=0, dtype=np.float64)
        counts = there.sum(axis=0)
        total, number = (
            (sums, counts) if total is None or number is None else (total + sums, number + counts)
        )
        if progress is not None:
            progress(part.stop - times.start, times.stop - times.start)
    assert total is not None
    assert number is not None
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / number).astype(np.float32)
