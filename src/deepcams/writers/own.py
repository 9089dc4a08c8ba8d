"""An output of ours, read without xarray: one frame is drawn in half the time where nobody must import that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.field import DIMS, UNITS, frame_index
from deepcams.core.grid import Grid
from deepcams.writers.layout import EPOCH, RUN
from deepcams.writers.target import written

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, InputError)
_TIMES = {f"{unit} since {str(EPOCH)[:10]}": unit[0] for unit in ("hours", "minutes")}
_PACKED = {"scale_factor", "add_offset", "missing_value"}
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Frame:
    """One frame as it was written.

    Attributes:
        values: (rows, columns) on ``grid``, float32, ug m-3; NaN is missing.
        grid: where they lie, canonical.
        time: UTC.
        name: of the variable.
        source: what the store says of where it comes from; may be empty.
        index: its place on the store's time axis.
    """

    values: np.ndarray
    grid: Grid
    time: np.datetime64
    name: str
    source: str
    index: int = 0


def own_values(paths: Sequence[str | Path] | str | Path, name: str) -> tuple[Any, Any] | None:
    """A variable of a store of ours, if it is there and as we write it.

    Args:
        paths: what a field is opened from.
        name: of the variable.

    Returns:
        the store (:class:`zarr.Group`) and the array (:class:`zarr.Array`), float32 in ug m-3 along :data:`DIMS`;
        ``None`` where the paths are not a single store of deepcams, or its values are packed or otherwise laid out.
    """
    path = _single(paths)
    if path is None:
        return None
    try:
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        if RUN not in attributes:
            return None
        import zarr  # only now: it takes its time

        group = zarr.open_group(path, mode="r")
        values: Any = group[name]
        same = _as_we_write(
            values.metadata.dimension_names, values.dtype, values.fill_value, values.attrs
        )
        return (group, values) if same else None
    except _UNREADABLE:
        return None


def _single(paths: Sequence[str | Path] | str | Path) -> Path | None:
    """The path, where only one is given."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return Path(given[0]).expanduser() if len(given) == 1 else None


def _as_we_write(
    dimensions: object, dtype: np.dtype[Any], fill: Any, about: Mapping[str, Any]
) -> bool:
    """Whether a variable's values are what they say: float32 in ug m-3, NaN where missing."""
    plain = dimensions == DIMS and dtype == np.float32 and bool(np.isnan(fill))
    return plain and about.get("units") == UNITS and not _PACKED & set(about)


def own_frame(
    paths: Sequence[str | Path] | str | Path, time: np.datetime64 | None = None, name: str = "pm2p5"
) -> Frame | None:
    """One frame of a store or a netCDF file of ours, if that is what the paths are.

    Args:
        paths: what a field would be opened from.
        time: UTC; the frame that stands for it (:func:`deepcams.core.field.frame_index`). Default: the first.
        name: of the variable.

    Returns:
        ``None`` where :func:`deepcams.readers.open.open_field` must look at it, or tell what is wrong with it.
    """
    path = _single(paths)
    try:
        if path is not None and path.is_file():
            return _of_netcdf(path, time, name)
        found = own_values(paths, name)
        if path is None or found is None:
            return None
        frame = _frame(*found, lambda each: dict(each.attrs), time, name)
        there = written(path, name, found[1].shape[0])
    except _UNREADABLE:
        return None
    if frame is None or there is None or there.whole:
        return frame
    if not there.times[frame.index]:  # nobody has written it
        return None
    notice(there.words())
    return frame


def _of_netcdf(path: Path, time: np.datetime64 | None, name: str) -> Frame | None:
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return None
    import netCDF4

    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        values = dataset[name]
        about = _attributes(values)
        same = _as_we_write(values.dimensions, values.dtype, about.get("_FillValue", np.nan), about)
        return (
            _frame(dataset, values, _attributes, time, name)
            if same and RUN in dataset.ncattrs()
            else None
        )


def _attributes(of: Any) -> dict[str, Any]:
    """Of a netCDF file or variable."""
    return {key: of.getncattr(key) for key in of.ncattrs()}


def _frame(
    group: Any,
    values: Any,
    attributes: Callable[[Any], Mapping[str, Any]],
    time: np.datetime64 | None,
    name: str,
) -> Frame | None:
    unit = _TIMES[attributes(group["time"])["units"]]
    times = EPOCH + np.asarray(group["time"][:]).astype(f"timedelta64[{unit}]")
    at = 0 if time is None else frame_index(times, time)
    places = [np.asarray(group[axis][:]) for axis in DIMS[1:]]
    grid = Grid.from_coordinates(*places)
    ours = np.array_equal(places[0], grid.latitudes) and np.array_equal(places[1], grid.longitudes)
    if at is None or not ours or values.shape != (times.size, *grid.shape):
        return None
    source = attributes(values).get("source", attributes(group).get("source", ""))
    return Frame(np.asarray(values[at]), grid, times[at], name, str(source), at)
