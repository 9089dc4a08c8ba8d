"""Quality control: each step takes what it says, counts it, and can be left out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from deepcams.core.errors import InputError
from deepcams.stations.archive.hourly import hourly
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import ALWAYS, STEPS, Control, Quality
from deepcams.stations.archive.sorted_copy import Rows


@pytest.fixture
def checked(save_table):
    """Check a table, all steps or without some: observations, and step -> rows dropped where any were."""

    def check(table: pd.DataFrame, without: tuple[str, ...] = (), metadata=None):
        archive = open_openaq(save_table(table), metadata=metadata)
        left, report = Control(
            archive.stations, archive.units, Quality.without(without)
        ).check(archive.read())
        return (
            left,
            {
                name: count.dropped
                for name, count in report.counts.items()
                if count.dropped
            },
            report,
        )

    return check


PLACES = {1: (52.5, 15.0), 2: (40.0, 116.0)}


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("missing", np.nan),
        *(("sentinels", v) for v in (-9999, -999, -1111, 985, 9999)),
        ("negatives", -0.1),
        ("range", 1000.5),
    ],
)
def test_a_value_is_taken_by_the_step_it_belongs_to(
    checked, table_of, step: str, value: float
) -> None:
    table = table_of(PLACES, hours=240)
    table.loc[[17, 300, 301], "value"] = value
    left, dropped, _ = checked(table)
    assert dropped == {step: 3}
    assert len(left) == 477
    if step not in ALWAYS:
        assert step not in checked(table, (step, "negatives", "range", "outliers"))[1]


def test_units_are_converted_or_dropped(checked, table_of) -> None:
    table = table_of(PLACES, hours=240, value=lambda k, h: 20 + h % 7)
    table["units"] = table["units"].astype(object)
    table.loc[:9, "units"] = "ppm"
    table.loc[10:19, "units"] = "mg/m3"
    table.loc[10:19, "value"] /= 1000
    table.loc[20:29, "units"] = "μg/m³"  # the other micro sign
    left, dropped, report = checked(table)
    assert dropped == {"units": 10}
    assert report.counts["units"].changed == 10
    assert left.value.min() >= 20 - 1e-9


def test_exact_repeats_are_dropped_and_two_sensors_are_averaged(
    checked, table_of
) -> None:
    table = table_of(PLACES, hours=240)
    twice = pd.concat(
        [
            table,
            table.iloc[:30],
            table.iloc[100:110].assign(value=lambda t: t["value"] + 4),
        ]
    )
    left, dropped, report = checked(twice)
    assert dropped == {"duplicates": 30, "hourly": 10}
    assert report.counts["hourly"].changed == 10
    np.testing.assert_allclose(left.value[100:110], table.value[100:110] + 2)


def test_parts_of_hours_become_hours_and_need_three_quarters() -> None:
    end = np.arange(1, 97) * 900  # quarters of an hour, a day
    keep = np.ones(96, bool)
    keep[[4, 8, 9]] = False  # one quarter of hour 2, two of hour 3
    station = np.zeros(96, np.int32)
    value = np.repeat(np.arange(24.0), 4)
    found, several = hourly(Rows(station, end, value, station).where(keep))
    assert several == 24
    assert found.slot.tolist() == [1, 2, *range(4, 25)]
    np.testing.assert_allclose(found.value, [0, 1, *range(3, 24)])
    assert (found.end == found.slot * 3600).all()


def test_single_rows_keep_their_own_half_hour() -> None:
    end = np.array([5400, 9000, 12600])
    zeros = np.zeros(3, np.int32)
    found, several = hourly(Rows(zeros, end, np.ones(3), zeros))
    assert several == 0
    assert found.end.tolist() == end.tolist()
    assert found.slot.tolist() == [2, 3, 4]


def test_a_station_listed_twice_within_100_m_is_one(checked, table_of) -> None:
    table = table_of({1: (52.5, 15.0)}, hours=240)
    again = (
        table.assign(location_id=9, lat=52.5006).iloc[:230].round({"value": 0})
    )  # 67 m, rounded, fewer hours
    other = table_of(
        {5: (52.5004, 15.0)}, hours=240, value=lambda k, h: 20 + (h * 7) % 31
    )  # near, but its own
    left, dropped, report = checked(pd.concat([table, again, other]))
    assert dropped == {"twins": 230}
    assert report.twins == (("9", "1"),)
    assert set(left.stations["id"].iloc[np.unique(left.station)]) == {"1", "5"}
    assert len(checked(pd.concat([table, again, other]), ("twins",))[0]) == 710
    far = table.assign(location_id=9, lat=52.502)  # 220 m
    assert checked(pd.concat([table, far]))[1] == {}


def test_a_twin_is_found_though_one_of_its_listings_stood_still(
    checked, table_of
) -> None:
    table = table_of({1: (52.5, 15.0)}, hours=24, value=lambda k, h: 20 + (h * 7) % 31)
    again = table.assign(location_id=9, lat=52.5006).iloc[:23]
    table.loc[6:15, "value"] = 33.3
    _, dropped, report = checked(pd.concat([table, again]), ("completeness",))
    assert report.twins == (("9", "1"),)
    assert dropped == {"twins": 23, "constant": 10}
    # Of fewer than 12 hours nothing can be said.
    assert checked(pd.concat([table, again.iloc[np.r_[:6, 18:23]]]))[2].twins == ()
    assert checked(pd.concat([table, again.iloc[np.r_[:6, 17:23]]]))[2].twins == (
        ("9", "1"),
    )


def test_constant_runs_of_six_hours(checked, table_of) -> None:
    table = table_of(PLACES, hours=240, value=lambda k, h: 20 + (h * 7) % 11)
    table.loc[10:15, "value"] = 33.3  # six: a run
    table.loc[50:54, "value"] = 33.3  # five: none
    table.loc[100:109, "value"] = 0.0  # clean air reads 0 for hours
    assert checked(table)[1] == {"constant": 6}
    assert checked(table, ("constant",))[1] == {}


def test_a_run_goes_on_over_a_short_gap_only(checked, table_of) -> None:
    table = table_of(PLACES, hours=240, value=lambda k, h: 20 + (h * 7) % 11)
    table.loc[10:18, "value"] = 33.3
    assert checked(table.drop(index=[12, 13, 14]))[1] == {"constant": 6}
    table.loc[10:20, "value"] = 33.3
    assert checked(table.drop(index=[12, 13, 14, 15]))[1] == {}


def test_outliers_are_those_of_a_plain_rolling_window(checked, table_of) -> None:
    random = np.random.default_rng(2)
    values = random.lognormal(3, 0.3, 24 * 40)
    values[[100, 500, 501]] = [400, 700, 300]
    table = table_of(
        {1: (52.5, 15.0)}, hours=values.size, value=lambda k, h: values[round(h) - 1]
    )
    left, dropped, _ = checked(table)
    expected = []
    for k, value in enumerate(values):
        day = k // 24  # the window: this day and seven on each side
        window = values[max(0, (day - 7) * 24) : (day + 8) * 24]
        middle = np.median(window)
        limit = 10 * 1.4826 * max(np.median(abs(window - middle)), 1.0)
        if abs(value - middle) > limit:
            expected.append(k)
    assert expected == [100, 500, 501]
    assert dropped == {"outliers": len(expected)}
    assert len(left) == values.size - 3


def test_months_with_too_few_hours_go(checked, table_of) -> None:
    table = table_of(PLACES, "2019-01-01T01:00", hours=24 * 59)  # January and February
    thin = table.drop(
        index=[k for k in range(24 * 31 + 1, 24 * 59 - 1) if k % 3]
    )  # February of station 1: a third
    left, dropped, report = checked(thin)
    february = len(range(24 * 31, 24 * 59)) - sum(
        1 for k in range(24 * 31 + 1, 24 * 59 - 1) if k % 3
    )
    assert dropped == {"completeness": february}
    assert report.counts["completeness"].stations == 0
    assert len(left) == 24 * 31 + 24 * 59


def test_daily_means_are_no_hours(checked, table_of) -> None:
    """A day's mean on each of its hours is a constant run; a report once a day lacks 23 of 24 hours of its month."""
    table = table_of({1: (52.5, 15.0), 2: (40.0, 116.0), 3: (10.0, 10.0)}, hours=240)
    repeated, once = table.location_id == 2, table.location_id == 3
    table.loc[repeated, "value"] = [10 + (k // 24) / 10 for k in range(240)]
    table = table[~once | ((np.arange(len(table)) % 24) == 23)]
    left, dropped, report = checked(table)
    assert dropped == {"constant": 240, "completeness": 10}
    assert (
        report.counts["constant"].stations,
        report.counts["completeness"].stations,
    ) == (1, 1)
    assert len(left) == 240
    # With a step left out its daily means stay.
    assert checked(table, ("completeness",))[1] == {"constant": 240}
    assert len(checked(table, ("constant",))[0]) == 480


def test_a_single_report_cannot_be_judged_and_stays(checked, table_of) -> None:
    table = table_of({1: (52.5, 15.0), 2: (40.0, 116.0)}, hours=1)
    assert checked(table)[1] == {}


def test_stations_without_a_place_or_with_two(checked, table_of, capsys) -> None:
    table = table_of({1: (52.5, 15.0), 2: (40.0, 116.0), 3: (10.0, 10.0)}, hours=48)
    table.loc[table.location_id == 2, ["lat", "lon"]] = np.nan
    table.loc[140:, "lat"] = 11.0  # station 3 moves by 111 km
    left, dropped, report = checked(table)
    assert dropped == {"place": 96}
    assert report.counts["place"].stations == 2
    assert len(left) == 48


def test_mobile_and_low_cost_stations_go_where_metadata_says_so(
    checked, table_of, tmp_path
) -> None:
    places = {1: (52.5, 15.0), 2: (40.0, 116.0), 3: (10.0, 10.0), 4: (20.0, 10.0)}
    locations = tmp_path / "locations.json"
    rows = [
        {"id": 1, "isMonitor": True, "isMobile": False, "country": {"code": "PL"}},
        {"id": 2, "isMonitor": False, "isMobile": False, "country": {"code": "CN"}},
        {"id": 3, "isMonitor": True, "isMobile": True, "country": {"code": "NE"}},
        {"id": 4, "isMonitor": None, "isMobile": None, "country": {"code": "NE"}},
    ]
    locations.write_text(json.dumps({"results": rows}))
    left, dropped, _ = checked(table_of(places, hours=48), metadata=locations)
    assert dropped == {"mobile": 48, "reference": 48}
    assert left.stations.set_index("id").country.to_dict() == {
        "1": "PL",
        "2": "CN",
        "3": "NE",
        "4": "NE",
    }
    assert checked(table_of(places, hours=48), ("reference",), locations)[1] == {
        "mobile": 48
    }


def test_the_table_tells_rows_in_dropped_and_out_of_each_step(
    checked, table_of
) -> None:
    table = table_of(PLACES, hours=240)
    table.loc[3, "value"] = -999
    report = pd.DataFrame(checked(table)[2].rows())
    assert report["step"].tolist() == list(STEPS)
    assert (report["rows_in"] - report["dropped"] == report["rows_out"]).all()
    assert (
        report["rows_in"][1:].to_numpy() == report["rows_out"][:-1].to_numpy()
    ).all()


def test_steps_that_do_not_exist_or_cannot_be_left_out() -> None:
    with pytest.raises(InputError, match="did you mean 'twins'"):
        Quality.without(["twin"])
    with pytest.raises(InputError, match="hourly"):
        Quality.without(["hourly"])
