"""Stations as truth in time: windows, means of the same stations, paired scores, groups, and everything wrong."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.period import Period
from deepcams.methods import AT_POINTS
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import ALWAYS, STEPS, Quality
from deepcams.stations.hour_windows import FRAMES, HIDDEN, find_windows
from deepcams.stations.tables import temporal_tables as tables
from deepcams.stations.temporal_evaluation import Options, evaluate
from deepcams.workers import DaskWorkers

RAW = Quality.without(set(STEPS) - set(ALWAYS))
"""No value is judged."""
HOUR = np.timedelta64(1, "h")


@pytest.fixture
def rows_of(save_table):
    """Score a table without quality control: (method, by, group) -> row."""

    def score(table: pd.DataFrame, methods=None, **options):
        options = {"quality": RAW, "at_least": 1} | options
        found = evaluate(open_openaq(save_table(table)), Options(**options), methods)
        rows = tables.rows(found, draws=50)
        return {(row["method"], row["by"], row["group"]): row for row in rows}

    return score


def _slots(table: pd.DataFrame) -> np.ndarray:
    stamps = pd.to_datetime(table["datetime"], utc=True).dt.tz_localize(None)
    return stamps.to_numpy("datetime64[h]").astype(np.int64)


def _by_hand(table: pd.DataFrame, regions: dict[int, int], at_least: int):
    """Windows in the plainest way: method -> group -> pairs of truth and value."""
    values: dict[int, dict[int, float]] = defaultdict(dict)
    for station, slot, value in zip(
        table["location_id"], _slots(table), table["value"], strict=True
    ):
        values[station][slot] = value
    pairs: dict[str, dict[tuple[str, str], list]] = defaultdict(
        lambda: defaultdict(list)
    )
    places = table.drop_duplicates("location_id").set_index("location_id")["lon"]
    slots = _slots(table)
    for region in sorted(set(regions.values())):
        members = [each for each in values if regions[each] == region]
        longitude = np.mean([places[each] for each in members])
        for t in range(slots.min(), slots.max() + 1):
            whole = [
                each
                for each in members
                if all(t + k in values[each] for k in range(-3, 7))
            ]
            if len(whole) < at_least:
                continue

            def mean(k: int, whole=whole, t=t) -> float:
                return float(np.mean([values[each][t + k] for each in whole]))

            f = [mean(k) for k in (-3, 0, 3, 6)]
            slopes = (f[2] - f[0]) / 2, (f[3] - f[1]) / 2
            spline = CubicHermiteSpline([0, 1], f[1:3], slopes)
            monotone = PchipInterpolator([-1, 0, 1, 2], f)
            curves = {
                "linear": lambda x, f=f: f[1] + x * (f[2] - f[1]),
                "linear-eq9": lambda x, f=f: f[2] + x * (f[1] - f[2]),
                "pchip": monotone,
                "catmull-rom": lambda x, spline=spline: max(spline(x), 0),
                "cubic": lambda x, one=spline, other=monotone: max(
                    (one(x) + other(x)) / 2, 0
                ),
            }
            for j in (1, 2):
                middle = np.datetime64(t + j, "h") - np.timedelta64(30, "m")
                month = int(str(middle)[5:7])
                season = {12: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 2}
                local = (t + j - 0.5 + longitude / 15) % 24
                for name, curve in curves.items():
                    pair = mean(j), float(curve(j / 3))
                    for group in (
                        ("all", "all"),
                        ("season", tables.GROUPS["season"][season.get(month, 3)]),
                        ("hour", f"{int(local):02d}"),
                        ("phase", f"{t % 3:02d}"),
                    ):
                        pairs[name][group].append(pair)
    return pairs


def _same(found, expected) -> None:
    # tests/methods/test_solar.py has what the sun does
    assert {key for key in found if key[0] != "sun"} == {
        (name, *group) for name, groups in expected.items() for group in groups
    }
    for name, groups in expected.items():
        for group, pairs in groups.items():
            truth, made = np.array(pairs).T
            row = found[name, *group]
            error = made - truth
            assert row["n"] == truth.size
            baseline = np.abs(np.diff(np.array(expected["linear"][group]))).mean()
            for key, value in {
                "MAE": abs(error).mean(),
                "RMSE": np.sqrt((error**2).mean()),
                "bias": error.mean(),
                "R": np.corrcoef(truth, made)[0, 1],
                "ratio": abs(error).mean() / baseline,
                "skill": 1 - abs(error).mean() / baseline,
            }.items():
                assert row[key] == pytest.approx(value, abs=1e-10), (name, group, key)


PLACES = {
    1: (52.0, 14.0),
    2: (52.5, 14.5),
    3: (51.0, 19.9),
    4: (53.0, 20.1),
    5: (48.0, 17.0),
}


@pytest.fixture
def gappy(table_of) -> pd.DataFrame:
    """Five stations over eight days that cross a season; one hour in 25 is missing."""
    table = table_of(PLACES, "2019-02-25T01:00", 24 * 8)
    keep = np.random.default_rng(5).random(len(table)) > 0.04
    return table[keep].round({"value": 3})


@pytest.mark.parametrize(
    ("region", "at_least", "regions"),
    [
        (None, 3, dict.fromkeys(PLACES, 0)),
        (0, 1, {each: each for each in PLACES}),
        (10, 2, {1: 0, 2: 0, 3: 0, 4: 1, 5: 2}),
    ],
)
def test_the_plainest_program_finds_the_same(
    rows_of, gappy, region: float | None, at_least: int, regions: dict[int, int]
) -> None:
    found = rows_of(gappy, region=region, at_least=at_least)
    _same(found, _by_hand(gappy, regions, at_least))


def test_batches_change_nothing(rows_of, gappy) -> None:
    """Boxes whose stations are in several batches, not one after the other."""
    whole = rows_of(gappy, region=10, at_least=2)
    parts = rows_of(gappy, region=10, at_least=2, batch_rows=1)
    assert whole.keys() == parts.keys()
    for key, row in whole.items():
        assert parts[key] == pytest.approx(row, abs=1e-10, nan_ok=True), key


def test_a_mean_is_over_the_same_stations_in_each_hour() -> None:
    """Station 1 lacks hour 12: windows that hold it are of station 0 alone."""
    slot = np.r_[np.arange(30), np.delete(np.arange(30), 12)]
    station = np.r_[np.zeros(30, int), np.ones(29, int)]
    found = find_windows(station, slot, slot + 100.0 * station, np.zeros(2, np.int64))
    np.testing.assert_array_equal(found.begin, np.arange(21))
    broken = (found.begin > 2) & (found.begin <= 12)
    np.testing.assert_array_equal(found.stations, np.where(broken, 1, 2))
    hours = found.begin[:, None] + np.array(FRAMES + HIDDEN)
    means = found.sums / found.stations[:, None]
    np.testing.assert_allclose(means, hours + np.where(broken, 0, 50)[:, None])


def test_nine_hours_make_no_window() -> None:
    slot = np.r_[np.arange(9), np.arange(10, 19)]
    nothing = np.zeros(18, np.int64)
    assert find_windows(nothing, slot, slot * 1.0, nothing[:1]).begin.size == 0
    few = find_windows(nothing[:3], slot[:3], slot[:3] * 1.0, nothing[:1])
    assert few.begin.size == 0


def test_a_parabola_is_known_exactly(rows_of, table_of) -> None:
    """Of c t^2 the straight line is 2 c too high at both hours; the spline is exact."""
    table = table_of({1: (50, 0)}, hours=24 * 7, value=lambda key, h: 5 + 0.002 * h**2)
    rows = rows_of(table)
    linear, spline = (rows[name, "all", "all"] for name in ("linear", "catmull-rom"))
    assert linear["n"] == 2 * (24 * 7 - 9)
    assert linear["MAE"] == pytest.approx(0.004)
    assert linear["bias"] == pytest.approx(0.004)
    assert spline["MAE"] == pytest.approx(0, abs=1e-9)
    assert spline["skill"] == pytest.approx(1)
    assert rows["linear-eq9", "all", "all"]["ratio"] > 10


@pytest.mark.parametrize(
    ("longitude", "starts", "hour"),
    [(90, False, "17"), (-90, False, "05"), (90, True, "18")],
)
def test_hours_are_local_solar_time_of_the_middle_of_the_hour(
    rows_of, table_of, longitude: float, starts: bool, hour: str
) -> None:
    """30 more in the hour that ends at 12 UTC: hidden, no method can know it."""
    table = table_of(
        {1: (10, longitude)},
        hours=24 * 14,
        value=lambda key, h: 40 if h % 24 == 12 else 10,
    )
    rows = rows_of(table, starts=starts)
    for name in ("linear", "pchip"):
        row = rows[name, "hour", hour]
        assert row["MAE"] == pytest.approx(30)
        assert row["bias"] == pytest.approx(-30)
    before = rows["linear", "hour", f"{int(hour) - 1:02d}"]
    assert before["MAE"] == pytest.approx(10)  # 20 too high in one phase of two


def test_half_hours_count_to_the_hour_that_holds_their_end(rows_of, table_of) -> None:
    """What is stamped 12:30 is of the hour from 12 to 13."""
    table = table_of(
        {1: (10, 0)},
        "2019-01-01T00:30",
        24 * 14,
        value=lambda key, h: 40 if h % 24 == 12.5 else 10,
    )
    assert rows_of(table)["linear", "hour", "12"]["bias"] == pytest.approx(-30)


def test_a_period_holds_whole_windows(rows_of, table_of) -> None:
    table = table_of({1: (50, 0)}, hours=24 * 10)
    rows = rows_of(table, period=Period.parse("2019-01-03"))
    assert rows["linear", "all", "all"]["n"] == 2 * (24 - 9)
    assert {group for _, by, group in rows if by == "season"} == {"Dec-Feb"}


def test_weeks_begin_on_mondays(rows_of, table_of) -> None:
    table = table_of({1: (50, 0)}, "2019-01-07T01:00", 24 * 14)
    assert rows_of(table)["linear", "all", "all"]["weeks"] == 2
    table = table_of({1: (50, 0)}, "2019-01-10T01:00", 24 * 14)
    assert rows_of(table)["linear", "all", "all"]["weeks"] == 3


def test_intervals_resample_weeks_for_both_methods_together() -> None:
    linear = np.array([1.0, 9, 2, 8, 3, 7, 0, 5])
    low, high = tables.ratio_ends(linear * 0.8, linear, 500)
    assert (low, high) == pytest.approx((0.8, 0.8))
    method = linear * [0.5, 1.5, 0.5, 1.5, 0.5, 1.5, 1, 1]
    ends = tables.ratio_ends(method, linear, 4000, seed=3)
    random, used = np.random.default_rng(99), linear > 0
    drawn = random.integers(0, 7, (4000, 7))
    plain = method[used][drawn].sum(axis=1) / linear[used][drawn].sum(axis=1)
    np.testing.assert_allclose(ends, np.quantile(plain, (0.025, 0.975)), atol=0.03)
    assert ends == tables.ratio_ends(method, linear, 4000, seed=3)
    assert np.isnan(tables.ratio_ends(method[:4], linear[:4])).all()
    assert np.isnan(tables.ratio_ends(method, linear, 0)).all()


def test_quality_control_is_taken_and_counted(save_table, table_of) -> None:
    table = table_of({1: (50, 0), 2: (50, 5)}, hours=24 * 20)
    table.loc[100, "value"] = -999
    found = evaluate(open_openaq(save_table(table)), Options(at_least=2))
    counts = {row["step"]: row["dropped"] for row in found.quality.rows()}
    assert counts["sentinels"] == 1
    assert found.windows == 24 * 20 - 9 - 10
    assert found.few == 10


def test_a_wide_region_is_noticed(rows_of, table_of) -> None:
    table = table_of({1: (50, 179), 2: (50, -179), 3: (50, 160)}, hours=24 * 7)
    with pytest.warns(DeepcamsNotice, match="1 region wider than 15 degrees"):
        rows_of(table)
    rows_of(table, bbox=(175, 0, -175, 90))  # 2 degrees across the dateline: no notice


@pytest.fixture
def stations(table_of, save_table) -> str:
    return str(save_table(table_of(PLACES, hours=24 * 7 * 6)))


AT_STATIONS = ["--task", "temporal", "--truth", "stations"]


def test_the_command_writes_the_same_rows_everywhere(
    stations: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    arguments = ["evaluate", stations, *AT_STATIONS, "--at-least", "5", "-o", str(out)]
    assert main([*arguments, "--json", str(tmp_path / "s.json")]) == 0
    printed = capsys.readouterr().out.partition(f"  {out}")[0]
    assert max(map(len, printed.splitlines())) <= 80
    assert (tmp_path / "s.json").read_bytes() == (out / "scores.json").read_bytes()
    document = json.loads((out / "scores.json").read_text())
    rows = document["rows"]
    assert {row["by"] for row in rows} == {"all", "season", "hour", "phase"}
    assert document["baseline"] == "linear"
    first = {row["method"]: row for row in rows if row["by"] == "all"}
    assert set(first) == set(AT_POINTS.names())
    assert first["linear"]["ratio"] == 1
    pchip = first["pchip"]
    assert pchip["ratio_low"] < pchip["ratio"] < pchip["ratio_high"]
    by_hour = [row for row in rows if row["by"] == "hour"]
    for hour in document["details"]["local_hours"]:
        (row,) = (
            row
            for row in by_hour
            if (row["method"], int(row["group"])) == (hour["method"], hour["hour"])
        )
        assert hour["MAE"] == row["MAE"]
        assert hour["share"] == pytest.approx(row["n"] / first["linear"]["n"])
    assert imread(out / "skill-by-hour.png").std() > 0.05
    with (out / "scores.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    markdown = (out / "scores.md").read_text()
    for text in (printed, markdown):
        assert f"{pchip['ratio']:.3f}" in text
        assert f"{pchip['ratio_low']:.3f}..{pchip['ratio_high']:.3f}" in text


def test_only_methods_asked_for_are_rows(stations: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "s.json"
    options = ["--at-least", "5", "--methods", "pchip", "--json", str(path)]
    assert main(["evaluate", stations, *AT_STATIONS, *options]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {row["method"] for row in rows} == {"pchip"}
    assert rows[0]["skill"] != 0
    details = json.loads(path.read_text())["details"]["local_hours"]
    assert {row["method"] for row in details} == {"linear", "pchip"}
    assert "x linear" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--region-mean", "x"], "--region-mean: expected 0 to 180 degrees, or all"),
        (["--region-mean", "nan"], "--region-mean: expected 0 to 180 degrees, or all"),
        (["--region-mean", "-5"], "--region-mean: expected 0 to 180 degrees, or all"),
        (["--at-least", "0"], "--at-least: expected 1 station or more"),
        (
            [],
            "--at-least: expected at most 5, the stations of the largest region, found 20",
        ),
        (
            ["--bbox", "100", "0", "110", "10"],
            "--bbox: expected stations in it, found none of 5",
        ),
        (["--period", "2015"], "--period: expected times of the stations, 2019-01-01"),
        (
            ["--at-least", "1", "--period", "2019-01-02T00..2019-01-02T08"],
            "expected 10 whole hours in a row at a station, found none",
        ),
        (
            ["--methods", "flow"],
            "expected one of catmull-rom, cubic, linear, linear-eq9, pchip, sun",
        ),
        (["--methods", ","], "--methods: expected at least one"),
        (["--clip", "800"], "--clip: expected no such option with stations"),
        (["--margin", "12"], "--margin: expected no such option with stations"),
        (
            ["--task", "joint"],
            "--truth stations: expected --task temporal, found --task joint",
        ),
    ],
)
def test_bad_input_is_one_line(
    stations: str, tmp_path: Path, capsys, options: list[str], words: str
) -> None:
    path = tmp_path / "s.json"
    arguments = ["evaluate", stations, *AT_STATIONS, "--json", str(path), *options]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not path.exists()


def test_fields_and_stations_are_not_mistaken(
    stations: str, field_of, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "field.nc"
    field_of("2019-01-01", 7).to_dataset(name="pm2p5").to_netcdf(path)
    for arguments, words in (
        ([stations, "--task", "temporal"], "--task temporal --truth stations"),
        ([str(path), *AT_STATIONS], "fields are truth without --truth stations"),
        (
            [str(path), "--at-least", "3"],
            "--at-least: expected --truth stations with it",
        ),
    ):
        assert main(["evaluate", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_too_few_report_at_once(save_table, table_of) -> None:
    """Two stations of one region, never over the same ten hours."""
    one, other = (
        table_of({key: (50, key)}, start, 24 * 7)
        for key, start in ((1, "2019-01-01T01:00"), (2, "2019-02-01T01:00"))
    )
    archive = open_openaq(save_table(pd.concat([one, other])))
    with pytest.raises(InputError, match="at most 1, the most stations"):
        evaluate(archive, Options(at_least=2, quality=RAW))


def test_workers_give_the_same_to_the_bit(gappy, save_table, client) -> None:
    archive = open_openaq(save_table(gappy))
    options = Options(region=10, at_least=2, quality=RAW, batch_rows=1)
    alone, together = (
        evaluate(archive, options, workers=each) for each in (None, DaskWorkers(client))
    )
    assert alone.sums.any()
    np.testing.assert_array_equal(alone.sums, together.sums)


def test_means_of_poland_show_what_single_stations_hide(stations_dir) -> None:
    """Four frames take a seventh off a straight line's error at means, nothing at single stations."""
    archive = open_openaq(stations_dir / "poland_2017.csv.gz")
    period = Period.parse("2017-03..2017-04")
    ratios = []
    for options in (Options(period=period), Options(0, 1, period=period)):
        rows = tables.rows(evaluate(archive, options, ["catmull-rom"]), draws=0)
        ratios.append(rows[0]["ratio"])
    assert ratios[0] < 0.9
    assert ratios[1] == pytest.approx(1, abs=0.02)
