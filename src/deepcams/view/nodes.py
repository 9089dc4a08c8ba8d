"""One node's values straight from netCDF files: what their chunks hold beside it is decompressed, but never converted.

Through the lazy field every map on the way is made, multiplied and thrown away for the sake of one value.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError
from deepcams.core.field import units_factor
from deepcams.readers.cams import find_variable
from deepcams.readers.datasets import open_datasets
from deepcams.readers.detect import find_files

_SLAB = 64
"""Times read at once, or a chunk of the file's: between two, others get their turn at the files (HDF5 has one lock)."""


@dataclass(frozen=True)
class _Part:
    """One file's variable: dimensions time, latitude and longitude, whatever they are called."""

    array: xr.DataArray
    times: np.ndarray
    factor: np.float32
    rows: np.ndarray
    columns: np.ndarray

    def read(self, first: int, last: int, row: int, column: int) -> np.ndarray:
        part = self.array[first:last, int(self.rows[row]), int(self.columns[column])]
        values = np.asarray(part.values).astype(np.float32)
        return values * self.factor if self.factor != 1 else values


class NodeReader:
    """Reads series of a field from the netCDF files that it was opened from.

    Args:
        parts: of the files, one after the other in time.
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = list(parts)

    def __call__(self, first: int, last: int, row: int, column: int) -> np.ndarray:
        """The field's values (float32, ug m-3) at the times ``first`` to ``last`` (exclusive) at one node."""
        found, start = [np.empty(0, np.float32)], 0
        for part in self._parts:
            low, high = max(first - start, 0), min(last - start, part.times.size)
            own = dict(part.array.encoding.get("preferred_chunks") or {}).get(part.array.dims[0])
            length = max(_SLAB // own, 1) * own if isinstance(own, int) and own > 0 else _SLAB
            while low < high:
                end = min((low // length + 1) * length, high)
                found.append(part.read(low, end, row, column))
                low = end
                time.sleep(0.001)  # a lock that is let go is else taken again before others notice
            start += part.times.size
        return np.concatenate(found)


def node_reader(paths: Sequence[str | Path] | str | Path, field: xr.DataArray) -> NodeReader | None:
    """A reader for a field's files, if they hold its values as they are.

    Args:
        paths: what the field was opened from.
        field: canonical.

    Returns:
        ``None`` where the files are no plain netCDF, overlap, or give other values than the field does.
    """
    try:
        parts = []
        for file in find_files(paths):
            if file.kind not in ("hdf5", "netcdf3"):
                return None
            found = [
                find_variable(dataset, str(field.name), file) for dataset in open_datasets(file)
            ]
            if len(found) != 1 or found[0] is None:
                return None
            parts.append(_part(found[0], field, file))
        parts.sort(key=lambda part: part.times[0])
        if not np.array_equal(np.concatenate([part.times for part in parts]), field.time.values):
            return None
        same = np.asarray(parts[0].array[0].values).astype(np.float32)[parts[0].rows][
            :, parts[0].columns
        ]
        if not np.array_equal(same * parts[0].factor, np.asarray(field.data[0]), equal_nan=True):
            return None
    except (DeepcamsError, KeyError, ValueError, IndexError):
        return None  # the lazy field knows more layouts than this
    return NodeReader(parts)


def _part(array: xr.DataArray, field: xr.DataArray, file: object) -> _Part:
    """Where the field's nodes stand in a file.

    Raises:
        ValueError: not there, or not in this way.
    """
    if array.ndim != 3:
        raise ValueError("leftover dimensions")
    times, latitudes, longitudes = (array[name].values for name in array.dims)
    if not np.issubdtype(times.dtype, np.datetime64):
        raise ValueError("no times")
    down = abs(latitudes[None, :] - field.latitude.values[:, None])
    across = abs((longitudes[None, :] - field.longitude.values[:, None] + 180) % 360 - 180)
    if down.min(axis=1).max() > 1e-3 or across.min(axis=1).max() > 1e-3:
        raise ValueError("another grid")
    factor = np.float32(units_factor(array.attrs.get("units"), file))
    return _Part(
        array, times.astype("datetime64[ns]"), factor, down.argmin(axis=1), across.argmin(axis=1)
    )
