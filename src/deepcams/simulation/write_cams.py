"""Writer of simulated fields in the Atmosphere Data Store's layouts of EAC4: current, before 2024, zipped."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, choose
from deepcams.core.field import DIMS, grid_of
from deepcams.core.grid import Grid
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import PM25
from deepcams.core.times import HOUR, stamp
from deepcams.simulation.write_fields import from_180_west, save_netcdf, write_file

CamsLayout = Literal["new", "old", "zip"]
Others = Callable[[Grid, np.ndarray], dict[str, np.ndarray]]
"""Function that returns further variables of a file, (times, rows, columns), on a grid at some times."""

_MEMBER = "data_sfc.nc"
_MISSING = np.int16(-32767)
_SCALE = 1e-9
"""Kilograms per microgram."""
_NAMES = {
    "units": "kg m**-3",
    "long_name": PM25.long_name,
    "standard_name": PM25.standard_name,
}
_OTHERS = {
    "u10": {"units": "m s**-1", "long_name": "10 metre U wind component"},
    "v10": {"units": "m s**-1", "long_name": "10 metre V wind component"},
    "t2m": {"units": "K", "long_name": "2 metre temperature"},
}
_NORTH = {
    "units": "degrees_north",
    "standard_name": "latitude",
    "long_name": "latitude",
}
_EAST = {
    "units": "degrees_east",
    "standard_name": "longitude",
    "long_name": "longitude",
}
_CENTRE = "European Centre for Medium-Range Weather Forecasts"


def write_cams(
    field: xr.DataArray,
    path: Path | str,
    layout: CamsLayout = "new",
    overwrite: bool = False,
    progress: Progress = no_progress,
    world: str = "",
    others: Others | None = None,
) -> bool:
    """Write a field as a CAMS EAC4 file; it appears under its name only when complete.

    Args:
        field: canonical field of instants; CAMS has 0.75 degree nodes every 3 hours, but any grid and cadence is
            written.
        path: path of the file.
        layout: ``new`` (netCDF-4, ``valid_time``, 0..360), ``old`` (netCDF-3, ``time`` in hours since 1900, 16-bit
            packed, -180..180) or ``zip`` (the new one as member ``data_sfc.nc``).
        overwrite: replace the file if it exists; otherwise it is not touched.
        progress: called with the number of times done.
        world: see :func:`~deepcams.simulation.write_fields.write_file`.
        others: function that returns ``u10``, ``v10`` or ``t2m`` for the same file, such as
            :func:`~deepcams.simulation.meteorology.meteorology`.

    Returns:
        whether the file was written now.

    Raises:
        InputError: an unknown layout, a field that is not canonical, or times that the old layout cannot hold.
        OutputError: the file cannot be written.
    """
    choose("CAMS layout", layout, get_args(CamsLayout))
    grid_of(field)
    off = field.time.values[_hours(field) % 1 != 0]
    if layout == "old" and off.size:
        raise InputError("CAMS layout old", "times on the hour", stamp(off[0]))
    write = {"new": _write_new, "old": _write_old, "zip": _write_zip}[layout]
    return write_file(
        field, Path(path), partial(write, others=others), overwrite, progress, world
    )


def _write_zip(field: xr.DataArray, path: Path, others: Others | None) -> None:
    inner = path.with_name(f"{path.name}.nc")
    try:
        _write_new(field, inner, others)
        # A fixed date, so that the same field gives the same bytes.
        member = zipfile.ZipInfo(_MEMBER, (1980, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        with (
            zipfile.ZipFile(path, "w") as archive,
            inner.open("rb") as source,
            archive.open(member, "w", force_zip64=True) as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
    finally:
        inner.unlink(missing_ok=True)


def _hours(field: xr.DataArray) -> np.ndarray:
    """Return the field's times in hours since 1900."""
    return np.asarray((field.time.values - np.datetime64("1900-01-01", "ns")) / HOUR)


def _history(field: xr.DataArray) -> str:
    return f"simulated, no CAMS data: {field.attrs.get('source', 'deepcams simulated world')}"


def _variables(
    field: xr.DataArray, others: Others | None
) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """Return each variable's values, (times, rows, columns), and attributes."""
    found = {"pm2p5": (field.values * np.float32(_SCALE), _NAMES)}
    if others is not None:
        for name, values in others(grid_of(field), field.time.values).items():
            # the store writes this name where CF has none that it knows
            found[name] = values, {**_OTHERS[name], "standard_name": "unknown"}
    return found


def _write_new(field: xr.DataArray, path: Path, others: Others | None) -> None:
    number = {
        "long_name": "ensemble member numerical id",
        "units": "1",
        "standard_name": "realization",
    }
    surface = {
        "long_name": "original GRIB coordinate for key: level(surface)",
        "units": "1",
    }
    clock = {
        "long_name": "time",
        "standard_name": "time",
        "units": "seconds since 1970-01-01",
        "calendar": "proleptic_gregorian",
    }
    seconds = field.time.values.astype("datetime64[s]").astype("int64")
    dimensions = "valid_time", "latitude", "longitude"
    variables = _variables(field, others).items()
    dataset = xr.Dataset(
        {name: (dimensions, values, about) for name, (values, about) in variables},
        {
            "number": ((), 0, number),
            "surface": ((), 0.0, surface),
            "valid_time": ("valid_time", seconds, clock),
            "latitude": ("latitude", field.latitude.values, _NORTH),
            "longitude": ("longitude", field.longitude.values, _EAST),
        },
        {
            "GRIB_centre": "ecmf",
            "GRIB_centreDescription": _CENTRE,
            "Conventions": "CF-1.7",
            "institution": _CENTRE,
            "history": _history(field),
        },
    )
    chunks = (min(8, field.shape[0]), *field.shape[1:])
    save_netcdf(dataset, path, chunksizes=chunks, _FillValue=np.float32(np.nan))


def _packing(values: np.ndarray) -> dict[str, Any]:
    """Return the encoding that maps the range of the valid values to 16-bit integers."""
    known = values[~np.isnan(values)]
    low, high = 0.0, 0.0
    if known.size:
        low = float(known.min())
        high = float(known.max())
    return {
        "dtype": "int16",
        "scale_factor": (high - low) / 65532 or 1.0,
        "add_offset": (high + low) / 2,
        "missing_value": _MISSING,
        "_FillValue": _MISSING,
    }


def _write_old(field: xr.DataArray, path: Path, others: Others | None) -> None:
    clock = {
        "units": "hours since 1900-01-01 00:00:00.0",
        "long_name": "time",
        "calendar": "gregorian",
    }
    field = from_180_west(field)
    variables = _variables(field, others)
    variables["pm2p5"] = field.values.astype(np.float64) * _SCALE, _NAMES
    dataset = xr.Dataset(
        {name: (DIMS, values, about) for name, (values, about) in variables.items()},
        {
            "longitude": (
                "longitude",
                field.longitude.values.astype(np.float32),
                _EAST,
            ),
            "latitude": ("latitude", field.latitude.values.astype(np.float32), _NORTH),
            "time": ("time", _hours(field).astype(np.int32), clock),
        },
        {"Conventions": "CF-1.6", "history": _history(field)},
    )
    encoding: dict[Any, Any] = {name: {"_FillValue": None} for name in DIMS}
    encoding |= {name: _packing(values) for name, (values, _) in variables.items()}
    dataset.to_netcdf(path, format="NETCDF3_64BIT", engine="netcdf4", encoding=encoding)
