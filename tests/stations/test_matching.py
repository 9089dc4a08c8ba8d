"""Matching by time bounds and in space, against functions that are known everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.stations.matching import place_stations, plan_times, rule_of

HOUR = 3600


def _hours(*values: float) -> np.ndarray:
    return np.array([round(v * HOUR) for v in values], np.int64)


def _linear(times: np.ndarray) -> np.ndarray:
    return (5 + 2 * times / HOUR)[None].astype(np.float32)


def test_an_hour_ending_value_meets_the_mean_of_both_ends_of_an_hourly_field() -> None:
    times = _hours(0, 1, 2, 3, 4)
    plan = plan_times(times, "touching", _hours(0, 1, 3), _hours(1, 2, 4))
    np.testing.assert_allclose(
        plan.apply(_linear(times)), [[6, 8, 12]]
    )  # 5 + 2 (h + 1/2), the mean over the hour


def test_at_the_ends_of_an_hourly_field_one_instant_stands_for_the_hour() -> None:
    times = _hours(2, 3)
    plan = plan_times(times, "touching", _hours(0, 1, 3, 4), _hours(1, 2, 4, 5))
    assert plan.known.tolist() == [False, True, True, False]
    np.testing.assert_allclose(plan.apply(_linear(times)), [[np.nan, 9, 11, np.nan]])


def test_a_three_hourly_analysis_meets_the_hours_that_touch_it_and_no_other() -> None:
    times = _hours(0, 3, 6)
    plan = plan_times(
        times, "touching", _hours(0, 1, 2, 3, 4, 5), _hours(1, 2, 3, 4, 5, 6)
    )
    np.testing.assert_allclose(
        plan.apply(_linear(times)), [[5, np.nan, 11, 11, np.nan, 17]]
    )


def test_straight_lines_between_analyses_give_the_exact_hourly_mean_of_a_linear_function() -> (
    None
):
    times = _hours(0, 3, 6)
    start = _hours(0, 1, 2, 2.5, 5, 5.5)
    plan = plan_times(times, "linear", start, start + HOUR)
    expected = 5 + 2 * (start / HOUR + 0.5)
    expected[-1] = np.nan  # it goes on beyond the last analysis
    np.testing.assert_allclose(plan.apply(_linear(times))[0], expected, rtol=1e-6)


def test_no_line_goes_across_a_gap_of_more_than_three_hours() -> None:
    plan = plan_times(
        _hours(0, 3, 9, 12), "linear", _hours(1, 4, 8, 9), _hours(2, 5, 9, 10)
    )
    assert plan.known.tolist() == [True, False, False, True]


def test_hourly_means_are_weighted_by_overlap_and_must_cover_the_hour() -> None:
    times = _hours(0.5, 1.5, 2.5)  # means over 0-1, 1-2, 2-3
    plan = plan_times(
        times, "overlap", _hours(0, 1, 0.5, 1.75, 2.5), _hours(1, 2, 1.5, 2.75, 3.5)
    )
    values = np.array([[10, 20, 40]], np.float32)
    np.testing.assert_allclose(
        plan.apply(values), [[10, 20, 15, 0.25 * 20 + 0.75 * 40, np.nan]]
    )


def test_a_missing_hour_leaves_no_value_where_it_counts_and_only_there() -> None:
    times = _hours(0, 1, 2, 3)
    values = np.array([[1, np.nan, 3, 5]], np.float32)
    plan = plan_times(times, "touching", _hours(0, 1, 2), _hours(1, 2, 3))
    np.testing.assert_allclose(plan.apply(values), [[np.nan, np.nan, 4]])


def test_the_rule_follows_from_what_the_field_says_of_itself(field_of) -> None:
    assert rule_of(field_of("2019-01-01", 2)) == "touching"
    assert rule_of(field_of("2019-01-01T00:30", 2, mean=True)) == "overlap"


GLOBE = Grid.globe(0.25)


@pytest.mark.parametrize(
    ("latitude", "longitude", "row", "column"),
    [
        (0.0, 0.0, 360, 0),
        (0.12, -0.12, 360, 0),
        (0.13, -0.13, 359, 1439),
        (-33.4, 179.99, 494, 720),
        (-33.4, -179.99, 494, 720),
        (-33.4, -179.8, 494, 721),
        (89.95, 123.0, 0, 492),
        (90.0, -180.0, 0, 720),
        (-90.0, 359.9, 720, 0),
    ],
)
def test_a_station_takes_the_cell_that_holds_it(
    latitude: float, longitude: float, row: int, column: int
) -> None:
    found = place_stations(GLOBE, np.array([latitude]), np.array([longitude]))
    assert (found.rows[found.point[0], 0], found.columns[found.point[0], 0]) == (
        row,
        column,
    )
    assert found.inside.all()


def test_stations_outside_a_region_have_no_cell() -> None:
    grid = Grid.globe(0.25).select((-10, 40, 10, 50))[0]
    latitude = np.array([45, 50.1, 50.2, 45, 45, np.nan])
    longitude = np.array([-10.1, 0, 0, 10.12, 10.13, 0])
    assert place_stations(grid, latitude, longitude).inside.tolist() == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]


def test_stations_of_one_cell_share_a_point() -> None:
    found = place_stations(
        GLOBE, np.array([50.0, 10.0, 50.1]), np.array([20.0, 20.0, 20.1])
    )
    assert found.point.tolist() == [0, 1, 0]
    assert len(found.rows) == 2


def test_bilinear_reproduces_what_is_linear_also_across_the_dateline_greenwich_and_next_to_poles() -> (
    None
):
    random = np.random.default_rng(1)
    latitude = np.r_[random.uniform(-90, 90, 200), 90, -90, 89.99, 0, 0]
    longitude = np.r_[random.uniform(-180, 180, 200), 10, -170, 179.99, 179.9, -0.1]
    found = place_stations(GLOBE, latitude, longitude, "bilinear")
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    assert (found.weights >= 0).all()
    nodes = GLOBE.latitudes[found.rows]
    np.testing.assert_allclose((nodes * found.weights).sum(axis=1), latitude, atol=1e-9)
    east = (GLOBE.longitudes[found.columns] - longitude[:, None] + 180) % 360 - 180
    np.testing.assert_allclose((east * found.weights).sum(axis=1), 0, atol=1e-9)


def test_bilinear_holds_the_outermost_nodes_in_a_regions_outer_half_cells() -> None:
    grid = Grid.globe(0.25).select((-10, 40, 10, 50))[0]
    found = place_stations(
        grid, np.array([50.1, 39.9]), np.array([10.1, -10.1]), "bilinear"
    )
    np.testing.assert_allclose(
        (grid.latitudes[found.rows] * found.weights).sum(axis=1), [50, 40]
    )
    np.testing.assert_allclose(
        (grid.longitudes[found.columns] * found.weights).sum(axis=1), [10, -10]
    )
