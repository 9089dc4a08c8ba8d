"""One frame of our own output is drawn without xarray: the same picture, and only where that is safe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepcams.cli import main
from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.downscaling.job import downscale_to
from deepcams.plotting import frame_figure, map_figure
from deepcams.readers.open import open_field
from deepcams.writers.own import own_frame

START = np.datetime64("2019-12-31T15", "ns")


def _made(out: Path, grid: Grid) -> Path:
    """An output of ours: 4 hours of a coarse field on a grid."""
    times = START + np.array([0, 3]) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).lognormal(2, 1, (2, *grid.shape)).astype(np.float32)
    coords = {"time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    attrs = {"units": "ug m-3", "source": "CAMS global reanalysis (EAC4)"}
    made = as_field(xr.DataArray(values, coords, ("time", "latitude", "longitude"), "pm2p5", attrs))
    downscale_to(
        made.assign_attrs(source=attrs["source"]),
        out,
        temporal="linear",
        spatial="bicubic",
        conserve=False,
    )
    return out


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("own")
    here = Grid.globe(0.75).select((-5, 35, 20, 55))[
        0
    ]  # across Greenwich: longitudes begin below zero
    return {
        "globe": _made(folder / "globe.zarr", Grid.globe(3.0)),
        "region": _made(folder / "region.zarr", here),
        "file": _made(folder / "file.nc", here),
    }


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    ("kind", "projection", "box"),
    [
        ("globe", "plate-carree", None),
        ("globe", "robinson", None),
        ("globe", "south-polar", None),
        ("globe", "plate-carree", (150, -50, -150, -10)),
        ("region", "plate-carree", (-3, 40, 9, 50)),
        ("file", "equal-earth", None),
    ],
)
def test_the_picture_is_the_same(
    outputs: dict[str, Path],
    kind: str,
    projection: str,
    box: tuple[float, float, float, float] | None,
) -> None:
    when = START + np.timedelta64(100, "m")  # the frame of an hour before stands for it
    frame = own_frame([str(outputs[kind])], when)
    assert frame is not None
    assert frame.time == START + np.timedelta64(1, "h")
    field = open_field(outputs[kind])
    found = _pixels(
        frame_figure(frame, box=box, projection=projection, size="column", note="a note")
    )
    expected = _pixels(
        map_figure(field, when, box=box, projection=projection, size="column", note="a note")
    )
    np.testing.assert_array_equal(found, expected)


def test_neither_xarray_nor_dask_is_imported(outputs: dict[str, Path], tmp_path: Path) -> None:
    lines = (
        "import sys; from deepcams.cli import main",
        "assert main(['plot', 'map', sys.argv[1], '-o', sys.argv[3]]) == 0",
        "assert main(['plot', 'map', sys.argv[2], '-o', sys.argv[4]]) == 0",
        "print([name for name in ('xarray', 'pandas', 'dask', 'scipy', 'torch') if name in sys.modules])",
    )
    out = [tmp_path / "a.png", tmp_path / "b.png"]
    words = [str(path) for path in (outputs["globe"], outputs["file"], *out)]
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(path.stat().st_size > 5000 for path in out)


def test_what_is_otherwise_is_left_to_the_usual_way(
    outputs: dict[str, Path], tmp_path: Path
) -> None:
    store, file = outputs["globe"], outputs["file"]
    assert own_frame([store, store]) is None
    assert own_frame(store, name="pm10") is None
    assert own_frame(store, START - np.timedelta64(1, "h")) is None
    assert own_frame(store, START + np.timedelta64(6, "h")) is None
    assert own_frame(tmp_path) is None
    field = open_field(store)
    field.to_zarr(tmp_path / "other.zarr", consolidated=False)
    assert own_frame(tmp_path / "other.zarr") is None  # whose values may mean anything
    field.to_netcdf(tmp_path / "other.nc")
    assert own_frame(tmp_path / "other.nc") is None
    whole = file.read_bytes()
    (tmp_path / "short.nc").write_bytes(whole[: len(whole) // 2])
    assert own_frame(tmp_path / "short.nc") is None
    with xr.open_dataset(file) as dataset:
        dataset.load().assign(pm2p5=dataset.pm2p5.assign_attrs(units="kg m-3")).to_netcdf(
            tmp_path / "kg.nc"
        )
    assert own_frame(tmp_path / "kg.nc") is None


def test_values_are_cleaned_as_a_fields(outputs: dict[str, Path]) -> None:
    frame = own_frame(outputs["globe"])
    assert frame is not None
    frame.values[:20] = -0.5  # noise of packing: 0
    frame.values[20:] = -5  # missing
    image = frame_figure(frame, size="column").axes[0].images[0].get_array()
    assert np.ma.is_masked(image)
    assert 0 < float(image.max()) < 1e-30  # 0 as a logarithmic scale takes it


def test_an_hour_that_is_not_there_is_told_of(
    outputs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = outputs["globe"].with_name("none.png")
    assert main(["plot", "map", str(outputs["globe"]), "--time", "2020-06-01", "-o", str(out)]) == 2
    assert "the nearest is 2019-12-31 18:00" in capsys.readouterr().err
    assert not out.exists()
