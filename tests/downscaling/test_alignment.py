"""Nothing is shifted: whatever moves, turns or cuts the input does the same to the output, on any grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import deepcams
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTORS, Grid
from deepcams.methods import build
from deepcams.methods.spatial.coarsen import coarsen
from grids import coarse_regions

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2019-12-31T00", "ns")
SPATIAL = st.sampled_from(["bilinear", "bicubic", "log-bicubic"])
CHAINS = st.fixed_dictionaries(
    {
        "temporal": st.sampled_from(["linear", "cubic", "none"]),
        "spatial": SPATIAL,
        "conserve": st.booleans(),
        "order": st.sampled_from(["spatial-first", "temporal-first"]),
    }
)
SEEDS = st.integers(0, 2**32 - 1)


def _field(grid: Grid, seed: int, frames: int = 1, start: Any = START) -> xr.DataArray:
    """Three-hourly random values; a pole has one value."""
    values = np.random.default_rng(seed).lognormal(1, 1, (frames, *grid.shape))
    poles = [0] * (grid.north == 0) + [-1] * (grid.south == grid.last_row)
    values[:, poles] = values[:, poles, :1]
    return _on(grid, values, start + 3 * np.arange(frames) * HOUR)


def _on(grid: Grid, values: np.ndarray, times: np.ndarray) -> xr.DataArray:
    dims = ("time", "latitude", "longitude")
    like = xr.DataArray(values.astype(np.float32), {"time": times}, dims, "pm2p5")
    return field_like(like, like.values, grid, times)


def _places(of: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return where longitudes are among others, whatever turn they are given in."""
    apart = abs((of[:, None] - among + 180) % 360 - 180)
    assert (apart.min(axis=1) < 1e-6).all()
    return apart.argmin(axis=1)


def _downscaled(field: xr.DataArray, **options: Any) -> xr.DataArray:
    return deepcams.downscale(field, **options).compute(scheduler="synchronous")


@settings(max_examples=25)
@given(coarse_regions(), SEEDS, CHAINS, st.data())
def test_any_box_and_period_are_cut_out_of_the_whole(
    grid: Grid, seed: int, chain: dict[str, Any], data: st.DataObject
) -> None:
    field, fine = _field(grid, seed, 4), grid.refine()
    top, bottom = sorted(data.draw(st.integers(0, fine.rows - 1)) for _ in range(2))
    left = data.draw(st.integers(0, fine.columns - 1))
    most = fine.columns - 2 if grid.periodic else fine.columns - 1 - left
    right = left + data.draw(st.integers(0, most))
    beyond = data.draw(st.sampled_from([0.01, 0.3])) * fine.step
    west, east = (fine.step * (fine.west + each) for each in (left, right))
    box = [(each + 180) % 360 - 180 for each in (west - beyond, east + beyond)]
    south, north = fine.latitudes[[bottom, top]].tolist()
    edges = max(south - beyond, -90), min(north + beyond, 90)
    first = data.draw(st.integers(0, 8))
    hours = (first, data.draw(st.integers(first + 1, 10)))
    period = "..".join(str((START + hour * HOUR).astype("M8[m]")) for hour in hours)
    whole = _downscaled(field, **chain)
    inside = deepcams.Period.parse(period).contains(whole.time.values)
    if not inside.any():  # instants three hours apart
        inside[:], period = True, "2019-12-31..2020-01-02"
    options = {**chain, "bbox": (box[0], edges[0], box[1], edges[1]), "period": period}
    part = _downscaled(field, **options)
    times = whole.time.values[inside]
    np.testing.assert_array_equal(part.time.values, times)
    assert {north, south} <= set(part.latitude.values)
    rows = np.searchsorted(-whole.latitude.values, -part.latitude.values)
    columns = _places(part.longitude.values, whole.longitude.values)
    expected = whole.values[inside][:, rows][:, :, columns]
    np.testing.assert_array_equal(part.values, expected)


@settings(max_examples=15)
@given(coarse_regions(), SEEDS, CHAINS, st.data())
def test_the_order_of_the_input_does_not_matter(
    grid: Grid, seed: int, chain: dict[str, Any], data: st.DataObject
) -> None:
    field = _field(grid, seed, 3)
    other = field
    if grid.periodic:  # begins anywhere, -180 too
        first = data.draw(st.integers(0, grid.columns - 1))
        other = other.roll(longitude=-first, roll_coords=True)
    if data.draw(st.booleans()):
        signed = (other.longitude.values + 180) % 360 - 180
        other = other.assign_coords(longitude=signed)
        other = other.isel(longitude=np.argsort(signed)) if grid.periodic else other
    if data.draw(st.booleans()):
        other = other.isel(latitude=slice(None, None, -1))
    other = other.isel(time=data.draw(st.permutations(range(3))))
    other = other.transpose(*data.draw(st.permutations(other.dims)))
    xr.testing.assert_identical(
        _downscaled(deepcams.as_field(other), **chain), _downscaled(field, **chain)
    )


@settings(max_examples=15)
@given(coarse_regions(), SEEDS, CHAINS, st.integers(-50, 50))
def test_what_moves_along_its_parallels_moves_by_whole_cells(
    grid: Grid, seed: int, chain: dict[str, Any], cells: int
) -> None:
    field = _field(grid, seed, 2)
    if grid.periodic:
        values = np.roll(field.values, cells, axis=2)
        moved = _on(grid, values, field.time.values)
    else:
        west = Grid(grid.step, grid.north, grid.west + cells, *grid.shape).canonical()
        moved = _on(west, field.values, field.time.values)
    before, after = _downscaled(field, **chain), _downscaled(moved, **chain)
    columns = _places(
        before.longitude.values + cells * grid.step, after.longitude.values
    )
    np.testing.assert_array_equal(after.values[:, :, columns], before.values)


@settings(max_examples=25)
@given(coarse_regions(), SEEDS, SPATIAL, st.booleans(), st.sampled_from(FACTORS))
def test_a_mirrored_world_gives_the_mirrored_result(
    grid: Grid, seed: int, spatial: str, conserve: bool, factor: int
) -> None:
    """Half a node to one side would become half a node to the other."""
    method = build("none", spatial, conserve=conserve, factor=factor)
    field = _field(grid, seed)
    found, fine = method.downscale(field), grid.refine(factor)
    south = Grid(grid.step, grid.last_row - grid.south, grid.west, *grid.shape)
    over = method.downscale(_on(south, field.values[:, ::-1], field.time.values))
    np.testing.assert_allclose(over.latitude[::-1], -found.latitude, atol=1e-9)
    np.testing.assert_allclose(over.values[:, ::-1], found.values, rtol=1e-4, atol=1e-4)
    west = Grid(grid.step, grid.north, 1 - grid.west - grid.columns, *grid.shape)
    values = field.values[:, :, ::-1]
    values = np.roll(values, 1, axis=2) if grid.periodic else values
    turned = method.downscale(_on(west.canonical(), values, field.time.values))
    columns = _places(-fine.longitudes, turned.longitude.values)
    np.testing.assert_allclose(
        turned.values[:, :, columns], found.values, rtol=1e-4, atol=1e-4
    )


@settings(max_examples=25)
@given(coarse_regions(), SEEDS, SPATIAL, st.sampled_from(FACTORS))
def test_fine_nodes_on_coarse_ones_and_means_of_cells_have_their_values(
    grid: Grid, seed: int, spatial: str, factor: int
) -> None:
    field = _field(grid, seed)
    plain = build("none", spatial, conserve=False, factor=factor).downscale(field)
    rows = np.round(
        (plain.latitude.values[0] - grid.latitudes) / grid.row_step * factor
    )
    columns = _places(grid.longitudes, plain.longitude.values)
    at_nodes = plain.values[:, rows.astype(int)][:, :, columns]
    np.testing.assert_allclose(at_nodes, field.values, rtol=1e-4, atol=1e-4)
    kept = build("none", spatial, factor=factor).downscale(field)
    means = coarsen(kept, factor=factor)
    assert grid_of(means) == grid
    np.testing.assert_allclose(means.values, field.values, rtol=1e-4, atol=1e-4)


@settings(max_examples=15)
@given(
    SEEDS,
    st.sampled_from(["linear", "cubic", "pchip"]),
    st.integers(-100, 100),
    st.integers(2, 12),
)
def test_frames_moved_in_time_move_the_hours(
    seed: int, temporal: str, hours: int, frames: int
) -> None:
    grid = Grid(7.5, 3, 5, 4, 5)
    options = {"temporal": temporal, "spatial": "none"}
    before = _downscaled(_field(grid, seed, frames), **options)
    later = _field(grid, seed, frames, START + hours * HOUR)
    after = _downscaled(later, **options)
    np.testing.assert_array_equal(after.time, before.time + hours * HOUR)
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(after.values[::3], later.values)
    back = _on(grid, later.values[::-1], later.time.values)
    backwards = _downscaled(back, **options)
    np.testing.assert_allclose(backwards.values[::-1], after.values, rtol=1e-5)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_shift_of_one_fine_node_would_be_seen(shift: int) -> None:
    """The tests above would find the fault that they are for."""
    grid = Grid(7.5, 3, 5, 6, 7)
    field = _field(grid, 1)
    plain = build("none", "bicubic", conserve=False).downscale(field)
    wrong = np.roll(plain.values, shift, axis=2)
    assert abs(wrong[:, 1::3, 1::3] / field.values - 1)[..., 1:-1].max() > 0.1
    kept = build("none", "bicubic").downscale(field)
    means = coarsen(kept.copy(data=np.roll(kept.values, shift, axis=2))).values
    assert abs(means / field.values - 1)[..., 1:-1].max() > 0.1
