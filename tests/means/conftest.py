"""Small worlds of hours, and their statistics by brute force: one cell and one value at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import field_like
from deepcams.core.grid import Grid

Brute = dict[tuple[date, int, int], list[float]]


def make_field(
    grid: Grid,
    hours: int = 24 * 4,
    start: str = "2019-12-30T00",
    step: int = 60,
    missing: float = 0.0,
    cell_methods: str = "time: point",
) -> xr.DataArray:
    """Return a field of random values; ``step`` in minutes, ``missing`` the share of NaN."""
    rng = np.random.default_rng(grid.rows * grid.columns + hours)
    times = np.datetime64(start, "ns") + np.arange(hours) * np.timedelta64(step, "m")
    values = rng.lognormal(2.5, 0.8, (hours, *grid.shape)).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    about = xr.DataArray(name="pm2p5", attrs={"cell_methods": cell_methods})
    return field_like(about, values, grid, times)


@pytest.fixture
def field_of() -> Callable[..., xr.DataArray]:
    return make_field


def by_local_date(field: xr.DataArray, minutes: np.ndarray) -> Brute:
    """Sort each value into the date that Python's own clock has at its moment in its cell."""
    found: Brute = {}
    for t, moment in enumerate(field.time.values):
        utc = datetime.fromtimestamp(float(moment.astype(np.int64)) / 1e9, UTC)
        for row, column in np.ndindex(minutes.shape):
            zone = timezone(timedelta(minutes=int(minutes[row, column])))
            value = float(field.values[t, row, column])
            key = (utc.astimezone(zone).date(), row, column)
            found.setdefault(key, [])
            if not np.isnan(value):
                found[key].append(value)
    return found


@pytest.fixture
def brute() -> Callable[[xr.DataArray, np.ndarray], Brute]:
    return by_local_date
