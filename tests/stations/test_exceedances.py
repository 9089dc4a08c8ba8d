"""Scores of exceedances and compliance with limits, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import STEPS, Quality
from deepcams.stations.averages import Means
from deepcams.stations.exceedances import (
    compliance,
    daily_levels,
    rows,
    scores,
)
from deepcams.stations.station_years import PERCENTILES, Years, possible_days
from deepcams.stations.tables import averages_tables
from deepcams.stations.validation import Options, validate

CLEAN = Quality(skip=frozenset(STEPS) - {"missing", "hourly"})


def test_scores_by_hand() -> None:
    # Finley's tornadoes of 1884: hits 28, misses 23, false alarms 72, correct negatives 2680.
    found = scores(np.array([28, 23, 72, 2680]))
    chance = 100 * 51 / 2803
    assert found["POD"] == pytest.approx(28 / 51, abs=1e-12)
    assert found["FAR"] == pytest.approx(72 / 100, abs=1e-12)
    assert found["CSI"] == pytest.approx(28 / 123, abs=1e-12)
    assert found["ETS"] == pytest.approx((28 - chance) / (123 - chance), abs=1e-12)
    none = scores(np.array([0, 0, 0, 5]))
    assert all(np.isnan(value) for value in none.values())


def test_days_that_a_product_has() -> None:
    start = (np.arange(72) + 24 * 364) * 3600
    known = np.ones(72, bool)
    known[:7] = False  # 17 hours of the last day of 1970, then whole days of 1971
    years, number = possible_days(start, known, 24)
    assert (years.tolist(), number.tolist()) == ([1970, 1971], [0, 2])
    assert possible_days(start, known & (np.arange(72) % 3 != 1), 16)[1].tolist() == [
        0,
        2,
    ]


def test_outcomes_and_percentiles_of_each_year_as_numpy_has_them() -> None:
    rng = np.random.default_rng(2)
    batch = np.array([3, 5, 9])
    station = np.repeat([3, 9], [365 + 200, 60])
    first = np.datetime64("2019-01-01").astype(int)
    day = np.concatenate([first + np.arange(565), first + 365 + np.arange(60)])
    observed, model = rng.gamma(2, 15, day.size), rng.gamma(2, 15, day.size)
    observed[0] = 15.0  # at the level is not above it
    levels = daily_levels("pm2p5")
    assert levels == (15, 25, 35, 37.5, 50, 75)
    years = Years.zeros(12, np.array([2019, 2020]), np.array([365, 366]), levels)
    found = years.count(batch, Means(station, day, observed, model, 0, 0))
    assert found["years.outcomes"].shape == (3, 2, 6, 4)
    year = np.where(day < first + 365, 2019, 2020)
    for i, each in enumerate(batch):
        for j, one in enumerate((2019, 2020)):
            o, m = (
                side[(station == each) & (year == one)] for side in (observed, model)
            )
            for k, level in enumerate(levels):
                a, b = o > level, m > level
                expected = [
                    (a & b).sum(),
                    (a & ~b).sum(),
                    (~a & b).sum(),
                    (~a & ~b).sum(),
                ]
                assert found["years.outcomes"][i, j, k].tolist() == expected
            for k, percentile in enumerate(PERCENTILES):
                got = found["years.ranked"][i, j, k]
                if not o.size:
                    assert np.isnan(got).all()
                    continue
                nth = int(np.ceil(round((100 - percentile) * o.size / 100, 9)))
                assert got.tolist() == [np.sort(o)[-nth], np.sort(m)[-nth]]


def test_compliance_with_each_form(field_of, table_of, save_table) -> None:
    """Station 1: 10 but for 19 days of 40; station 2: 10 but for 3 such days. The model has 12 everywhere."""
    high = {1: 19, 2: 3}
    places = {1: (52.5, 15.0), 2: (37.5, 7.5)}
    table = table_of(
        places,
        hours=24 * 365,
        value=lambda key, hour: 40.0 if hour <= 24 * high[key] else 10.0,
    )
    field = field_of(
        "2019-01-01",
        24 * 365 + 1,
        of=lambda t, y, x: 12 + 0 * t,
        bbox=(0, 30, 22.5, 60),
    )
    found = validate(
        open_openaq(save_table(table, "t.parquet")),
        field,
        options=Options(quality=CLEAN, average="day"),
    )
    scored = found.find("field", "own")
    assert scored is not None
    table = compliance(found, scored)
    assert (table.days == 365).all()
    assert set(table.year) == {2019}
    assert not table.limit.str.startswith("US").any()  # three years are needed
    day = table[table.period == "day"].set_index(["limit", "station"])
    assert day.loc[("EU 2030", "1"), "observed"] == 19
    assert not day.loc[("EU 2030", "1"), "observed_met"]
    assert day.loc[("EU 2030", "2"), "observed_met"]
    # Of 365 days the 99th percentile is the fourth highest.
    assert day.loc[("WHO AQG", "1"), "observed"] == 40
    assert day.loc[("WHO AQG", "2"), "observed"] == 10
    assert day["model_met"].all()
    year = table[table.period == "year"].set_index(["limit", "station"])
    assert year.loc[("WHO IT4", "2"), "observed"] == pytest.approx(
        (3 * 40 + 362 * 10) / 365
    )
    assert not year.loc[("WHO IT4", "2"), "observed_met"]
    assert not year.loc[("EU 2030", "2"), "model_met"]
    assert year.loc[("EU 2015", "2"), "model_met"]

    row = next(
        row
        for row in rows(found)
        if (row["limit"], row["period"]) == ("WHO IT4", "day")
    )
    assert [
        row[name] for name in ("hits", "misses", "false_alarms", "correct_negatives")
    ] == [0, 22, 0, 708]
    assert (row["POD"], row["FAR"], row["CSI"], row["ETS"]) == (0, None, 0, 0)
    assert (row["station_years"], row["observed_met"], row["model_met"]) == (2, 1, 2)
    # The same years as pairs of annual means.
    annual = validate(
        open_openaq(save_table(table_of(places, hours=24), "u.csv")),
        field,
        options=Options(quality=CLEAN, average="year"),
    )
    assert not any(scored.any() for scored in annual.scored)
    assert annual.quality.counts["field's years under 75 %"].dropped == 2


def test_finished_pieces_give_the_same_years_and_other_species_have_no_limits(
    field_of, table_of, save_table, tmp_path
) -> None:
    places = {1: (52.5, 15.0), 2: (37.5, 7.5)}
    archive = open_openaq(save_table(table_of(places, hours=72)))
    options = Options(quality=CLEAN, average="day")
    first, again = (
        validate(archive, field_of("2019-01-01", 73), options=options, keep=tmp_path)
        for _ in range(2)
    )
    assert len(list(tmp_path.glob("batch-*.npz"))) == 1
    assert rows(first) == rows(again)
    assert rows(first)[0]["n"] == 6
    assert rows(first)[0]["observed_met"] is None  # three days are no year
    other = Options(quality=CLEAN, average="day", species="o3")
    found = validate(archive, field_of("2019-01-01", 73), options=other)
    assert rows(found) == []
    assert averages_tables.texts(found) == {}
    (line,) = averages_tables.for_terminal(found)
    assert str(line) == "No limits and no FAIRMODE parameters are known of o3."
