from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.readers.cams import open_cams

SMALL = ["--period", "2019-12-01T00..2019-12-01T03", "--bbox", "75", "20", "90", "30"]


class Still:
    """A moment of a world of 10 ug m-3."""

    def __init__(self, seed: int, hours: float) -> None:
        pass

    def points(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        return np.full(np.shape(latitude), 10.0)


@pytest.mark.parametrize("layout", ["cams", "geos-cf", "openaq", "field"])
def test_each_layout_writes_and_closes_with_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
) -> None:
    """What stations measure is tested in tests/simulation; here the air over them is still, which is soon computed."""
    monkeypatch.setattr("deepcams.simulation.write_openaq.Moment", Still)
    arguments = [
        "simulate",
        "-o",
        str(tmp_path / "out"),
        "--layout",
        layout,
        *SMALL,
        "--stations",
        "3",
    ]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert "simulated: no real data" in said.out
    assert "0 files" not in said.out
    assert main(arguments) == 0
    assert "0 files" in capsys.readouterr().out


def test_the_cams_layout_and_seed_reach_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("0", "1"):
        arguments = [
            "simulate",
            "-o",
            str(tmp_path / seed),
            *SMALL,
            "--cams-layout",
            "old",
            "--seed",
            seed,
            "--meteorology",
        ]
        assert main(arguments) == 0
    one, two = (next((tmp_path / seed).glob("*.nc")) for seed in "01")
    assert one.read_bytes()[:3] == b"CDF"
    assert "u10" in xr.open_dataset(one)
    assert abs(open_cams(one) - open_cams(two)).max() > 1
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--period", "2019-13"], "period"),
        (["--period", "2019-12-01T01:10..2019-12-01T01:20"], "multiple of 3 hours"),
        (
            ["--period", "2019-12-01T01:10..2019-12-01T01:40", "--layout", "geos-cf"],
            "whole hour",
        ),
        (["--bbox", "0", "50", "10", "40"], "S < N"),
        (["--layout", "merra"], "merra"),
        (["--cams-layout", "newest"], "newest"),
        (["--layout", "field", "--meteorology"], "--layout cams"),
        (["--seed", "-1"], "seed"),
        (["--seed", "x"], "--seed"),
        (["--layout", "openaq", "--stations", "0"], "stations"),
        (
            [
                "--layout",
                "openaq",
                "--stations",
                "50",
                "--bbox",
                "-140",
                "-60",
                "-120",
                "-50",
            ],
            "cities",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["simulate", "-o", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not said.out
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").touch()
    assert main(["simulate", "-o", str(tmp_path / "out"), *SMALL]) == 2
    assert "folder" in capsys.readouterr().err
