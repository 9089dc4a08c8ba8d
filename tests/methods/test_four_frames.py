"""Curves through four frames in place: against SciPy, by hand, and their limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from deepcams.core.grid import Grid
from deepcams.methods import AT_POINTS, TEMPORAL
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.four_frames import CatmullRom, Cubic, Pchip

THIRDS = [1 / 3, 2 / 3]


def _frames(points: int) -> np.ndarray:
    """Four random frames; then rising, falling, flat, partly flat ones, ones with a peak, and extreme ones."""
    random = np.random.default_rng(0).lognormal(2, 1.5, (4, points))
    shapes = [
        [1, 2, 4, 8],
        [9, 5, 2, 1],
        [3, 3, 3, 3],
        [0, 0, 5, 5],
        [1, 7, 7, 2],
        [5, 0, 0, 5],
        [1, 3, 2, 4],
        [0, 1e-300, 2e-300, 1e300],
    ]
    return np.concatenate([random, np.array(shapes, float).T], axis=1)


def around(frames: np.ndarray) -> Interval:
    """Four frames, (4, ..), as an interval."""
    places = np.zeros(frames.shape[1:])
    start, step = np.datetime64("2019-01-01"), np.timedelta64(3, "h")
    earlier, before, after, later = frames
    return Interval(before, after, earlier, later, places, places, start, step)


def test_pchip_is_that_of_scipy() -> None:
    frames, fractions = _frames(500), [0, 0.1, 1 / 3, 0.5, 2 / 3, 1]
    with np.errstate(all="ignore"):
        curve = PchipInterpolator([-1, 0, 1, 2], frames)(fractions)
    made = Pchip().between(around(frames), fractions)
    np.testing.assert_allclose(made, curve, rtol=1e-10, atol=1e-10)


def test_catmull_rom_has_its_known_weights() -> None:
    # At a third: -2/27, 21/27, 9/27, -1/27.
    weights = np.array([[-2, 21, 9, -1], [-1, 9, 21, -2]]) / 27
    frames = 50 + np.random.default_rng(1).normal(0, 1, (4, 3, 5))
    found = CatmullRom().between(around(frames), THIRDS)
    np.testing.assert_allclose(found, np.tensordot(weights, frames, 1), rtol=1e-12)


def test_catmull_rom_is_never_negative() -> None:
    frames = np.array([[9.0], [0.0], [0.0], [9.0]])
    assert np.tensordot(np.array([-2, 21, 9, -1]) / 27, frames, 1) < 0
    np.testing.assert_array_equal(
        CatmullRom().between(around(frames), THIRDS), [[0], [0]]
    )


@pytest.mark.parametrize(("method", "part"), [(Pchip, 0), (Cubic, 16), (CatmullRom, 8)])
def test_overshoots_are_limited(method: type[Cubic], part: int) -> None:
    """No further out of the two frames' range than a part of the largest step, and for some frames as far."""
    frames = np.concatenate(
        [_frames(2000), 20 + np.array([[8.0], [0], [0], [8]])], axis=1
    )
    made = method().between(around(frames), np.linspace(0, 1, 21).tolist())
    low, high = np.minimum(*frames[1:3]), np.maximum(*frames[1:3])
    out = np.maximum(made - high, low - made).max(axis=0)
    largest = abs(np.diff(frames, axis=0)).max(axis=0)
    limit = largest / part if part else 0 * largest
    assert (out <= limit + 1e-9 * largest).all()
    assert out[-1] == pytest.approx(limit[-1], abs=1e-12)


@pytest.mark.parametrize("method", [Pchip, CatmullRom, Cubic])
def test_curves_keep_frames_lines_and_types(method: type[Cubic]) -> None:
    frames = _frames(20)[:, :-1].astype(np.float32)
    ends = method().between(around(frames), [0, 1])
    assert ends.dtype == np.float32
    np.testing.assert_allclose(ends, frames[1:3], rtol=1e-5)
    line = np.arange(4.0)[:, None] * [2, -1] + [1, 9]
    wanted = [[11 / 3, 23 / 3], [13 / 3, 22 / 3]]
    np.testing.assert_allclose(method().between(around(line), THIRDS), wanted)


@pytest.mark.parametrize("method", [Pchip, CatmullRom, Cubic])
def test_where_a_frame_is_not_known_the_line_goes_on(method: type[Cubic]) -> None:
    frames = np.array([[5.0, 1], [5, 2], [7, 8], [1, 30]])
    before, after = frames[1:3]
    straight = np.array([2 * before - after, before, after, 2 * after - before])
    for known in ((True, False), (False, True), (False, False)):
        interval = around(frames)
        cut, full = vars(interval).copy(), straight.copy()
        for name, at, here in zip(("earlier", "later"), (0, 3), known, strict=True):
            if here:
                full[at] = frames[at]
            else:
                cut[name] = None
        np.testing.assert_allclose(
            method().between(Interval(**cut), THIRDS),
            method().between(around(full), THIRDS),
        )
    np.testing.assert_allclose(
        method().between(Interval(**cut), THIRDS)[0], (2 * before + after) / 3
    )


@pytest.mark.parametrize("name", AT_POINTS.names())
def test_methods_at_points_need_no_grid(name: str) -> None:
    frames = np.random.default_rng(2).lognormal(2, 1, (4, 12)).astype(np.float32)
    grid = Grid(0.75, 60, 100, 3, 4)
    earlier, before, after, later = frames.reshape(4, *grid.shape)
    start = np.datetime64("2019-01-01T09", "ns")
    on_grid = Interval.on_grid(
        before,
        after,
        grid,
        earlier=earlier,
        later=later,
        start=start,
        variable="pm2p5",
    )
    places = np.broadcast_arrays(on_grid.latitude, on_grid.longitude)
    latitude, longitude = (each.ravel() for each in places)
    at_points = Interval(
        frames[1],
        frames[2],
        frames[0],
        frames[3],
        latitude,
        longitude,
        np.full(12, start),
        on_grid.step,
        variable="pm2p5",
    )
    method = AT_POINTS.get(name)()
    assert method.name == name
    assert TEMPORAL.get(name) is AT_POINTS.get(name)
    found = method.between(at_points, THIRDS)
    np.testing.assert_allclose(
        found.reshape(2, 3, 4), method.between(on_grid, THIRDS), rtol=1e-5
    )
