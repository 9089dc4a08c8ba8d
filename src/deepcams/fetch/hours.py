"""One GEOS-CF hour as a file: checking what came, cutting a box out of it, and writing what came otherwise."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.fetch.chunks import Chunks
from deepcams.fetch.download import begins_with
from deepcams.fetch.endpoints import geos_cf_file, geos_cf_variable
from deepcams.fetch.parallel import READING
from deepcams.fetch.retry import TryAgainError
from deepcams.files.optional import need
from deepcams.readers.detect import DataFile, kind_of
from deepcams.readers.geos_cf import TITLE, open_geos_cf_files
from deepcams.readers.truncation import shortfall

Box = tuple[float, float, float, float]
STEP = 0.25


def open_hour(path: Path, time: np.datetime64, version: int) -> xr.DataArray:
    """The PM2.5 of one hour's file: (1, latitude, longitude), in memory.

    Raises:
        TryAgainError: the file is no data, damaged, of another hour, version or step, or holds no values.
    """
    with path.open("rb") as file:
        kind = kind_of(file.read(1024))
    if kind not in ("hdf5", "netcdf3"):
        raise TryAgainError(f"what came is {begins_with(path)}")
    try:
        with READING, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeepcamsNotice)
            field = open_geos_cf_files([DataFile(path, kind, path)], geos_cf_variable(version))
            field = field.load()
            values = field.values
    except InputError as error:
        raise TryAgainError(f"what came is {error.found} instead of {error.expected}") from error
    except DeepcamsError as error:
        raise TryAgainError(f"what came cannot be used: {error}") from error
    found = str(field.time.values[0])[:16]
    if field.sizes["time"] != 1 or field.time.values[0] != time:
        raise TryAgainError(
            f"what came is {field.sizes['time']} hours from {found} instead of {str(time)[:16]}"
        )
    grid = grid_of(field)
    if abs(grid.step - STEP) > 1e-6:
        raise TryAgainError(f"what came is on another grid ({grid.describe()})")
    if not np.isfinite(values).any():
        raise TryAgainError("what came holds no values")
    return field


def check_hour(path: Path, time: np.datetime64, version: int) -> Grid:
    """Check one hour's file as :func:`open_hour` does, in a third of its time where the layout is the usual one.

    Returns:
        its grid.

    Raises:
        TryAgainError: see :func:`open_hour`.
    """
    h5py, cftime = need("h5py"), need("cftime")
    with path.open("rb") as file:
        kind = kind_of(file.read(1024))
    if kind != "hdf5" or shortfall(path, kind):
        return grid_of(open_hour(path, time, version))  # which says what is wrong
    try:
        with READING, h5py.File(path, "r") as data:
            stamp, units = data["time"][:], data["time"].attrs["units"]
            latitude, longitude = (np.asarray(data[name][:], float) for name in ("lat", "lon"))
            chunks = Chunks.of(data[geos_cf_variable(version)])
        if isinstance(units, bytes):
            units = units.decode()
        found = np.atleast_1d(np.asarray(cftime.num2date(stamp, str(units)), object))
        grid = Grid.from_coordinates(np.sort(latitude)[::-1], longitude, path)
        stamps = [str(np.datetime64(one.isoformat(), "m")) for one in found]
        usual = stamps == [str(time.astype("datetime64[m]"))] and abs(grid.step - STEP) < 1e-6
        if usual and chunks is not None and chunks.hold_values(path):
            return grid
    except (
        OSError,
        RuntimeError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        zlib.error,
        DeepcamsError,
    ):
        pass  # the readers tell what it is
    return grid_of(open_hour(path, time, version))


def write_hour(
    path: Path, values: np.ndarray, grid: Grid, time: np.datetime64, version: int, source: str
) -> None:
    """Write one hour's PM2.5 in GEOS-CF's own layout; readers take it for what it is a part of.

    Args:
        path: the file.
        values: (rows, columns), float32, ug m-3, north first, as ``grid`` lies.
        grid: of the values.
        time: the stamp (HH:30).
        version: of GEOS-CF.
        source: where the values come from, in words.
    """
    import netCDF4

    name, fill = geos_cf_variable(version), np.float32(1e15)
    stamp = str(time.astype("datetime64[s]"))
    with READING, netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Title": f"{TITLE.format(version)}, surface PM2.5 at 35 % relative humidity",
                "Conventions": "CF",
                "Source": source,
                "Filename": geos_cf_file(version, time),
            }
        )
        for size_name, size in (
            ("time", None),
            ("lev", 1),
            ("lat", grid.rows),
            ("lon", grid.columns),
        ):
            file.createDimension(size_name, size)
        for axis_name, units, coordinate in (
            ("lon", "degrees_east", grid.longitudes),
            ("lat", "degrees_north", grid.latitudes[::-1]),
            ("lev", "layer", np.array([72.0])),
        ):
            axis = file.createVariable(axis_name, "f8", (axis_name,))
            axis.setncattr("units", units)
            axis[:] = coordinate
        axis = file.createVariable("time", "i4", ("time",))
        axis.setncattr("units", f"minutes since {stamp.replace('T', ' ')}")
        axis[:] = 0
        data = file.createVariable(
            name,
            "f4",
            ("time", "lev", "lat", "lon"),
            fill_value=fill,
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(1, 1, *grid.shape),
        )
        data.setncatts(
            {
                "long_name": "PM2.5 at 35 % relative humidity",
                "units": "ug m-3",
                "missing_value": fill,
            }
        )
        data[0, 0] = np.where(np.isfinite(values), values, fill)[::-1]


def cut(field: xr.DataArray, bbox: Box, path: Path, time: np.datetime64, version: int) -> None:
    """Write the part of an hour that lies in a box."""
    grid, rows, columns = grid_of(field).select(bbox, "--bbox")
    values = field.values[0][rows][:, columns]
    source = str(field.attrs.get("source", ""))
    if not source.startswith("NASA GEOS-CF"):
        source = f"simulated, no GEOS-CF data: {source}"
    write_hour(path, values, grid, time, version, source)
