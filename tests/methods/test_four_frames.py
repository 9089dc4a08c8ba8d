"""Curves through four frames, and the methods at points: against SciPy, by hand, and against the methods of fields."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from deepcams.core.grid import Grid
from deepcams.methods import TEMPORAL
from deepcams.methods.at_points import AT_POINTS, Surrounded
from deepcams.methods.four_frames import catmull_rom, pchip

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


def test_pchip_is_that_of_scipy() -> None:
    frames, fractions = _frames(500), [0, 0.1, 1 / 3, 0.5, 2 / 3, 1]
    with np.errstate(all="ignore"):
        curve = PchipInterpolator([-1, 0, 1, 2], frames)(fractions)
    np.testing.assert_allclose(pchip(frames, fractions), curve, rtol=1e-10, atol=1e-10)


def test_pchip_stays_between_its_two_frames() -> None:
    frames = _frames(500)
    made = pchip(frames, np.linspace(0, 1, 11).tolist())
    rounding = 1e-12 * frames.max(axis=0)
    assert (made >= np.minimum(frames[1], frames[2]) - rounding).all()
    assert (made <= np.maximum(frames[1], frames[2]) + rounding).all()


def test_catmull_rom_has_its_known_weights() -> None:
    # At a third: -2/27, 21/27, 9/27, -1/27.
    weights = np.array([[-2, 21, 9, -1], [-1, 9, 21, -2]]) / 27
    frames = 50 + np.random.default_rng(1).normal(0, 1, (4, 3, 5))
    found = catmull_rom(frames, THIRDS)
    np.testing.assert_allclose(found, np.tensordot(weights, frames, 1), rtol=1e-12)


def test_catmull_rom_is_never_negative() -> None:
    frames = np.array([9.0, 0.0, 0.0, 9.0])
    assert np.tensordot(np.array([-2, 21, 9, -1]) / 27, frames, 1) < 0
    np.testing.assert_array_equal(catmull_rom(frames, THIRDS), [0, 0])


@pytest.mark.parametrize("curve", [pchip, catmull_rom])
def test_curves_keep_frames_lines_types_and_gaps(curve) -> None:
    frames = _frames(20)[:, :-1].astype(np.float32)
    ends = curve(frames, [0, 1])
    assert ends.dtype == np.float32
    np.testing.assert_allclose(ends, frames[1:3], rtol=1e-5)
    line = np.arange(4.0)[:, None] * [2, -1] + [1, 9]
    np.testing.assert_allclose(
        curve(line, THIRDS), [[11 / 3, 23 / 3], [13 / 3, 22 / 3]]
    )
    for hole in range(4):
        holed = np.array([1.0, 2.0, 3.0, 5.0])
        holed[hole] = np.nan
        assert np.isnan(curve(holed, THIRDS)).all()


@pytest.mark.parametrize("name", ["linear", "linear-eq9"])
def test_a_method_at_points_is_the_method_of_fields(name: str) -> None:
    frames = np.random.default_rng(2).lognormal(2, 1, (4, 12)).astype(np.float32)
    grid = Grid(0.75, 60, 100, 3, 4)
    before, after = (frames[k].reshape(grid.shape) for k in (1, 2))
    of_field = TEMPORAL.get(name)().between(before, after, THIRDS, grid)
    around = Surrounded(frames, np.zeros(12), np.zeros(12), np.zeros(12))
    found = AT_POINTS.get(name)().values(around, THIRDS)
    np.testing.assert_array_equal(found.reshape(2, 3, 4), of_field)


def test_every_method_at_points_has_the_protocol() -> None:
    around = Surrounded(_frames(5), np.zeros(13), np.zeros(13), np.zeros(13))
    for name in AT_POINTS.names():
        method = AT_POINTS.get(name)()
        assert method.name == name
        assert method.kind in ("baseline", "training-free", "network")
        assert method.values(around, THIRDS).shape == (2, 13)


def test_local_solar_time_is_of_the_place() -> None:
    nothing = np.zeros(3)
    noon = np.full(3, 12 * 3600)
    around = Surrounded(np.zeros((4, 3)), noon, nothing, np.array([0.0, 90, -179]))
    np.testing.assert_allclose(around.solar_hours(1 / 3), [13, 19, 13 - 179 / 15])
    assert around.solar_hours(2.0)[1] == 0
