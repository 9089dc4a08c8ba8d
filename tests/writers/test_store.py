"""What the output looks like: rounding, layout, records."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.core.values import ValueCounts
from deepcams.files.records import Record
from deepcams.methods.base import ANALYSIS, INTERPOLATED, MISSING
from deepcams.writers import BitRound, Contents, Layout, open_target, split_hours
from deepcams.writers.layout import STATUS_MEANINGS
from deepcams.writers.target import merge_records


def hours(count: int, start: str = "2019-12-31T15") -> np.ndarray:
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(1, "h")


@given(
    st.lists(st.floats(2.0**-100, 2.0**100, width=32), min_size=1, max_size=50),
    st.sampled_from([0.25, 0.1, 0.01, 0.001, 1e-4, 1e-6]),
)
def test_rounding_keeps_its_bound_and_its_bits(
    numbers: list[float], bound: float
) -> None:
    values = np.array(numbers, np.float32)
    rounding = BitRound(bound)
    rounded = rounding(values.copy())
    assert np.all(np.abs(rounded.astype(float) - values) <= bound * values)
    assert not np.any(
        rounded.view(np.uint32) & np.uint32((1 << (23 - rounding.bits)) - 1)
    )
    np.testing.assert_array_equal(rounding(rounded.copy()), rounded)


@pytest.mark.parametrize(
    ("bound", "bits"),
    [(0.25, 1), (0.001, 9), (1 / 1024, 9), (1 / 1025, 10), (1e-9, 23), (0, 23)],
)
def test_rounding_keeps_no_more_bits_than_needed(bound: float, bits: int) -> None:
    assert BitRound(bound).bits == bits


def test_rounding_is_to_nearest_half_to_even() -> None:
    step = np.float32(2.0**-9)
    values = np.array(
        [1 + step / 2, 1 + 3 * step / 2, 1 + step * 0.49, 1 + step * 0.51], np.float32
    )
    np.testing.assert_array_equal(
        BitRound(0.001)(values), np.array([1, 1 + 2 * step, 1, 1 + step], np.float32)
    )


def test_rounding_leaves_missing_infinite_and_zero_alone() -> None:
    strange = np.array(
        [0xFFFFFFFF, 0x7FFFFFFF, 0x7F800001, 0x7FC00000], np.uint32
    ).view(np.float32)
    values = np.concatenate([strange, np.array([np.inf, -np.inf, 0, -0.0], np.float32)])
    rounded = BitRound(0.001)(values.copy())
    assert np.isnan(rounded[:4]).all()
    np.testing.assert_array_equal(rounded[4:], values[4:])


@pytest.mark.parametrize("bound", [-1, 0.5, np.nan])
def test_impossible_bounds_are_refused(bound: float) -> None:
    with pytest.raises(InputError, match="rounding: expected"):
        BitRound(bound)


def test_items_cover_every_hour_once() -> None:
    for split in (None, "day", "month"):
        items = split_hours(hours(100), split)
        assert [i for item in items for i in range(item.start, item.stop)] == list(
            range(100)
        )
        assert [item.index for item in items] == list(range(len(items)))


def test_items_count_from_the_first_hour_and_days_from_midnight() -> None:
    assert [item.hours for item in split_hours(hours(58))] == [24, 24, 10]
    days = split_hours(hours(58), "day")
    assert [(item.date, item.hours) for item in days] == [
        ("20191231", 9),
        ("20200101", 24),
        ("20200102", 24),
        ("20200103", 1),
    ]
    assert [item.date for item in split_hours(hours(58), "month")] == [
        "201912",
        *["202001"] * 3,
    ]


def test_the_globe_has_half_megabyte_chunks_that_divide_its_shard() -> None:
    layout = Layout("pm2p5", hours(48), Grid.globe(0.25))
    assert layout.chunks == (6, 103, 180)
    assert layout.shard == (24, 721, 1440)


@pytest.mark.parametrize(
    "shape", [(3, 3), (204, 363), (239, 241), (1021, 509), (600, 1440)]
)
@pytest.mark.parametrize("count", [1, 10, 24, 100])
def test_shards_are_whole_multiples_of_chunks_and_cover_an_item(
    shape: tuple[int, int], count: int
) -> None:
    layout = Layout("pm2p5", hours(count), Grid(0.25, 0, 0, *shape))
    chunks, shard = np.array(layout.chunks), np.array(layout.shard)
    assert not (shard % chunks).any()
    assert np.all(shard >= (min(count, 24), *shape))
    assert chunks.prod() * 4 < 1.5e6


def test_time_is_counted_in_hours_or_where_needed_in_minutes() -> None:
    whole = Layout("pm2p5", hours(3, "2003-01-02T00"), Grid.globe(45)).frame()
    assert whole.time.attrs["units"] == "hours since 2003-01-01"
    assert whole.time.dtype == np.int64
    assert whole.time.values.tolist() == [24, 25, 26]
    assert whole.time_bounds.values[0].tolist() == [24, 24]
    mean = Layout(
        "pm2p5",
        hours(3, "2003-01-02T00:30"),
        Grid.globe(45),
        half_width=np.timedelta64(30, "m"),
    ).frame()
    assert mean.time.attrs["units"] == "minutes since 2003-01-01"
    assert mean.time_bounds.values[0].tolist() == [24 * 60, 25 * 60]


def test_status_means_the_same_to_those_who_write_and_those_who_compute() -> None:
    assert STATUS_MEANINGS[MISSING] == "missing"
    assert STATUS_MEANINGS[ANALYSIS] == "analysis"
    assert STATUS_MEANINGS[INTERPOLATED] == "interpolated"


def test_the_facts_of_records_add() -> None:
    first = Contents((1, 8, 15), ValueCounts(100, 3, 2, 1), 5, 7.25)
    second = Contents((24, 0, 0), ValueCounts(10), 0, None)
    records = [
        Record(name, name, facts=asdict(each))
        for name, each in zip("ab", [first, second], strict=True)
    ]
    read = [Record.from_json(record.to_json()) for record in records]
    assert [Contents.of(record) for record in read] == [first, second]
    merged = Contents.of(merge_records(read))
    assert merged == Contents((25, 8, 15), ValueCounts(110, 3, 2, 1), 5, 7.25)
    assert merge_records(records).inputs != merge_records(records[::-1]).inputs
    assert Contents.merge([]).largest is None


@pytest.mark.parametrize("name", ["a.txt", "a.nc4", "a.zip"])
def test_unknown_endings_are_refused(name: str, tmp_path) -> None:
    with pytest.raises(InputError, match=r"\.zarr or \.nc"):
        open_target(tmp_path / name)


def test_names_that_mean_something_else_are_told() -> None:
    with pytest.raises(InputError, match="deepcams export makes GeoTIFF"):
        open_target("a.tif")
    with pytest.raises(InputError, match="found standard output"):
        open_target("-")


def test_split_needs_a_folder(tmp_path) -> None:
    with pytest.raises(InputError, match="--split"):
        open_target(tmp_path / "a.zarr", "day")
    assert open_target(tmp_path / "folder").split == "month"
