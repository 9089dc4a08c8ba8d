"""Simulated hourly means as GEOS-CF version 1 publishes its own: one file an hour, south first, from 180 W."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of, is_mean
from deepcams.files.atomic import atomic_path
from deepcams.simulation.folder import Progress, Written, no_progress

_HALF = np.timedelta64(30, "m")


def geos_cf_name(time: np.datetime64) -> str:
    """The name of the file whose mean is stamped ``time`` (HH:30)."""
    stamp = str(time.astype("datetime64[m]"))
    return f"GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.{stamp[:10].replace('-', '')}_{stamp[11:13]}30z.nc4"


def write_geos_cf(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Written:
    """Write hourly means as GEOS-CF files; each appears under its name only when complete.

    Only the hours whose files are not there are computed, a few at a time.

    Args:
        field: canonical field of hourly means stamped HH:30, on the globe or a region.
        folder: where the files go.
        overwrite: replace files that are there; otherwise they are kept.
        progress: called after each file.

    Raises:
        InputError: the field holds no hourly means stamped HH:30.
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    grid_of(field)
    times = field.time.values
    off = times[(times - times.astype("datetime64[h]")) != _HALF]
    if off.size or not is_mean(field):
        found = (
            f"{str(off[0])[:16]}"
            if off.size
            else f"cell_methods {field.attrs.get('cell_methods')!r}"
        )
        raise InputError("GEOS-CF layout", "hourly means stamped HH:30", found)
    paths = [folder / geos_cf_name(time) for time in times]
    written = Written()
    missing = [k for k, path in enumerate(paths) if overwrite or not path.exists()]
    for k in sorted(set(range(len(paths))) - set(missing)):
        written.add(paths[k], new=False)
    progress(written.kept, len(paths))
    at_once = max(field.chunks[0]) if field.chunks else 1
    turned, south_first = _layout(field)
    for first in range(0, len(missing), at_once):
        hours = missing[first : first + at_once]
        values = field[hours].values[:, ::-1][..., turned]
        for k, one in zip(hours, values, strict=True):
            with atomic_path(paths[k]) as temporary:
                _write(
                    temporary,
                    one,
                    times[k],
                    south_first[0],
                    south_first[1],
                    str(field.attrs.get("source", "")),
                )
            written.add(paths[k], new=True)
            progress(written.kept + written.files, len(paths))
    return written


def _layout(field: xr.DataArray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Order of the columns from 180 W eastward, and the latitudes and longitudes of the file."""
    longitude = field.longitude.values
    step = longitude[1] - longitude[0]
    order = np.arange(longitude.size)
    if longitude.size * step > 360 - step / 2:
        order = np.argsort((longitude + 180) % 360, kind="stable")
        longitude = (longitude[order] + 180) % 360 - 180
    elif longitude[0] >= 180:
        longitude = longitude - 360
    return order, (field.latitude.values[::-1], longitude)


def _write(
    path: Path,
    values: np.ndarray,
    time: np.datetime64,
    latitude: np.ndarray,
    longitude: np.ndarray,
    source: str,
) -> None:
    import netCDF4

    stamp = str(time.astype("datetime64[s]"))
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Title": "GEOS-CF v01 replay, aqc_tavg_1hr_g1440x721_v1 (simulated)",
                "Conventions": "CF",
                "Source": f"simulated, no GEOS-CF data: {source}",
                "Filename": geos_cf_name(time),
            }
        )
        for name, size in (
            ("time", None),
            ("lev", 1),
            ("lat", latitude.size),
            ("lon", longitude.size),
        ):
            file.createDimension(name, size)
        for name, units, long_name, coordinate in (
            ("lon", "degrees_east", "longitude", longitude),
            ("lat", "degrees_north", "latitude", latitude),
            ("lev", "layer", "vertical level", np.array([72.0])),
        ):
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts({"long_name": long_name, "units": units})
            axis[:] = coordinate
        file["lev"].setncatts({"positive": "down", "coordinate": "eta"})
        axis = file.createVariable("time", "i4", ("time",))
        axis.setncatts(
            {
                "long_name": "time",
                "units": f"minutes since {stamp.replace('T', ' ')}",
                "time_increment": np.int32(10000),
                "begin_date": np.int32(stamp[:10].replace("-", "")),
                "begin_time": np.int32(stamp[11:].replace(":", "")),
            }
        )
        axis[:] = 0
        pm = file.createVariable(
            "PM25_RH35_GCC",
            "f4",
            ("time", "lev", "lat", "lon"),
            fill_value=np.float32(1e15),
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(1, 1, *values.shape),
        )
        pm.setncatts(
            {
                "long_name": "Particulate matter with diameter below 2.5 um RH 35",
                "units": "ug m-3",
                "missing_value": np.float32(1e15),
            }
        )
        pm[0, 0] = np.where(np.isnan(values), np.float32(1e15), values)
