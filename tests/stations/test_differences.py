"""The field against the original at stations: blocks, differences of known size, gaps; scores of whole series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import STEPS, Quality
from deepcams.stations.bootstrap_blocks import Weeks, regions_of, week_of
from deepcams.stations.tables import differences
from deepcams.stations.tables import station_tables as tables
from deepcams.stations.validation import Options, validate

CLEAN = Quality(skip=frozenset(STEPS) - {"missing", "hourly"})
PLACES = {
    k: (y, x)
    for k, (y, x) in enumerate(
        [(52.5, 15.0), (-30.0, 179.0), (0.0, -0.1), (45.2, 22.5), (45.2, 15.1)]
    )
}


def test_regions_are_boxes_of_ten_degrees() -> None:
    latitude = np.array([50.0, 59.9, 49.9, 50.0, 50.0, -90.0, 90.0, 89.0, np.nan])
    longitude = np.array([10.0, 19.9, 10.0, 9.9, 370.0, 0.0, 0.0, 5.0, np.nan])
    found = regions_of(latitude, longitude)
    assert found[0] == found[1] == found[4]
    assert found[6] == found[7]
    assert len({found[0], found[2], found[3], found[5], found[6]}) == 5
    assert found.max() + 1 == np.unique(found).size


def test_weeks_begin_on_monday() -> None:
    moments = np.array(
        ["2019-12-29T23:59:59", "2019-12-30", "2020-01-05T23:59:59"], "datetime64[s]"
    )
    before, first, last = week_of(moments.astype(np.int64))
    assert before + 1 == first == last
    months = np.array([49 * 12 + 11, 50 * 12])  # December 2019 and January 2020
    weeks = Weeks(months)
    # From the Monday before 1 December to the Sunday after 31 January.
    assert weeks.number == 10
    assert weeks.first <= before
    assert last < weeks.first + weeks.number


def _products(field_of, hours: int = 24 * 21) -> tuple[xr.DataArray, xr.DataArray]:
    """An hourly field, and a 3-hourly original that is twice as far from 30."""

    def make(far: float):
        return lambda t, y, x: 30 + far * (np.sin(t / 7) + np.cos(t / 5 + x / 9 + y))

    return field_of("2019-01-01", hours + 1, of=make(2.0)), field_of(
        "2019-01-01", hours // 3 + 1, hours=3, of=make(4.0)
    )


def _truth(k: int, hour: float) -> float:
    return 30 + np.sin(hour * (k + 2)) / 2


@pytest.fixture
def found(field_of, table_of, save_table):
    field, original = _products(field_of)
    path = save_table(table_of(PLACES, hours=24 * 21, value=_truth))
    options = Options(quality=CLEAN, batch_rows=600)
    return validate(open_openaq(path), field, original, options)


def test_the_nearer_product_is_better_on_the_same_pairs(found) -> None:
    table = differences.rows(found, 300)
    assert {row["pairs"] for row in table} == {"same", "hourly"}
    pooled = {
        (row["product"], row["pairs"]): row
        for row in tables.rows(found, (), draws=0)
        if row["view"] == "pooled"
    }
    for row in table:
        mine = pooled[row["product"], row["pairs"]]
        assert row["n"] == mine["n"] == pooled[row["other"], row["pairs"]]["n"]
        # Blocks hold exactly the pairs of the tables.
        assert row["figure"] == pytest.approx(mine[row["score"]], abs=1e-10)
    by_score = {(row["pairs"], row["score"]): row for row in table}
    for pairs in ("same", "hourly"):
        row = by_score[pairs, "MAE"]
        # 5 regions of one station each, 4 weeks.
        assert row["blocks"] == 20
        assert row["difference"] < -1
        assert row["low"] < row["difference"] < row["high"] < 0
        assert row["field_is"] == "better"
        assert by_score[pairs, "RMSE"]["field_is"] == "better"


def test_batches_do_not_change_blocks_or_series(
    found, field_of, table_of, save_table
) -> None:
    field, original = _products(field_of)
    path = save_table(table_of(PLACES, hours=24 * 21, value=_truth), "again.csv")
    whole = validate(open_openaq(path), field, original, Options(quality=CLEAN))
    assert found.batches > whole.batches == 1
    for one, other in zip(found.scored, whole.scored, strict=True):
        np.testing.assert_array_equal(one.series, other.series)
        if one.pairs == "own":
            assert one.blocks is other.blocks is None
        else:
            np.testing.assert_allclose(one.blocks, other.blocks, rtol=1e-12)
            np.testing.assert_allclose(
                one.blocks.sum(axis=0),
                one.stations.month.sum(axis=(0, 1)),
                rtol=1e-10,
            )


def test_scores_of_series_are_in_the_rows_of_whole_stations_only(found) -> None:
    rows = tables.rows(found, ("year", "country", "station"), draws=50)
    own = tables.station_table(found)
    for row in rows:
        if row["product"] != "field" or row["pairs"] != "own":
            continue
        if row["by"] == "station":
            expected = own.loc[own.id.astype(str) == row["group"]]
            assert row["IOA"] == pytest.approx(expected.field_own_IOA.item())
            assert row["Spearman"] == pytest.approx(expected.field_own_Spearman.item())
        elif row["by"] != "year" and row["view"] == "stations":
            assert row["IOA"] is not None
        else:
            assert row["IOA"] is row["Spearman"] is None
    mean = next(row for row in rows if row["view"] == "stations" and row["by"] == "all")
    assert mean["IOA"] == pytest.approx(own.field_own_IOA.mean())
    assert mean["Spearman_low"] < mean["Spearman"] < mean["Spearman_high"]


def test_few_blocks_are_a_stated_gap(field_of, table_of, save_table) -> None:
    from rich.console import Console

    field, original = _products(field_of, 48)
    path = save_table(table_of({1: PLACES[0]}, hours=48, value=_truth))
    found = validate(open_openaq(path), field, original, Options(quality=CLEAN))
    table = differences.rows(found, 100)
    assert all(row["low"] is row["high"] is row["field_is"] is None for row in table)
    assert all(row["difference"] is not None for row in table if row["score"] == "MAE")
    with (console := Console(width=80)).capture() as shown:
        console.print(*differences.for_terminal(table), sep="\n")
    assert "same: 1 block, too few for an interval, which needs 8." in shown.get()
    assert "nan" not in shown.get()
    alone = validate(open_openaq(path), field, options=Options(quality=CLEAN))
    assert differences.rows(alone, 100) == differences.for_terminal([]) == []


def test_a_constant_series_and_one_station_are_gaps_not_nan(
    field_of, table_of, save_table
) -> None:
    flat = field_of("2019-01-01", 49, of=lambda t, y, x: 20 + 0 * (t + y + x))
    path = save_table(table_of({1: PLACES[0]}, hours=48, value=lambda k, h: 10.0))
    found = validate(open_openaq(path), flat, options=Options(quality=CLEAN))
    row = next(r for r in tables.rows(found, (), 50) if r["view"] == "stations")
    assert row["R"] is row["Spearman"] is row["MAE_low"] is None
    assert (row["NMB"], row["MFB"]) == pytest.approx((1.0, 2 / 3))
    # A model that is always 10 too high agrees in nothing.
    assert row["IOA"] == pytest.approx(0)


def test_poland_times_a_factor_has_the_constructed_scores(
    stations_dir: Path, tmp_path: Path
) -> None:
    """Real stations against fields made of themselves times 1.5, and of those times 0.8."""
    raw = pd.read_csv(stations_dir / "poland_2019.csv.gz", nrows=200_000)
    raw = raw[raw.datetime < "2019-01-29"]
    place = raw.groupby("location_id")[["lat", "lon"]].first()
    node = (place * 4).round() / 4
    raw = raw[raw.location_id.isin(node.drop_duplicates().index)]
    path = tmp_path / "poland.csv"
    raw.to_csv(path, index=False)
    archive = open_openaq(path)
    hour = pd.to_datetime(raw.datetime, utc=True).dt.tz_localize(None)
    times = pd.date_range(hour.min(), hour.max(), freq="h")
    latitude, longitude = np.arange(55, 48.9, -0.25), np.arange(14, 24.3, 0.25)
    values = np.full((times.size, latitude.size, longitude.size), np.nan, np.float32)
    of_row = node.loc[raw.location_id]
    values[
        times.get_indexer(hour),
        ((55 - of_row.lat.to_numpy()) * 4).round().astype(int),
        ((of_row.lon.to_numpy() - 14) * 4).round().astype(int),
    ] = raw.value
    # Observed hours end with their stamp; the field's are named by their middle.
    middle = times - pd.Timedelta(minutes=30)
    coords = {"time": middle, "latitude": latitude, "longitude": longitude}
    attrs = {"units": "ug m-3", "cell_methods": "time: mean"}
    own = xr.DataArray(values, coords, tuple(coords), "pm2p5", attrs)
    field, original = (
        as_field((own * factor).assign_attrs(attrs)) for factor in (1.5, 0.8)
    )
    found = validate(archive, field, original)
    rows = {
        (r["product"], r["pairs"]): r
        for r in tables.rows(found, (), 0)
        if r["view"] == "pooled"
    }
    row = rows["field", "own"]
    assert row["n"] > 10_000
    expected = {"NMB": 0.5, "NME": 0.5, "MFB": 0.4, "MFE": 0.4, "R": 1.0, "FAC2": 1.0}
    assert {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-6)
    other = rows["original", "same"]
    assert (other["NMB"], other["MFB"]) == pytest.approx((-0.2, -0.4 / 1.8), abs=1e-6)
    stations = tables.station_table(found)
    enough = stations.field_own_n > 100
    assert stations.field_own_Spearman[enough].to_numpy() == pytest.approx(1)
    compared = {row["score"]: row for row in differences.rows(found, 200)}
    assert compared["NMB"]["difference"] == pytest.approx(0.3, abs=1e-6)
    assert compared["NMB"]["low"] == pytest.approx(0.3, abs=1e-6)
    assert compared["MAE"]["field_is"] == "worse"
    assert compared["R"]["field_is"] is None
