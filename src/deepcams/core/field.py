"""The canonical field: the data format of all parts of deepcams, checked on input.

A *field* is an ``xarray.DataArray`` with dims (time, latitude, longitude), north to south, eastward, float32,
``ug m-3``, strictly increasing UTC time. Longitudes lie in 0..360, except that a region holding Greenwich starts
with negative ones. ``attrs["cell_methods"]`` says whether its values are instants (``time: point``) or means
(``time: mean``, stamped in the middle).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.species import COORDINATE_NAMES, PM25
from deepcams.core.times import HOUR, snap, stamp, storage_precision

if TYPE_CHECKING:
    import xarray as xr
from deepcams.core.units import UNITS

DIMS = ("time", "latitude", "longitude")
CLOCK = "clock"
"""Name of the attribute that marks a field whose times are not UTC; its value is :data:`LOCAL_DATE`."""
LOCAL_DATE = "local date"
"""Value of :data:`CLOCK` for daily means whose days begin at a different moment in each cell."""
FRAME_AGE = 3 * HOUR
"""Longest time that a frame represents; it ends earlier if the next frame comes earlier."""


def _coordinate(array: xr.DataArray, name: str, where: object) -> str:
    """Return an array's own name for a canonical coordinate."""
    aliases = [
        a for a in COORDINATE_NAMES[name] if a in array.coords or a in array.dims
    ]
    if not aliases:
        found = f"only {', '.join(map(str, array.coords)) or 'none'}"
        do = "open a file on a latitude-longitude grid"
        if name == "time":
            do = "a field without time cannot be placed"
        raise InputError(
            where,
            f"a coordinate {name}",
            found,
            do,
        )
    alias = aliases[0]
    if alias not in array.coords:
        raise InputError(
            where,
            f"a coordinate {name}",
            f"a dimension {alias} without values",
            f"write the values of {alias} into the file",
        )
    dims = array.coords[alias].dims
    if len(dims) > 1:
        raise InputError(
            f"{where}: {alias}",
            "one-dimensional coordinates",
            f"{len(dims)}-dimensional ones {tuple(dims)}",
            "regrid the file to a regular latitude-longitude grid",
        )
    return alias


@dataclass(frozen=True)
class Axes:
    """The mapping from an array's layout to that of the canonical field.

    Attributes:
        names: the array's own name of each canonical dimension.
        leftover: other dimensions, all of length 1.
        times: canonical times, ``datetime64[ns]``.
        order: index of each canonical time in the array.
        rows: slice that puts the array's rows in north-to-south order: all, or all reversed.
        columns: index of each canonical column in the array.
        grid: canonical grid.
        factor: conversion factor to ug m-3.
    """

    names: dict[str, str]
    leftover: tuple[str, ...]
    times: np.ndarray
    order: np.ndarray
    rows: slice
    columns: np.ndarray
    grid: Grid
    factor: float


def axes_of(array: xr.DataArray, where: object = "field") -> Axes:
    """Recognise the coordinates and units of an array, without reading its values.

    Args:
        array: see :func:`as_field`.
        where: file or variable named in error messages.

    Raises:
        InputError: see :func:`as_field`.
    """
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: {array.name or 'values'}",
            "numbers",
            f"values of type {array.dtype}",
        )
    names = {name: _coordinate(array, name, where) for name in DIMS}
    latitude, longitude = (array.coords[names[name]] for name in DIMS[1:])
    for place in (latitude, longitude):
        if place.dtype.kind not in "fiu":
            found = f"values of type {place.dtype}"
            raise InputError(f"{where}: {place.name}", "degrees", found)
    if latitude.ndim and latitude.dims == longitude.dims:
        raise InputError(
            where,
            "a regular latitude-longitude grid",
            f"a list of {latitude.size} points along {latitude.dims[0]}",
            "grid the values first",
        )
    leftover = tuple(str(name) for name in array.dims if name not in names.values())
    for name in leftover:
        if array.sizes[name] != 1:
            found, do = (
                f"also {name} of {array.sizes[name]}",
                f"write a file with one {name}",
            )
            raise InputError(
                where,
                "dimensions time, latitude, longitude",
                found,
                do,
            )
    times, order = _standard_times(array.coords[names["time"]], where)
    rows = slice(None)
    norths = np.atleast_1d(np.asarray(latitude.values, float))
    if norths.size > 1 and norths[0] < norths[-1]:
        rows, norths = slice(None, None, -1), norths[::-1]
    easts, columns = _eastward(
        np.atleast_1d(np.asarray(longitude.values, float)), where
    )
    grid = Grid.from_coordinates(norths, easts, where)
    variable = f"{where}: {array.name}" if array.name else where
    from deepcams.core.air import concentration_factor  # circular import

    units = array.attrs.get("units")
    factor = concentration_factor(units, str(array.name), array.attrs, variable)
    present = {name: own for name, own in names.items() if own in array.dims}
    return Axes(present, leftover, times, order, rows, columns, grid, factor)


def as_field(array: xr.DataArray, where: object = "field") -> xr.DataArray:
    """Convert any regular latitude-longitude array of a mass concentration to a canonical field, lazily.

    Renames and orders the dimensions, drops others of length 1, orders latitudes north to south and longitudes
    eastward from 0, sorts the times (duplicates must have been dropped), and converts the values to float32 ug m-3.
    Times that were rounded in storage are set to full minutes (:func:`deepcams.core.times.snap`).

    Args:
        array: has time, latitude and longitude coordinates under their usual names, and ``attrs["units"]``.
        where: file or variable named in error messages.

    Raises:
        InputError: a coordinate is missing, 2-D or irregular; the grid nodes are not multiples of the step;
            the units are not those of a mass concentration; the calendar is not standard; a time occurs twice.
    """
    axes = axes_of(array, where)
    plain = array.isel(dict.fromkeys(axes.leftover, 0)).reset_coords(drop=True)
    plain = plain.rename({own: name for name, own in axes.names.items() if own != name})
    plain = plain.expand_dims(
        [name for name in DIMS if name not in plain.dims]
    ).transpose(*DIMS)
    # Even an identity index would make Dask read whole maps where only a part is needed.
    changes: dict[str, Any] = {"latitude": axes.rows} if axes.rows.step else {}
    for name, index in (("time", axes.order), ("longitude", axes.columns)):
        if not np.array_equal(index, np.arange(plain.sizes[name])):
            kept = np.array_equal(index, np.arange(index.size))
            changes[name] = slice(0, index.size) if kept else index
    data = plain.drop_vars(DIMS, errors="ignore").isel(changes).data.astype(np.float32)
    factor = np.float32(axes.factor)
    field = field_like(
        array, data * factor if factor != 1 else data, axes.grid, axes.times
    )
    if field.data is array.data:
        field.encoding = dict(array.encoding)
    return field


def _standard_times(time: xr.DataArray, where: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted times and the indices that sort them.

    Raises:
        InputError: a non-standard calendar, or missing, repeated or implausible times.
    """
    where = f"{where}: time"
    if not np.issubdtype(time.dtype, np.datetime64):
        raise InputError(where, "dates of the standard calendar", *_other_times(time))
    times = np.atleast_1d(time.values).astype("datetime64[ns]")
    if times.size == 0 or np.isnat(times).any():
        raise InputError(
            where,
            "at least one valid time, and none missing",
            f"{times.size} with missing ones" if times.size else "none",
        )
    times = snap(times, storage_precision(time.encoding, times), where)
    order = np.argsort(times, kind="stable")
    times = times[order]
    same = np.flatnonzero(np.diff(times) == np.timedelta64(0))
    if same.size:
        raise InputError(
            where,
            "each time once",
            f"{str(times[same[0]])[:16]} twice",
            "open overlapping files together",
        )
    return times, order


def _other_times(time: xr.DataArray) -> tuple[str, str]:
    """Return the ``found`` and ``do`` parts of the message about times that are not standard dates."""
    first = time.values.flat[0] if time.size else None
    calendar = getattr(first, "calendar", None)
    if calendar:
        return f"calendar {calendar!r}", "convert the calendar first"
    units = time.attrs.get("units")
    found = f"{first!s} in {units!r}" if units else f"{first!s}"
    return found, "write the times as CF has it: hours since 1970-01-01"


def _eastward(longitude: np.ndarray, where: object) -> tuple[np.ndarray, np.ndarray]:
    """Return increasing longitudes and the source column of each; a repeated cyclic column is dropped.

    A global field begins at Greenwich. A region split by wrapping and sorting (0..20, then 345..359) is rejoined.

    Raises:
        InputError: fewer than two nodes, or longitudes that span more than 360 degrees.
    """
    if longitude.size < 2:
        raise InputError(
            f"{where}: longitude",
            "at least 2 nodes",
            longitude.size,
        )
    columns = np.arange(longitude.size)
    if longitude[0] > longitude[-1] and np.all(np.diff(longitude) < 0):
        longitude, columns = longitude[::-1], columns[::-1]
    step = float(np.median(np.diff(longitude) % 360))
    if (
        longitude.size > 2
        and abs(abs(longitude[-1] - longitude[0]) - 360) < 0.01 * step
    ):
        longitude, columns = longitude[:-1], columns[:-1]
    jumps = np.flatnonzero(np.diff(longitude) % 360 > 1.5 * step)
    closes = abs((longitude[0] - longitude[-1]) % 360 - step) < 0.1 * step
    if jumps.size == 1 and closes:
        longitude, columns = (
            np.roll(each, -int(jumps[0]) - 1) for each in (longitude, columns)
        )
    eastward = longitude[0] + np.concatenate(
        [[0.0], np.cumsum(np.diff(longitude) % 360)]
    )
    if eastward[-1] - eastward[0] > 360 - 0.5 * step:
        raise InputError(
            f"{where}: longitude",
            "longitudes that go round at most once",
            "repeated or unsorted ones",
        )
    if eastward[-1] - eastward[0] <= 360 - 1.5 * step:
        return eastward, columns
    first = int(np.argmin((eastward + step / 100) % 360))
    eastward, columns = np.roll(eastward, -first), np.roll(columns, -first)
    start = (eastward[0] + step / 2) % 360 - step / 2  # a packed 359.999 is Greenwich
    return start + (eastward - eastward[0] + step / 2) % 360 - step / 2, columns


def field_like(
    field: xr.DataArray, data: Any, grid: Grid, time: np.ndarray | None = None
) -> xr.DataArray:
    """Return a field of ``data`` on ``grid`` with the name, times and attributes of another field.

    Args:
        field: provides name, times and attributes.
        data: (time, grid.rows, grid.columns), NumPy or Dask.
        grid: the grid of ``data``.
        time: times to use instead of the field's, ``datetime64``.
    """
    import xarray as xr  # late: slow to import

    keep = (
        "standard_name",
        "long_name",
        "cell_methods",
        "source",
        "history",
        CLOCK,
    )
    attrs = {key: field.attrs[key] for key in keep if key in field.attrs}
    time = field.time.values if time is None else time
    return xr.DataArray(
        data,
        dims=DIMS,
        coords={
            "time": np.asarray(time, "datetime64[ns]"),
            "latitude": (
                "latitude",
                grid.latitudes,
                {"units": "degrees_north", "standard_name": "latitude"},
            ),
            "longitude": (
                "longitude",
                grid.longitudes,
                {"units": "degrees_east", "standard_name": "longitude"},
            ),
        },
        name=field.name or PM25.name,
        attrs={"cell_methods": "time: point", **attrs, "units": UNITS},
    )


def grid_of(field: xr.DataArray) -> Grid:
    """Return the grid of a canonical field.

    Raises:
        InputError: the array is not canonical (call :func:`as_field` first).
    """
    if field.dims != DIMS or field.attrs.get("units") != UNITS:
        raise InputError(
            "field",
            f"a canonical field {DIMS} in {UNITS}",
            f"{field.dims} in {field.attrs.get('units')}",
            "pass it through deepcams.as_field",
        )
    return Grid.from_coordinates(field.latitude.values, field.longitude.values)


def frame_index(times: np.ndarray, time: np.datetime64) -> int | None:
    """Return the index of the last frame at or before a time, if it is less than :data:`FRAME_AGE` old.

    Args:
        times: times of the frames, increasing, ``datetime64``.
        time: UTC.

    Returns:
        the index, or ``None`` if no such frame exists.
    """
    time = np.datetime64(time).astype("datetime64[ns]")
    at = int(np.searchsorted(times, time, side="right")) - 1
    return None if at < 0 or time - times[at] >= FRAME_AGE else at


def clock(field: xr.DataArray) -> str:
    """Return the time standard of a field as display text: ``UTC``, or :data:`LOCAL_DATE`."""
    return str(field.attrs.get(CLOCK, "UTC"))


def moments(field: xr.DataArray, first: np.datetime64, last: np.datetime64) -> str:
    """Format one or two times of a field: ``2019-12-31 15:00 UTC``, ``2019-12-31 (local date)``."""
    texts = list(dict.fromkeys(map(stamp, (first, last))))
    if clock(field) != "UTC":
        return f"{' to '.join(text[:10] for text in texts)} ({clock(field)})"
    return f"{' to '.join(texts)} UTC"


def is_mean(field: xr.DataArray) -> bool:
    """Return whether the field's values are means over an interval around their stamp (else they are instants)."""
    return "mean" in str(field.attrs.get("cell_methods", ""))
