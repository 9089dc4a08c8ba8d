"""Hourly GEOS-CF files: names, reading and checking, writing of a cropped file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.fetch.base import (
    READING,
    kind_at,
    read_alone,
)
from deepcams.fetch.download import found_in
from deepcams.fetch.endpoints import (
    geos_cf_file,
    geos_cf_variable,
)
from deepcams.fetch.retry import RetryableError
from deepcams.files.atomic import os_errors_explained
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.geos_cf import TITLE, open_geos_cf_files

STEP = 0.25
"""Grid step of GEOS-CF, degrees."""


def hour_name(time: np.datetime64) -> str:
    """Return an hour's name in the records."""
    return str(time.astype("datetime64[m]"))


def day_of(time: np.datetime64) -> np.datetime64:
    """Return the UTC day of a time."""
    return time.astype("datetime64[D]")


class Hour(NamedTuple):
    """The PM2.5 of one hour's file.

    Attributes:
        values: (rows, columns), float32, ug m-3, NaN where missing.
        grid: grid of the values.
        source: description of their origin.
    """

    values: np.ndarray
    grid: Grid
    source: str


def read_hour(path: Path, time: np.datetime64, version: int) -> Hour:
    """Read one hour's file completely.

    Raises:
        RetryableError: the file is not data, is damaged, has another hour, version or grid step, or has no values.
    """
    kind = kind_at(path)
    if kind not in ("hdf5", "netcdf3"):
        raise RetryableError(f"what came is {found_in(path)}")

    def read() -> Hour:
        files = [DataFile(path, kind, path)]
        field = open_geos_cf_files(files, geos_cf_variable(version)).load()
        times = field.time.values
        if times.size != 1 or times[0] != time:
            found = f"{times.size} hours from {str(times[0])[:16]}"
            raise RetryableError(f"what came is {found} instead of {str(time)[:16]}")
        return Hour(field.values[0], grid_of(field), str(field.attrs.get("source", "")))

    hour = read_alone(read)
    if abs(hour.grid.step - STEP) > 1e-6:
        raise RetryableError(f"what came is on another grid ({hour.grid.describe()})")
    if not np.isfinite(hour.values).any():
        raise RetryableError("what came holds no values")
    return hour


def write_hour(
    path: Path,
    values: np.ndarray,
    grid: Grid,
    time: np.datetime64,
    version: int,
    source: str,
) -> None:
    """Write one hour's PM2.5 in GEOS-CF's own layout.

    Args:
        path: the file.
        values: (rows, columns), float32, ug m-3, north first; NaN is missing.
        grid: grid of the values.
        time: the stamp (HH:30).
        version: version of GEOS-CF.
        source: description of the origin of the values.

    Raises:
        OutputError: the file cannot be written.
    """
    name = geos_cf_variable(version)
    about = {"long_name": "PM2.5 at 35 % relative humidity", "units": "ug m-3"}
    data = xr.Dataset(
        {name: (("time", "lev", "lat", "lon"), values[None, None, ::-1], about)},
        {
            "time": [time],
            "lev": ("lev", [72.0], {"units": "layer"}),
            "lat": ("lat", grid.latitudes[::-1], {"units": "degrees_north"}),
            "lon": ("lon", grid.longitudes, {"units": "degrees_east"}),
        },
        {
            "Title": f"{TITLE.format(version)}, surface PM2.5 at 35 % relative humidity",
            "Conventions": "CF",
            "Source": source,
            "Filename": geos_cf_file(version, time),
        },
    )
    packed = {
        "zlib": True,
        "complevel": 1,
        "shuffle": True,
        "_FillValue": np.float32(1e15),
    }
    since = f"minutes since {str(time)[:19].replace('T', ' ')}"
    encoding: dict[str, dict[str, Any]] = {
        name: {**packed, "dtype": "f4"},
        "time": {"units": since, "dtype": "i4"},
    }
    with READING, os_errors_explained(path):
        data.to_netcdf(
            path, engine="netcdf4", encoding=encoding, unlimited_dims=["time"]
        )
