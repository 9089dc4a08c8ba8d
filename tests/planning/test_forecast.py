"""Forecasts from a run that is really measured, of a small globe."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepcams.core.errors import DeepcamsError
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.planning.forecast import Forecast, forecast, options_of, time_limit
from deepcams.planning.measure import Measured, measure
from deepcams.planning.schedule import Conditions
from deepcams.writers import Item

LINEAR = {"temporal": "linear", "spatial": "bilinear", "conserve": False}


@pytest.mark.slow
def test_18_years_from_a_day_of_the_simulated_world() -> None:
    stages: dict[str, int] = {}
    found = forecast(
        Period.parse("2003..2020"),
        [],
        LINEAR,
        Conditions(startup=100.0),
        workers=(1, 1000, 10_000),
        days=1,
        grid=Grid.globe(7.5),
        progress=lambda stage, done, total: stages.update({stage: total}),
    )
    assert (found.items, found.hours) == (6575, 6575 * 24 - 2)
    assert found.shape == (73, 144)
    assert stages["simulate"] == 9
    assert stages["measure"] == 1
    measured = found.measured
    assert measured.hours == 24
    assert len(measured.seconds) == 1
    assert 0 < measured.seconds[0] < 60
    assert 0 < measured.startup < 120
    assert 50e6 < measured.memory < 4e9
    raw = 24 * 73 * 144 * 4
    assert 0.05 * raw < measured.bytes < 2 * raw
    assert found.bytes == pytest.approx(measured.bytes / 24 * found.hours, abs=1)
    one, many = found.schedules
    assert (one["workers"], many["workers"]) == (1, 1000)
    assert found.conditions.startup > 100 + measured.startup
    assert many["parts"]["seconds"] == pytest.approx(
        found.conditions.startup + 7 * measured.seconds[0]
    )
    assert found.as_dict()["processor_hours"] == pytest.approx(
        measured.seconds[0] * found.hours / 24 / 3600
    )


def test_a_run_that_fails_gives_its_own_message(tmp_path: Path) -> None:
    with pytest.raises(DeepcamsError, match=r"the measured run: .*nothing\.nc"):
        measure(["nothing.nc"], [], [Item(0, 0, 24)], tmp_path)


def test_settings_as_options() -> None:
    settings = {"temporal": "flow", "conserve": False, "bbox": (-12.0, 34, 45.5, 72)}
    assert options_of({**settings, "device": None}) == [
        *("--temporal", "flow", "--no-conserve"),
        *("--bbox", "-12", "34", "45.5", "72"),
    ]


def test_the_time_limit_is_for_a_slow_worker_with_a_full_part() -> None:
    measured = Measured(10.0, (50.0, 60.0), 10**9, 1.0, 10**6, 48)
    conditions = Conditions(startup=20, stragglers=0.1, slowness=2)
    found = Forecast(240, 10, (1, 1), 1, 1.0, 1, False, "", measured, conditions, ())
    assert time_limit(found, 3) == 1.5 * (20 + 4 * 60 * 2)
