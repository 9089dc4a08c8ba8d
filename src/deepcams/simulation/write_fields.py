"""The simulated truth itself: hourly instants, one netCDF a day, as any tool of the field reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.field import DIMS, grid_of
from deepcams.files.atomic import atomic_path
from deepcams.simulation.blocks import Blocks, blocks_of
from deepcams.simulation.folder import Progress, Written, no_progress, shifted

_SINCE = np.datetime64("2003-01-01", "ns")


def write_days(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
    world: str = "",
) -> Written:
    """Write a field as one netCDF a day (``simulated_YYYYMMDD.nc``); each appears only when complete.

    Args:
        field: canonical field; times on whole minutes.
        folder: where the files go.
        overwrite: replace files that are there; otherwise they are kept.
        progress: called with the number of times done.
        world: see :func:`~deepcams.simulation.blocks.blocks_of`.

    Raises:
        OutputError: a file cannot be written.
    """
    grid_of(field)
    days = field.time.values.astype("datetime64[D]")
    written, done = Written(), 0
    for day in np.unique(days):
        part = field.isel(time=np.flatnonzero(days == day))
        stamps = part.time.values.astype("datetime64[h]")
        # A part of a day says which: a longer one would not be taken for it.
        hours = (
            "" if part.sizes["time"] == 24 else f"T{str(stamps[0])[11:13]}-{str(stamps[-1])[11:13]}"
        )
        path = Path(folder) / f"simulated_{str(day).replace('-', '')}{hours}.nc"
        new = overwrite or not path.exists()
        if new:
            told = shifted(progress, done, field.sizes["time"])
            with blocks_of(part, path, world, told) as blocks, atomic_path(path) as temporary:
                _write(part, temporary, blocks)
        written.add(path, new)
        done += part.sizes["time"]
        progress(done, field.sizes["time"])
    return written


def _write(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.11",
                "source": field.attrs["source"],
                "title": "Simulated PM2.5: no real data",
            }
        )
        for name, size in zip(DIMS, field.shape, strict=True):
            file.createDimension(name, size)
        for name, units, values, kind in (
            (
                "time",
                "minutes since 2003-01-01 00:00:00",
                (field.time.values - _SINCE) // np.timedelta64(1, "m"),
                "i8",
            ),
            ("latitude", "degrees_north", field.latitude.values, "f8"),
            ("longitude", "degrees_east", field.longitude.values, "f8"),
        ):
            axis = file.createVariable(name, kind, (name,))
            axis.setncatts({"standard_name": name, "units": units})
            axis[:] = values
        file["time"].setncattr("calendar", "standard")
        variable = file.createVariable(
            "pm2p5",
            "f4",
            DIMS,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(1, *field.shape[1:]),
            fill_value=np.float32(np.nan),
        )
        variable.setncatts(
            {
                key: field.attrs[key]
                for key in ("standard_name", "long_name", "units", "cell_methods")
            }
        )
        for times, block in blocks:
            variable[times] = block
