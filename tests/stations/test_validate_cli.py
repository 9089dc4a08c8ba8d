"""deepcams validate as people use it, and everything that can be wrong with what they give."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.image import imread
from rich.console import Console
from scipy.stats import linregress

from deepcams.cli import main
from deepcams.stations.archive.quality import ALWAYS, STEPS
from deepcams.stations.from_files import Request, validate_files
from deepcams.stations.tables import figures
from deepcams.stations.tables import station_tables as tables
from services.files import FileTree

PLACES = {1: (52.5, 15.0), 2: (45.0, 22.5), 3: (37.5, 7.5)}


@pytest.fixture
def files(field_of, table_of, save_table, tmp_path: Path) -> dict[str, str]:
    """A field of three days, its 3-hourly original, and stations, as files."""
    for name, field in (
        ("field", field_of("2019-01-01", 73)),
        ("original", field_of("2019-01-01", 25, hours=3)),
    ):
        field.to_dataset(name="pm2p5").to_netcdf(tmp_path / f"{name}.nc")
    stations = save_table(table_of(PLACES, hours=72))
    return {
        "field": str(tmp_path / "field.nc"),
        "original": str(tmp_path / "original.nc"),
        "stations": str(stations),
    }


def test_everything_is_written_and_fits_the_terminal(
    files, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    arguments = [
        "validate",
        files["field"],
        "--stations",
        files["stations"],
        "--original",
        files["original"],
    ]
    arguments += [
        "--by",
        "year",
        "--by",
        "hour",
        "--by",
        "country",
        "--by",
        "station",
        "-o",
        str(out),
    ]
    assert (
        main(
            [
                *arguments,
                "--json",
                str(tmp_path / "s.json"),
                "--plot",
                str(tmp_path / "fig6.png"),
            ]
        )
        == 0
    )
    told = capsys.readouterr()
    assert told.err == ""
    assert "outliers" in told.out
    assert max(map(len, told.out.replace(str(tmp_path), "").splitlines())) <= 80
    names = {
        "scores.json",
        "scores.csv",
        "stations.csv",
        "quality.csv",
        "differences.csv",
        "scatter.png",
        "diurnal.png",
        "taylor.png",
    }
    assert {path.name for path in out.iterdir()} == names | {
        "stations-n.png",
        "stations-R.png",
    }
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["rows"] == json.loads((out / "scores.json").read_text())["rows"]
    assert document["about"]["products"]["field"]["rule"] == "touching"
    rows = pd.DataFrame(document["rows"])
    assert set(rows["by"]) == {"all", "year", "hour", "country", "station"}
    assert set(rows["view"]) == {"pooled", "cells", "stations"}
    assert rows[(rows["by"] == "all") & (rows["view"] == "pooled")].set_index(
        ["product", "pairs"]
    ).n.to_dict() == {
        ("field", "own"): 216,
        ("original", "own"): 144,
        ("field", "same"): 144,
        ("original", "same"): 144,
        ("field", "hourly"): 216,
        ("original, linear in time", "hourly"): 216,
    }
    stations = pd.read_csv(out / "stations.csv")
    assert stations.field_own_n.tolist() == [72, 72, 72]
    assert set(stations.country) <= {"PL", "DE", "RO", "DZ", "TN", "CZ"}
    quality = pd.read_csv(out / "quality.csv")
    assert quality.rows_out.iloc[-1] == 216
    for picture in out.glob("*.png"):
        assert np.ptp(imread(picture)[..., :3]) > 0.9


def test_tables_of_many_years_fit_the_terminal_too(files) -> None:
    done = validate_files(
        Request(stations=(files["stations"],), field=(files["field"],), by=("surface",))
    )
    many = {
        "n": 175_007_408,
        "stations": 6_656,
        "R": -0.123,
        "R_low": -0.12,
        "R_high": -0.11,
        "bias": -16.3,
    }
    many |= {"RMSE": 24.1, "NMB": -0.163, "MFE": 1.15, "FAC2": 0.15}
    with (console := Console(width=80, file=io.StringIO())).capture() as shown:
        console.print(
            tables.for_terminal(
                done.found, [row | many for row in done.rows], ("surface",)
            )
        )
    assert " 175 M " in shown.get()
    assert "…" not in shown.get()


def test_without_a_field_quality_map_and_cycle_of_the_stations_alone(
    files, tmp_path: Path, capsys
) -> None:
    assert (
        main(["validate", "--stations", files["stations"], "-o", str(tmp_path / "out")])
        == 0
    )
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {
        "stations-n.png",
        "diurnal.png",
    }


def test_period_and_left_out_steps(files, tmp_path: Path) -> None:
    arguments = [
        "validate",
        files["field"],
        "--stations",
        files["stations"],
        "--json",
        str(tmp_path / "s.json"),
    ]
    assert (
        main(
            [
                *arguments,
                "--period",
                "2019-01-02",
                "--without",
                "twins",
                "--without",
                "outliers",
            ]
        )
        == 0
    )
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["about"]["quality_skipped"] == ["outliers", "twins"]
    assert (
        document["rows"][0]["n"] == 75
    )  # the hours that end at 00:00 to 24:00 touch the day's 24 instants


@pytest.fixture
def refused(capsys):
    """Run a command that must fail; give its one line."""

    def run(*arguments: object) -> str:
        assert main(["validate", *map(str, arguments)]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert told.err.startswith("deepcams: error: ")
        return told.err

    return run


def test_no_time_in_common_names_both_spans(
    files, refused, save_table, table_of, tmp_path: Path
) -> None:
    old = save_table(table_of(PLACES, "2012-05-01T01:00"), "old.csv")
    line = refused(files["field"], "--stations", old, "-o", tmp_path / "out")
    assert "2012-05-01 01:00 to 2012-05-02 00:00" in line
    assert "2019-01-01 00:00 to 2019-01-04 00:00" in line
    assert not (tmp_path / "out").exists()


def test_stations_outside_the_region(files, refused, field_of, tmp_path: Path) -> None:
    field_of("2019-01-01", 25, bbox=(90, -45, 150, 0)).to_dataset(
        name="pm2p5"
    ).to_netcdf(tmp_path / "region.nc")
    line = refused(tmp_path / "region.nc", "--stations", files["stations"])
    assert "37.50..52.50 N, 7.50..22.50 E" in line
    assert "90..150 E" in line


def test_wrong_units_everywhere_tell_the_step_that_took_them(
    files, refused, save_table, table_of
) -> None:
    path = save_table(table_of(PLACES).assign(units="ppm"), "ppm.csv")
    line = refused(files["field"], "--stations", path)
    assert "units 72 of 72" in line
    assert "'ppm'" in line


def test_one_number_for_two_places(files, refused, save_table, table_of) -> None:
    table = pd.concat([table_of({1: (52.5, 15.0)}), table_of({1: (45.0, 22.5)})])
    line = refused(files["field"], "--stations", save_table(table, "two.csv"))
    assert "place 48 of 48" in line
    assert "more than 1 km apart" in line


def test_a_field_without_time(files, refused, field_of, tmp_path: Path) -> None:
    field_of("2019-01-01", 1).isel(time=0, drop=True).to_dataset(
        name="pm2p5"
    ).to_netcdf(tmp_path / "still.nc")
    assert "time" in refused(tmp_path / "still.nc", "--stations", files["stations"])


def test_an_original_of_another_time(
    files, refused, field_of, tmp_path: Path, save_table, table_of
) -> None:
    field_of("2019-02-01", 9, hours=3).to_dataset(name="pm2p5").to_netcdf(
        tmp_path / "other.nc"
    )
    stations = save_table(table_of(PLACES, hours=24 * 40), "long.csv")
    line = refused(
        files["field"], "--stations", stations, "--original", tmp_path / "other.nc"
    )
    assert "2019-02-01" in line
    assert "2019-01-01" in line


def test_an_original_that_says_nothing_is_told_of(
    files, field_of, tmp_path: Path, capsys
) -> None:
    nothing = field_of("2019-01-01", 25, hours=3, of=lambda t, y, x: np.nan + 0 * t)
    nothing.to_dataset(name="pm2p5").to_netcdf(tmp_path / "nothing.nc")
    arguments = [
        "validate",
        files["field"],
        "--stations",
        files["stations"],
        "--original",
    ]
    assert main([*arguments, str(tmp_path / "nothing.nc")]) == 0
    told = capsys.readouterr()
    assert (
        "the original has no value at the stations' places and hours: only the field is compared"
        in told.err
    )
    assert told.err.count("\n") == 1
    assert main([*arguments, files["original"]]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--by", "yaer"], "did you mean 'year'"),
        (["--without", "twin"], "did you mean 'twins'"),
        (["--without", "hourly"], "matching needs hourly values"),
        (["--period", "2031"], "none in"),
        (["--json", "absent/s.json"], "absent"),
        (["--plot", "absent/s.png"], "absent"),
        (["--metadata", "absent.csv"], "absent.csv"),
        (["--original", "absent.nc"], "absent.nc"),
        (["--parameter", "no2"], "rows of other parameters"),
    ],
)
def test_arguments_that_are_wrong(
    files, refused, options: list[str], words: str
) -> None:
    assert words in refused(files["field"], "--stations", files["stations"], *options)


def test_what_is_missing_on_the_command_line(files, refused, tmp_path: Path) -> None:
    assert "--stations" in refused(files["field"])
    assert "FIELD" in refused(
        "--stations", files["stations"], "--json", tmp_path / "s.json"
    )
    assert "field" in refused(
        "--stations", files["stations"], "--original", files["original"]
    )
    (tmp_path / "file").write_text("")
    assert "folder" in refused(
        files["field"], "--stations", files["stations"], "-o", tmp_path / "file"
    )


def test_several_groupings_after_one_by(files, tmp_path: Path, refused, capsys) -> None:
    arguments = [
        "validate",
        files["field"],
        "--stations",
        files["stations"],
        "--json",
        str(tmp_path / "s.json"),
    ]
    assert main([*arguments, "--by", "year,country", "--by", "surface"]) == 0
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert {row["by"] for row in rows} == {"all", "year", "country", "surface"}
    capsys.readouterr()
    line = refused(*arguments[1:], "--by", "year", "country")
    assert "write --by year --by country, or --by year,country" in line
    assert "did you mean 'country'" in refused(*arguments[1:], "--by", "year,contry")


def test_a_glob_that_the_shell_has_made_names_of(
    files, table_of, save_table, tmp_path: Path
) -> None:
    """Only the first of them stands behind --stations; tables cannot be fields, so the others are stations too."""
    more = [save_table(table_of({4: (52.5, 22.5)}, hours=72), "more.csv.gz")]
    more.append(save_table(table_of({5: (45.0, 7.5)}, hours=72), "yet.parquet"))
    arguments = [
        "validate",
        files["field"],
        "--stations",
        files["stations"],
        *map(str, more),
    ]
    assert main([*arguments, "--json", str(tmp_path / "s.json")]) == 0
    row = json.loads((tmp_path / "s.json").read_text())["rows"][0]
    assert (row["stations"], row["n"]) == (5, 5 * 72)


def test_originals_that_the_shell_has_made_names_of(
    files, refused, field_of, tmp_path: Path
) -> None:
    field_of("2019-02-01", 9, hours=3, step=15).to_dataset(name="pm2p5").to_netcdf(
        tmp_path / "next.nc"
    )
    line = refused(
        files["field"],
        "--stations",
        files["stations"],
        "--original",
        files["original"],
        tmp_path / "next.nc",
    )
    assert "write --original before each" in line


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    files, refused, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("")
    assert "folder" in refused(
        files["field"], "--stations", files["stations"], "-o", tmp_path / "file" / "out"
    )
    monkeypatch.setattr("deepcams.evaluation.tables.os.access", lambda *_: False)
    monkeypatch.setattr(
        "deepcams.stations.from_files.open_openaq",
        lambda *_, **__: pytest.fail("work was begun"),
    )
    assert "not a writable folder" in refused(
        files["field"], "--stations", files["stations"], "-o", tmp_path / "a" / "b"
    )
    assert not (tmp_path / "a").exists()


def test_the_cycle_is_of_stations_with_the_whole_day(
    files, table_of, save_table, tmp_path: Path, monkeypatch
) -> None:
    """A station that reports in the evening alone, and much, must not make a step in the cycle."""
    table = table_of(
        {**PLACES, 4: (52.5, 22.5)}, hours=72, value=lambda k, h: 500 if k == 4 else 10
    )
    hour = pd.to_datetime(table["datetime"]).dt.hour
    table = table[(table["location_id"] != 4) | (hour >= 18)]
    drawn: list[Any] = []
    monkeypatch.setattr(
        "deepcams.plotting.scores.diurnal.diurnal_figure",
        lambda cycles, **words: drawn.append((cycles, words["note"])),
    )
    path = save_table(table, "part.csv")
    without = ("constant", "completeness", "twins")
    for field in ((files["field"],), ()):
        done = validate_files(Request(stations=(path,), field=field, without=without))
        figures.draw_cycle(done.found)
        cycles, note = drawn.pop()
        assert cycles[0].name == "observed"
        np.testing.assert_allclose(cycles[0].mean, 10)
        assert "3 stations with whole days" in note


def test_real_poland_against_a_field_that_is_known(
    stations_dir: Path, field_of, tmp_path: Path
) -> None:
    field_of(
        "2019-12-30", 49, of=lambda t, y, x: 12 + 0 * t + 0 * y + 0 * x
    ).to_dataset(name="pm2p5").to_netcdf(tmp_path / "flat.nc")
    arguments = [
        "validate",
        str(tmp_path / "flat.nc"),
        "--stations",
        str(stations_dir / "poland_2019.csv.gz"),
    ]
    assert main([*arguments, "--json", str(tmp_path / "s.json"), "-q"]) == 0
    row = json.loads((tmp_path / "s.json").read_text())["rows"][0]
    assert row["R"] is None  # the field does not vary
    assert row["model_mean"] == pytest.approx(12)
    assert 2000 < row["n"] < 63 * 48


def test_real_poland_against_real_frames_is_what_pandas_and_scipy_say(
    stations_dir: Path, cams_dir: Path, tmp_path: Path
) -> None:
    """Every figure of the original's own pairs once more, from the files, in another way."""
    cams = cams_dir / "cams_eac4_20191231_new_layout.nc"
    source = stations_dir / "poland_2019.csv.gz"
    without = [f"--without={step}" for step in STEPS if step not in ALWAYS]
    out = tmp_path / "s.json"
    assert (
        main(
            [
                "validate",
                str(cams),
                "--stations",
                str(source),
                *without,
                "--json",
                str(out),
                "-q",
            ]
        )
        == 0
    )
    rows = {
        row["view"]: row
        for row in json.loads(out.read_text())["rows"]
        if row["by"] == "all"
    }
    table = pd.read_csv(source)
    table["end"] = pd.to_datetime(table["datetime"], utc=True).dt.tz_localize(None)
    table = table[table["end"] >= "2019-12-31T14:00"].dropna(subset=["value"])
    with xr.open_dataset(cams) as opened:
        frames = opened.pm2p5.load() * 1e9
    near = frames.sel(
        latitude=xr.DataArray(table["lat"]),
        longitude=xr.DataArray(table["lon"] % 360),
        method="nearest",
    ).clip(min=0)
    hour = np.timedelta64(1, "h")
    times, end = frames.valid_time.values[:, None], table["end"].to_numpy()[None]
    touched = (times >= end - hour) & (times <= end)
    table["cell"] = near.latitude.values * 1000 + near.longitude.values
    with np.errstate(invalid="ignore"):
        table["model"] = np.where(touched, near.values, 0).sum(axis=0) / touched.sum(
            axis=0
        )
    table = table.dropna(subset=["model"])
    for view, part in (
        ("pooled", table),
        (
            "cells",
            table.groupby(["cell", "end"])[["value", "model"]].mean().reset_index(),
        ),
    ):
        error = part["model"] - part["value"]
        row = rows[view]
        assert row["n"] == len(part) > 200
        assert (
            row["stations"]
            == table["location_id" if view == "pooled" else "cell"].nunique()
        )
        fit = linregress(part["value"], part["model"])
        expected = {
            "R": fit.rvalue,
            "RMSE": np.sqrt((error**2).mean()),
            "MAE": abs(error).mean(),
            "bias": error.mean(),
            "FAC2": part["model"]
            .between(0.5 * part["value"], 2 * part["value"])
            .mean(),
            "slope": fit.slope,
        }
        assert {name: row[name] for name in expected} == pytest.approx(
            expected, rel=1e-6
        )
        assert row["R_low"] < row["R"] < row["R_high"]


def test_fields_at_urls_give_the_same_rows(files, tmp_path: Path, capsys) -> None:
    with FileTree(lambda path: tmp_path / path) as server:
        rows = []
        for root in (str(tmp_path), server.root):
            out = tmp_path / "rows.json"
            given = [f"{root}/field.nc", "--original", f"{root}/original.nc"]
            stations = ["--stations", files["stations"], "--json", str(out)]
            assert main(["validate", *given, *stations]) == 0
            rows.append(json.loads(out.read_text())["rows"])
    assert rows[0] == rows[1]
    assert "copied once to the cache" in capsys.readouterr().err
