"""Candidates weighed by what each makes of known frames: who wins where, limits, edges, and both array libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.methods.arrays import NUMPY, Arrays, TorchArrays
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.flow import Flow
from deepcams.methods.temporal.four_frames import Cubic
from deepcams.methods.temporal.self_checked import AlongMotion, InPlace, SelfChecked

GRID = Grid(0.75, 60, 60, 40, 60)
TORCH = TorchArrays("cpu")
THIRDS = [1 / 3, 2 / 3]


def spots(grid: Grid, seed: int = 0) -> np.ndarray:
    """Return a smooth random field, ug m-3."""
    field = np.random.default_rng(seed).random(grid.shape) ** 6
    for _ in range(8):
        wide = np.pad(field, 1, "edge")
        field = (
            4 * field
            + wide[:-2, 1:-1]
            + wide[2:, 1:-1]
            + wide[1:-1, :-2]
            + wide[1:-1, 2:]
        ) / 8
    return (100 * field).astype(np.float32)


def interval(frames: list[np.ndarray], grid: Grid = GRID) -> Interval:
    """Return four frames as an interval."""
    earlier, before, after, later = frames
    return Interval.on_grid(before, after, grid, earlier=earlier, later=later)


def moving(grid: Grid = GRID) -> list[np.ndarray]:
    """A pattern that goes three columns a frame."""
    return [np.roll(spots(grid), 3 * k, axis=1) for k in range(4)]


def breathing(grid: Grid = GRID) -> list[np.ndarray]:
    """A pattern that stays, and rises and falls along a parabola."""
    return [spots(grid) * (1 + 0.3 * (k - 0.5) ** 2) for k in range(-1, 3)]


def test_what_moves_is_left_to_motion_and_what_stays_to_the_place() -> None:
    method = SelfChecked()
    truth = np.roll(spots(GRID), 4, axis=1)
    inside = (slice(None), slice(14, -8))
    frames = interval(moving())
    made = {
        each.name: each.between(frames, [1 / 3])[0]
        for each in (method, Flow(), Cubic())
    }
    error = {name: abs(each - truth)[inside].mean() for name, each in made.items()}
    assert error["self-checked"] < 0.05 * error["cubic"]
    check = method._check(frames.earlier, frames.before, frames.after, GRID)
    assert check is not None
    assert check.shares[0][inside].mean() > 0.8
    frames = interval(breathing())
    truth = spots(GRID) * (1 + 0.3 / 36)
    error = {
        each.name: abs(each.between(frames, [1 / 3])[0] - truth).mean()
        for each in (method, Flow(), Cubic())
    }
    assert error["self-checked"] < 0.6 * error["flow"]
    assert error["self-checked"] < 1.1 * error["cubic"]


def test_the_place_alone_is_the_cubic_curve() -> None:
    frames = interval([spots(GRID, seed) for seed in range(4)])
    alone = SelfChecked(candidates=[InPlace]).between(frames, [0.2, 0.7])
    np.testing.assert_allclose(
        alone, Cubic().between(frames, [0.2, 0.7]), rtol=1e-4, atol=1e-4
    )


def test_shares_are_shares_and_values_are_not_below_zero() -> None:
    frames = interval([spots(GRID, seed) for seed in range(4)])
    method = SelfChecked()
    check = method._check(frames.earlier, frames.before, frames.after, GRID)
    assert check is not None
    np.testing.assert_allclose(sum(check.shares), 1, rtol=1e-5)
    assert all((share >= 0).all() for share in check.shares)
    empty = interval([np.zeros_like(frames.before)] * 4)
    np.testing.assert_array_equal(method.between(empty, THIRDS), 0)
    sharp = [np.where(spots(GRID, k) > 8, 500, 0).astype(np.float32) for k in range(4)]
    made = method.between(interval(sharp), [0.01, 1 / 3, 0.99])
    assert made.dtype == np.float32
    assert (made >= 0).all()
    assert np.isfinite(made).all()


def test_near_a_frame_it_is_that_frame() -> None:
    frames = interval(moving())
    near = SelfChecked().between(frames, [1e-4, 1 - 1e-4])
    np.testing.assert_allclose(near[0], frames.before, atol=0.05)
    np.testing.assert_allclose(near[1], frames.after, atol=0.05)


@pytest.mark.parametrize("unknown", ["earlier", "later"])
def test_one_outer_frame_serves_for_both_ends(unknown: str) -> None:
    """The other's check decides, and the line goes on where nothing is known."""
    frames = interval(breathing())
    method = SelfChecked(candidates=[InPlace])
    cut = replace(frames, **{unknown: None})
    np.testing.assert_allclose(
        method.between(cut, THIRDS), Cubic().between(cut, THIRDS), rtol=1e-4, atol=1e-4
    )
    both = SelfChecked().between(cut, THIRDS)
    assert abs(both - Flow().between(cut, THIRDS)).max() > 0.1
    neither = replace(frames, earlier=None, later=None)
    np.testing.assert_array_equal(
        SelfChecked().between(neither, THIRDS), Flow().between(neither, THIRDS)
    )


def test_a_check_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that two intervals share is hidden once; other frames of the same times are checked anew."""
    made = []

    class Counted(AlongMotion):
        def __init__(self, *frames: object) -> None:
            made.append(1)
            super().__init__(*frames)  # type: ignore[arg-type]

    frames = [spots(GRID, seed) for seed in range(5)]
    method = SelfChecked(candidates=[Counted, InPlace])
    method.between(interval(frames[:4]), THIRDS)
    assert len(made) == 3
    method.between(interval(frames[1:]), THIRDS)
    assert len(made) == 5
    other = SelfChecked(candidates=[Counted, InPlace])
    np.testing.assert_array_equal(
        method.between(interval(frames[:4]), THIRDS),
        other.between(interval(frames[:4]), THIRDS),
    )


@pytest.mark.parametrize("arrays", [NUMPY, TORCH], ids=["numpy", "torch"])
def test_a_globe_has_no_seam_and_one_value_at_each_pole(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 3.0)
    grid = Grid.globe(3.0)
    frames = [np.roll(spots(grid, 1), 2 * k, axis=1) * (1 + 0.1 * k) for k in range(4)]
    method = SelfChecked(arrays)
    plain = method.between(interval(frames, grid), [1 / 3])
    assert np.ptp(plain[0, 0]) == np.ptp(plain[0, -1]) == 0
    rolled = [np.roll(each, 60, axis=1) for each in frames]
    moved = np.roll(method.between(interval(rolled, grid), [1 / 3]), -60, axis=-1)
    change = abs(plain - frames[1]).mean()
    assert abs(moved - plain).mean(axis=(0, 1)).max() < 0.1 * change
    expected = SelfChecked(NUMPY).between(interval(frames, grid), [1 / 3])
    np.testing.assert_allclose(plain, expected, rtol=1e-2, atol=0.02)


def test_the_smallest_regions() -> None:
    for shape in ((2, 2), (3, 8), (8, 2)):
        grid = Grid(0.25, 40, 20, *shape)
        frames = [spots(grid, seed) for seed in range(4)]
        made = SelfChecked().between(interval(frames, grid), THIRDS)
        assert np.isfinite(made).all()


def test_provenance_names_the_candidates_and_the_library() -> None:
    settings = SelfChecked().settings()
    assert settings["name"] == "self-checked"
    assert settings["candidates"] == ["AlongMotion", "InPlace"]
    assert settings != SelfChecked(TORCH).settings()
