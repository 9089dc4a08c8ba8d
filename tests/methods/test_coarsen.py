"""Degradations against independent computations."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import as_field, field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.methods.spatial.coarsen import area_mean, coarsen, decimate, imresize_mean

COARSE, FINE = Grid.globe(0.75), Grid.globe(0.25)


@pytest.fixture(scope="module")
def globe() -> np.ndarray:
    """One rough global fine frame, float64."""
    return np.random.default_rng(1).lognormal(1, 1.5, FINE.shape)


def _field(values: np.ndarray, grid: Grid) -> xr.DataArray:
    times = np.datetime64("2019-03-08T00:30", "ns") + np.arange(
        len(values)
    ) * np.timedelta64(1, "h")
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


def _sphere_mean(fine: np.ndarray, latitude: float, longitude: float) -> float:
    """Mean over the fine cells whose centres lie in the coarse cell, by areas on the sphere, one cell at a time."""
    total = area = 0.0
    for j in (-1, 0, 1):
        lat = latitude + 0.25 * j
        if abs(lat) > 90:
            continue
        north, south = (
            np.deg2rad(min(lat + 0.125, 90)),
            np.deg2rad(max(lat - 0.125, -90)),
        )
        for i in (-1, 0, 1):
            row, column = (
                round((90 - lat) / 0.25),
                round((longitude + 0.25 * i) / 0.25) % 1440,
            )
            cell = np.deg2rad(0.25) * (np.sin(north) - np.sin(south))
            total += cell * fine[row, column]
            area += cell
    return total / area


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (90, 0),
        (90, 180),
        (-90, 359.25),
        (0, 0),
        (60, 359.25),
        (89.25, 12),
        (-45, 179.25),
        (-45, 180),
    ],
)
def test_area_means_are_those_of_the_sphere(
    globe: np.ndarray, latitude: float, longitude: float
) -> None:
    means = area_mean(globe, COARSE)
    found = means[round((90 - latitude) / 0.75), round(longitude / 0.75)]
    assert found == pytest.approx(_sphere_mean(globe, latitude, longitude), rel=1e-10)


def test_area_means_keep_the_mass_of_the_globe(globe: np.ndarray) -> None:
    means = area_mean(globe, COARSE)
    fine_mass = (globe * FINE.row_areas[:, None]).sum() / 3
    coarse_areas = np.add.reduceat(np.pad(FINE.row_areas, (1, 1)), np.arange(0, 723, 3))
    assert (means * coarse_areas[:, None]).sum() == pytest.approx(fine_mass, rel=1e-12)


def _matlab_imresize_rows(values: np.ndarray, scale: float, size: int) -> np.ndarray:
    """MATLAB's own formula, one output row after the other: half-pixel centres, kernel stretched by 1 / scale."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    out = np.zeros((size, values.shape[1]))
    width = 4 / scale
    for k in range(1, size + 1):
        u = k / scale + 0.5 * (1 - 1 / scale)
        left = int(np.floor(u - width / 2))
        places = range(left, left + int(np.ceil(width)) + 2)
        weights = np.array([scale * cubic(scale * (u - p)) for p in places])
        weights /= weights.sum()
        for p, w in zip(places, weights, strict=True):
            out[k - 1] += w * values[min(max(p, 1), len(values)) - 1]
    return out


def test_imresize_is_matlabs_in_the_interior() -> None:
    fine = np.random.default_rng(2).lognormal(
        1, 1, (45, 60)
    )  # 15 x 20 whole cells away from the poles
    coarse = Grid(0.75, 100, 30, 15, 20)
    assert coarse.refine().shape == fine.shape
    expected = _matlab_imresize_rows(
        _matlab_imresize_rows(fine, 1 / 3, 15).T, 1 / 3, 20
    ).T
    found = imresize_mean(fine, coarse)
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=1e-10)


def test_imresize_goes_round_the_globe_and_across_the_poles(globe: np.ndarray) -> None:
    found = imresize_mean(globe, COARSE)
    rolled = imresize_mean(np.roll(globe, 3 * 240, axis=-1), COARSE)
    np.testing.assert_allclose(np.roll(found, 240, axis=-1), rolled, rtol=1e-13)
    np.testing.assert_allclose(
        imresize_mean(np.ones(FINE.shape), COARSE), 1, rtol=1e-13
    )
    pole = np.tile(
        np.random.default_rng(0).random(721)[:, None], (1, 1440)
    )  # the same on every meridian
    assert np.ptp(imresize_mean(pole, COARSE), axis=1).max() < 1e-12


def test_decimation_takes_the_coarse_nodes_themselves(globe: np.ndarray) -> None:
    np.testing.assert_array_equal(decimate(globe, COARSE), globe[::3, ::3])


@pytest.mark.parametrize("method", ["area", "imresize", "decimate"])
def test_all_are_registered_to_the_node(method: str) -> None:
    """A smooth function keeps its values at the nodes it is coarsened to, to second order in the step."""
    latitude, longitude = (
        np.deg2rad(FINE.latitudes)[:, None],
        np.deg2rad(FINE.longitudes)[None],
    )
    wave = 2 + np.sin(latitude) + np.cos(latitude) * np.cos(longitude - 0.3)
    found = coarsen(_field(wave[None].astype(np.float32), FINE), method).values[0]  # type: ignore[arg-type]
    # One fine step of displacement would be 0.0044. By the poles a cell's centre of mass is not its node: area means
    # of these wedges differ.
    rows = slice(13, -13) if method == "area" else slice(None)
    assert abs(found - wave[::3, ::3])[rows].max() < 1.5e-4


@pytest.mark.parametrize("method", ["area", "imresize", "decimate"])
def test_lazy_and_eager_are_the_same(method: str) -> None:
    fine = _field(
        np.random.default_rng(3).random(
            (5, *Grid(7.5, 0, 0, 25, 48).refine().shape), np.float32
        ),
        Grid(2.5, 0, 0, 73, 144),
    )
    lazy = fine.copy(data=da.from_array(fine.values, chunks=(2, 20, 50)))
    result = coarsen(lazy, method)  # type: ignore[arg-type]
    assert isinstance(result.data, da.Array)
    assert result.dtype == np.float32
    xr.testing.assert_identical(result.compute(), coarsen(fine, method))  # type: ignore[arg-type]


def test_a_cell_with_a_missing_node_is_missing_and_no_other() -> None:
    fine = np.ones((1, *FINE.shape), np.float32)
    fine[0, 300, 600] = np.nan  # a coarse node itself
    fine[0, 302, 601] = np.nan  # in the cell south of it
    fine[0, 0, 4] = np.nan  # at the pole
    found = np.argwhere(np.isnan(coarsen(_field(fine, FINE), "area").values[0]))
    assert {tuple(at) for at in found} == {(100, 200), (101, 200), (0, 1)}


def test_the_real_region_is_coarsened_to_its_whole_cells(geos_cf_west) -> None:  # type: ignore[no-untyped-def]
    with xr.open_dataset(geos_cf_west) as dataset:
        truth = as_field(dataset["PM25_RH35_GCC"].load())
    coarse = coarsen(truth)
    assert grid_of(coarse).refine() == grid_of(truth)
    assert coarse.shape == (4, 241, 239)
    areas = np.add.reduceat(np.pad(FINE.row_areas, (1, 1)), np.arange(0, 723, 3))
    mass = np.average(
        truth.mean(("time", "longitude"), dtype=float), weights=FINE.row_areas
    )
    assert np.average(
        coarse.mean(("time", "longitude"), dtype=float), weights=areas
    ) == pytest.approx(mass, rel=1e-6)
    row, column = 100, 50
    cell = truth.values[
        2, 3 * row - 1 : 3 * row + 2, 3 * column : 3 * column + 3
    ].astype(np.float64)
    weights = np.cos(np.deg2rad(truth.latitude.values[3 * row - 1 : 3 * row + 2]))[
        :, None
    ] * np.ones(3)
    assert coarse.values[2, row, column] == pytest.approx(
        np.average(cell, weights=weights), rel=1e-6
    )


def test_partial_cells_and_unknown_names() -> None:
    grid = Grid(0.25, 4, 4, 8, 9)
    field = _field(np.ones((1, *grid.shape), np.float32), grid)
    with pytest.warns(DeepcamsNotice, match="2 rows and 3 columns"):
        assert coarsen(field).shape == (1, 2, 2)
    with pytest.raises(InputError, match="did you mean 'decimate'"):
        coarsen(field, "decimated")  # type: ignore[arg-type]
