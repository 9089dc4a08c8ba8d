"""The command as people use it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.methods import AT_POINTS, SPATIAL


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven hours of a small region in GEOS-CF's own layout, in two files."""
    folder = tmp_path_factory.mktemp("geos_cf")
    latitude, longitude = (
        np.arange(20.75, 32, 0.25),
        np.arange(-100, -85.75, 0.25),
    )  # whole cells
    random = np.random.default_rng(0)
    times = np.datetime64("2019-03-31T21:30", "ns") + np.arange(7) * np.timedelta64(
        1, "h"
    )
    grain = random.lognormal(1, 0.4, (latitude.size, longitude.size))
    values = np.stack([np.roll(grain, hour, axis=1) for hour in range(7)]).astype(
        np.float32
    )
    array = xr.DataArray(
        values[:, None],
        dims=("time", "lev", "lat", "lon"),
        coords={"time": times, "lev": [72.0], "lat": latitude, "lon": longitude},
        name="PM25_RH35_GCC",
        attrs={"units": "ug m-3"},
    )
    for name, hours in (("a.nc4", slice(0, 3)), ("b.nc4", slice(3, 7))):
        array.isel(time=hours).to_netcdf(folder / name)
    return folder


def test_all_outputs(
    truth: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    files = {form: tmp_path / f"scores.{form}" for form in ("json", "csv", "markdown")}
    options = [
        part for form, path in files.items() for part in (f"--{form}", str(path))
    ]
    assert (
        main(
            [
                "evaluate",
                str(truth),
                "--task",
                "joint",
                "--methods",
                "linear,flow,bicubic",
                *options,
            ]
        )
        == 0
    )
    output = capsys.readouterr()
    assert output.err == ""
    assert "linear-then-bicubic" in output.out
    assert max(map(len, output.out.splitlines())) <= 80
    found = json.loads(files["json"].read_text())["rows"]
    assert {row["period"] for row in found} == {"2019-03", "2019-04", "all"}
    assert {row["method"] for row in found} == {
        "linear-then-bicubic",
        "flow-then-bicubic",
        "bicubic-then-flow",
    }
    assert {row["samples"] for row in found} == {2, 4}
    assert len(files["csv"].read_text().splitlines()) == 1 + len(found)
    assert files["markdown"].read_text().count("| baseline |") == 1


@pytest.mark.parametrize(
    ("options", "methods", "samples"),
    [
        (
            [
                "--task",
                "temporal",
                "--bbox",
                "-95",
                "22",
                "-90",
                "27.5",
                "--margin",
                "0",
            ],
            {"flow", "flow-refine", "self-checked", "xvfi", *AT_POINTS.names()},
            4,
        ),
        (
            ["--task", "temporal", "--resolution", "coarse", "--methods", "linear"],
            {"linear"},
            4,
        ),
        (
            ["--task", "spatial", "--methods", "bicubic", "--conserve", "both"],
            {"bicubic", "bicubic+conserve"},
            7,
        ),
        (
            ["--task", "spatial", "--methods", "bicubic", "--period", "2019-04"],
            {"bicubic"},
            4,
        ),
        (
            [
                "--task",
                "spatial",
                "--methods",
                "bicubic",
                "--bbox",
                "-95",
                "22",
                "-90",
                "27.5",
            ],
            {"bicubic"},
            7,
        ),
        (
            [
                "--methods",
                "linear,bicubic",
                "--order",
                "spatial-first",
                "--degrade",
                "imresize",
            ],
            {"bicubic-then-linear"},
            4,
        ),
        (
            [
                "--methods",
                "linear-then-bicubic",
                "--weighting",
                "area",
                "--clip",
                "800",
            ],
            {"linear-then-bicubic"},
            4,
        ),
        (
            ["--task", "spatial", "--factor", "5"],
            {name + kept for name in SPATIAL.names() for kept in ("", "+conserve")},
            7,
        ),
    ],
)
def test_options(
    truth: Path, tmp_path: Path, options: list[str], methods: set[str], samples: int
) -> None:
    path = tmp_path / "scores.json"
    assert main(["evaluate", str(truth), *options, "--json", str(path)]) == 0
    found = [
        row for row in json.loads(path.read_text())["rows"] if row["period"] == "all"
    ]
    assert {row["method"] for row in found} == methods
    assert {row["samples"] for row in found} == {samples}
    assert all(0 < row["MAE"] < 5 for row in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "linaer"], "did you mean 'linear'"),
        (["--task", "temporel"], "is not one of"),
        (["--period", "2020"], "2019-03-31 21:30 to 2019-04-01 03:30"),
        (["--period", "soon"], "YYYY-MM"),
        (["--bbox", "10", "20", "30", "40"], "holds nodes of the data"),
        (["--task", "spatial", "--resolution", "coarse"], "the task temporal"),
        (["--json", "no/such/folder/scores.json"], "make it first"),
        (["--clip", "-1"], "positive"),
        (["--task", "temporal", "--factor", "5"], "a task in space"),
        (["--task", "spatial", "--factor", "4"], "3 or 5"),
        (
            ["--task", "spatial", "--factor", "5", "--methods", "bicubic,cellnet"],
            "with --factor 5: expected one of bicubic, bicubic+conserve, bilinear",
        ),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    truth: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(truth), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepcams: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_too_few_hours_and_no_files(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(truth / "a.nc4"), "--task", "temporal"]) == 2
    assert "at least 4 consecutive hours" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_hours_that_cannot_be_predicted_are_told(
    truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    period = "2019-03-31T22..2019-04-01T02"
    assert (
        main(
            [
                "evaluate",
                str(truth),
                "--task",
                "temporal",
                "--methods",
                "linear",
                "--period",
                period,
            ]
        )
        == 0
    )
    assert "note: 1 hours at the ends" in capsys.readouterr().err


def test_a_folder_has_all_tables_and_figures_and_plots_draw_from_its_json(
    truth: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "scores"
    command = ["evaluate", str(truth), "--task", "temporal", "--methods", "linear,flow"]
    assert main([*command, "-q", "-o", str(out), "--thresholds", "2,4"]) == 0
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if str(out) not in line]
    assert max(map(len, lines)) <= 80
    assert "at least 4 ug m-3" in " ".join(text.split())
    tables = {"spectra", "cells", "events", "quantiles", "change", "drift"}
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.csv" for name in (*tables, "local-hours", "scores")),
        *("scores.json", "scores.md", "spectra.png", "skill-by-hour.png"),
    }
    document = json.loads((out / "scores.json").read_text())
    whole = {row["method"]: row for row in document["rows"] if row["period"] == "all"}
    assert whole["flow"]["drift"] is not None
    assert whole["linear"]["drift"] == pytest.approx(0, abs=1e-6)
    months = [row for row in document["rows"] if row["period"] != "all"]
    assert all(row["resolution"] is None for row in months)
    events = document["details"]["events"]
    assert {row["threshold"] for row in events} == {2.0, 4.0}
    for verb, options in (
        ("spectra", ["--of", "logarithms"]),
        ("skill-by-hour", ["--methods", "flow"]),
    ):
        figure = tmp_path / f"{verb}.png"
        scores = str(out / "scores.json")
        assert main(["plot", verb, scores, "-o", str(figure), *options]) == 0
        assert figure.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--thresholds", "35,15"], "increasing positive concentrations"),
        (["--thresholds", "35,35"], "increasing positive concentrations"),
        (["--thresholds", "-1"], "positive"),
        (["--thresholds", "nan"], "positive"),
        (["--thresholds", "a"], "numbers"),
    ],
)
def test_thresholds_out_of_order_are_one_line(
    truth: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(truth), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--thresholds" in line
    assert words in line


def test_plots_of_something_else_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, broken = tmp_path / "other.json", tmp_path / "broken.json"
    other.write_text('{"rows": []}')
    broken.write_text("{")
    for verb in ("spectra", "skill-by-hour"):
        for path in (other, broken, tmp_path / "none.json"):
            figure = tmp_path / "figure.png"
            assert main(["plot", verb, str(path), "-o", str(figure)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert "evaluate --json" in line
            assert not figure.exists()


def test_a_region_too_small_for_spectra_says_so(
    truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = ["--bbox", "-96", "24", "-94", "26"]
    command = ["evaluate", str(truth), "--task", "spatial", "--methods", "bicubic"]
    assert main([*command, "-q", *box]) == 0
    assert "too few for a spectrum" in " ".join(capsys.readouterr().out.split())
