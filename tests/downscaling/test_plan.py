"""Plans: which hours, which frames, which part of the globe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.downscaling.plan import crop_to, examine, plan_work
from deepcams.methods import build
from deepcams.readers.frames import Frames

MakeField = Callable[..., xr.DataArray]
LINEAR = {"temporal": "linear", "spatial": "bicubic", "conserve": False}


def without(field: xr.DataArray, *frames: int) -> xr.DataArray:
    return field.isel(time=[i for i in range(field.time.size) if i not in frames])


def test_each_item_reads_just_the_frames_that_bracket_its_hours(
    make_field: MakeField,
) -> None:
    plan = plan_work(make_field(17), build("linear", "none"))
    assert [item.hours for item in plan.items] == [24, 24, 1]
    assert plan.frames(plan.items[0]).tolist() == list(range(9))
    assert plan.frames(plan.items[1]).tolist() == list(range(8, 17))
    assert plan.frames(plan.items[2]).tolist() == [16]
    own = np.concatenate([plan.frames(item)[plan.is_own(item)] for item in plan.items])
    assert own.tolist() == list(range(17))


def test_items_are_computed_as_the_whole_record_would_be(make_field: MakeField) -> None:
    field = make_field(20, start="2019-12-31T15")
    whole = build("linear", "bicubic").downscale(field)
    lazy = deepcams.downscale(field, temporal="linear", spatial="bicubic")
    assert lazy.chunks is not None
    assert lazy.chunks[0] == (24, 24, 10)
    np.testing.assert_array_equal(lazy.time, whole.time)
    np.testing.assert_array_equal(lazy.values, whole.values)


def test_four_frames_give_ten_hours_and_none_after_the_last(
    make_field: MakeField,
) -> None:
    field = make_field(4, start="2019-12-31T15")
    result = deepcams.downscale(field, **LINEAR)
    assert result.time.size == 10
    assert result.time.values[-1] == field.time.values[-1]


def test_native_stamps_are_kept(make_field: MakeField) -> None:
    result = deepcams.downscale(make_field(3, start="2019-12-31T00:30"), **LINEAR)
    assert np.all(
        (result.time.values - np.datetime64("2019-12-31T00:30"))
        % np.timedelta64(1, "h")
        == 0
    )


def test_gaps_are_not_crossed_and_cost_nothing_to_compute(
    make_field: MakeField,
) -> None:
    field = make_field(60)
    gappy = without(
        field, *range(10, 45)
    )  # 2020-01-01 03:00 is followed by 2020-01-05 15:00
    plan = plan_work(gappy, build(**LINEAR))
    assert any(plan.frames(item).size == 0 for item in plan.items)
    result = deepcams.downscale(gappy, **LINEAR).values
    filled = ~np.isnan(result).all(axis=(1, 2))
    assert np.flatnonzero(~filled).tolist() == list(range(28, 135))
    np.testing.assert_array_equal(
        result[filled], deepcams.downscale(field, **LINEAR).values[filled]
    )


def test_a_period_still_uses_the_frames_around_it(make_field: MakeField) -> None:
    field = make_field(17)
    whole = deepcams.downscale(field, **LINEAR)
    part = deepcams.downscale(field, **LINEAR, period="2019-12-31T07..2019-12-31T10")
    np.testing.assert_array_equal(part.values, whole.values[7:11])
    with pytest.raises(InputError, match="--period"):
        plan_work(field, build(**LINEAR), period=Period.parse("2018"))


def test_methods_in_time_need_two_frames_near_each_other(make_field: MakeField) -> None:
    with pytest.raises(InputError, match=r"a single frame.*--temporal none"):
        plan_work(make_field(1), build())
    with pytest.raises(InputError, match="6 hours apart"):
        plan_work(make_field(5, hours=6), build())
    alone = deepcams.downscale(make_field(1), temporal="none", spatial="bicubic")
    assert alone.shape == (1, 73, 144)


BOXES = [
    (-10, 20, 40, 60),  # across Greenwich
    (160, -40, -150, 10),  # across the dateline
    (0, 70, 50, 90),  # at the pole: needs the other side of the globe
    (100, -90, 130, -60),
    (19, 14, 23, 16),  # within a cell
    (-180, -30, 180, 30),  # a band
    (5, 0, 4, 40),  # nearly round
]


@pytest.mark.parametrize("bbox", BOXES)
@pytest.mark.parametrize(
    "options",
    [
        LINEAR,
        {**LINEAR, "order": "temporal-first"},
        {**LINEAR, "spatial": "none"},
        {**LINEAR, "conserve": True},
    ],
)
def test_a_box_has_exactly_the_globes_values(
    make_field: MakeField, bbox: tuple[float, float, float, float], options: dict
) -> None:
    field = make_field(4)
    whole = deepcams.downscale(field, **options).compute()
    part = deepcams.downscale(field, **options, bbox=bbox).compute()
    longitude = np.round(part.longitude.values % 360, 6)
    expected = whole.sel(latitude=part.latitude.values).isel(
        longitude=[
            int(np.flatnonzero(np.isclose(whole.longitude.values, lon))[0])
            for lon in longitude
        ]
    )
    np.testing.assert_array_equal(part.values, expected.values)


@pytest.mark.parametrize("bbox", BOXES)
def test_a_box_is_covered_by_whole_cells(
    bbox: tuple[float, float, float, float],
) -> None:
    grid = Grid.globe(7.5)
    crop = crop_to(grid, bbox, 3, 4)
    inside, _, _ = grid.refine().select(bbox)
    assert set(np.round(inside.latitudes, 6)) <= set(np.round(crop.grid.latitudes, 6))
    assert set(np.round(inside.longitudes % 360, 6)) <= set(
        np.round(crop.grid.longitudes % 360, 6)
    )
    coarse, rows, columns = crop.grid.whole_cells()
    assert (rows, columns) == (slice(0, crop.grid.rows), slice(0, crop.grid.columns))
    assert crop.grid.columns <= inside.columns + 4
    assert coarse.columns * 3 == crop.grid.columns


def test_only_what_space_needs_across_a_pole_takes_the_whole_circle(
    make_field: MakeField,
) -> None:
    grid, chain = Grid.globe(0.75), build("flow", "log-bicubic")
    assert chain.halo_at_poles < 20 < chain.halo
    europe = crop_to(grid, (-12, 34, 45, 72), 3, chain.halo, chain.halo_at_poles).region
    assert (europe.north, europe.columns) == (0, 77 + 2 * chain.halo)
    arctic = crop_to(grid, (-12, 70, 45, 89), 3, chain.halo, chain.halo_at_poles)
    assert arctic.region.columns == grid.columns


def test_a_box_of_a_region_stays_within_its_data(make_field: MakeField) -> None:
    globe = make_field(2)
    part = globe.isel(latitude=slice(4, 16), longitude=slice(5, 20))
    region = field_like(part, part.data, grid_of(part))
    options = {"temporal": "none", "spatial": "bicubic", "conserve": False}
    whole = deepcams.downscale(region, **options).compute()
    west, east = region.longitude.values[[0, 3]]
    box = deepcams.downscale(region, **options, bbox=(west, -20, east, 20)).compute()
    np.testing.assert_array_equal(
        box.values, whole.sel(latitude=box.latitude, longitude=box.longitude).values
    )
    with pytest.raises(InputError, match="bbox"):
        deepcams.downscale(region, **options, bbox=(250, -20, 300, 20))


def test_status_is_what_is_really_there(make_field: MakeField) -> None:
    field = make_field(4)
    field.values[2] = np.nan
    field.values[0, 3, 4] = np.nan
    values = deepcams.downscale(field, **LINEAR).values
    hours = field.time.values[0] + np.arange(10) * np.timedelta64(1, "h")
    status, missing_cells, largest = examine(values, field.time.values, hours)
    assert status.tolist() == [1, 2, 2, 1, 0, 0, 0, 0, 0, 1]
    assert missing_cells == 3 * 9
    assert largest == np.nanmax(values)
    status, missing_cells, largest = examine(
        np.full_like(values, np.nan), field.time.values, hours
    )
    assert (status.sum(), missing_cells, largest) == (0, 0, None)


def test_chunks_of_a_lazy_field_are_read_once(make_field: MakeField) -> None:
    import dask.array as da

    field = make_field(24)
    reads: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        reads.append(1)
        return block

    chunked = da.from_array(field.values, chunks=(10, -1, -1)).map_blocks(
        read, meta=np.empty((0, 0, 0), np.float32)
    )
    frames = Frames(field.copy(data=chunked))
    for first in range(16):
        chosen = np.arange(first, first + 9)
        np.testing.assert_array_equal(frames.read(chosen).values, field.values[chosen])
    assert len(reads) == 3


def test_an_infinite_value_is_refused_with_its_place(make_field: MakeField) -> None:
    field = make_field(3)
    field.values[1, 2, 3] = np.inf
    with pytest.raises(InputError, match=r"2019-12-31T03:00, 75 N 22.5 E"):
        deepcams.downscale(field, **LINEAR).compute()
