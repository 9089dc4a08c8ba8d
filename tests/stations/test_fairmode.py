"""FAIRMODE's indicators by hand, and of real stations against themselves, perturbed by known amounts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import InputError
from deepcams.core.field import as_field
from deepcams.evaluation.sums import sum_pairs
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import STEPS, Quality
from deepcams.stations.fairmode import (
    PARAMETERS,
    Target,
    annual_mqi,
    check,
    indicators,
    interpolated_90,
    parameters_of,
)
from deepcams.stations.validation import Options, validate

CLEAN = Quality(skip=frozenset(STEPS) - {"missing", "hourly"})
PM25 = PARAMETERS[-1]


def _target(observed, model) -> Target:
    o, m = (np.asarray(side, float) for side in (observed, model))
    return Target.of(sum_pairs(np.zeros(o.size, int), o, m, 1), PM25)


def test_the_indicator_by_hand() -> None:
    # RMS_U^2 = 0.36^2 (0.75 x mean(100, 400, 900) + 0.25 x 625); RMSE^2 = mean(16, 4, 36).
    found = _target([10, 20, 30], [14, 18, 36])
    uncertainty = 0.36 * np.sqrt(0.75 * 1400 / 3 + 0.25 * 625)
    assert found.uncertainty[0] == pytest.approx(uncertainty, abs=1e-10)
    assert found.mqi[0] == pytest.approx(np.sqrt(56 / 3) / (2 * uncertainty), abs=1e-10)
    assert found.y[0] == pytest.approx((8 / 3) / (2 * uncertainty), abs=1e-10)
    # The distance in the diagram is the indicator.
    assert np.hypot(found.x, found.y)[0] == pytest.approx(found.mqi[0], abs=1e-10)
    # At the reference value and with alpha's part gone in neither: U(RV) = U_r RV.
    at = PM25.squared_uncertainty(np.array(25.0**2))
    assert np.sqrt(at) == pytest.approx(0.36 * 25, abs=1e-10)


def test_the_annual_indicator_by_hand() -> None:
    uncertainty = 0.36 * np.sqrt(0.75 * 400 / 20 + 0.25 * 625 / 1.5)
    found = annual_mqi(np.array([20.0]), np.array([14.0]), PM25)
    assert found[0] == pytest.approx(6 / (2 * uncertainty), abs=1e-10)


def test_the_side_is_that_of_the_larger_part_of_the_centred_error() -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(0, 1, 400)
    observed = 40 + 5 * base
    noise = 5 * rng.normal(0, 1, 400)
    wide, other = _target(observed, 40 + 12 * base), _target(observed, 40 + noise)
    assert wide.x[0] > 0
    assert other.x[0] < 0
    for found, model in ((wide, 40 + 12 * base), (other, 40 + noise)):
        s_o, s_m = observed.std(), model.std()
        r = np.corrcoef(observed, model)[0, 1]
        by_deviation = abs(s_m - s_o) >= s_o * np.sqrt(2 * (1 - r))
        assert (found.x[0] > 0) == by_deviation
        centred = np.std(model - observed)
        assert abs(found.x[0]) == pytest.approx(
            centred / (2 * found.uncertainty[0]), rel=1e-9
        )


def test_a_constant_series_has_an_indicator_and_no_warning() -> None:
    for observed, model in (
        ([20.0] * 9, np.arange(9.0)),
        (np.arange(9.0), [20.0] * 9),
        ([20.0] * 9, [25.0] * 9),
    ):
        found = _target(observed, model)
        for value in (found.mqi, found.x, found.y, found.uncertainty):
            assert np.isfinite(value).all()
    assert found.mqi[0] == pytest.approx(
        5 / (2 * 0.36 * np.sqrt(0.75 * 400 + 0.25 * 625)), abs=1e-10
    )


def test_the_90th_percentile_is_interpolated_as_the_guidance_does() -> None:
    ordered = np.arange(1.0, 16)
    # Of 15: S = 13, the remainder 0.5; of 10 the ninth; of 2 eight tenths of the way from the first.
    assert interpolated_90(ordered[::-1]) == pytest.approx(13.5, abs=1e-12)
    assert interpolated_90(np.r_[ordered[:10], np.nan]) == 9
    assert interpolated_90(ordered[:2]) == pytest.approx(1.8, abs=1e-12)
    assert np.isnan(interpolated_90(ordered[:1]))


def test_hours_and_other_species_are_refused() -> None:
    with pytest.raises(InputError, match="--average day"):
        check("hour", "pm2p5")
    with pytest.raises(InputError, match="pm10"):
        check("day", "pm10")
    assert parameters_of("pm2p5") is PM25


def _perturbed(
    stations_dir: Path, tmp_path: Path, change
) -> tuple[Path, xr.DataArray, pd.DataFrame]:
    """Four months of six Polish stations, and hourly means at 0.25 degrees that are these stations', changed."""
    table = pd.read_csv(stations_dir / "poland_2019.csv.gz")
    cells = table.drop_duplicates("location_id").assign(
        row=lambda t: (t.lat * 4).round(), column=lambda t: (t.lon * 4).round()
    )
    chosen = cells.drop_duplicates(["row", "column"]).iloc[:6]
    table = table[table.location_id.isin(chosen.location_id)]
    times = pd.date_range("2019-01-01T00:30", "2019-04-30T23:30", freq="h")
    stamp = pd.to_datetime(table.datetime, utc=True).dt.tz_localize(None)
    table = table[
        (stamp > times[0])
        & (stamp < times[-1] + pd.Timedelta("1h"))
        & (table.value >= 0)
    ]
    wide = table.assign(middle=stamp - pd.Timedelta("30min")).pivot_table(
        index="middle", columns="location_id", values="value"
    )
    latitude = np.arange(chosen.row.max(), chosen.row.min() - 1, -1) / 4
    longitude = np.arange(chosen.column.min(), chosen.column.max() + 1) / 4
    values = np.full((times.size, latitude.size, longitude.size), np.nan, np.float32)
    for one in chosen.itertuples():
        series = wide[one.location_id].reindex(times)
        values[
            :,
            round((latitude[0] - one.row / 4) * 4),
            round((one.column / 4 - longitude[0]) * 4),
        ] = change(series)
    coords = {"time": times, "latitude": latitude, "longitude": longitude}
    attrs = {"units": "ug m-3", "cell_methods": "time: mean"}
    path = tmp_path / "poland.csv"
    table.to_csv(path, index=False)
    return (
        path,
        as_field(xr.DataArray(values, coords, tuple(coords), "pm2p5", attrs)),
        wide,
    )


@pytest.mark.parametrize(
    ("change", "side"),
    [(lambda x: x + 5, 0), (lambda x: 1.5 * x, 1), (lambda x: x.shift(24 * 9), -1)],
    ids=["shifted by 5", "times 1.5", "nine days late"],
)
def test_real_stations_against_themselves_give_the_constructed_indicator(
    stations_dir: Path, tmp_path: Path, change, side: int
) -> None:
    path, field, wide = _perturbed(stations_dir, tmp_path, change)
    found = validate(
        open_openaq(path), field, options=Options(quality=CLEAN, average="day")
    )
    (one,) = indicators(found)
    assert one.group == "2019"
    assert one.target is not None
    ids = found.stations["id"].astype(int).tolist()
    expected = {}
    for key in ids:
        both = pd.DataFrame(
            {"o": wide[key], "m": change(wide[key].asfreq("h"))}
        ).asfreq("h")
        hours = both.o.resample("D").count()
        both = both.dropna()
        daily = both.resample("D").mean()
        days = (hours.reindex(daily.index) >= 18) & (both.o.resample("D").count() >= 18)
        o, m = daily.o[days], daily.m[days]
        uncertainty = 0.36 * np.sqrt(0.75 * np.mean(o**2) + 0.25 * 25**2)
        expected[key] = np.sqrt(np.mean((m - o) ** 2)) / (2 * uncertainty), len(o)
    for k, key in enumerate(ids):
        assert one.target.days[k] == expected[key][1]
        assert one.target.mqi[k] == pytest.approx(expected[key][0], rel=1e-6)
        if side:
            assert np.sign(one.target.x[k]) == side
        else:
            assert abs(one.target.x[k]) < 1e-3
    used = [expected[key][0] for k, key in enumerate(ids) if one.used[k]]
    row = one.row()
    assert row["stations"] == len(used) >= 5
    assert row["MQI_90"] == pytest.approx(interpolated_90(np.array(used)), rel=1e-6)
    # Four months are no year.
    assert (row["annual_stations"], row["annual_MQI_90"]) == (0, None)


@pytest.fixture
def files(field_of, table_of, save_table, tmp_path: Path) -> dict[str, str]:
    """A field of three days, its 3-hourly original, and three stations, as files."""
    for name, field in (
        ("field", field_of("2019-01-01", 73)),
        ("original", field_of("2019-01-01", 25, hours=3)),
    ):
        field.to_dataset(name="pm2p5").to_netcdf(tmp_path / f"{name}.nc")
    places = {1: (52.5, 15.0), 2: (45.0, 22.5), 3: (37.5, 7.5)}
    return {name: str(tmp_path / f"{name}.nc") for name in ("field", "original")} | {
        "stations": str(save_table(table_of(places, hours=72)))
    }


def test_daily_means_write_their_tables_and_the_target_diagram(
    files, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    arguments = [
        "validate",
        files["field"],
        "--original",
        files["original"],
        "--stations",
        files["stations"],
    ]
    assert main([*arguments, "--average", "day", "--fairmode", "-o", str(out)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for words in (
        "FAIRMODE 3.3 (2022)",
        "Limits of daily means",
        "days in UTC",
        "averaged each day",
        "field's days under 75 %",
    ):
        assert words in told.out
    assert "…" not in told.out
    assert max(map(len, told.out.replace(str(tmp_path), "").splitlines())) <= 80
    more = {"exceedances.csv", "fairmode.csv", "fairmode-stations.csv", "target.png"}
    assert more <= {path.name for path in out.iterdir()}
    document = json.loads((out / "scores.json").read_text())
    assert (document["about"]["average"], document["about"]["days"]) == ("day", "UTC")
    assert document["fairmode"]["parameters"]["doi"] == "10.2760/41988"
    by = {(row["product"], row["pairs"]): row for row in document["fairmode"]["rows"]}
    assert by["original", "own"]["stations"] == 3
    assert by["original", "own"]["MQO_met"] in (True, False)
    assert by["original", "own"]["annual_MQI_90"] is None
    first = next(row for row in document["rows"] if row["pairs"] == "same")
    assert first["n"] == 9


def test_one_station_has_a_stated_gap_instead_of_a_percentile(
    files, table_of, save_table, tmp_path: Path, capsys
) -> None:
    path = save_table(table_of({1: (52.5, 15.0)}, hours=72), "one.csv")
    target = tmp_path / "s.json"
    assert (
        main(
            [
                "validate",
                files["field"],
                "--stations",
                str(path),
                "--average",
                "day",
                "--json",
                str(target),
            ]
        )
        == 0
    )
    assert "-: fewer than two stations" in capsys.readouterr().out
    document = json.loads(target.read_text())
    assert document["fairmode"]["rows"][0]["MQI_90"] is None
    assert document["fairmode"]["stations"][0]["MQI"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fairmode"], "add --average day"),
        (["--days", "nautical"], "add --average day"),
        (["--average", "day", "--by", "hour"], "leave --average out for rows by hour"),
        (
            ["--average", "year", "--by", "month"],
            "leave --average out for rows by month",
        ),
        (
            ["--average", "year"],
            "a year at a station with 75 % of its days, found none among 3 years",
        ),
        (
            ["--average", "day", "--period", "2019-01-02T00..2019-01-02T09"],
            "found none among 6 days of stations",
        ),
    ],
)
def test_what_averages_cannot_give_is_one_line(
    files, capsys, options: list[str], words: str
) -> None:
    assert (
        main(["validate", files["field"], "--stations", files["stations"], *options])
        == 2
    )
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert words in told.err


def test_averages_are_of_a_field(files, capsys, tmp_path: Path) -> None:
    assert (
        main(
            [
                "validate",
                "--stations",
                files["stations"],
                "--average",
                "day",
                "-o",
                str(tmp_path / "o"),
            ]
        )
        == 2
    )
    assert "a field to average" in capsys.readouterr().err


def test_options_that_decide_a_mean_are_in_the_name_of_its_cache() -> None:
    options = Options()
    words = {
        replace(options, average=a, days=d).words()
        for a in ("hour", "day", "year")
        for d in ("utc", "nautical")
    }
    assert len(words) == 6
