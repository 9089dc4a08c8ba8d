"""The blend that knows the sun: its bounds, where it falls back to the cubic curve, and that the sun matters at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepcams.core.errors import DeepcamsNotice
from deepcams.core.grid import Grid
from deepcams.core.sun import sun_elevation
from deepcams.core.times import HOUR
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.four_frames import Cubic
from deepcams.methods.temporal.solar import SHAPE, Shape, Sun, fitted_share

THIRDS = (1 / 3, 2 / 3)
KIGALI = (-1.95, 30.06)
MORNING = np.datetime64("2021-09-01T03:30", "ns")
"""From half past five to half past eight by the sun in Kigali."""


def _interval(latitude: Any, longitude: Any, **changes: Any) -> Interval:
    """Frames of 10, 40, 20 and 30 ug m-3 at some points, in Kigali's morning."""
    latitude, longitude = np.broadcast_arrays(
        np.atleast_1d(latitude).astype(float), np.atleast_1d(longitude).astype(float)
    )
    frames = {
        name: np.full(latitude.shape, value)
        for name, value in (
            ("earlier", 10.0),
            ("before", 40.0),
            ("after", 20.0),
            ("later", 30.0),
        )
    }
    start = np.full(latitude.shape, MORNING)
    made = Interval(
        **frames,
        latitude=latitude,
        longitude=longitude,
        start=start,
        step=3 * HOUR,
        variable="pm2p5",
    )
    return replace(made, **changes)


def _elevations() -> tuple[np.ndarray, np.ndarray]:
    """All that can be: every hour of a day, four seasons, every five degrees of latitude."""
    days = np.array(
        ["2021-03-20", "2021-06-21", "2021-09-22", "2021-12-21"], "datetime64[h]"
    )
    times = days[:, None, None] + np.arange(24)[:, None]
    latitude = np.arange(-90, 91, 5.0)
    step = np.timedelta64(3, "h")
    return sun_elevation(times, latitude, 0), sun_elevation(times + step, latitude, 0)


EXTREME = Shape((-15, 10, 35), (-10, 15), 10, (50,) * 5, (-50,) * 5)


@pytest.mark.parametrize("shape", [SHAPE, EXTREME, replace(EXTREME, level=(-50,) * 5)])
def test_weights_are_bounded_whatever_was_fitted(shape: Shape) -> None:
    g, h = shape.modulation(*_elevations())
    assert np.abs(g).max() > 0.05
    for t in np.linspace(0, 1, 21):
        one, other = 1 - t + t * (1 - t) * g, t + t * (1 - t) * h
        assert min(one.min(), other.min()) >= 0
        assert (one + other).min() >= 0.8 - 1e-12
        assert (one + other).max() <= 1.2 + 1e-12


def test_weights_tend_to_the_frames() -> None:
    interval = _interval(*KIGALI)
    first, last = Sun().between(interval, [1e-6, 1 - 1e-6])[:, 0]
    assert first == pytest.approx(40, abs=1e-3)
    assert last == pytest.approx(20, abs=1e-3)
    inside = Sun().between(interval, THIRDS)
    assert np.abs(inside - Cubic().between(interval, THIRDS)).min() > 1


def test_a_blend_is_its_weights_on_the_straight_line() -> None:
    """On frames of a straight line the curve is that line, and what is left are the weights."""
    line = {
        name: np.array([value])
        for name, value in (
            ("earlier", 10.0),
            ("before", 20.0),
            ("after", 30.0),
            ("later", 40.0),
        )
    }
    interval = _interval(*KIGALI, **line)
    elevations = [sun_elevation(interval.time(end), *KIGALI) for end in (0, 1)]
    g, h = SHAPE.modulation(*elevations)
    for t, made in zip(THIRDS, Sun().between(interval, THIRDS), strict=True):
        wanted = (1 - t + t * (1 - t) * g) * 20 + (t + t * (1 - t) * h) * 30
        np.testing.assert_allclose(made, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(0, -140), (30, -40), (66, 26), (-75, 90), (80, -40)],
    ids=["Pacific", "Atlantic", "polar circle", "Antarctica", "Greenland"],
)
def test_the_sun_does_not_count_at_sea_and_in_polar_latitudes(
    latitude: float, longitude: float
) -> None:
    start = MORNING + np.arange(8) * 3 * HOUR
    interval = _interval(np.full(8, latitude), longitude, start=start)
    np.testing.assert_array_equal(
        Sun().between(interval, THIRDS), Cubic().between(interval, THIRDS)
    )


def test_it_counts_less_towards_the_polar_circle_and_the_coast() -> None:
    assert fitted_share(np.array([0, -55, 65, -90])).tolist() == [1, 1, 0, 0]
    assert np.all(np.diff(fitted_share(np.arange(55, 65.5, 0.5))) < 0)
    inland, coast = (
        Sun().between(_interval(latitude, longitude), THIRDS)
        - Cubic().between(_interval(latitude, longitude), THIRDS)
        for latitude, longitude in (
            (-6.8, 36),
            (-6.8, 39.3),
        )  # Dodoma's west, Dar es Salaam
    )
    assert np.all(np.abs(coast) < 0.8 * np.abs(inland))
    assert np.all(np.abs(coast) > 0)


def test_the_night_changes_little() -> None:
    night = MORNING + 18 * HOUR
    interval = _interval(*KIGALI, start=np.array([night]))
    np.testing.assert_allclose(
        Sun().between(interval, THIRDS), Cubic().between(interval, THIRDS), rtol=0.03
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"variable": "pm10"}, "not on pm10"),
        ({"variable": ""}, "not on an unknown variable"),
        ({"step": 2 * HOUR}, "not 2 h"),
        ({"start": np.array([np.datetime64("NaT", "ns")])}, "time of the frames"),
    ],
)
def test_what_was_not_fitted_is_the_cubic_curve_with_a_note(
    changes: dict[str, Any], why: str
) -> None:
    interval = _interval(*KIGALI, **changes)
    sun = Sun()
    with pytest.warns(DeepcamsNotice, match=f"sun's weights are not used: .*{why}"):
        made = sun.between(interval, THIRDS)
    np.testing.assert_array_equal(sun.between(interval, THIRDS), made)  # told once
    np.testing.assert_array_equal(made, Cubic().between(interval, THIRDS))


def test_a_grid_is_what_its_points_are() -> None:
    grid = Grid(0.75, 3, 28.5, 8, 5)
    frames = (
        np.random.default_rng(1).lognormal(2, 1, (4, *grid.shape)).astype(np.float32)
    )
    earlier, before, after, later = frames
    field = Interval.on_grid(
        before,
        after,
        grid,
        earlier=earlier,
        later=later,
        start=MORNING,
        variable="pm2p5",
    )
    made = Sun().between(field, THIRDS)
    assert made.dtype == np.float32
    latitude, longitude = np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij")
    flat = [frame.ravel().astype(float) for frame in frames]
    points = _interval(
        latitude.ravel(),
        longitude.ravel(),
        earlier=flat[0],
        before=flat[1],
        after=flat[2],
        later=flat[3],
    )
    alone = Sun().between(points, THIRDS).reshape(made.shape)
    np.testing.assert_allclose(made, alone, rtol=1e-4, atol=1e-4)


def test_frames_at_the_end_of_a_record_are_enough() -> None:
    interval = _interval(*KIGALI, earlier=None, later=None)
    made = Sun().between(interval, THIRDS)
    assert np.all(np.isfinite(made))
    assert np.all(made >= 0)
    assert np.abs(made - Cubic().between(interval, THIRDS)).min() > 1
