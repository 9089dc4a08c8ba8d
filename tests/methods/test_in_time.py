"""Methods in time: weights, kept frames, gaps, missing cells, and motion."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.methods import Chain, Downscaler, build
from deepcams.methods.base import ANALYSIS, INTERPOLATED, MISSING, hour_status
from deepcams.methods.interval import Interval

METHODS = ["linear", "linear-eq9", "flow"]
HOUR = np.timedelta64(1, "h")
START = np.datetime64("2019-12-31T15", "ns")
GRID = Grid(0.75, 60, 100, 30, 40)


def _field(values: np.ndarray, grid: Grid, hours: list[int]) -> xr.DataArray:
    times = START + np.array(hours) * HOUR
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


def _random(frames: int, seed: int = 0, grid: Grid = GRID) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .lognormal(1, 1, (frames, *grid.shape))
        .astype(np.float32)
    )


@pytest.mark.parametrize(
    ("method", "weight"), [("linear", 2 / 3), ("linear-eq9", 1 / 3)]
)
def test_linear_weighs_the_nearer_frame_more_and_equation_9_is_reversed_as_printed(
    method: str, weight: float
) -> None:
    values = _random(2)
    hourly = build(method, "none").downscale(_field(values, GRID, [0, 3])).values
    a, b = values.astype(np.float64)
    np.testing.assert_allclose(hourly[1], weight * a + (1 - weight) * b, rtol=1e-6)
    np.testing.assert_allclose(hourly[2], (1 - weight) * a + weight * b, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_kept_to_the_bit_and_hours_are_every_hour(method: str) -> None:
    values = _random(4)
    result = build(method, "none").downscale(_field(values, GRID, [0, 3, 5, 6]))
    assert result.sizes["time"] == 7
    assert np.all(np.diff(result.time.values) == HOUR)
    np.testing.assert_array_equal(result.values[[0, 3, 5, 6]], values)
    assert np.isfinite(result.values).all()
    assert result.values.min() >= 0
    assert result.dtype == np.float32
    assert grid_of(result) == GRID


@pytest.mark.parametrize("method", METHODS)
def test_gaps_of_more_than_three_hours_are_missing(method: str) -> None:
    values = _random(4)
    hours = [0, 3, 7, 10]
    result = build(method, "none").downscale(_field(values, GRID, hours)).values
    missing = np.isnan(result).all(axis=(1, 2))
    assert np.flatnonzero(missing).tolist() == [4, 5, 6]
    assert np.isfinite(result[~missing]).all()
    times = START + np.array(hours) * HOUR
    status = hour_status(times, START + np.arange(-1, 12) * HOUR)
    a, i, m = ANALYSIS, INTERPOLATED, MISSING
    assert status.tolist() == [m, a, i, i, a, m, m, m, a, i, i, a, m]


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_missing_at_either_frame_is_missing_between(method: str) -> None:
    values = _random(4)
    values[0, 2, 3] = values[1, 20, 30] = np.nan
    values[3] = np.nan
    result = build(method, "none").downscale(_field(values, GRID, [0, 3, 6, 9])).values
    expected = np.zeros((10, *GRID.shape), bool)
    expected[0:3, 2, 3] = True
    expected[1:6, 20, 30] = True
    expected[7:] = True
    np.testing.assert_array_equal(np.isnan(result), expected)


def test_frames_between_whole_hours_are_refused() -> None:
    field = _field(_random(2), GRID, [0, 3])
    field = field.assign_coords(time=[START, START + np.timedelta64(150, "m")])
    with pytest.raises(InputError, match="whole number of hours"):
        build("linear", "none").downscale(field)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_what_does_not_change_stays(seed: int, method: str) -> None:
    """Between two equal frames there is no motion and nothing new."""
    grid = Grid(0.75, 60, 100, 24, 24)
    frame = _random(1, seed, grid)
    result = (
        build(method, "none")
        .downscale(_field(np.repeat(frame, 2, axis=0), grid, [0, 3]))
        .values
    )
    np.testing.assert_allclose(
        result[1:3], np.repeat(frame, 2, axis=0), rtol=2e-5, atol=1e-6
    )


def _plume(grid: Grid, row: float, column: float, width: float) -> np.ndarray:
    rows, columns = np.arange(grid.rows)[:, None], np.arange(grid.columns)[None]
    east = (
        abs(columns - column) % grid.columns if grid.periodic else abs(columns - column)
    )
    east = np.minimum(east, grid.columns - east) if grid.periodic else east
    return (1 + 80 * np.exp(-((rows - row) ** 2 + east**2) / (2 * width**2))).astype(
        np.float32
    )


def _peak(values: np.ndarray, row: float, column: float) -> tuple[float, float]:
    """Centre of mass round a place, rolled to the middle of a periodic grid."""
    columns = values.shape[1]
    rolled = np.roll(values - 1, columns // 2 - round(column), axis=1)
    weights = np.maximum(rolled[:, columns // 2 - 25 : columns // 2 + 25], 0) ** 2
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    total = weights.sum()
    return float((weights * y).sum() / total - row), float(
        (weights * x).sum() / total - 25 - (column - round(column))
    )


GLOBE = Grid.globe(0.75)
REGION = Grid(0.75, 80, 200, 80, 90)


@pytest.mark.parametrize(
    ("grid", "row", "column", "down", "east"),
    [
        (GLOBE, 120, 476, 0, 9),
        (GLOBE, 110, 3, 4, -9),
        (REGION, 40, 45, 0, 9),
        (REGION, 40, 45, 6, -6),
        (REGION, 40.5, 39.5, -8, 3),
    ],
)
def test_flow_carries_a_plume_to_its_true_place(
    grid: Grid, row: float, column: float, down: float, east: float
) -> None:
    """Also across Greenwich; linear interpolation leaves two half plumes where they were."""
    width = 5.0
    first = _plume(grid, row, column, width)
    last = _plume(grid, row + down, (column + east) % 480, width)
    source = _field(np.stack([first, last]), grid, [0, 3])
    result, straight = (
        build(name, "none").downscale(source).values for name in ("flow", "linear")
    )
    for hour in (1, 2):
        at = row + down * hour / 3, (column + east * hour / 3) % 480
        truth = _plume(grid, *at, width)
        off_row, off_column = _peak(result[hour], *at)
        assert abs(off_row) < 0.3
        assert abs(off_column) < 0.3
        assert result[hour].max() == pytest.approx(truth.max(), rel=0.03)
        assert (
            abs(result[hour] - truth).mean() < 0.2 * abs(straight[hour] - truth).mean()
        )


def test_flow_gives_the_same_twice() -> None:
    source = _field(_random(3), GRID, [0, 3, 6])
    first, second = (build("flow", "none").downscale(source).values for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("order", ["spatial-first", "temporal-first"])
def test_chains_in_both_orders_give_hours_on_the_fine_grid(order: str) -> None:
    chain = build("linear", "bicubic", order=order)  # type: ignore[arg-type]
    assert isinstance(chain, Chain)
    assert isinstance(chain, Downscaler)
    assert (chain.factor, chain.hourly) == (3, True)
    result = chain.downscale(_field(_random(3), GRID, [0, 3, 6]))
    assert result.shape == (7, 90, 120)
    assert grid_of(result) == GRID.refine()
    assert len(chain.settings()["chain"]) == 2
    with pytest.raises(InputError, match="did you mean 'spatial-first'"):
        build(order="spatialfirst")  # type: ignore[arg-type]


def test_a_chains_halo_counts_in_input_nodes() -> None:
    """A halo after refining is three times smaller in coarse nodes, rounded up."""
    flow, bicubic = (
        build("flow", "none").halo,
        build("none", "bicubic", conserve=False).halo,
    )
    assert (
        build("flow", "bicubic", conserve=False, order="temporal-first").halo
        == flow + bicubic
    )
    assert build(
        "flow", "bicubic", conserve=False, order="spatial-first"
    ).halo == bicubic + -(-flow // 3)


def test_flow_reads_nothing_but_its_frames() -> None:
    """The same result whatever lies in memory: nothing is read beyond the frames."""
    rng = np.random.default_rng(5)
    grid = Grid(0.25, 200, 100, 120, 200)
    frames = rng.lognormal(1, 2, (2, *grid.shape)).astype(np.float32)
    frames[:, -60:] = 0
    flow = build("flow", "none").parts[0]
    found = []
    for size in (1, 300, 700, 1500):
        litter = [np.full((size, size), 1e30, np.float32) for _ in range(8)]
        del litter
        found.append(flow.between(Interval.on_grid(*frames, grid), [0.5]))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("method", ["flow", "flow-refine"])
def test_what_a_degradation_undershoots_below_zero_spoils_nothing(method: str) -> None:
    values = _random(2)
    values[:, 10:14, 20:30] = -0.02
    hourly = build(method, "none").downscale(_field(values, GRID, [0, 3])).values
    assert np.isfinite(hourly).all()
    assert (hourly[1:3] >= 0).all()
