"""A small globe (7.5 degrees, 3-hourly), so that whole records are computed in a moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field

MakeField = Callable[..., xr.DataArray]


@pytest.fixture
def make_field() -> MakeField:
    """Make canonical fields: ``make_field(frames, start=..., step=7.5, hours=3)``."""
    return _make_field


def _make_field(
    frames: int = 17,
    start: str = "2019-12-31T00",
    step: float = 7.5,
    hours: int = 3,
    units: str = "ug m-3",
) -> xr.DataArray:
    random = np.random.default_rng(3)
    latitude, longitude = np.arange(90, -91, -step), np.arange(0, 360, step)
    values = random.lognormal(1, 1, (frames, latitude.size, longitude.size)).astype(
        np.float32
    )
    times = np.datetime64(start, "ns") + np.arange(frames) * np.timedelta64(hours, "h")
    array = xr.DataArray(
        values,
        dims=("time", "latitude", "longitude"),
        coords={"time": times, "latitude": latitude, "longitude": longitude},
        name="pm2p5",
        attrs={"units": units},
    )
    return as_field(array)
