"""Tiles cover a frame, waste nothing, and blend without a trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcams.core.grid import Grid, pad
from deepcams.methods.spatial.tiling import Axis, Tiles

GRIDS = {
    "globe": Grid.globe(3.0),
    "across Greenwich": Grid(0.75, 40, -20, 50, 70),
    "at the pole": Grid(0.75, 0, 100, 33, 41),
}


@given(
    st.integers(1, 500),
    st.integers(20, 130),
    st.integers(0, 9),
    st.sampled_from([1, 4, 32]),
)
def test_axis_covers_the_frame_with_as_few_tiles_as_fit(
    length: int, size: int, halo: int, multiple: int
) -> None:
    axis = Axis.cut(length, size, halo, multiple)
    covered = np.zeros(length, int)
    for start in axis.starts:
        covered[max(start + halo, 0) : start + axis.size - halo] += 1
    assert covered.min() >= 1
    assert axis.size % multiple == 0
    core = max(size // multiple * multiple - 2 * halo, 1)
    assert len(axis.starts) == -(-length // core)  # none is wasted
    if size // multiple * multiple > 2 * halo:
        assert axis.size <= max(size, multiple)


@given(st.integers(1, 12), st.integers(48, 90))
def test_ramps_of_two_neighbours_add_up_to_one(halo: int, size: int) -> None:
    window = Axis(0, (0,), size, halo).window(3)
    overlap = 2 * halo * 3
    np.testing.assert_allclose(window[-overlap:] + window[:overlap], 1, atol=1e-6)


@pytest.mark.parametrize("name", GRIDS)
def test_a_local_method_gives_the_same_in_tiles_as_whole(name: str) -> None:
    grid = GRIDS[name]
    values = np.random.default_rng(0).random(grid.shape, np.float32)

    def smooth(frames: np.ndarray) -> np.ndarray:  # reaches 2 coarse nodes
        wide = frames.repeat(3, axis=1).repeat(3, axis=2)
        padded = np.pad(wide, ((0, 0), (6, 6), (6, 6)))
        return sum(
            padded[:, 6 + i : 6 + i + wide.shape[1], 6 + j : 6 + j + wide.shape[2]]
            for i in range(-6, 7, 3)
            for j in range(-6, 7, 3)
        )

    tiles = Tiles.cut(grid, 24, 6)
    assert len(tiles) > 1
    found = tiles.apply(values, smooth, 3, batch=2)
    whole = smooth(pad(values, grid, 4, 4)[None])[0][12:-12, 12:-12]
    np.testing.assert_allclose(found, whole, rtol=2e-5)


def test_one_tile_is_enough_for_a_small_region() -> None:
    assert len(Tiles.cut(Grid(0.75, 40, 10, 20, 30), 120, 12)) == 1
