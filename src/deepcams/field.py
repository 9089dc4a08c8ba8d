"""The canonical field: what every part of deepcams takes and gives, checked once at the door.

A *field* is an ``xarray.DataArray`` with dims (time, latitude, longitude), north to south, eastward, float32,
``ug m-3``, strictly increasing UTC time. Longitudes lie in 0..360, except that a region holding Greenwich starts
with negative ones. ``attrs["cell_methods"]`` says whether its values are instants (``time: point``) or means
(``time: mean``, stamped in the middle).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.errors import InputError, notice
from deepcams.grid import Grid

if TYPE_CHECKING:
    import xarray as xr

UNITS = "ug m-3"
DIMS = ("time", "latitude", "longitude")
SMALL_NEGATIVE = -1.0
"""Values from here (ug m-3) up to 0 are noise of packing and analysis and become 0; lower ones are missing."""
FRAME_AGE = np.timedelta64(3, "h")
"""A frame stands for the time up to the next one, but no longer than this."""

_ALIASES = {
    "time": ("time", "valid_time", "t"),
    "latitude": ("latitude", "lat", "nav_lat", "y"),
    "longitude": ("longitude", "lon", "nav_lon", "x"),
}
_TO_UG = {"kgm-3": 1e9, "gm-3": 1e6, "mgm-3": 1e3, "ugm-3": 1.0, "ngm-3": 1e-3}


def units_factor(units: object, where: object) -> float:
    """What to multiply a mass concentration in ``units`` by to have ug m-3.

    Understands ``kg m**-3``, ``kg/m3``, ``kg m^-3``, both micro signs, and g, mg, ng.

    Raises:
        InputError: the units are no mass concentration.
    """
    text = str(units).strip().replace("µ", "u").replace("μ", "u")
    text = text.replace("**", "").replace("^", "").replace("/m3", "m-3").replace("/", "").replace("⁻³", "-3")
    text = (
        text.replace(" ", "").replace(".", "").replace("*", "").replace("micrograms", "ug").replace("kilograms", "kg")
    )
    if text not in _TO_UG:
        found = repr(units) if units is not None else "no units"
        raise InputError(f"{where}: units", "a mass concentration (kg m-3 or ug m-3)", found, "set the units attribute")
    return _TO_UG[text]


def _coordinate(array: xr.DataArray, name: str, where: object) -> str:
    for alias in _ALIASES[name]:
        if alias in array.coords or alias in array.dims:
            break
    else:
        do = "a field without time cannot be placed" if name == "time" else "open a file on a latitude-longitude grid"
        raise InputError(where, f"a coordinate {name}", f"only {', '.join(map(str, array.coords)) or 'none'}", do)
    found = array.coords[alias]
    if found.ndim > 1:
        raise InputError(
            f"{where}: {alias}",
            "one-dimensional coordinates",
            f"{found.ndim}-dimensional ones {tuple(found.dims)}",
            "regrid the file to a regular latitude-longitude grid",
        )
    return alias


def as_field(array: xr.DataArray, where: object = "field") -> xr.DataArray:
    """Turn any regular latitude-longitude array of a mass concentration into a canonical field; lazy.

    Renames and orders the dimensions, drops leftover ones of length 1, turns north first and eastward from 0,
    sorts the times (identical repeats must have been dropped), converts to float32 ug m-3 and names the grid.

    Args:
        array: with coordinates of time, latitude and longitude under their usual names, and ``attrs["units"]``.
        where: file or variable, for messages.

    Raises:
        InputError: a coordinate is missing, 2-D or irregular; the grid's nodes are no multiples of its step;
            the units are no mass concentration; the calendar is not the standard one; a time stands twice.
    """
    names = {_coordinate(array, name, where): name for name in DIMS}
    array = array.rename({old: new for old, new in names.items() if old != new})
    array = array.expand_dims([name for name in DIMS if name not in array.dims])
    for name in set(array.dims) - set(DIMS):
        if array.sizes[name] != 1:
            raise InputError(
                where, "dimensions time, latitude, longitude", f"also {name} of {array.sizes[name]}", "select one"
            )
        array = array.isel({name: 0})
    array = array.reset_coords(drop=True).transpose(*DIMS)
    array = _standard_time(array, where)
    latitude = array.latitude.values
    if latitude.size > 1 and latitude[0] < latitude[-1]:
        array = array.isel(latitude=slice(None, None, -1))
    array = _eastward(array, where)
    grid = Grid.from_coordinates(array.latitude.values, array.longitude.values, where)
    array = _aligned(array, grid)
    factor = units_factor(array.attrs.get("units"), where)
    data = array.data.astype(np.float32)
    return field_like(array, data * np.float32(factor) if factor != 1 else data, grid)


def _standard_time(array: xr.DataArray, where: object) -> xr.DataArray:
    time = array.time
    if not np.issubdtype(time.dtype, np.datetime64):
        first = time.values.flat[0] if time.size else None
        calendar = getattr(first, "calendar", None)
        found = f"calendar {calendar!r}" if calendar else f"times of type {time.dtype}"
        raise InputError(f"{where}: time", "dates of the standard calendar", found, "convert the calendar first")
    if time.size == 0 or np.isnat(time.values).any():
        raise InputError(f"{where}: time", "at least one valid time", f"{time.size} with missing ones")
    array = array.assign_coords(time=time.values.astype("datetime64[ns]"))
    if array.time.size > 1 and not np.all(np.diff(array.time.values) > np.timedelta64(0)):
        array = array.isel(time=np.argsort(array.time.values, kind="stable"))
        same = np.flatnonzero(np.diff(array.time.values) == np.timedelta64(0))
        if same.size:
            stamp = str(array.time.values[same[0]])[:16]
            raise InputError(f"{where}: time", "each time once", f"{stamp} twice", "open overlapping files together")
    return array


def _eastward(array: xr.DataArray, where: object) -> xr.DataArray:
    """Longitudes increasing from 0..360; a column that closes the circle a second time is dropped."""
    longitude = np.asarray(array.longitude.values, float)
    if longitude.size < 2:
        raise InputError(f"{where}: longitude", "at least 2 nodes", longitude.size)
    if longitude[0] > longitude[-1] and np.all(np.diff(longitude) < 0):
        array = array.isel(longitude=slice(None, None, -1))
        longitude = longitude[::-1]
    step = float(np.median(np.diff(longitude) % 360))
    if longitude.size > 2 and abs(abs(longitude[-1] - longitude[0]) - 360) < 0.01 * step:
        array, longitude = array.isel(longitude=slice(0, -1)), longitude[:-1]
    eastward = longitude[0] + np.concatenate([[0.0], np.cumsum(np.diff(longitude) % 360)])
    if eastward[-1] - eastward[0] > 360 - 0.5 * step:
        raise InputError(f"{where}: longitude", "longitudes that go round at most once", "repeated or unsorted ones")
    if eastward[-1] - eastward[0] > 360 - 1.5 * step:  # the globe: begin at Greenwich
        first = int(np.argmin((eastward + step / 100) % 360))
        order = np.roll(np.arange(longitude.size), -first)
        start = (eastward[first] + step / 2) % 360 - step / 2  # a packed 359.999 is Greenwich
        turned = start + (eastward[order] - eastward[first] + step / 2) % 360 - step / 2
        if first:  # (an index that changes nothing would make Dask read whole maps where a part is asked for)
            array = array.isel(longitude=order)
        return array.assign_coords(longitude=turned)
    return array.assign_coords(longitude=eastward)


def _aligned(array: xr.DataArray, grid: Grid) -> xr.DataArray:
    return array.assign_coords(latitude=grid.latitudes, longitude=grid.longitudes)


def field_like(field: xr.DataArray, data: Any, grid: Grid, time: np.ndarray | None = None) -> xr.DataArray:
    """A field of ``data`` on ``grid`` that keeps the other's name, times (unless given) and description.

    Args:
        field: where name, times and attributes come from.
        data: (time, grid.rows, grid.columns), NumPy or Dask.
        grid: where the data lie.
        time: other times, ``datetime64``.
    """
    import xarray as xr  # here: who looks at one frame of a store does without it, and is done in half the time

    keep = ("standard_name", "long_name", "cell_methods", "source", "history")
    attrs = {key: field.attrs[key] for key in keep if key in field.attrs}
    time = field.time.values if time is None else time
    return xr.DataArray(
        data,
        dims=DIMS,
        coords={
            "time": np.asarray(time, "datetime64[ns]"),
            "latitude": ("latitude", grid.latitudes, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", grid.longitudes, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        name=field.name or "pm2p5",
        attrs={"cell_methods": "time: point", **attrs, "units": UNITS},
    )


def grid_of(field: xr.DataArray) -> Grid:
    """The grid of a canonical field.

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
    """Number of the frame that stands for a time: the last one at it or before it, less than :data:`FRAME_AGE` old.

    Args:
        times: of the frames, increasing, ``datetime64``.
        time: UTC.

    Returns:
        ``None`` where there is none.
    """
    time = np.datetime64(time).astype("datetime64[ns]")
    at = int(np.searchsorted(times, time, side="right")) - 1
    return None if at < 0 or time - times[at] >= FRAME_AGE else at


def is_mean(field: xr.DataArray) -> bool:
    """Whether the field's values are means over an interval around their stamp (else they are instants)."""
    return "mean" in str(field.attrs.get("cell_methods", ""))


@dataclass(frozen=True)
class ValueCounts:
    """What was found among values while loading them; counts add.

    Attributes:
        total: values seen.
        missing: NaN in the input.
        negative: small negatives set to 0.
        implausible: values below :data:`SMALL_NEGATIVE`, set to missing.
        clipped: values above what a network's scaling can hold, which lose the excess.
    """

    total: int = 0
    missing: int = 0
    negative: int = 0
    implausible: int = 0
    clipped: int = 0

    def __add__(self, other: ValueCounts) -> ValueCounts:
        return ValueCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def load_values(field: xr.DataArray, where: object = "field") -> tuple[np.ndarray, ValueCounts]:
    """Read a field's values into memory: float32, never negative, missing ones NaN, with counts of what was found.

    Raises:
        InputError: an infinite value.
    """
    values = np.array(field.data, dtype=np.float32)  # a copy: what follows is in place
    if values.size and values.min() >= 0 and values.max() < np.inf:  # nothing to mend (a NaN makes both false)
        return values, ValueCounts(values.size)
    missing = np.isnan(values)
    if not missing.all() and np.isinf(values).any():
        at = np.argwhere(np.isinf(values))[0]
        stamp = str(field.time.values[at[0]])[:16]
        place = f"{field.latitude.values[at[1]]:g} N {field.longitude.values[at[2]]:g} E"
        raise InputError(where, "finite values", f"an infinite one at {stamp}, {place}", "mask it in the input")
    with np.errstate(invalid="ignore"):
        implausible = values < SMALL_NEGATIVE
        negative = (values < 0) & ~implausible
    values[implausible] = np.nan
    values[negative] = 0
    counts = ValueCounts(values.size, int(missing.sum()), int(negative.sum()), int(implausible.sum()))
    return values, counts


def tell_counts(counts: ValueCounts) -> None:
    """Give a notice where values were changed while loading."""
    if counts.implausible:
        notice(f"{counts.implausible} values below {SMALL_NEGATIVE:g} {UNITS} are taken as missing")
