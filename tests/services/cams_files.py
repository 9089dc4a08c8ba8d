"""Files as the Atmosphere Data Store makes them for a request: a zip of surface and model-level netCDF."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.grid import Grid
from deepcams.core.times import HOUR
from services.data_store import LEVELS

NAMES = {
    "particulate_matter_2.5um": ("pm2p5", "kg m**-3", 2e-8),
    "particulate_matter_10um": ("pm10", "kg m**-3", 4e-8),
    "nitrogen_dioxide": ("no2", "kg kg**-1", 1e-8),
    "ozone": ("go3", "kg kg**-1", 6e-8),
    "temperature": ("t", "K", 280.0),
    "surface_pressure": ("sp", "Pa", 95_000.0),
}
"""The store's names -> the files' names, units and usual values."""


def answer(request: dict[str, Any], path: Path) -> Path:
    """Write what a request is answered with, and return its path; no two nodes or hours have one value."""
    parts: dict[str, dict[str, xr.DataArray]] = {}
    for variable in request["variable"]:
        member = "data_mlev.nc" if variable in LEVELS else "data_sfc.nc"
        array = _array(request, variable)
        parts.setdefault(member, {})[str(array.name)] = array
    about = {"institution": "European Centre for Medium-Range Weather Forecasts"}
    with zipfile.ZipFile(path, "w") as archive:
        for member, arrays in parts.items():
            inner = path.with_name(f"{path.name}.{member}")
            xr.Dataset(arrays, attrs=about).to_netcdf(inner)
            archive.write(inner, member)
            inner.unlink()
    return path


def _array(request: dict[str, Any], variable: str) -> xr.DataArray:
    name, units, usual = NAMES[variable]
    first, _, last = request["date"][0].partition("/")
    days = np.arange(first, np.datetime64(last) + 1, 1, "M8[D]").astype("M8[ns]")
    runs = np.array([int(time[:2]) for time in request["time"]])
    begun = (days[:, None] + runs * HOUR).ravel()
    grid = Grid.globe(0.4 if "leadtime_hour" in request else 0.75)
    if "area" in request:
        north, west, south, east = request["area"]
        grid = grid.select((west, south, east, north))[0]
    places = {"latitude": grid.latitudes, "longitude": grid.longitudes}
    if "leadtime_hour" in request:
        leads = np.array(request["leadtime_hour"], float)
        dims = ("forecast_period", "forecast_reference_time")
        valid = begun + (leads[:, None] * float(HOUR.astype(int))).astype("m8[ns]")
        coords: dict[str, Any] = {
            dims[0]: (
                dims[0],
                leads,
                {"units": "hours", "standard_name": "forecast_period"},
            ),
            dims[1]: (dims[1], begun, {"standard_name": "forecast_reference_time"}),
            "valid_time": (dims, valid, {"standard_name": "time"}),
        }
        outer = {"forecast_period": leads.size, "forecast_reference_time": begun.size}
    else:
        valid = begun
        coords = {"valid_time": ("valid_time", valid, {"standard_name": "time"})}
        outer = {"valid_time": begun.size}
    hours = (valid - np.datetime64("2019-01-01", "ns")) / HOUR
    wave = np.sin(np.deg2rad(7 * grid.latitudes))[:, None] + np.cos(
        np.deg2rad(9 * grid.longitudes)
    )
    size = 0.01 if name in ("t", "sp") else 0.2
    phase = np.sin(2 * np.pi * hours / 24)[..., None, None]
    values = usual * (1 + size * wave * (1 + 0.5 * phase))
    if variable in LEVELS:
        level = {"model_level": 1}
        values = np.expand_dims(values, len(outer))
        coords["model_level"] = np.array([float(request["model_level"][0])])
    else:
        level = {}
    return xr.DataArray(
        values.astype(np.float32),
        dims=(*outer, *level, *places),
        coords={**coords, **places},
        name=name,
        attrs={"units": units},
    )
