"""Hours without gaps, and whole cells inside boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from stand_in import StandIn, world

from deepcams.core.box import Box
from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.split import (
    Window,
    find_portions,
    find_runs,
    find_windows,
    refuse_mixed,
    refuse_shared,
)

Values = Callable[..., dict[str, Any]]
GLOBE = Grid.globe(0.75)


def test_runs_end_at_gaps_and_at_periods() -> None:
    times = np.datetime64("2019-12-01T00:30", "ns") + np.array(
        [0, 1, 2, 5, 6, 7, 8, 30, 31]
    ) * np.timedelta64(1, "h")
    assert find_runs(times, ()).tolist() == [[0, 3], [3, 4], [7, 2]]
    assert find_runs(times, ["2019-12-01T01..2019-12-01T06"]).tolist() == [
        [1, 2],
        [3, 2],
    ]
    assert find_runs(times, ["2019-12-02", "2019-12-01T00"]).tolist() == [
        [0, 1],
        [7, 2],
    ]
    assert find_runs(times, ["2018"]).tolist() == []


def test_windows_hold_whole_cells_alone() -> None:
    (everything,) = find_windows(GLOBE, (), "split.train")
    assert everything == Window(0, 0, 241, 480, closed=True)
    (west,) = find_windows(GLOBE, [Box(-180, -90, -75, 90)], "split.train")
    (east,) = find_windows(GLOBE, [Box(-75, -90, 0, 90)], "split.validation")
    assert (west.rows, east.rows) == (241, 241)  # both poles
    # the cells at 180 W, 75 W and Greenwich lie across the boxes' edges: they belong to neither
    assert (west.column, west.columns) == (241, 139)
    assert (east.column, east.columns) == (381, 99)
    (across,) = find_windows(GLOBE, [Box(170, -10, -170, 10)], "split.train")
    assert (across.column, across.columns, across.rows) == (228, 25, 25)
    (to_the_dateline,) = find_windows(GLOBE, [Box(170, -10, -180, 10)], "split.train")
    assert (to_the_dateline.column, to_the_dateline.columns) == (228, 12)
    (round_it,) = find_windows(GLOBE, [Box(-180, -60, 180, 60)], "split.train")
    assert round_it.closed
    assert round_it.columns == 480
    with pytest.raises(
        InputError,
        match=r"split\.train\.regions\.0: expected a box that holds whole cells",
    ):
        find_windows(GLOBE, [Box(10, 10, 10.5, 20)], "split.train")
    region = Grid(0.75, 50, 100, 40, 40)
    with pytest.raises(
        InputError,
        match=r"split\.train\.regions\.0: expected a box that holds nodes of the data",
    ):
        find_windows(region, [Box(-30, 0, -10, 20)], "split.train")


def test_too_few_hours(values: Values) -> None:
    experiment = parse_experiment(
        values("temporal", {"samples": {"span": {"shortest": 2}}})
    )
    store: Any = world(hours=12, without=(3, 4, 7, 11))
    assert find_portions(experiment, [store], "train")[0].starts(2).tolist() == [0, 5]
    assert (
        find_portions(parse_experiment(values("spatial")), [store], "train")[0].hours
        == 8
    )
    with pytest.raises(
        InputError,
        match=r"split\.train\.periods: expected at least 4 consecutive hours in .*found 3",
    ):
        find_portions(parse_experiment(values()), [store], "train")


def test_too_large_a_crop(values: Values) -> None:
    changes = {"samples": {"crop": 31}, "network": {"name": "abpn", "options": {}}}
    experiment = parse_experiment(values("spatial", changes))
    store: Any = world()
    expected = r"samples\.crop: expected a crop that fits into split\.train\.regions .* 31 x 29 .*31 pixels"
    with pytest.raises(InputError, match=expected):
        find_portions(experiment, [store], "train")
    # a degradation that is not the store's needs two cells more on each side
    wide = parse_experiment(
        values("spatial", {"samples": {"crop": 26, "degradation": "imresize"}})
    )
    with pytest.raises(InputError, match="need 30 x 30 coarse cells"):
        find_portions(wide, [store], "train")


def test_the_same_data_under_two_names(values: Values) -> None:
    def found(second: StandIn, split: dict[str, Any]) -> None:
        stores = [
            {"path": "a", "validation_weight": 0},
            {"path": "b", "weight": 0, "validation_weight": 1, **split},
        ]
        experiment = parse_experiment(values("temporal", {"data": {"stores": stores}}))
        both: Any = [world(path="a"), second]
        refuse_shared(
            find_portions(experiment, both, "train"),
            find_portions(experiment, both, "validation"),
        )

    everywhere = {"split": {"train": {}, "validation": {}}}
    with pytest.raises(
        InputError,
        match="no store of the same origin is trained on, found b and a share some",
    ):
        found(world(path="b"), everywhere)
    found(world(path="b"), {})  # the experiment's split keeps them apart
    found(world(path="b", start="2019-12-05T00:30"), everywhere)
    other = world(path="b")
    other.sources = {"family": "another world"}
    found(other, everywhere)


def test_versions_of_geos_cf_do_not_train_together(values: Values) -> None:
    experiment = parse_experiment(
        values("temporal", {"data": {"stores": [{"path": "a"}, {"path": "b"}]}})
    )
    both: Any = [world(path="a"), world(path="b")]
    both[0].sources, both[1].sources = (
        {"family": "geos-cf v1"},
        {"family": "geos-cf v2"},
    )
    with pytest.raises(
        InputError,
        match=r"one version of GEOS-CF to train on, found geos-cf v1 \(a\), geos-cf v2 \(b\)",
    ):
        refuse_mixed(find_portions(experiment, both, "train"))
    both[1].sources = {"family": "simulated world, seed 7"}
    refuse_mixed(find_portions(experiment, both, "train"))
