"""The stored values of a canonical field, read by index and only as far as needed.

Every file's variable becomes a :class:`Stored` part; :class:`Joined` joins the parts in time and space. Dask reads
from it, and without Dask :func:`deepcams.readers.frames.read_block` does. Where the import of Dask is not worth its
time, a field holds an :class:`Indexed` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, UnreadableError
from deepcams.core.field import Axes
from deepcams.readers.formats.datasets import again, reason
from deepcams.readers.formats.detect import DataFile


@dataclass(frozen=True)
class Stored:
    """One variable of one file, or of several GRIB files.

    Attributes:
        versions: the variable, and others that fill its missing values (``expver``); lazy.
        file: file named in error messages.
        time_dims: its time dimensions; 0, 1 or 2 of them.
        moments: flattened index along these dimensions of each canonical time.
        axes: layout of the array.
        mend: function applied to the stored values before all else; ``None``: none.
        leads: forecast lead time of each canonical time, ``timedelta64[ns]``, NaT if unknown; ``None``: all unknown.
    """

    versions: tuple[xr.Variable, ...]
    file: DataFile
    time_dims: tuple[str, ...]
    moments: np.ndarray
    axes: Axes
    mend: Callable[[np.ndarray], np.ndarray] | None = None
    leads: np.ndarray | None = None

    def read(
        self, times: np.ndarray, rows: slice, columns: slice | np.ndarray
    ) -> np.ndarray:
        """Read values at indices of canonical times, rows and columns: float32, ug m-3, NaN where missing.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            values = self._read(self.versions[0], times, rows, columns)
            for other in self.versions[1:]:
                missing = np.isnan(values)
                if missing.any():
                    values = np.where(
                        missing, self._read(other, times, rows, columns), values
                    )
        except DeepcamsError:
            raise
        except Exception as error:  # each library raises its own types
            found, do = reason(error), again(self.file.path)
            raise UnreadableError(self.file, "readable values", found, do) from error
        values = values.astype(np.float32, copy=False)
        if self.mend is not None:
            values = self.mend(values)
        factor = np.float32(self.axes.factor)
        return values * factor if factor != 1 else values

    def _read(
        self,
        variable: xr.Variable,
        times: np.ndarray,
        rows: slice,
        columns: slice | np.ndarray,
    ) -> np.ndarray:
        names, grid = self.axes.names, self.axes.grid
        index: dict[str, Any] = dict.fromkeys(self.axes.leftover, 0)
        if "latitude" in names:
            index[names["latitude"]] = _turned(rows, grid.rows, self.axes.rows)
        chosen = self.axes.columns[columns]
        run = _as_slice(chosen)
        if "longitude" in names:
            index[names["longitude"]] = (
                run
                if run is not None
                else slice(int(chosen.min()), int(chosen.max()) + 1)
            )
        moments = self.moments[times]
        parts = (
            [self._at(variable, piece, index) for piece in _runs(moments)]
            if self.time_dims
            else []
        )
        if not parts:
            values = self._plain(variable.isel(index))[None]
        else:
            values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if run is None:
            values = values[:, :, chosen - chosen.min()]
        return values

    def _at(
        self, variable: xr.Variable, moments: np.ndarray, index: dict[str, Any]
    ) -> np.ndarray:
        """Return the maps at consecutive moments: (moments, rows, columns)."""
        if len(self.time_dims) == 1:
            at = slice(int(moments[0]), int(moments[-1]) + 1)
            return self._plain(variable.isel({**index, self.time_dims[0]: at}))
        lengths = [variable.sizes[name] for name in self.time_dims]
        places = np.stack(np.unravel_index(moments, lengths), axis=1).tolist()
        maps = [
            variable.isel({**index, **dict(zip(self.time_dims, place, strict=True))})
            for place in places
        ]
        return np.stack([self._plain(one) for one in maps])

    def _plain(self, part: xr.Variable) -> np.ndarray:
        """Return values with dimensions time (if any), rows, columns; absent rows or columns have length 1."""
        names = self.axes.names
        order = [name for name in self.time_dims if name in part.dims]
        order += [names[name] for name in ("latitude", "longitude") if name in names]
        values = np.asarray(part.transpose(*order).values)
        for axis, name in ((-2, "latitude"), (-1, "longitude")):
            if name not in names:
                values = np.expand_dims(values, axis)
        return values


def _is_new(values: np.ndarray, variable: xr.Variable) -> bool:
    """Return whether values share no memory with the variable, which may itself be in memory."""
    base: Any = values if values.base is None else values.base
    return isinstance(base, np.ndarray) and base.size < variable.size


def _turned(rows: slice, size: int, order: slice) -> slice:
    """Convert canonical rows to rows of the file."""
    start, stop, _ = rows.indices(size)
    if order.step is None:
        return slice(start, stop)
    first = size - 1 - start
    last = size - 1 - stop
    return slice(first, last if last >= 0 else None, -1)


def _as_slice(index: np.ndarray) -> slice | None:
    """Return consecutive indices as a slice, or ``None``."""
    if index.size and np.array_equal(index, np.arange(index[0], index[0] + index.size)):
        return slice(int(index[0]), int(index[0]) + index.size)
    return None


def _runs(index: np.ndarray) -> list[np.ndarray]:
    """Split indices into runs of consecutive ones."""
    return (
        np.split(index, np.flatnonzero(np.diff(index) != 1) + 1) if index.size else []
    )


@dataclass(frozen=True)
class Tile:
    """A part of the globe for some times of a field.

    Attributes:
        part: its stored values.
        row, column: position of its north-western node in the field.
    """

    part: Stored
    row: int
    column: int


class Joined:
    """The values of a field of many parts: an array (time, latitude, longitude) of float32.

    Args:
        tiles: groups of parts that together cover the field at the same times.
        group: group number of each of the field's times.
        moment: index of each of the field's times among the times of its group.
        shape: shape of the field.

    Attributes:
        name: name of the Dask array that reads from this, if there is one.
    """

    dtype = np.dtype(np.float32)
    ndim = 3
    name: str | None = None

    def __init__(
        self,
        tiles: Sequence[Sequence[Tile]],
        group: np.ndarray,
        moment: np.ndarray,
        shape: tuple[int, int, int],
    ) -> None:
        self._tiles, self._group, self._moment = tiles, group, moment
        self.shape = shape

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read values; slices of step 1, integers, and arrays of indices along one axis."""
        times, columns = (
            np.arange(self.shape[0])[key[0]],
            np.arange(self.shape[2])[key[2]],
        )
        rows = np.arange(self.shape[1])[key[1]]
        span = _as_slice(np.atleast_1d(rows))
        if span is None:
            values = self._block(
                np.atleast_1d(times), slice(None), np.atleast_1d(columns)
            )
            values = values[:, np.atleast_1d(rows)]
        else:
            values = self._block(np.atleast_1d(times), span, np.atleast_1d(columns))
        single = tuple(
            axis
            for axis, index in enumerate((times, rows, columns))
            if np.ndim(index) == 0
        )
        return values.squeeze(single) if single else values

    def _block(self, times: np.ndarray, rows: slice, columns: np.ndarray) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[1])
        groups = self._group[times]
        if groups.size and (groups == groups[0]).all():
            tile, *more = self._tiles[int(groups[0])]
            height, width = tile.part.axes.grid.shape
            if not more and (height, width) == self.shape[1:]:
                part = tile.part.read(self._moment[times], rows, columns)
                return part if _is_new(part, tile.part.versions[0]) else part.copy()
        values = np.empty((times.size, stop - start, columns.size), np.float32)
        edges = np.flatnonzero(np.diff(groups) != 0) + 1
        first = 0
        for run in np.split(np.arange(times.size), edges):
            if not run.size:
                continue
            at = self._moment[times[run]]
            for tile in self._tiles[int(groups[run[0]])]:
                self._fill(
                    values[first : first + run.size], tile, at, (start, stop), columns
                )
            first += run.size
        return values

    @staticmethod
    def _fill(
        values: np.ndarray,
        tile: Tile,
        at: np.ndarray,
        rows: tuple[int, int],
        columns: np.ndarray,
    ) -> None:
        height, width = tile.part.axes.grid.shape
        top, bottom = max(rows[0], tile.row), min(rows[1], tile.row + height)
        inside = np.flatnonzero(
            (columns >= tile.column) & (columns < tile.column + width)
        )
        if top >= bottom or not inside.size:
            return
        own = columns[inside] - tile.column
        part = tile.part.read(at, slice(top - tile.row, bottom - tile.row), own)
        if inside.size == columns.size:
            values[:, top - rows[0] : bottom - rows[0]] = part
        else:
            values[:, top - rows[0] : bottom - rows[0], inside] = part


class Indexed:
    """A lazy part of a :class:`Joined`: an array for xarray that needs no Dask.

    It can be indexed without being read, and converted to a NumPy array; it has no arithmetic.

    Args:
        values: the whole array.
        chunk: chunk number of each of its times; a chunk should be read at once.
        index: selected indices along each axis of the whole; default: all.
    """

    dtype = Joined.dtype
    ndim = Joined.ndim

    def __init__(
        self,
        values: Joined,
        chunk: np.ndarray,
        index: tuple[np.ndarray, ...] | None = None,
    ) -> None:
        self._values, self._chunk = values, chunk
        self._index = tuple(map(np.arange, values.shape)) if index is None else index
        self.shape = tuple(each.size for each in self._index)

    @property
    def nbytes(self) -> int:
        """Size of the values in memory, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the groups of consecutive times that should be read together."""
        chunks = self._chunk[self._index[0]]
        edges = np.flatnonzero(np.diff(chunks) != 0) + 1
        return tuple(np.diff([0, *edges, chunks.size]).tolist())

    def __getitem__(self, key: Any) -> Indexed | np.ndarray:
        """Return a part; for integers and more complex indices return values."""
        keys = key if isinstance(key, tuple) else (key,)
        if keys and keys[-1] is Ellipsis:  # xarray adds one
            keys = keys[:-1]
        lines = [each for each in keys if isinstance(each, np.ndarray)]
        slices = [each for each in keys if isinstance(each, slice)]
        if (
            len(slices) + len(lines) != len(keys)
            or len(keys) > self.ndim
            or len(lines) > 1
            or any(line.ndim != 1 for line in lines)
        ):
            return np.asarray(self)[key]
        keys += (slice(None),) * (self.ndim - len(keys))
        index = (own[each] for own, each in zip(self._index, keys, strict=True))
        return Indexed(self._values, self._chunk, tuple(index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the values."""
        keys = [_as_slice(index) for index in self._index]
        whole = [
            index if key is None else key
            for index, key in zip(self._index, keys, strict=True)
        ]
        values = self._values[tuple(whole)]
        return values if dtype is None else values.astype(dtype, copy=False)

    def astype(self, dtype: Any) -> Any:
        """Convert to another type, which reads the values."""
        return self if np.dtype(dtype) == self.dtype else np.asarray(self, dtype)

    # xarray recognises an array by these two methods.
    def __array_function__(self, *_: Any) -> Any:
        """Refuse: only indexing and reading are possible."""
        return NotImplemented

    def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
        """Refuse: only indexing and reading are possible."""
        return NotImplemented
