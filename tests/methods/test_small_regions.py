"""Regions from 2 x 2 nodes up, with every training-free method and both orders."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.flow import Flow


def field(rows: int, columns: int) -> xr.DataArray:
    grid = Grid(0.75, 40, -20, rows, columns)
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(3) * np.timedelta64(3, "h")
    values = (
        np.random.default_rng(0).lognormal(2, 1, (3, rows, columns)).astype(np.float32)
    )
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    dims = ("time", "latitude", "longitude")
    return as_field(xr.DataArray(values, coords, dims, "pm2p5", {"units": "ug m-3"}))


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (8, 2), (2, 8), (3, 2), (4, 4)])
@pytest.mark.parametrize("order", ["spatial-first", "temporal-first"])
@pytest.mark.parametrize("spatial", ["bicubic", "log-bicubic"])
def test_flow_and_space(shape: tuple[int, int], order: str, spatial: str) -> None:
    coarse = field(*shape)
    fine = deepcams.downscale(
        coarse, temporal="flow", spatial=spatial, order=order
    ).load()
    assert fine.shape == (7, 3 * shape[0], 3 * shape[1])
    assert np.isfinite(fine.values).all()
    means = deepcams.coarsen(fine).sel(time=coarse.time)
    np.testing.assert_allclose(means.values, coarse.values, rtol=1e-4)


def test_flow_between_equal_frames_changes_nothing() -> None:
    frame = field(2, 3).values[0]
    interval = Interval.on_grid(frame, frame, Grid(0.75, 40, -20, 2, 3))
    (half,) = Flow().between(interval, [0.5])
    np.testing.assert_allclose(half, frame, rtol=1e-4)
