"""Simulated fields in the layouts in which the Atmosphere Data Store gives EAC4: today's, that before 2024, zipped."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, choose
from deepcams.core.field import grid_of
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import PM25
from deepcams.core.times import HOUR, stamp
from deepcams.files.atomic import atomic_path
from deepcams.simulation.write_fields import Blocks, add_variable, blocks_of, from_180_west

CamsLayout = Literal["new", "old", "zip"]

_MEMBER = "data_sfc.nc"
_MISSING = np.int16(-32767)
_NAMES = {
    "units": "kg m**-3",
    "long_name": PM25.long_name,
    "standard_name": PM25.standard_name,
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
        world: see :func:`~deepcams.simulation.write_fields.blocks_of`.

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
    write = {"new": _write_new, "old": _write_old, "zip": _write_zip}[layout]
    with blocks_of(field, path, world, progress) as blocks, atomic_path(path) as temporary:
        write(field, temporary, blocks)
    return True


def _write_zip(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    inner = path.with_name(f"{path.name}.nc")
    try:
        _write_new(field, inner, blocks)
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


def _history(field: xr.DataArray) -> str:
    return f"simulated, no CAMS data: {field.attrs.get('source', 'deepcams simulated world')}"


def _axis(name: str, units: str) -> dict[str, str]:
    return {"units": units, "standard_name": name, "long_name": name}


def _write_new(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    centre = "European Centre for Medium-Range Weather Forecasts"
    dims = ("valid_time", "latitude", "longitude")
    number = {
        "long_name": "ensemble member numerical id",
        "units": "1",
        "standard_name": "realization",
    }
    surface = {"long_name": "original GRIB coordinate for key: level(surface)", "units": "1"}
    time = {
        "long_name": "time",
        "standard_name": "time",
        "units": "seconds since 1970-01-01",
        "calendar": "proleptic_gregorian",
    }
    seconds = field.time.values.astype("datetime64[s]").astype("int64")
    north, east = _axis("latitude", "degrees_north"), _axis("longitude", "degrees_east")
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "GRIB_centre": "ecmf",
                "GRIB_centreDescription": centre,
                "Conventions": "CF-1.7",
                "institution": centre,
                "history": _history(field),
            }
        )
        for name, size in zip(dims, field.shape, strict=True):
            file.createDimension(name, size)
        add_variable(file, "number", "i8", (), number, 0)
        add_variable(file, "surface", "f8", (), surface, 0.0, fill_value=np.nan)
        add_variable(file, "valid_time", "i8", ("valid_time",), time, seconds)
        add_variable(file, "latitude", "f8", ("latitude",), north, field.latitude.values)
        add_variable(file, "longitude", "f8", ("longitude",), east, field.longitude.values)
        values = add_variable(
            file,
            "pm2p5",
            "f4",
            dims,
            {**_NAMES, "coordinates": "number surface"},
            fill_value=np.nan,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(min(8, field.shape[0]), *field.shape[1:]),
        )
        for times, block in blocks:
            values[times] = block * np.float32(1e-9)


def _write_old(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    hours = (field.time.values - np.datetime64("1900-01-01", "ns")) / HOUR
    if np.any(hours % 1):
        found = stamp(field.time.values[hours % 1 != 0][0])
        raise InputError("CAMS layout old", "times on the hour", found)
    order, longitude = from_180_west(field.longitude.values)
    packed, scale, offset = _packed(blocks)
    time = {
        "units": "hours since 1900-01-01 00:00:00.0",
        "long_name": "time",
        "calendar": "gregorian",
    }
    attrs = {"scale_factor": scale, "add_offset": offset, "missing_value": _MISSING, **_NAMES}
    north, east = _axis("latitude", "degrees_north"), _axis("longitude", "degrees_east")
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.setncatts({"Conventions": "CF-1.6", "history": _history(field)})
        for name in ("longitude", "latitude", "time"):
            file.createDimension(name, field.sizes[name])
        add_variable(file, "longitude", "f4", ("longitude",), east, longitude)
        add_variable(file, "latitude", "f4", ("latitude",), north, field.latitude.values)
        add_variable(file, "time", "i4", ("time",), time, hours.astype(np.int32))
        dims = ("time", "latitude", "longitude")
        values = add_variable(file, "pm2p5", "i2", dims, fill_value=_MISSING)
        values.set_auto_maskandscale(False)
        values.setncatts(attrs)
        values[:] = packed[..., order]


def _packed(blocks: Blocks) -> tuple[np.ndarray, float, float]:
    """Pack all values into 16 bits: the packed ones, the scale and the offset."""
    data = np.concatenate([block for _, block in blocks]).astype(np.float64) * 1e-9
    missing = np.isnan(data)
    known = data[~missing]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scale = (high - low) / 65532 or 1.0
    offset = (high + low) / 2
    steps = np.rint((np.nan_to_num(data) - offset) / scale)
    return np.where(missing, _MISSING, steps).astype(np.int16), scale, offset
