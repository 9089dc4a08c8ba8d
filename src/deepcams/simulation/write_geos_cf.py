"""Writer of simulated hourly means in the layout of GEOS-CF version 1: one file per hour, south first, from 180 W."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of, is_mean
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import GEOS_CF_NAMES
from deepcams.core.times import HOUR, stamp
from deepcams.files.atomic import atomic_path
from deepcams.simulation.write_fields import (
    Written,
    from_180_west,
    save_netcdf,
    time_chunks,
)

_MISSING = np.float32(1e15)


def geos_cf_name(time: np.datetime64) -> str:
    """Return the name of the file whose mean is stamped ``time`` (HH:30)."""
    return f"GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.{pd.Timestamp(time):%Y%m%d_%H}30z.nc4"


def write_geos_cf(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Written:
    """Write hourly means as GEOS-CF files; each appears under its name only when complete.

    Only the hours of missing files are computed, a chunk of the field at a time.

    Args:
        field: canonical field of hourly means stamped HH:30, on the globe or a region.
        folder: folder of the files.
        overwrite: replace files that exist; otherwise they are not touched.
        progress: called after each file.

    Raises:
        InputError: the field does not hold hourly means stamped HH:30.
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
    written = Written()
    known = np.array([not overwrite and path.exists() for path in paths])
    for k in np.flatnonzero(known):
        written.add(paths[k], new=False)
    progress("simulate", written.kept, len(paths))
    for chunk in time_chunks(field):
        missing = chunk.start + np.flatnonzero(~known[chunk])
        block = from_180_west(field[missing].load()) if missing.size else ()
        for k, hour in zip(missing, block, strict=True):
            with atomic_path(paths[k]) as temporary:
                _write(temporary, hour)
            written.add(paths[k], new=True)
            progress("simulate", written.kept + written.files, len(paths))
    return written


def _write(path: Path, hour: xr.DataArray) -> None:
    moment = pd.Timestamp(hour.time.values[()])
    clock = {
        "long_name": "time",
        "units": f"minutes since {moment}",
        "time_increment": np.int32(10000),
        "begin_date": np.int32(f"{moment:%Y%m%d}"),
        "begin_time": np.int32(f"{moment:%H%M%S}"),
    }
    about = {
        "long_name": "Particulate matter with diameter below 2.5 um RH 35",
        "units": "ug m-3",
    }
    layer = {
        "long_name": "vertical level",
        "units": "layer",
        "positive": "down",
        "coordinate": "eta",
    }
    hour = hour[::-1]
    dataset = xr.Dataset(
        {
            GEOS_CF_NAMES[0]: (
                ("time", "lev", "lat", "lon"),
                hour.values[None, None],
                about,
            )
        },
        {
            "lon": (
                "lon",
                hour.longitude.values,
                {"long_name": "longitude", "units": "degrees_east"},
            ),
            "lat": (
                "lat",
                hour.latitude.values,
                {"long_name": "latitude", "units": "degrees_north"},
            ),
            "lev": ("lev", [72.0], layer),
            "time": ("time", np.zeros(1, np.int32), clock),
        },
        {
            "Title": "GEOS-CF v01 replay, aqc_tavg_1hr_g1440x721_v1 (simulated)",
            "Conventions": "CF",
            "Source": f"simulated, no GEOS-CF data: {hour.attrs.get('source', '')}",
            "Filename": geos_cf_name(hour.time.values),
        },
    )
    chunks = (1, 1, *hour.shape)
    save_netcdf(
        dataset,
        path,
        "time",
        chunksizes=chunks,
        _FillValue=_MISSING,
        missing_value=_MISSING,
    )
