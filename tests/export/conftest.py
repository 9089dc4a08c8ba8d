"""A small output of deepcams: thirteen hours of a 2.5 degree globe across a change of day, month and year."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.downscaling.job import downscale_to


@pytest.fixture(scope="session")
def coarse() -> xr.DataArray:
    """Five 3-hourly frames of a 7.5 degree globe."""
    latitude, longitude = np.arange(90, -91, -7.5), np.arange(0, 360, 7.5)
    shape = (5, latitude.size, longitude.size)
    values = np.random.default_rng(0).lognormal(1, 1, shape).astype(np.float32)
    values[:, 4, 5] = np.nan
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(5) * np.timedelta64(3, "h")
    coordinates = {"time": times, "latitude": latitude, "longitude": longitude}
    units = {"units": "ug m-3"}
    return as_field(
        xr.DataArray(values, coordinates, tuple(coordinates), "pm2p5", units)
    )


@pytest.fixture(scope="session")
def store(coarse: xr.DataArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "pm25.zarr"
    downscale_to(coarse, path, temporal="linear", spatial="bicubic")
    return path


@pytest.fixture(scope="session")
def stored(store: Path) -> xr.Dataset:
    """What the store holds, as xarray alone reads it."""
    return xr.open_zarr(store).load()
