"""Simulated hourly means as GEOS-CF version 1 publishes its own: one file an hour, south first, from 180 W."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of, is_mean
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import GEOS_CF_NAMES
from deepcams.core.times import HOUR, stamp
from deepcams.files.atomic import atomic_path
from deepcams.simulation.write_fields import Written, add_variable, from_180_west

_MISSING = np.float32(1e15)


def geos_cf_name(time: np.datetime64) -> str:
    """Return the name of the file whose mean is stamped ``time`` (HH:30)."""
    text = str(time.astype("datetime64[m]"))
    return f"GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.{text[:10].replace('-', '')}_{text[11:13]}30z.nc4"


def write_geos_cf(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Written:
    """Write hourly means as GEOS-CF files; each appears under its name only when complete.

    Only the hours whose files are not there are computed, a chunk of the field at a time.

    Args:
        field: canonical field of hourly means stamped HH:30, on the globe or a region.
        folder: where the files go.
        overwrite: replace files that are there; otherwise they are kept.
        progress: called after each file.

    Raises:
        InputError: the field holds no hourly means stamped HH:30.
        OutputError: a file cannot be written.
    """
    grid_of(field)
    times = field.time.values
    off = times[times - times.astype("datetime64[h]") != HOUR // 2]
    if off.size:
        raise InputError("GEOS-CF layout", "hourly means stamped HH:30", stamp(off[0]))
    if not is_mean(field):
        found = f"cell_methods {field.attrs.get('cell_methods')!r}"
        raise InputError("GEOS-CF layout", "hourly means stamped HH:30", found)
    paths = [Path(folder) / geos_cf_name(time) for time in times]
    written, known = Written(), np.array([not overwrite and path.exists() for path in paths])
    for k in np.flatnonzero(known):
        written.add(paths[k], new=False)
    progress("simulate", written.kept, len(paths))
    order, longitude = from_180_west(field.longitude.values)
    ends = np.cumsum(field.chunks[0] if field.chunks else np.ones(times.size, int))
    for indices in np.split(np.arange(times.size), ends[:-1]):
        missing = indices[~known[indices]]
        if not missing.size:
            continue
        block = field[missing]
        for k, hour, values in zip(missing, block, block.values, strict=True):
            with atomic_path(paths[k]) as temporary:
                _write(temporary, hour, values[::-1, order], longitude)
            written.add(paths[k], new=True)
            progress("simulate", written.kept + written.files, len(paths))
    return written


def _write(path: Path, hour: xr.DataArray, values: np.ndarray, longitude: np.ndarray) -> None:
    import netCDF4

    moment = hour.time.values[()]
    time = str(moment.astype("datetime64[s]"))
    latitude = hour.latitude.values[::-1]
    axes = (
        ("lon", "degrees_east", "longitude", longitude),
        ("lat", "degrees_north", "latitude", latitude),
        ("lev", "layer", "vertical level", np.array([72.0])),
    )
    clock = {
        "long_name": "time",
        "units": f"minutes since {time.replace('T', ' ')}",
        "time_increment": np.int32(10000),
        "begin_date": np.int32(time[:10].replace("-", "")),
        "begin_time": np.int32(time[11:].replace(":", "")),
    }
    about = {
        "long_name": "Particulate matter with diameter below 2.5 um RH 35",
        "units": "ug m-3",
        "missing_value": _MISSING,
    }
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Title": "GEOS-CF v01 replay, aqc_tavg_1hr_g1440x721_v1 (simulated)",
                "Conventions": "CF",
                "Source": f"simulated, no GEOS-CF data: {hour.attrs.get('source', '')}",
                "Filename": geos_cf_name(moment),
            }
        )
        dims = ("time", "lev", "lat", "lon")
        for name, size in zip(dims, (None, 1, latitude.size, longitude.size), strict=True):
            file.createDimension(name, size)
        for name, units, long_name, coordinate in axes:
            attrs = {"long_name": long_name, "units": units}
            add_variable(file, name, "f8", (name,), attrs, coordinate)
        file["lev"].setncatts({"positive": "down", "coordinate": "eta"})
        add_variable(file, "time", "i4", ("time",), clock)[:] = 0
        pm = add_variable(
            file,
            GEOS_CF_NAMES[0],
            "f4",
            dims,
            about,
            fill_value=_MISSING,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(1, 1, *values.shape),
        )
        pm[0, 0] = np.where(np.isnan(values), _MISSING, values)
