"""``deepcams plot`` and ``deepcams animate`` as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from deepcams.cli import main
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.methods.spatial.coarsen import coarsen


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hourly and 3-hourly netCDF of a region across the dateline, and a training's log."""
    folder = tmp_path_factory.mktemp("plots")
    grid = Grid.globe(0.75).select((170, -45, -170, -31))[0].refine()
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(7) * np.timedelta64(1, "h")
    values = (
        np.random.default_rng(0).lognormal(2, 1, (7, *grid.shape)).astype(np.float32)
    )
    field = field_like(xr.DataArray(0.0, name="pm2p5"), values, grid, times)
    field.to_netcdf(folder / "hourly.nc")
    coarsen(field).isel(time=slice(None, None, 3)).to_netcdf(folder / "sparse.nc")
    (folder / "log.csv").write_text("step,loss,skill,best\n1,0.5,1.1,0\n2,0.4,0.9,1\n")
    return folder


BOX = ["--bbox", "172", "-44", "-172", "-33"]
ZOOM = ["--zoom", "174", "-42", "-178", "-38"]
COMMANDS = {
    "map": [
        "map",
        "hourly.nc",
        "--time",
        "2019-12-31T17",
        *BOX,
        "--projection",
        "equal-earth",
    ],
    "mean": ["map", "hourly.nc", "--period", "2019-12-31", "--scale", "guideline"],
    "compare": [
        "compare",
        "hourly.nc",
        "--original",
        "sparse.nc",
        "--truth",
        "hourly.nc",
        *ZOOM,
    ],
    "sequence": ["sequence", "hourly.nc", "--original", "sparse.nc", "--hours", "3"],
    "series": [
        "series",
        "hourly.nc",
        "--original",
        "sparse.nc",
        "--at",
        "180",
        "-40",
        "--scale",
        "log",
    ],
    "annual": [
        "annual",
        "hourly.nc",
        "--original",
        "sparse.nc",
        "--projection",
        "plate-carree",
    ],
    "training": ["training", "."],
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_draws(
    kind: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    out = tmp_path / f"{kind}.png"
    assert (
        main(
            [
                "plot",
                *COMMANDS[kind],
                *([] if kind == "training" else ["--size", "column"]),
                "-o",
                str(out),
            ]
        )
        == 0
    )
    with Image.open(out) as picture:
        assert picture.width > 400
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 8


def test_a_film(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    arguments = [
        str(files / "hourly.nc"),
        "--original",
        str(files / "sparse.nc"),
        "--every",
        "3",
        "--size",
        "column",
    ]
    assert main(["animate", *arguments, "-o", str(out)]) == 0
    with Image.open(out) as film:
        assert film.n_frames == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["plot", "map", "hourly.nc", "--time", "2020-01-02", "-o", "a.png"],
            "the nearest is 2019-12-31 21:00",
        ),
        (
            ["plot", "map", "hourly.nc", "--bbox", "0", "0", "10", "10", "-o", "a.png"],
            "holds nodes of the data",
        ),
        (["plot", "map", "hourly.nc", "-o", "a.jpg"], "ends in .png, .pdf or .svg"),
        (["plot", "map", "hourly.nc", "-o", "no/a.png"], "cannot be written"),
        (["plot", "map", "nothing.nc", "-o", "a.png"], "nothing.nc"),
        (
            ["plot", "series", "hourly.nc", "-o", "a.png"],
            "expected one of them, found neither",
        ),
        (
            ["plot", "series", "hourly.nc", "--at", "0", "0", "-o", "a.png"],
            "a place in the data",
        ),
        (["plot", "training", "nowhere", "-o", "a.png"], "a training's folder"),
        (
            ["plot", "stations", "--stations", "x.csv", "--colour", "R", "-o", "a.png"],
            "a field to compare with",
        ),
        (["animate", "hourly.nc", "-o", "a.avi"], "ends in .mp4 or .gif"),
        (["animate", "hourly.nc", "--fps", "0", "-o", "a.gif"], "fps from 0.002 to 60"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str],
    message: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(files.iterdir()) == before


def test_stations_and_their_day(stations_dir: Path, tmp_path: Path) -> None:
    path = str(stations_dir / "china_20191231.csv.gz")
    for kind in ("stations", "diurnal"):
        out = tmp_path / f"{kind}.png"
        assert main(["plot", kind, "--stations", path, "-o", str(out)]) == 0
        assert out.read_bytes().startswith(b"\x89PNG")
