"""Valid times of a file's values: which coordinate holds them, and how stamps of means are interpreted."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.species import COORDINATE_NAMES
from deepcams.core.times import DAY, HOUR, LONG_MEANS, MEAN_STAMP
from deepcams.core.times import stamp as stamp_text

Stamp = Literal["start", "middle", "end"]
"""Position of the stamp of a mean in its interval."""

_LEAD_NAMES = ("step", "forecast_period", "leadtime", "lead_time", "lead")
_REFERENCE_NAMES = (
    "forecast_reference_time",
    "reference_time",
    "reftime",
    "initial_time",
)
LEAD = "deepcams_lead"
"""Name of the coordinate with forecast lead times that :func:`with_valid_time` adds."""
CHAINED = "forecasts chained by lead time"
"""Text in the ``source`` attribute of fields made of forecasts."""
_LENGTHS = {"d": DAY, "h": HOUR, "m": HOUR // 60, "s": HOUR // 3600}
_MEAN_STREAMS = ("moda", "mnth", "mmsa", "mmsf", "msda", "edmo", "wamo", "dame", "edda")
"""ECMWF streams of daily or monthly means."""
_LONGEST = 3 * HOUR
"""Longest averaging interval that is accepted as hourly data."""


def is_time_mean(array: xr.DataArray) -> bool:
    """Return whether a variable is a mean over time according to its CF ``cell_methods``."""
    return bool(
        re.search(r"\btime:\s*mean\b", str(array.attrs.get("cell_methods", "")))
    )


def cell_method(array: xr.DataArray, where: object) -> str:
    """Return the CF cell method of a field: "time: mean" or "time: point".

    Raises:
        InputError: the values are neither; see :func:`refuse_long_means`.
    """
    refuse_long_means(array, where)
    return "time: mean" if is_time_mean(array) else "time: point"


def time_names(array: xr.DataArray | xr.Dataset) -> list[str]:
    """Return the names of the time coordinates, recognised by canonical aliases and standard name."""
    return [
        name
        for name in COORDINATE_NAMES["time"]
        if name in array.coords or name in array.dims
    ]


def with_valid_time(array: xr.DataArray, where: object) -> xr.DataArray:
    """Give an array a single coordinate ``time`` with the valid times of its values.

    ``valid_time`` takes precedence. Otherwise a forecast's reference time and lead time (one of them may be a scalar)
    are added. A coordinate ``time`` is a reference time if its attributes say so, or if there is also a lead time and
    its standard name is not ``time``. Of several leads for one time the shortest is used.

    Args:
        array: one variable.
        where: file named in error messages.

    Returns:
        the array with ``time`` along one or two of its dimensions, or as a scalar; other times are dropped. Known lead
        times are the coordinate :data:`LEAD`, with the dimensions of ``time``, ``timedelta64[ns]``.

    Raises:
        InputError: a lead time has no units.
    """
    coords = array.coords
    lead = next(
        (
            coords[name]
            for name in coords
            if _is(coords[name], "forecast_period", _LEAD_NAMES)
        ),
        None,
    )
    reference = next(
        (
            coords[name]
            for name in coords
            if _is(coords[name], "forecast_reference_time", _REFERENCE_NAMES)
        ),
        None,
    )
    times = [coords[name] for name in time_names(array) if name in coords]
    if "valid_time" in coords:
        valid = coords["valid_time"]
    elif (
        lead is not None
        and reference is None
        and times
        and times[0].attrs.get("standard_name") != "time"
    ):
        reference, valid = times[0], None
    else:
        own = [
            time for time in times if reference is None or time.name != reference.name
        ]
        valid = own[0] if own else None
    if valid is None and reference is not None and lead is None and reference.ndim == 1:
        notice(
            f"{where}: only a reference time ({reference.name}); it is taken for the valid time"
        )
        valid = reference
    if valid is None and reference is not None and lead is not None:
        valid = reference + _duration(lead, f"{where}: {lead.name}")
        valid.encoding = dict(reference.encoding)
    if valid is None or not set(valid.dims) <= set(array.dims) or valid.ndim > 2:
        return array
    leads = _leads(valid, lead, reference, f"{where}: lead time")
    drop = [
        str(name)
        for name in coords
        if name in ("time", "valid_time") or _is_other(coords[name])
    ]
    plain = array.drop_vars(drop, errors="ignore").assign_coords(time=valid.variable)
    return plain if leads is None else plain.assign_coords({LEAD: leads})


def _leads(
    valid: xr.DataArray,
    lead: xr.DataArray | None,
    reference: xr.DataArray | None,
    where: str,
) -> xr.Variable | None:
    """Return the lead times along the dimensions of the valid times, or ``None`` if unknown."""
    if reference is None and "time" in valid.coords and valid.name != "time":
        reference = valid.coords["time"]  # ecCodes' tools name the reference so
    if reference is not None and reference.dtype.kind == valid.dtype.kind == "M":
        found = valid.variable - reference.variable
    elif lead is not None and (lead.dtype.kind == "m" or "units" in lead.attrs):
        found = _duration(lead, where).variable
    else:
        return None
    if not set(found.dims) <= set(valid.dims):
        return None
    sizes = dict(zip(valid.dims, valid.shape, strict=True))
    shaped = found.set_dims(sizes)  # type: ignore[no-untyped-call]
    return cast(xr.Variable, shaped.transpose(*valid.dims))


def chained(times: np.ndarray, leads: np.ndarray) -> str:
    """Describe the lead times of a series of forecasts; empty for analyses alone.

    Args:
        times: valid times, ``datetime64``, increasing.
        leads: lead time of each, ``timedelta64``; NaT if unknown.
    """
    known = ~np.isnat(leads)
    if not known.any() or not (leads[known] > np.timedelta64(0)).any():
        return ""
    hours = leads[known] / HOUR
    first = times[known][leads[known] == np.timedelta64(0)]
    clocks = np.unique(first - first.astype("datetime64[D]"))
    listed = ", ".join(f"{clock / HOUR:02.0f}" for clock in clocks)
    analyses = f"{first.size} analyses (lead 0), at {listed} UTC" if first.size else ""
    return f"forecasts chained by lead time, {hours.min():g} to {hours.max():g} h, " + (
        analyses or "no analysis (lead 0)"
    )


def _is(coordinate: xr.DataArray, standard_name: str, names: tuple[str, ...]) -> bool:
    own = coordinate.attrs.get("standard_name")
    return own == standard_name or (own is None and coordinate.name in names)


def _is_other(coordinate: xr.DataArray) -> bool:
    return _is(coordinate, "forecast_period", _LEAD_NAMES) or _is(
        coordinate, "forecast_reference_time", _REFERENCE_NAMES
    )


def _duration(lead: xr.DataArray, where: str) -> xr.DataArray:
    """Convert a lead time to ``timedelta64[ns]``."""
    if lead.dtype.kind == "m":
        return lead.astype("timedelta64[ns]")
    unit = str(lead.attrs.get("units", "")).strip().lower()[:1]
    if unit not in _LENGTHS and bool((lead == 0).all()):
        unit = "h"
    if unit not in _LENGTHS:
        found = repr(lead.attrs.get("units", "no units"))
        raise InputError(
            where,
            "a lead time in hours, minutes or days",
            found,
            "write its units into the file",
        )
    return (
        (lead.astype(float) * float(_LENGTHS[unit].astype(np.int64)))
        .round()
        .astype("timedelta64[ns]")
    )


def with_middle_stamps(
    array: xr.DataArray, dataset: xr.Dataset, where: object, stamp: Stamp | None = None
) -> xr.DataArray:
    """Stamp means in the middle of their interval; refuse means over days or months.

    Time bounds take precedence. Means stamped on the full hour without bounds are ambiguous: ``stamp`` gives the
    position, and without it the stamps are kept, with a notice.

    Args:
        array: array with a coordinate ``time`` (see :func:`with_valid_time`).
        dataset: dataset of the array, with the time bounds.
        where: file named in error messages.
        stamp: position of the stamp in the interval, for means without bounds.

    Raises:
        InputError: the means are over more than 3 hours.
    """
    stamp = stamp or MEAN_STAMP.get()
    if (
        not is_time_mean(array)
        or "time" not in array.coords
        or array.time.dtype.kind != "M"
    ):
        return array
    bounds = _bounds(array, dataset)
    times = np.atleast_1d(array.time.values).astype("datetime64[ns]")
    steps = np.diff(np.unique(times))
    if bounds is not None:
        outside = (times < bounds[:, 0]) | (times > bounds[:, 1])
        if outside.any():
            found = f"{stamp_text(times[outside][0])} outside of its own"
            raise InputError(
                f"{where}: time",
                "times within their bounds",
                found,
                "correct the bounds",
            )
        length = (bounds[:, 1] - bounds[:, 0]).max()
        middle = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) // 2
    else:
        length = (
            np.median(steps.astype(np.int64)).astype("timedelta64[ns]")
            if steps.size
            else HOUR
        )
        shift = {"start": length // 2, "end": -(length // 2)}.get(stamp or "", 0 * HOUR)
        middle = times + shift
    if LONG_MEANS.get() and (length > _LONGEST or "utc_offset" in dataset):
        return array  # deepcams' stamps: middles or local dates
    if length > _LONGEST:
        name = (
            "monthly means" if length >= 27 * DAY else f"means over {length / HOUR:g} h"
        )
        raise _long(where, name)
    if (
        bounds is None
        and stamp is None
        and np.any(times.astype("datetime64[h]") == times)
    ):
        notice(
            f"{where}: means stamped on the full hour without time bounds; the stamp is taken for the middle of each "
            "mean (if it is the start or the end, say so: deepcams --mean-stamp start ..)"
        )
    if np.array_equal(middle, times):
        return array
    variable = xr.Variable(
        array.time.dims,
        middle.reshape(array.time.shape),
        encoding=dict(array.time.encoding),
    )
    return array.assign_coords(time=variable)


def refuse_long_means(array: xr.DataArray, where: object) -> None:
    """Refuse daily or monthly means, extremes and climatologies, recognised by GRIB keys or cell methods.

    Raises:
        InputError: the array is one of these, and :data:`~deepcams.core.times.LONG_MEANS` does not allow it.
    """
    if LONG_MEANS.get():
        return
    stream = str(array.attrs.get("GRIB_stream", ""))
    kind = str(array.attrs.get("GRIB_stepType", "instant"))
    methods = str(array.attrs.get("cell_methods", ""))
    if any(one in _MEAN_STREAMS for one in stream.split(", ")):
        name = "daily means" if stream.startswith("d") else "monthly means"
        raise _long(where, f"{name} (stream {stream})")
    if kind.startswith(("avgi", "avga", "avgd", "avgm")):
        raise _long(where, f"monthly means (step type {kind})")
    if kind not in ("instant", "avg"):
        raise _long(where, f"values of step type {kind} (extremes over a time)")
    if re.search(r"\btime:\s*(maximum|minimum|sum)\b", methods):
        raise _long(where, f"cell_methods {methods!r}")
    if re.search(r"\btime:\s*mean\s+(over|within)\s+(days|months|years)", methods):
        raise _long(where, f"a climatology ({methods})")
    interval = re.search(r"mean[^)]*\(\s*interval:\s*1\s*(month|day|year)", methods)
    if interval:
        raise _long(
            where, f"{'daily' if interval[1] == 'day' else interval[1] + 'ly'} means"
        )


def refuse_months(times: np.ndarray, where: object) -> None:
    """Refuse monthly times.

    Args:
        times: times of all files together, sorted, ``datetime64``.

    Raises:
        InputError: there is one time per month.
    """
    steps = np.diff(times)
    if LONG_MEANS.get():
        return
    if steps.size and np.all((steps >= 28 * DAY) & (steps <= 31 * DAY)):
        raise _long(
            where,
            f"{times.size}, one a month from {str(times[0])[:10]} on (monthly means?)",
        )


def _long(where: object, found: str) -> InputError:
    return InputError(
        f"{where}: time",
        "instants or hourly means",
        found,
        "take the 3-hourly or hourly data",
    )


def _bounds(array: xr.DataArray, dataset: xr.Dataset) -> np.ndarray | None:
    """Return the bounds of each time, (n, 2), ``datetime64[ns]``, or ``None``."""
    for time in (dataset.variables.get(name) for name in COORDINATE_NAMES["time"]):
        name: Any = (
            None
            if time is None
            else time.attrs.get("bounds", time.encoding.get("bounds"))
        )
        if name in dataset.variables:
            bounds = np.asarray(dataset.variables[name].values)
            if bounds.dtype.kind == "M" and bounds.shape == (array.time.size, 2):
                return bounds.astype("datetime64[ns]")
    return None
