"""What is read for what is shown: how often, how much, and that nobody waits for what was only likely to be wanted."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.readers.frames import stored_values
from deepcams.view.chunk_cache import Blocks
from deepcams.view.prefetch import Prefetcher
from deepcams.view.start import open_shown

WHOLE = (slice(0, 181), np.arange(360))


def _field(hours: int) -> xr.DataArray:
    grid = Grid.globe(1.0)
    times = np.datetime64("2019-01-01", "ns") + np.arange(hours) * np.timedelta64(
        1, "h"
    )
    values = np.random.default_rng(0).random((hours, *grid.shape), np.float32)
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    return as_field(
        xr.DataArray(
            values,
            coords,
            ("time", "latitude", "longitude"),
            "pm2p5",
            {"units": "ug m-3"},
        )
    )


class _Counted:
    """An array that remembers how it was indexed."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.asked = values, list[Any]()
        self.pause = threading.Event()
        self.pause.set()

    def __getitem__(self, index: Any) -> np.ndarray:
        self.asked.append(index)
        assert self.pause.wait(30)
        return self.values[index]


def test_a_whole_frame_is_one_reading() -> None:
    field = _field(24)
    counted = _Counted(field.values)
    blocks = Blocks(field, counted)
    np.testing.assert_array_equal(blocks.frame(3, *WHOLE), field.values[3])
    assert len(counted.asked) == 1
    np.testing.assert_array_equal(blocks.frame(5, *WHOLE), field.values[5])
    assert len(counted.asked) == 1  # the same 6 hours
    np.testing.assert_array_equal(
        blocks.frame(6, slice(10, 60), np.arange(350, 380) % 360)[:, :10],
        field.values[6, 10:60, 350:],
    )
    read = len(counted.asked)
    blocks.frame(6, *WHOLE)  # what is there already is not read again
    seen = sum(
        np.prod([part.stop - part.start for part in index])
        for index in counted.asked[read:]
    )
    assert seen <= 6 * 181 * 360 - 6 * 50 * 20


@pytest.mark.parametrize(
    ("times", "begun"),
    [
        ((3, 4), {0, 6}),
        ((20, 19), {18, 36, 24, 12}),
        ((0, 24), {0, 6, 24, 48, 30, 18}),
        ((0, 40), {0, 6, 36, 78, 42, 30}),
    ],
)
def test_it_reads_ahead_where_the_steps_lead(
    times: tuple[int, int], begun: set[int]
) -> None:
    """The first hours of the blocks that are read for two frames and after each."""
    field = _field(96)
    counted = _Counted(field.values)
    blocks = Blocks(field, counted)
    for each in times:
        blocks.frame(each, *WHOLE)
        blocks.read_ahead(each, *WHOLE)
    assert {index[0].start for index in counted.asked} == begun
    reads = len(counted.asked)
    blocks.frame(2 * times[1] - times[0], *WHOLE)
    assert (
        len(counted.asked) == reads
    )  # the next such step was there before it was asked for


def test_reading_ahead_makes_way() -> None:
    field = _field(48)
    counted = _Counted(field.values)
    blocks = Blocks(field, counted)
    blocks.frame(0, *WHOLE)
    counted.pause.clear()
    reading = threading.Thread(target=blocks.read_ahead, args=(0, *WHOLE))
    reading.start()
    while len(counted.asked) < 2:
        time.sleep(0.001)
    found: list[np.ndarray] = []
    asking = threading.Thread(target=lambda: found.append(blocks.frame(40, *WHOLE)))
    asking.start()
    while blocks._asked < 2:
        time.sleep(0.001)
    counted.pause.set()
    reading.join(30)
    asking.join(30)
    np.testing.assert_array_equal(found[0], field.values[40])
    ahead = [index for index in counted.asked[1:] if index[0].start == 6]
    assert len(ahead) == 1  # of its rows of blocks the one that had begun


def test_only_the_newest_wish_of_a_kind_counts() -> None:
    ahead, done, first = Prefetcher(), list[int](), threading.Event()
    finished = threading.Event()
    ahead.wish("a", lambda: first.wait(30) and None)
    for k in range(100):
        ahead.wish("b", lambda k=k: done.append(k))  # type: ignore[misc]
    ahead.wish("c", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    ahead.wish("d", finished.set)
    first.set()
    assert finished.wait(30)  # a wish that fails ends nothing
    assert done == [99]
    ahead.close()


def test_a_store_of_ours_is_read_itself(tmp_path: Path) -> None:
    grid = Grid.globe(0.75).select((70, 5, 100, 25))[0]
    times = np.datetime64("2019-01-01", "ns") + np.arange(0, 9, 3) * np.timedelta64(
        1, "h"
    )
    values = (
        np.random.default_rng(0).lognormal(2, 1, (3, *grid.shape)).astype(np.float32)
    )
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    made = xr.DataArray(
        values, coords, ("time", "latitude", "longitude"), "pm2p5", {"units": "ug m-3"}
    )
    store = tmp_path / "out.zarr"
    downscale_to(
        as_field(made), store, temporal="linear", spatial="bicubic", conserve=False
    )
    shown = open_shown(store)
    field = shown.blocks["ours"].field
    assert stored_values(field) is not field.data
    np.testing.assert_array_equal(
        shown.blocks["ours"].series(1, 5, 3, 4), np.maximum(field.values[1:5, 3, 4], 0)
    )
    shown.close()
