"""Keeping the coarse mean: exactly, everywhere, and without drawing the cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcams.core.field import as_field, field_like
from deepcams.core.grid import Grid, place
from deepcams.methods import build
from deepcams.methods.arrays import TorchArrays
from deepcams.methods.spatial.bicubic import Bicubic
from deepcams.methods.spatial.coarsen import area_mean, coarsen
from deepcams.methods.spatial.conserve import Conserving

METHODS = ["bilinear", "bicubic", "log-bicubic"]
HOUR = np.timedelta64(1, "h")


def _field(values: np.ndarray, grid: Grid) -> xr.DataArray:
    times = np.datetime64("2019-03-08T00:30", "ns") + np.arange(len(values)) * HOUR
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


@settings(max_examples=25)
@given(
    st.sampled_from(METHODS),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([0.1, 1, 4]),
)
def test_means_are_kept_whatever_the_values(
    method: str, seed: int, globe: bool, spread: float
) -> None:
    """Zeros, 1e-12 and the Australian fires side by side."""
    random = np.random.default_rng(seed)
    grid = Grid.globe(7.5) if globe else Grid(0.75, 40, -4, 12, 15)
    values = random.lognormal(1, spread, (2, *grid.shape)).astype(np.float32)
    values.flat[random.integers(0, values.size, 20)] = 0
    values.flat[random.integers(0, values.size, 20)] = 1e-12
    values.flat[random.integers(0, values.size, 3)] = 3657
    values = np.minimum(values, np.float32(4000))
    values[1, 3:7, 3:7] = 0
    fine = build("none", method).downscale(_field(values, grid))
    assert fine.values.min() >= 0
    np.testing.assert_allclose(coarsen(fine).values, values, rtol=1e-5, atol=1e-17)


@pytest.mark.parametrize("method", METHODS)
def test_a_uniform_field_stays_uniform(method: str) -> None:
    for value in (0, 1e-12, 5, 3657):
        values = np.full((1, *Grid.globe(7.5).shape), value, np.float32)
        fine = build("none", method).downscale(_field(values, Grid.globe(7.5))).values
        np.testing.assert_allclose(fine, value, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("conserve", [False, True])
def test_missing_cells_stay_missing_exactly(method: str, conserve: bool) -> None:
    grid = Grid.globe(7.5)
    values = (
        np.random.default_rng(0).lognormal(1, 1, (3, *grid.shape)).astype(np.float32)
    )
    missing = np.random.default_rng(1).random(values.shape) < 0.2
    missing[1] = True
    missing[2] = False
    holes = np.where(missing, np.float32(np.nan), values)
    fine = build("none", method, conserve=conserve).downscale(_field(holes, grid))
    np.testing.assert_array_equal(np.isnan(fine.values), place(missing, grid))
    if conserve:
        kept = coarsen(fine).values
        np.testing.assert_allclose(kept[~missing], values[~missing], rtol=1e-5)


@pytest.fixture(scope="module")
def real(geos_cf_west: Path) -> xr.DataArray:
    with xr.open_dataset(geos_cf_west) as dataset:
        return as_field(dataset["PM25_RH35_GCC"].isel(time=[0, 2]).load())


def _border_to_inside(fine: np.ndarray) -> float:
    """Mean |log difference| of neighbours in different coarse cells over that of neighbours in the same cell.

    Columns begin with a whole cell here, so that differences 2, 5, 8 .. cross a border; rows begin at the pole, whose
    cell holds two.
    """
    logs = np.log(np.maximum(fine, 0.01))
    across, down = abs(np.diff(logs, axis=-1)), abs(np.diff(logs, axis=-2))
    column_borders, row_borders = (
        np.arange(across.shape[-1]) % 3 == 2,
        np.arange(down.shape[-2]) % 3 == 1,
    )
    border = [across[..., column_borders].mean(), down[..., row_borders, :].mean()]
    inside = [across[..., ~column_borders].mean(), down[..., ~row_borders, :].mean()]
    return float(np.sum(border) / (np.sum(inside) + 1e-9))


def test_no_blocks_show_on_real_data(real: xr.DataArray) -> None:
    assert _border_to_inside(real.values) == pytest.approx(1, abs=0.02)
    fine = build("none", "log-bicubic").downscale(coarsen(real))
    assert _border_to_inside(fine.values) == pytest.approx(1, abs=0.08)
    flat = place(coarsen(real).values, Grid(0.75, 0, 241, 241, 239))
    assert _border_to_inside(flat) > 10  # the measure sees blocks


@pytest.mark.parametrize("method", METHODS)
def test_conserving_is_nearer_to_the_truth_on_real_data(
    real: xr.DataArray, method: str
) -> None:
    coarse = coarsen(real)
    plain, conserving = (
        build("none", method, conserve=yes).downscale(coarse).values
        for yes in (False, True)
    )
    assert abs(conserving - real.values).mean() < 0.97 * abs(plain - real.values).mean()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_poles_have_one_value_and_keep_the_mean_with_either_weight(
    seed: int,
) -> None:
    """By exact cell areas and by the cosine of latitude, which is nothing at the pole itself."""
    grid = Grid.globe(3.0)
    values = (
        np.random.default_rng(seed).lognormal(1, 1, (1, *grid.shape)).astype(np.float32)
    )
    values[:, 0], values[:, -1] = 2.5, 0.125
    fine = build("none", "log-bicubic").downscale(_field(values, grid)).values
    np.testing.assert_array_equal(fine[:, 0], 2.5)
    np.testing.assert_array_equal(fine[:, -1], 0.125)
    np.testing.assert_allclose(area_mean(fine, grid), values, rtol=1e-5)
    for row, pole in (
        (1, 0),
        (-2, -1),
    ):  # all that the cosine weighs in the polar cells
        cells = np.roll(fine[0, row], 1).reshape(-1, 3).mean(axis=1)
        np.testing.assert_allclose(cells, values[0, pole], rtol=1e-5)


@pytest.mark.parametrize("grid", [Grid.globe(7.5), Grid(0.75, 0, -4, 9, 12)])
def test_pytorch_conserves_as_numpy_does(grid: Grid) -> None:
    random = np.random.default_rng(4)
    values = random.lognormal(1, 2, (2, *grid.shape)).astype(np.float32)
    values[1, 3:7, 3:7] = 0
    ours = Conserving(Bicubic())
    other = Conserving(Bicubic(), arrays=TorchArrays("cpu"))
    one, two = (method.refine(values, grid) for method in (ours, other))
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-12)
    assert ours.settings() != other.settings()
