"""The sun's elevation against pvlib's full theory, and local solar time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepcams.core.sun import (
    declination_and_equation,
    mean_solar_hours,
    sun_elevation,
)

PLACES = [
    (-90, 0),
    (-60, -179.75),
    (-1.95, 30.06),
    (0, 180),
    (52, 21),
    (78, 359),
    (90, 5),
]


@pytest.mark.parametrize(("latitude", "longitude"), PLACES)
def test_elevation_is_that_of_the_full_theory(
    latitude: float, longitude: float
) -> None:
    solarposition = pytest.importorskip("pvlib.solarposition")
    # 71 hours are no whole number of days: every hour of the day and all seasons.
    times = pd.date_range("2003-01-01", "2030-12-31", freq="71h", tz="UTC")
    wanted = solarposition.spa_python(times, latitude, longitude)["elevation"]
    found = sun_elevation(times.tz_localize(None), latitude, longitude)
    assert np.abs(found - wanted).max() < 0.03


def test_a_grid_is_what_its_nodes_are() -> None:
    times = np.array(["2021-03-08T00:30", "2021-06-21T13:00"], "datetime64[m]")
    latitude, longitude = np.linspace(90, -90, 7), np.arange(0, 360, 45.0)
    grid = sun_elevation(times[:, None, None], latitude[:, None], longitude)
    assert grid.shape == (2, 7, 8)
    assert grid.dtype == np.float64
    for t, row, column in np.ndindex(grid.shape):
        alone = sun_elevation(times[t], latitude[row], longitude[column])
        assert grid[t, row, column] == pytest.approx(float(alone), abs=1e-9)
    assert np.all(np.abs(grid) <= 90)


def test_the_solstice_has_a_midnight_sun_and_a_polar_night() -> None:
    day = np.datetime64("2020-06-21T00:00") + np.arange(24) * np.timedelta64(1, "h")
    assert np.all(sun_elevation(day, 75, 20) > 0)
    assert np.all(sun_elevation(day, -75, 20) < 0)
    assert declination_and_equation(day)[0] == pytest.approx(
        np.full(24, 23.44), abs=0.01
    )


@pytest.mark.parametrize(
    ("day", "minutes"),
    [("2021-02-11", -14.2), ("2021-11-03", 16.4), ("2021-06-13", 0.0)],
)
def test_the_sun_is_ahead_of_the_mean_sun_by_the_equation_of_time(
    day: str, minutes: float
) -> None:
    ahead = declination_and_equation(np.datetime64(day))[1] * 4
    assert float(ahead) == pytest.approx(minutes, abs=0.15)


def test_mean_solar_time_is_of_the_place() -> None:
    times = np.array(["2021-07-01T12:00", "1969-12-31T23:30"], "datetime64[s]")
    found = mean_solar_hours(times[:, None], [0.0, 90, -180, 359.25])
    assert found[0].tolist() == pytest.approx([12, 18, 0, 11.95])
    assert found[1].tolist() == pytest.approx([23.5, 5.5, 11.5, 23.45])


def test_the_sun_is_highest_at_noon_of_mean_time_less_the_equation() -> None:
    times = np.datetime64("2021-11-03") + np.arange(1440) * np.timedelta64(1, "m")
    noon = times[np.argmax(sun_elevation(times, 52, 21))]
    ahead = float(declination_and_equation(noon)[1]) / 15
    assert float(mean_solar_hours(noon, 21)) == pytest.approx(12 - ahead, abs=0.02)


def test_no_time_has_no_sun() -> None:
    assert np.isnan(sun_elevation(np.array(["NaT"], "datetime64[ns]"), 10, 10)).all()
