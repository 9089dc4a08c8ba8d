"""What goes down comes back to its place: from fine to coarse and up again, for every method in space."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.methods import SPATIAL, build
from deepcams.methods.spatial.coarsen import coarsen

COARSE, FINE = Grid.globe(0.75), Grid.globe(0.25)
TRAINING_FREE = ["bilinear", "bicubic", "log-bicubic"]


def _field(values: np.ndarray, grid: Grid) -> xr.DataArray:
    times = np.datetime64("2019-03-08T00:30", "ns") + np.arange(
        len(values)
    ) * np.timedelta64(1, "h")
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


def _plume(latitude: float, longitude: float, width: float = 1.5) -> np.ndarray:
    """A Gaussian plume of ``width`` degrees on the globe, round on the sphere, on clean air of 0.02 ug m-3."""
    a, b = np.deg2rad(FINE.latitudes)[:, None], np.deg2rad(latitude)
    along = np.deg2rad(FINE.longitudes - longitude)[None]
    haversine = (
        np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(along / 2) ** 2
    )
    distance = np.rad2deg(2 * np.arcsin(np.sqrt(haversine)))
    return (0.02 + 100 * np.exp(-((distance / width) ** 2) / 2)).astype(np.float32)


def _centre(
    values: np.ndarray, latitude: float, longitude: float
) -> tuple[float, float]:
    """Centre of mass relative to a place, by areas on the sphere: degrees north and degrees of arc east."""
    weights = (values.astype(np.float64) - 0.02) * FINE.row_areas[:, None]
    lat, lon = np.deg2rad(FINE.latitudes)[:, None], np.deg2rad(FINE.longitudes)[None]
    x = np.array(
        [
            (weights * np.cos(lat) * np.cos(lon)).sum(),
            (weights * np.cos(lat) * np.sin(lon)).sum(),
            (weights * np.sin(lat)).sum(),
        ]
    )
    x /= np.linalg.norm(x)
    b, c = np.deg2rad(latitude), np.deg2rad(longitude)
    north = np.array([-np.sin(b) * np.cos(c), -np.sin(b) * np.sin(c), np.cos(b)])
    east = np.array([-np.sin(c), np.cos(c), 0])
    return float(np.rad2deg(np.arcsin(x @ north))), float(
        np.rad2deg(np.arcsin(x @ east))
    )


PLACES = [(60, 12.1), (0.1, 100.3), (20.2, 179.95), (-35, 180), (10, 0), (-15.1, 359.9)]
NEAR_POLES = [(80, 40.2), (-80, 220), (86, 7)]
# Towards a pole an area mean's centre of mass lies off its node, and smoothing moves a plume's mass as cells narrow:
# there only what conserves puts it back.


@pytest.mark.parametrize("spatial", TRAINING_FREE)
@pytest.mark.parametrize(
    ("conserve", "latitude", "longitude"),
    [
        (conserve, *place)
        for conserve in (False, True)
        for place in (PLACES + NEAR_POLES if conserve else PLACES)
    ],
)
def test_a_plume_stays_where_it_is(
    spatial: str, conserve: bool, latitude: float, longitude: float
) -> None:
    truth = _plume(latitude, longitude)
    result = build("none", spatial, conserve=conserve).downscale(
        coarsen(_field(truth[None], FINE))
    )
    assert grid_of(result) == FINE
    before, after = (
        _centre(truth, latitude, longitude),
        _centre(result.values[0], latitude, longitude),
    )
    assert abs(before[0] - after[0]) / 0.25 < 0.02
    assert abs(before[1] - after[1]) / 0.25 < 0.02


@pytest.mark.parametrize("spatial", TRAINING_FREE)
def test_the_output_lies_exactly_on_geos_cf_nodes(spatial: str) -> None:
    coarse = _field(np.ones((1, *COARSE.shape), np.float32), COARSE)
    result = build("none", spatial).downscale(coarse)
    assert result.shape == (1, 721, 1440)
    np.testing.assert_array_equal(result.latitude.values, 90 - 0.25 * np.arange(721))
    np.testing.assert_array_equal(result.longitude.values, 0.25 * np.arange(1440))
    np.testing.assert_allclose(result.values, 1, rtol=1e-6)


@pytest.mark.parametrize("spatial", TRAINING_FREE)
@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("columns", [1, 7, 240, 479])
def test_rolling_the_input_rolls_the_output_to_the_bit(
    spatial: str, conserve: bool, columns: int
) -> None:
    grid = Grid.globe(0.75)
    values = (
        np.random.default_rng(5).lognormal(1, 2, (1, *grid.shape)).astype(np.float32)
    )
    method = build("none", spatial, conserve=conserve)
    expected = np.roll(
        method.downscale(_field(values, grid)).values, 3 * columns, axis=-1
    )
    found = method.downscale(_field(np.roll(values, columns, axis=-1), grid)).values
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("spatial", TRAINING_FREE)
def test_interpolation_keeps_the_coarse_nodes(spatial: str) -> None:
    values = (
        np.random.default_rng(6).lognormal(1, 1, (1, *COARSE.shape)).astype(np.float32)
    )
    fine = (
        build("none", spatial, conserve=False).downscale(_field(values, COARSE)).values
    )
    np.testing.assert_allclose(fine[:, ::3, ::3], values, rtol=1e-5)


@pytest.mark.parametrize("spatial", TRAINING_FREE)
@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize(
    "corner", [(50, 400), (0, 10), (205, 300)]
)  # inside, at either pole
def test_beyond_its_halo_a_method_does_not_see(
    spatial: str, conserve: bool, corner: tuple[int, int]
) -> None:
    """A region cut out with the halo round it gives what the globe gives: what tiles and boxes rest on."""
    values = (
        np.random.default_rng(7).lognormal(1, 2, (1, *COARSE.shape)).astype(np.float32)
    )
    method = build("none", spatial, conserve=conserve)
    whole = method.downscale(_field(values, COARSE)).values
    top, left = corner
    rows, columns = slice(top, top + 36), slice(left, left + 40)
    region = Grid(0.75, top, left, 36, 40)
    part = method.downscale(_field(values[:, rows, columns], region))
    halo = method.halo
    north = 0 if top == 0 else halo
    south = 36 if top + 36 == 241 else 36 - halo
    inner = Grid(0.75, top + north, left + halo, south - north, 40 - 2 * halo).refine()
    box = {
        "latitude": np.isin(part.latitude, inner.latitudes),
        "longitude": np.isin(part.longitude, inner.longitudes),
    }
    found = part.isel({name: np.flatnonzero(mask) for name, mask in box.items()}).values
    row, column = inner.north, inner.west
    assert found.size > 0
    if (
        top == 0 or top + 36 == 241
    ):  # across a pole a region sees its own mirror image; the globe sees the other side
        keep = slice(3 * halo, None) if top == 0 else slice(None, -3 * halo)
        found = found[:, keep]
        row += 3 * halo if top == 0 else 0
    expected = whole[:, row : row + found.shape[1], column : column + found.shape[2]]
    np.testing.assert_array_equal(found, expected)


def test_the_registry_holds_what_is_tested_here() -> None:
    assert set(TRAINING_FREE) <= set(SPATIAL.names())
