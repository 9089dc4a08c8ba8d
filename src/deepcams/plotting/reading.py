"""Reading of values for figures: one frame, a mean over frames, a series; only the drawn part is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.field import frame_index
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.times import stamp
from deepcams.core.values import clean
from deepcams.plotting.projection import Nodes

if TYPE_CHECKING:
    import xarray as xr

EVERYWHERE: Nodes = (slice(None), None)
_TOGETHER = 64 << 20  # maximum size of a block, bytes


def index_at(field: xr.DataArray, time: np.datetime64, name: str = "field") -> int:
    """Return the index of the frame at a time, else of the last one less than 3 h before it.

    Raises:
        InputError: there is no such frame; the message names the nearest time.
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
    nodes: Nodes = EVERYWHERE,
) -> tuple[np.ndarray, np.datetime64]:
    """Return the frame at a time (:func:`index_at`): values (rows, columns), and its own time.

    Args:
        field: canonical field.
        time: UTC.
        name: name of the field in messages.
        nodes: only these nodes.
    """
    at = index_at(field, time, name)
    return read(field, slice(at, at + 1), nodes)[0], field.time.values[at]


def read(field: xr.DataArray, times: slice, nodes: Nodes = EVERYWHERE) -> np.ndarray:
    """Return values (times, nodes), float32, cleaned by :func:`deepcams.core.values.clean`."""
    rows, columns = nodes
    runs = [slice(None)]
    if columns is not None:  # runs of consecutive columns
        parts = np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1)
        runs = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
    # Each slice is computed separately: for more complex indices Dask would read whole maps.
    values = np.concatenate(
        [np.asarray(field.data[times, rows, run], np.float32) for run in runs], axis=2
    )
    clean(values)
    return values


def times_in(field: xr.DataArray, period: Period | None, name: str = "field") -> slice:
    """Return the slice of the frames in a period.

    Raises:
        InputError: there are none; the message names the nearest time.
    """
    times = field.time.values
    if period is None:
        return slice(0, times.size)
    first, stop = (
        int(np.searchsorted(times, moment)) for moment in (period.start, period.end)
    )
    if first == stop:
        nearest = times[int(np.argmin(abs(times - period.start)))]
        raise InputError(
            f"{name}: period",
            f"times within {stamp(times[0])} to {stamp(times[-1])}",
            period,
            f"the nearest is {stamp(nearest)}",
        )
    return slice(first, stop)


def blocks(
    field: xr.DataArray,
    times: slice,
    nodes: Nodes = EVERYWHERE,
    progress: Progress = no_progress,
) -> Iterator[np.ndarray]:
    """Read frames in blocks of limited size, in whole chunks if these are smaller.

    Yields:
        values as :func:`read` returns them.
    """
    rows, columns = nodes
    height = len(range(*rows.indices(field.shape[1])))
    width = field.shape[2] if columns is None else columns.size
    most = max(_TOGETHER // (4 * max(height * width, 1)), 1)
    lengths = field.chunks[0] if field.chunks is not None else (field.shape[0],)
    edges = np.cumsum((0, *lengths))
    first = times.start
    while first < times.stop:
        inner = edges[(edges > first) & (edges <= first + most)]
        stop = min(int(inner[-1]) if inner.size else first + most, times.stop)
        yield read(field, slice(first, stop), nodes)
        first = stop
        progress("reading", first - times.start, times.stop - times.start)


def mean(
    field: xr.DataArray,
    times: slice,
    nodes: Nodes = EVERYWHERE,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return the mean of valid values over frames: (rows, columns), float32; NaN where there are none.

    Memory use does not depend on the number of frames.
    """
    total: np.ndarray | float = 0.0
    number: np.ndarray | int = 0
    for values in blocks(field, times, nodes, progress):
        known = np.isfinite(values)
        total = total + np.where(known, values, 0).sum(axis=0, dtype=np.float64)
        number = number + known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / number, np.float32)
