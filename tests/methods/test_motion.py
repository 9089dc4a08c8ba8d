"""Motion: what moves is found to move so, by NumPy and by PyTorch alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepcams.core.errors import InputError, MissingExtraError
from deepcams.core.grid import Grid
from deepcams.methods import build
from deepcams.methods.arrays import NUMPY, Arrays, TorchArrays
from deepcams.methods.interval import Interval
from deepcams.methods.temporal import motion
from deepcams.methods.temporal.flow import Flow

TORCH = TorchArrays("cpu")
BOTH = pytest.mark.parametrize("arrays", [NUMPY, TORCH], ids=lambda a: a.name)


def texture(rows: int, columns: int, east: float = 0, down: float = 0) -> np.ndarray:
    """Waves of many lengths, moved; logarithms."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:rows, :columns]
    values = np.zeros((rows, columns))
    for _ in range(40):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = 2 * np.pi / rng.uniform(12, 60)
        along = (x - east) * np.cos(angle) + (y - down) * np.sin(angle)
        values += 0.3 * np.cos(wave * along + phase)
    return values.astype(np.float32)


def found(arrays: Arrays, *images: np.ndarray, enlarge: int = 1) -> np.ndarray:
    put = [arrays.put(image) for image in images]
    return arrays.get(motion.motion_between(*put, arrays, enlarge))


@BOTH
@pytest.mark.parametrize(("east", "down"), [(3.3, -2.1), (-11.0, 6.0), (0, 0)])
def test_a_shift_is_found(arrays: Arrays, east: float, down: float) -> None:
    """To 0.12 pixels, off the edges (the cubic kernel is off by 0.04 each); growth by half on the way does no harm."""
    first, last = texture(140, 160), texture(140, 160, east, down) + np.log(1.5)
    moved = found(arrays, first, last.astype(np.float32))
    assert moved.shape == (2, 140, 160)
    inside = moved[:, 40:-40, 40:-40]
    assert abs(inside[0] - east).max() < 0.12
    assert abs(inside[1] - down).max() < 0.12


def test_coarse_images_are_enlarged_and_their_motion_is_in_their_own_pixels() -> None:
    first, last = (texture(120, 150, east, 0) for east in (0, 6))
    means = [image.reshape(40, 3, 50, 3).mean((1, 3)) for image in (first, last)]
    moved = found(NUMPY, *means, enlarge=3)
    assert moved.shape == (2, 40, 50)
    assert abs(moved[0, 8:-8, 8:-8] - 2).max() < 0.1


def test_numpy_and_torch_agree() -> None:
    images = texture(70, 101), texture(70, 101, 4, 3)
    one, other = (found(arrays, *images) for arrays in (NUMPY, TORCH))
    np.testing.assert_allclose(one, other, atol=1e-5)
    root, x = np.random.default_rng(0).random((2, 30, 40), np.float32)
    at = 40 * x - 2, 30 * x.T.reshape(30, 40) - 2
    for cubic in (False, True):
        sampled = NUMPY.sample(root, *at, cubic)
        tensors = (TORCH.put(each) for each in (root, *at))
        np.testing.assert_allclose(sampled, TORCH.sample(*tensors, cubic), atol=1e-5)


@BOTH
def test_frames_arrive_where_motion_carries_them(arrays: Arrays) -> None:
    """Both of them, at any time; by whole pixels to the bit."""
    first = np.random.default_rng(0).random((20, 30), np.float32)
    last = np.roll(first, 4, axis=1)
    way = np.zeros((2, 20, 30), np.float32)
    way[0] = 4
    path = motion.Path(arrays.put(way), arrays)
    frames = [arrays.put(each) for each in (first, last)]
    for quarters in range(5):
        expected = np.roll(first, quarters, axis=1)[:, 5:-5]
        for frame, at in zip(frames, path.to(quarters / 4), strict=True):
            carried = arrays.sample(frame, *at, cubic=True)
            np.testing.assert_array_equal(arrays.get(carried)[:, 5:-5], expected)


def globe_frames(grid: Grid) -> np.ndarray:
    rng = np.random.default_rng(1)
    spots = rng.random((2, *grid.shape)) ** 8
    for _ in range(6):
        east, west = np.roll(spots, 1, -1), np.roll(spots, -1, -1)
        rows = np.pad(spots, ((0, 0), (1, 1), (0, 0)), "edge")
        spots = (2 * spots + east + west + rows[:, :-2] + rows[:, 2:]) / 6
    spots[1] = 0.9 * np.roll(spots[0], 2, -1) + 0.1 * spots[1]
    return (50 * spots).astype(np.float32)


def test_a_globe_has_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolling the frames rolls what comes between, up to where cells and margins fall."""
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 3.0)
    grid = Grid.globe(3.0)
    before, after = globe_frames(grid)
    plain = Flow().between(Interval.on_grid(before, after, grid), [1 / 3])
    change = abs(plain - before).mean()
    for k in (8, 60):
        rolled = (np.roll(each, k, -1) for each in (before, after))
        interval = Interval.on_grid(*rolled, grid)
        moved = np.roll(Flow().between(interval, [1 / 3]), -k, -1)
        assert abs(moved - plain).mean() < 0.02 * change
        assert abs(moved - plain).mean(axis=(0, 1)).max() < 0.1 * change


@BOTH
def test_the_same_twice(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepcams.methods.temporal.flow._FLOW_STEP", 3.0)
    grid = Grid.globe(3.0)
    one, other = (
        Flow(arrays).between(
            Interval.on_grid(*globe_frames(grid), grid), [1 / 3, 2 / 3]
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("shape", [(2, 2), (3, 8), (8, 2)])
@pytest.mark.parametrize("step", [0.25, 0.75])
def test_the_smallest_regions(
    arrays: Arrays, shape: tuple[int, int], step: float
) -> None:
    frames = np.random.default_rng(0).lognormal(2, 1, (2, *shape)).astype(np.float32)
    grid = Grid(step, 40, 20, *shape)
    between = Flow(arrays).between(Interval.on_grid(*frames, grid), [0.25, 0.5])
    assert between.shape == (2, *shape)
    assert np.isfinite(between).all()
    assert (between >= 0).all()
    still = Interval.on_grid(frames[0], frames[0], grid)
    same = Flow(arrays).between(still, [0.5])[0]
    np.testing.assert_allclose(same, frames[0], rtol=1e-5)


def test_the_library_is_part_of_what_decides_the_result() -> None:
    assert Flow().settings() != Flow(TORCH).settings()
    first, second = (Flow(TorchArrays(f"cuda:{k}")).settings() for k in (0, 1))
    assert first == second


def test_flow_goes_to_the_gpu_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert build("flow", "none", device="auto").parts[0].arrays == NUMPY
    with pytest.raises(InputError, match="a CUDA device"):
        build("flow", "none", device="cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    flow = build("flow", "none", device="cuda:1").parts[0]
    assert flow.arrays == TorchArrays("cuda:1")
    assert build("flow", "none", device="cpu").parts[0].arrays == NUMPY
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        build("flow", "none", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_numpy() -> None:
    grid = Grid.globe(0.75)
    frames = globe_frames(grid)
    one, other = (
        Flow.on_device(name).between(Interval.on_grid(*frames, grid), [1 / 3])
        for name in ("cpu", "cuda")
    )
    np.testing.assert_allclose(one, other, atol=1e-3)
