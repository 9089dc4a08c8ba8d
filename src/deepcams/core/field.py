"""The canonical field: what every part of deepcams takes and gives, checked once at the door.

A *field* is an ``xarray.DataArray`` with dims (time, latitude, longitude), north to south, eastward, float32,
``ug m-3``, strictly increasing UTC time. Longitudes lie in 0..360, except that a region holding Greenwich starts
with negative ones. ``attrs["cell_methods"]`` says whether its values are instants (``time: point``) or means
(``time: mean``, stamped in the middle).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.grid import Grid

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
IMPLAUSIBLE = 1e7
"""No air holds so much (ug m-3; 10 g m-3): what is above is an undefined value not marked as one, or in other units."""
_MASSES = {"kg": 1e9, "g": 1e6, "mg": 1e3, "ug": 1.0, "mcg": 1.0, "ng": 1e-3}
_WORDS = {"kilogram": "kg", "milligram": "mg", "microgram": "ug", "nanogram": "ng", "gram": "g"}
_SIGNS = str.maketrans(
    {
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{MINUS SIGN}": "-",
        "\N{SUPERSCRIPT MINUS}": "-",
    }
    | {
        "\N{MIDDLE DOT}": " ",
        "\N{DOT OPERATOR}": " ",
        "\N{MULTIPLICATION SIGN}": " ",
        "\N{NO-BREAK SPACE}": " ",
    }
    | dict(
        zip(
            "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079",
            "0123456789",
            strict=True,
        )
    )
)
_CONCENTRATION = re.compile(
    r"(?:(?P<number>\d+\.?\d*(?:e[+-]?\d+)?)(?:(?:\*\*|\^)(?P<power>[+-]?\d+))?[\s*.]*)?"
    r"(?P<mass>kg|mg|ug|mcg|ng|g)"
    r"(?:[\s./*]*m(?:\*\*|\^)?\(?\{?-3\}?\)?|\s*(?:/|\bper\b)\s*\(?(?:m(?:\*\*|\^)?3|cubic m)\)?)"
)


def units_factor(units: object, where: object) -> float:
    """What to multiply a mass concentration in ``units`` by to have ug m-3.

    Understands ``kg m**-3``, ``kg/m3``, ``kg m^-3``, ``1e-9 kg m-3``, ``micrograms per cubic meter``, both micro signs,
    raised figures, and g, mg, ng. Units are never guessed: none, or ``1``, is refused as any other that is none.

    Raises:
        InputError: the units are no mass concentration.
    """
    text = str(units).strip().translate(_SIGNS)
    text = text.lower() if text.isupper() else text  # (else Mg would be mg)
    text = re.sub(
        r"\b(kilo|milli|micro|nano)?gram(?:me)?s?\b",
        lambda m: _WORDS[f"{m[1] or ''}gram".lower()],
        text,
        flags=re.I,
    )
    text = re.sub(r"\bmet(?:er|re)s?\b", "m", text, flags=re.I).replace("E", "e")
    found = _CONCENTRATION.fullmatch(text)
    factor = 0.0
    if found is not None:
        factor = float(found["number"] or 1) ** int(found["power"] or 1) * _MASSES[found["mass"]]
    if not 0 < factor < float("inf"):
        nothing = units is None or not str(units).strip()
        raise InputError(
            f"{where}: units",
            "a mass concentration (kg m-3 or ug m-3)",
            "no units" if nothing else repr(str(units)),
            "write them into the file's attribute units, for they are never guessed"
            if nothing
            else "choose another variable with --variable, or correct the attribute units",
        )
    return factor


def _coordinate(array: xr.DataArray, name: str, where: object) -> str:
    for alias in _ALIASES[name]:
        if alias in array.coords or alias in array.dims:
            break
    else:
        do = (
            "a field without time cannot be placed"
            if name == "time"
            else "open a file on a latitude-longitude grid"
        )
        raise InputError(
            where, f"a coordinate {name}", f"only {', '.join(map(str, array.coords)) or 'none'}", do
        )
    if alias not in array.coords:
        do = f"write the values of {alias} into the file"
        raise InputError(where, f"a coordinate {name}", f"a dimension {alias} without values", do)
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
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: {array.name or 'values'}", "numbers", f"values of type {array.dtype}"
        )
    names = {_coordinate(array, name, where): name for name in DIMS}
    array = array.rename({old: new for old, new in names.items() if old != new})
    array = array.expand_dims([name for name in DIMS if name not in array.dims])
    for name in set(array.dims) - set(DIMS):
        if array.sizes[name] != 1:
            raise InputError(
                where,
                "dimensions time, latitude, longitude",
                f"also {name} of {array.sizes[name]}",
                f"write a file with one {name}",
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
    factor = units_factor(
        array.attrs.get("units"), f"{where}: {array.name}" if array.name else where
    )
    data = array.data.astype(np.float32)
    return field_like(array, data * np.float32(factor) if factor != 1 else data, grid)


def _standard_time(array: xr.DataArray, where: object) -> xr.DataArray:
    time = array.time
    if not np.issubdtype(time.dtype, np.datetime64):
        first = time.values.flat[0] if time.size else None
        calendar = getattr(first, "calendar", None)
        if calendar:
            found, do = f"calendar {calendar!r}", "convert the calendar first"
        else:
            written = time.attrs.get("units")
            found = f"{first!s}" + (f" in {written!r}" if written else "")
            do = "write the times as CF has it: hours since 1970-01-01"
        raise InputError(f"{where}: time", "dates of the standard calendar", found, do)
    if time.size == 0 or np.isnat(time.values).any():
        found = f"{time.size} with missing ones" if time.size else "none"
        raise InputError(f"{where}: time", "at least one valid time, and none missing", found)
    array = array.assign_coords(time=time.values.astype("datetime64[ns]"))
    if array.time.size > 1 and not np.all(np.diff(array.time.values) > np.timedelta64(0)):
        array = array.isel(time=np.argsort(array.time.values, kind="stable"))
        same = np.flatnonzero(np.diff(array.time.values) == np.timedelta64(0))
        if same.size:
            stamp = str(array.time.values[same[0]])[:16]
            raise InputError(
                f"{where}: time",
                "each time once",
                f"{stamp} twice",
                "open overlapping files together",
            )
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
        raise InputError(
            f"{where}: longitude",
            "longitudes that go round at most once",
            "repeated or unsorted ones",
        )
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


def field_like(
    field: xr.DataArray, data: Any, grid: Grid, time: np.ndarray | None = None
) -> xr.DataArray:
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
        InputError: an infinite value, or one that no air can have (:data:`IMPLAUSIBLE`).
    """
    values = np.array(field.data, dtype=np.float32)  # a copy: what follows is in place
    if (
        values.size and values.min() >= 0 and values.max() < IMPLAUSIBLE
    ):  # nothing to mend (a NaN makes both false)
        return values, ValueCounts(values.size)
    missing = np.isnan(values)
    if not missing.all() and np.isinf(values).any():
        place = _place(field, np.argwhere(np.isinf(values))[0])
        raise InputError(
            where, "finite values", f"an infinite one at {place}", "mask it in the input"
        )
    if not missing.all() and np.nanmax(values) >= IMPLAUSIBLE:
        at = np.unravel_index(int(np.nanargmax(values)), values.shape)
        raise InputError(
            where,
            f"values of air (below {IMPLAUSIBLE:g} {UNITS})",
            f"{values[at]:.3g} {UNITS} at {_place(field, at)}",
            "mark undefined values as missing (_FillValue), or correct the attribute units",
        )
    with np.errstate(invalid="ignore"):
        implausible = values < SMALL_NEGATIVE
        negative = (values < 0) & ~implausible
    values[implausible] = np.nan
    values[negative] = 0
    counts = ValueCounts(
        values.size, int(missing.sum()), int(negative.sum()), int(implausible.sum())
    )
    return values, counts


def tell_counts(counts: ValueCounts) -> None:
    """Give a notice where values were changed while loading."""
    if counts.implausible:
        notice(f"{counts.implausible} values below {SMALL_NEGATIVE:g} {UNITS} are taken as missing")


def _place(field: xr.DataArray, at: Iterable[np.integer[Any]]) -> str:
    """Time and place of one value, for people."""
    time, row, column = at
    return f"{str(field.time.values[time])[:16]}, {field.latitude.values[row]:g} N {field.longitude.values[column]:g} E"
