"""The demo: small through the library, and as people type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.cli import main
from deepcams.core.errors import InputError, OutputError
from deepcams.experiment.demo import BASELINES, Demo, demo, ours

SMALL = (84.0, 18.0, 93.0, 25.5)
DAY = "2019-12-01"


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Demo, list[tuple[str, int, int]]]:
    steps: list[tuple[str, int, int]] = []
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    done = demo(
        folder,
        seed=0,
        bbox=SMALL,
        period=DAY,
        progress=lambda *step: steps.append(step),
    )
    return done, steps


def test_everything_is_there(made: tuple[Demo, list[tuple[str, int, int]]]) -> None:
    done, steps = made
    assert {path.name for path in done.folder.iterdir()} == {
        ".deepcams-demo",
        "truth",
        "cams_simulated.nc",
        "pm25.zarr",
        "scores.json",
        "map.png",
        "report.html",
    }
    assert list(dict.fromkeys(step for step, _, _ in steps)) == [
        "simulate",
        "downscale",
        "score",
        "draw",
        "report",
    ]
    assert {step: (count, total) for step, count, total in steps}["simulate"] == (
        25,
        25,
    )
    assert done.summary.hours == 24
    assert done.summary.total.hours == (0, 8, 16)


def test_the_input_is_what_cams_would_give_of_the_truth(
    made: tuple[Demo, list[tuple[str, int, int]]],
) -> None:
    done, _ = made
    cams = deepcams.open_cams(done.cams)
    assert cams.sizes["time"] == 9  # a closing frame, so that the day is complete
    assert np.all(np.diff(cams.time.values) == np.timedelta64(3, "h"))
    truth = deepcams.open_field(done.truth)
    expected = deepcams.coarsen(truth).isel(time=slice(None, None, 3))
    np.testing.assert_allclose(cams.values, expected.values, rtol=1e-5)
    np.testing.assert_array_equal(cams.latitude.values, expected.latitude.values)


def test_the_output_is_that_of_the_library_and_says_that_it_is_simulated(
    made: tuple[Demo, list[tuple[str, int, int]]],
) -> None:
    done, _ = made
    stored = xr.open_zarr(done.output)
    expected = deepcams.downscale(deepcams.open_cams(done.cams)).isel(time=slice(0, 24))
    np.testing.assert_allclose(stored.pm2p5.values, expected.values, rtol=0.001)
    assert "simulated world, seed 0: no real data" in stored.attrs["source"]
    assert stored.pm2p5.shape == (24, *done.region.shape)


def test_the_scores_are_those_of_what_is_stored(
    made: tuple[Demo, list[tuple[str, int, int]]],
) -> None:
    done, _ = made
    document = json.loads(done.scores.read_text())
    assert document["note"] == "simulated world, seed 0: no real data"
    rows = {row["method"]: row for row in document["rows"] if row["period"] == "all"}
    assert set(rows) == {ours(), *BASELINES}
    truth = deepcams.open_field(done.truth).values[:24].astype(float)
    stored = deepcams.open_field(done.output).values.astype(float)
    between = np.arange(24) % 3 > 0
    error = (stored - truth)[between]
    assert rows[ours()]["samples"] == 16
    assert rows[ours()]["MAE"] == pytest.approx(np.mean(abs(error)), rel=1e-6)
    assert rows[ours()]["RMSE"] == pytest.approx(
        np.mean(np.sqrt((error**2).mean(axis=(1, 2)))), rel=1e-6
    )
    linear, reversed_weights = (rows[name]["MAE"] for name in BASELINES)
    assert rows[ours()]["MAE"] < linear < reversed_weights
    assert rows[ours()]["skill"] == pytest.approx(1 - rows[ours()]["MAE"] / linear)


def test_the_picture_is_no_blank(made: tuple[Demo, list[tuple[str, int, int]]]) -> None:
    from matplotlib.image import imread

    image = imread(made[0].picture)[..., :3]
    assert min(image.shape[:2]) > 800
    assert (
        len(np.unique((image[::7, ::7] * 255).astype(int).reshape(-1, 3), axis=0)) > 500
    )


def test_the_picture_says_that_the_world_is_simulated(
    made: tuple[Demo, list[tuple[str, int, int]]],
) -> None:
    from deepcams.experiment.demo import draw

    done, _ = made
    truth = deepcams.open_field(done.truth).isel(time=slice(0, 24)).load()
    same = {ours(): truth, BASELINES[0]: truth}
    figure = draw(truth, same, deepcams.open_cams(done.cams), seed=0)
    written = [text.get_text() for text in figure.texts]
    assert written[0].startswith("SIMULATED world (seed 0), 2019-12-01 14:00 UTC")
    assert any("No real data" in text for text in written)
    assert [axes.get_title("left") for axes in figure.axes[:6]] == [
        "Truth, 0.25°",
        "Linear + bicubic, 0.25°",
        "deepcams, 0.25°",
        "CAMS-like input, 0.75°, 12:00 UTC",
        "Linear + bicubic \N{MINUS SIGN} truth",
        "deepcams \N{MINUS SIGN} truth",
    ]


def test_a_rerun_keeps_what_is_complete_and_another_world_replaces_it(
    made: tuple[Demo, list[tuple[str, int, int]]], tmp_path: Path
) -> None:
    first, _ = made
    shutil.copytree(first.folder, tmp_path, dirs_exist_ok=True)
    truth = {path: path.stat().st_mtime_ns for path in (tmp_path / "truth").iterdir()}
    (tmp_path / "map.png").unlink()
    again = demo(tmp_path, seed=0, bbox=SMALL, period=DAY)
    assert again.summary.computed == 0
    assert {path: path.stat().st_mtime_ns for path in again.truth.iterdir()} == truth
    assert again.picture.is_file()
    assert again.result.table == first.result.table
    own = tmp_path / "my notes.txt"
    own.write_text("kept")
    other = demo(tmp_path, seed=0, bbox=SMALL, period="2019-12-02")
    assert other.summary.computed == 24
    assert [path.name for path in sorted(other.truth.iterdir())] == [
        "simulated_20191202.nc",
        "simulated_20191203T00-00.nc",
    ]
    assert other.result.table != first.result.table
    assert own.read_text() == "kept"


def test_what_no_demo_has_made_is_not_touched(tmp_path: Path) -> None:
    own = tmp_path / "pm25.zarr"
    own.mkdir()
    (own / "data").write_text("years of work")
    with pytest.raises(
        OutputError, match=r"holds pm25\.zarr, not made by a demo; name another folder"
    ):
        demo(tmp_path, bbox=SMALL, period=DAY)
    assert [path.name for path in tmp_path.iterdir()] == ["pm25.zarr"]
    (tmp_path / ".deepcams-demo").mkdir()  # also where a demo has been before
    (tmp_path / ".deepcams-demo" / "identity.json").write_text('{"seed": 7}')
    with pytest.raises(OutputError, match="was not made by a demo"):
        demo(tmp_path, bbox=SMALL, period=DAY)
    assert (own / "data").read_text() == "years of work"


def test_only_whole_days(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected whole days"):
        demo(tmp_path, bbox=SMALL, period="2019-12-01T03")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["a file", "a file/inside"])
def test_a_folder_that_cannot_be_is_one_line(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("text")
    assert main(["demo", "-o", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepcams: error: ")
    assert error.count("\n") == 1
    assert "a file" in error
    assert (tmp_path / "a file").read_text() == "text"


def test_a_negative_seed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "d"), "--seed", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "no real data" in shown.out.splitlines()[0]
    assert max(map(len, shown.out.splitlines())) <= 80
    for name in ("map.png", "pm25.zarr", "scores.json", "cams_simulated.nc", "truth"):
        assert f"deepcams-demo/{name}" in shown.out
    assert "deepcams downscale YOUR_CAMS_FILE.nc -o pm25.zarr" in shown.out
    for name in (ours(), *BASELINES):
        assert name in shown.out
    rows = json.loads(Path("deepcams-demo/scores.json").read_text())["rows"]
    assert {row["samples"] for row in rows} == {32}
