"""Simulated fields in the layouts in which the Atmosphere Data Store gives EAC4: today's, that before 2024, zipped."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, choose
from deepcams.core.field import grid_of
from deepcams.files.atomic import atomic_path
from deepcams.simulation.blocks import Blocks, blocks_of
from deepcams.simulation.folder import Progress, no_progress

CamsLayout = Literal["new", "old", "zip"]

_MEMBER = "data_sfc.nc"
_NAMES = {
    "units": "kg m**-3",
    "long_name": "Particulate matter d <= 2.5 um",
    "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
}


def write_cams(
    field: xr.DataArray,
    path: Path | str,
    layout: CamsLayout = "new",
    overwrite: bool = False,
    progress: Progress = no_progress,
    world: str = "",
) -> bool:
    """Write a field as a CAMS EAC4 file; it appears under its name only when complete.

    Args:
        field: canonical field of instants on the 0.75 degree nodes, every 3 hours in CAMS (any other grid and
            cadence is written as it is).
        path: of the file.
        layout: ``new`` (netCDF-4, ``valid_time``, 0..360), ``old`` (netCDF-3, ``time`` in hours since 1900, 16-bit
            packed, -180..180) or ``zip`` (the new one as member ``data_sfc.nc``).
        overwrite: replace the file if it is there; otherwise it is kept.
        progress: called with the number of times done.
        world: see :func:`~deepcams.simulation.blocks.blocks_of`.

    Returns:
        whether the file was written now.

    Raises:
        InputError: unknown layout, or no canonical field.
        OutputError: the file cannot be written.
    """
    choose("CAMS layout", layout, get_args(CamsLayout))
    grid_of(field)
    path = Path(path)
    if path.exists() and not overwrite:
        return False
    with blocks_of(field, path, world, progress) as blocks, atomic_path(path) as temporary:
        if layout == "old":
            _write_old(field, temporary, blocks)
        elif layout == "new":
            _write_new(field, temporary, blocks)
        else:
            _write_zip(field, temporary, blocks)
    return True


def _write_zip(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    inner = path.with_name(f"{path.name}.nc")
    try:
        _write_new(field, inner, blocks)
        with zipfile.ZipFile(path, "w") as archive:
            member = zipfile.ZipInfo(
                _MEMBER, (1980, 1, 1, 0, 0, 0)
            )  # a fixed date: the same field, the same bytes
            member.compress_type = zipfile.ZIP_DEFLATED
            with inner.open("rb") as source, archive.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
    finally:
        inner.unlink(missing_ok=True)


def _history(field: xr.DataArray) -> str:
    return str(field.attrs.get("source", "deepcams simulated world"))


def _write_new(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "GRIB_centre": "ecmf",
                "GRIB_centreDescription": "European Centre for Medium-Range Weather Forecasts",
                "Conventions": "CF-1.7",
                "institution": "European Centre for Medium-Range Weather Forecasts",
                "history": f"simulated, no CAMS data: {_history(field)}",
            }
        )
        for name, size in zip(("valid_time", "latitude", "longitude"), field.shape, strict=True):
            file.createDimension(name, size)
        number = file.createVariable("number", "i8")
        number.setncatts(
            {
                "long_name": "ensemble member numerical id",
                "units": "1",
                "standard_name": "realization",
            }
        )
        number[...] = 0
        surface = file.createVariable("surface", "f8", fill_value=np.nan)
        surface.setncatts(
            {"long_name": "original GRIB coordinate for key: level(surface)", "units": "1"}
        )
        surface[...] = 0.0
        time = file.createVariable("valid_time", "i8", ("valid_time",))
        time.setncatts(
            {
                "long_name": "time",
                "standard_name": "time",
                "units": "seconds since 1970-01-01",
                "calendar": "proleptic_gregorian",
            }
        )
        time[:] = field.time.values.astype("datetime64[s]").astype("int64")
        _axis(file, "latitude", "degrees_north", "f8", field.latitude.values)
        _axis(file, "longitude", "degrees_east", "f8", field.longitude.values)
        values = file.createVariable(
            "pm2p5",
            "f4",
            ("valid_time", "latitude", "longitude"),
            fill_value=np.nan,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(min(8, field.shape[0]), *field.shape[1:]),
        )
        values.setncatts({**_NAMES, "coordinates": "number surface"})
        for times, block in blocks:
            values[times] = block * np.float32(1e-9)


def _write_old(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    # Packing needs the range of all values first.
    data = np.concatenate([block for _, block in blocks]).astype(np.float64) * 1e-9
    longitude = field.longitude.values
    if longitude.size * (longitude[1] - longitude[0]) > 359.9:
        order = np.argsort((longitude + 180) % 360, kind="stable")
        data, longitude = data[..., order], (longitude[order] + 180) % 360 - 180
    elif longitude[0] >= 180:
        longitude = longitude - 360
    low, high = (
        (float(np.nanmin(data)), float(np.nanmax(data))) if np.isfinite(data).any() else (0.0, 0.0)
    )
    scale = (high - low) / 65532 or 1.0
    offset = (high + low) / 2
    packed = np.where(
        np.isnan(data), -32767, np.rint((np.nan_to_num(data) - offset) / scale)
    ).astype(np.int16)
    hours = (field.time.values - np.datetime64("1900-01-01", "ns")) / np.timedelta64(1, "h")
    if np.any(hours % 1):
        raise InputError(
            "CAMS layout old", "times on the hour", str(field.time.values[hours % 1 != 0][0])[:16]
        )
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.setncatts(
            {"Conventions": "CF-1.6", "history": f"simulated, no CAMS data: {_history(field)}"}
        )
        for name, size in zip(("longitude", "latitude", "time"), data.shape[::-1], strict=True):
            file.createDimension(name, size)
        _axis(file, "longitude", "degrees_east", "f4", longitude)
        _axis(file, "latitude", "degrees_north", "f4", field.latitude.values)
        time = file.createVariable("time", "i4", ("time",))
        time.setncatts(
            {
                "units": "hours since 1900-01-01 00:00:00.0",
                "long_name": "time",
                "calendar": "gregorian",
            }
        )
        time[:] = hours.astype(np.int32)
        values = file.createVariable(
            "pm2p5", "i2", ("time", "latitude", "longitude"), fill_value=-32767
        )
        values.set_auto_maskandscale(False)
        values.setncatts(
            {
                "scale_factor": scale,
                "add_offset": offset,
                "missing_value": np.int16(-32767),
                **_NAMES,
            }
        )
        values[:] = packed


def _axis(file: Any, name: str, units: str, kind: str, values: np.ndarray) -> None:
    axis = file.createVariable(name, kind, (name,))
    axis.setncatts({"units": units, "standard_name": name, "long_name": name})
    axis[:] = values
