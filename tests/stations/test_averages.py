"""Daily and annual means by the rule of three quarters, against pandas and by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepcams.core.errors import InputError
from deepcams.core.observations import Observations
from deepcams.evaluation.sums import pairs_of
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import STEPS, Quality
from deepcams.stations.averages import (
    Calendar,
    annual,
    days_in_years,
    enough,
    hours_a_day,
    offsets,
)
from deepcams.stations.validation import Options, validate

HOUR = 3600
PLACES = {1: (52.5, 15.0), 2: (-30.0, 172.6), 3: (0.0, -0.1), 4: (45.2, -172.4)}
AHEAD = {
    "utc": dict.fromkeys(PLACES, 0),
    "nautical": {1: 1, 2: 12, 3: 0, 4: -11},
    "station": {1: 2, 2: 12.75, 3: -3.5, 4: -8},
}
CLEAN = Quality(skip=frozenset(STEPS) - {"missing", "hourly"})


def test_three_quarters_are_counted_in_whole_numbers() -> None:
    assert enough([17, 18, 11, 12], [24, 24, 16, 16]).tolist() == [0, 1, 0, 1]
    assert days_in_years(np.array([2019, 2020, 1900])).tolist() == [365, 366, 365]


def test_hours_that_a_product_could_have() -> None:
    assert hours_a_day("touching", HOUR) == hours_a_day("touching", 2 * HOUR) == 24
    assert hours_a_day("touching", 3 * HOUR) == 16
    assert hours_a_day("touching", 6 * HOUR) == 8
    assert hours_a_day("overlap", 3 * HOUR) == hours_a_day("linear", 3 * HOUR) == 24


def test_nautical_time_is_whole_hours_by_longitude() -> None:
    east = np.array([0.0, 7.4, 7.5, 179.0, -7.6, -179.0, 352.0, np.nan])
    stations = pd.DataFrame(
        {"longitude": east, "utc_offset": [1.0, *[-3.5] * 6, np.nan]}
    )
    hours = offsets(stations, "nautical") // HOUR
    assert hours.tolist() == [0, 0, 1, 12, -1, -12, -1, 0]
    assert not offsets(stations, "utc").any()
    own = offsets(stations, "station")
    assert own[:2].tolist() == [HOUR, -3.5 * HOUR]
    assert np.isnan(own[-1])


def _observations(rng: np.random.Generator, days: int, stations: int) -> Observations:
    hour = np.arange(-30, days * 24 - 30)
    station, end = (
        each.ravel()
        for each in np.meshgrid(np.arange(stations), hour * HOUR, indexing="ij")
    )
    kept = rng.random(station.size) < np.repeat(
        rng.uniform(0.6, 1, stations), hour.size
    )
    station, end = station[kept], end[kept]
    table = pd.DataFrame({"id": np.arange(stations).astype(str)})
    return Observations(table, station, end - HOUR, end, rng.uniform(1, 90, end.size))


@pytest.mark.parametrize("possible", [24, 16])
@pytest.mark.parametrize("days", ["utc", "nautical"])
def test_means_as_pandas_has_them_missing_hours_and_days_before_1970_included(
    possible: int, days
) -> None:
    rng = np.random.default_rng(1)
    observed = _observations(rng, 60, 5)
    longitude = np.array([0.0, 20.0, 179.9, -100.0, -179.9])
    offset = offsets(pd.DataFrame({"longitude": longitude}), days).astype(np.int64)
    calendar = Calendar(observed, offset)
    hour_of_day = (observed.start // HOUR) % 24
    has = rng.random(len(observed)) < 0.93
    if possible == 16:
        has &= hour_of_day % 3 != 1
    chosen = np.flatnonzero(has)
    model = rng.uniform(1, 90, chosen.size)
    daily = calendar.daily(
        observed.station[chosen],
        calendar.day(observed)[chosen],
        observed.value[chosen],
        model,
        possible,
    )

    middle = pd.to_datetime(
        observed.end - HOUR // 2 + offset[observed.station], unit="s"
    )
    table = pd.DataFrame(
        {
            "station": observed.station,
            "day": middle.floor("D"),
            "o": observed.value,
            "m": np.nan,
        }
    )
    table.loc[chosen, "m"] = model
    table["both"] = table["o"].where(table["m"].notna())
    by = table.groupby(["station", "day"]).agg(
        hours=("o", "size"), n=("m", "count"), o=("both", "mean"), m=("m", "mean")
    )
    by = by[by.n > 0]
    good = by[(by.hours >= 18) & (by.n >= 0.75 * possible)].reset_index()
    assert 0 < len(good) < len(by)
    assert (daily.candidates, daily.dropped) == (len(by), len(by) - len(good))
    np.testing.assert_array_equal(daily.station, good.station)
    np.testing.assert_array_equal(
        daily.day, good.day.to_numpy().astype("datetime64[D]").astype(int)
    )
    np.testing.assert_allclose(daily.observed, good.o, rtol=1e-12)
    np.testing.assert_allclose(daily.model, good.m, rtol=1e-12)


def test_a_year_counts_with_three_quarters_of_its_days() -> None:
    def year(first: str, days: int):
        day = np.datetime64(first).astype(int) + np.arange(days)
        return np.zeros(days, np.int64), day, np.full(days, 4.0)

    # 274 days of 365 are 75 %, 273 are not; of 366 days it takes 275.
    for first, days, counted in (
        ("2019-01-01", 274, 1),
        ("2019-02-01", 273, 0),
        ("2020-01-01", 274, 0),
        ("2020-03-01", 275, 1),
    ):
        station, day, value = year(first, days)
        observed = Observations(
            pd.DataFrame({"id": ["0"]}),
            np.repeat(station, 24),
            *(
                np.repeat(day * 86400, 24) + np.tile(np.arange(24) * HOUR, days) + add
                for add in (0, HOUR)
            ),
            np.repeat(value, 24),
        )
        calendar = Calendar(observed, np.zeros(1, np.int64))
        daily = calendar.daily(
            observed.station,
            calendar.day(observed),
            observed.value,
            2 * observed.value,
            24,
        )
        found = annual(daily)
        assert (found.candidates, found.dropped) == (1, 1 - counted)
        assert found.observed.tolist() == [4.0] * counted
        assert found.model.tolist() == [8.0] * counted


def _expected(
    table: pd.DataFrame, model, possible: int, ahead: dict[int, int]
) -> pd.DataFrame:
    """Daily pairs from first principles: rows of a table, and the model's value of an hour that ends then (or NaN)."""
    rows = table.copy()
    end = pd.to_datetime(rows.datetime, utc=True)
    rows["day"] = (
        end
        - pd.Timedelta("30min")
        + pd.to_timedelta(rows.location_id.map(ahead), unit="h")
    ).dt.floor("D")
    rows["hour"] = (
        (end - pd.Timestamp("2019-01-01", tz="UTC")) / pd.Timedelta("1h")
    ).astype(int)
    rows["m"] = [
        model(key, hour) for key, hour in zip(rows.location_id, rows.hour, strict=True)
    ]
    rows["o"] = rows.value.where(rows.m.notna())
    by = rows.groupby(["location_id", "day"]).agg(
        hours=("value", "size"), n=("m", "count"), o=("o", "mean"), m=("m", "mean")
    )
    return by[(by.hours >= 18) & (by.n >= 0.75 * possible)].reset_index()


@pytest.mark.parametrize("days", ["utc", "nautical", "station"])
def test_validated_days_of_a_field_and_its_three_hourly_original(
    field_of, table_of, save_table, days
) -> None:
    def truth(t, y, x):
        return 30 + 8 * np.sin(t / 7 + np.deg2rad(x)) + 0.05 * y + 0 * t

    rng = np.random.default_rng(5)
    table = table_of(PLACES, hours=24 * 12)
    table = table[
        rng.random(len(table)) < np.where(np.arange(len(table)) % 150 < 70, 0.7, 0.97)
    ]
    given = _with_clocks(table, AHEAD["station"]) if days == "station" else table
    field = field_of("2019-01-01", 24 * 12 + 1, of=truth)
    original = field_of("2019-01-01", 8 * 12 + 1, hours=3, of=truth)
    options = Options(quality=CLEAN, average="day", days=days)
    found = validate(open_openaq(save_table(given)), field, original, options)

    def node(key):
        y, x = PLACES[key]
        return round(y / 7.5) * 7.5, round(x / 7.5) * 7.5 % 360

    def hourly(key, hour):
        return np.mean([np.float32(truth(h, *node(key))) for h in (hour - 1, hour)])

    def three(key, hour):
        instants = [h for h in (hour - 1, hour) if h % 3 == 0]
        return np.float32(truth(instants[0], *node(key))) if instants else np.nan

    def same(key, hour):
        return np.nan if np.isnan(three(key, hour)) else hourly(key, hour)

    ahead = AHEAD[days]
    ids = found.stations["id"].astype(int)
    for product, pairs, model, possible in (
        ("field", "own", hourly, 24),
        ("original", "own", three, 16),
        ("field", "same", same, 16),
        ("field", "hourly", hourly, 24),
    ):
        expected = _expected(table, model, possible, ahead)
        scored = found.find(product, pairs)
        assert scored is not None
        sums = pairs_of(scored.stations.month.sum(axis=1))
        for k, key in enumerate(ids):
            own = expected[expected.location_id == key]
            assert sums.count[k] == len(own) > 0
            assert sums.truth_mean[k] == pytest.approx(own.o.mean(), rel=1e-9)
            assert sums.method_mean[k] == pytest.approx(own.m.mean(), rel=1e-6)
            assert sums.terms["squared"][k] == pytest.approx(
                ((own.m - own.o) ** 2).sum(), rel=1e-5
            )
        assert scored.density[2019].sum() == len(expected)
        if pairs == "own":
            lost = found.quality.counts[f"{product}'s days under 75 %"]
            assert lost.rows_in - lost.dropped == len(expected)
            assert lost.dropped > 0


def test_stations_of_one_cell_are_averaged_each_day(
    field_of, table_of, save_table
) -> None:
    places = {1: (52.5, 15.0), 2: (52.4, 15.1)}
    table = table_of(places, hours=48, value=lambda key, hour: 10.0 * key + hour)
    table = table[~((table.location_id == 2) & (table.index % 48 < 24))]
    field = field_of("2019-01-01", 49)
    found = validate(
        open_openaq(save_table(table)),
        field,
        options=Options(quality=CLEAN, average="day"),
    )
    scored = found.find("field", "own")
    assert scored is not None
    cells = pairs_of(scored.cells.month.sum(axis=1))
    # One day of the first station alone (mean hour 12.5), one of both (36.5).
    assert cells.count.tolist() == [2]
    assert cells.truth_mean[0] == pytest.approx(((10 + 12.5) + (15 + 36.5)) / 2)


def _with_clocks(table: pd.DataFrame, ahead: dict[int, float]) -> pd.DataFrame:
    """The same moments as clocks so many hours ahead of UTC show them."""
    hours = pd.to_timedelta(table.location_id.map(ahead), unit="h")
    local = (pd.to_datetime(table.datetime, utc=True) + hours).dt.strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    zone = [
        f"{'-' if each < 0 else '+'}{int(abs(each)):02d}:{round(abs(each) % 1 * 60):02d}"
        for each in table.location_id.map(ahead)
    ]
    return table.assign(datetime=local + zone)


def test_the_stations_own_offsets_are_their_clocks_without_daylight_saving(
    field_of, table_of, save_table
) -> None:
    table = table_of(PLACES, hours=72)
    kept = table[table.location_id != 3]
    summer = kept.index % 72 >= 30
    clocks = {1: 1, 2: 12.75, 4: -8}
    moved = _with_clocks(
        kept[summer], {key: hours + 1 for key, hours in clocks.items()}
    )
    own = table[table.location_id == 3]
    own = own.assign(datetime=own.datetime.str.replace("+00:00", "Z"))
    parts = [_with_clocks(kept[~summer], clocks), moved, own]
    archive = open_openaq(save_table(pd.concat(parts)))
    known = archive.stations.set_index("id")["utc_offset"].to_dict()
    assert {key: known[str(key)] for key in clocks} == clocks
    assert np.isnan(known["3"])
    options = Options(quality=CLEAN, average="day", days="station")
    found = validate(archive, field_of("2019-01-01", 73), options=options)
    lost = found.quality.counts["no offset from UTC"]
    assert (lost.rows_in, lost.dropped) == (4 * 72, 72)
    scored = found.find("field", "own")
    assert scored is not None
    days = scored.stations.month[..., 0].sum(axis=1)
    # Where days begin at another hour than the field does, the first and the last are cut.
    assert dict(zip(found.stations["id"], days, strict=True)) == {
        "1": 3,
        "2": 2,
        "3": 0,
        "4": 2,
    }


def test_days_by_clocks_that_no_file_shows_are_refused(
    field_of, table_of, save_table
) -> None:
    table = table_of(PLACES)
    table = table.assign(datetime=table.datetime.str.replace("+00:00", "Z"))
    archive = open_openaq(save_table(table))
    assert "utc_offset" not in archive.stations
    options = Options(average="day", days="station")
    with pytest.raises(InputError, match="nautical"):
        validate(archive, field_of("2019-01-01", 25), options=options)
