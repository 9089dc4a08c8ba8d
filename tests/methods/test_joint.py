"""A network in space and time: it starts as the chain it corrects, conserves, has no seams, and takes weather."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid, cells_from_nodes
from deepcams.methods import build
from deepcams.methods.joint.estimates import surrounded
from deepcams.methods.joint.input_planes import context_planes, people
from deepcams.methods.joint.weather_inputs import open_auxiliary
from deepcams.methods.spatial.coarsen import area_mean
from methods.conftest import random_field

torch = pytest.importorskip("torch")

REGION = Grid(0.75, 60, 20, 8, 10)
ACROSS_GREENWICH = Grid(0.75, 0, -4, 9, 10)
WEATHER = "people land latitude sun boundary-layer wind-east wind-north"


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """``network(shaken, context)``: a checkpoint that corrects log-bicubic."""
    from deepcams.methods.onnx_export import export
    from deepcams.networks import build as build_network
    from deepcams.networks import make_scaling, save

    folder = tmp_path_factory.mktemp("spacetime")

    def make(
        shaken: float = 0.0, context: str = "people land", exported: bool = False
    ) -> str:
        path = folder / f"{shaken}-{len(context)}.safetensors"
        if not path.exists():
            torch.manual_seed(2)
            options = {"width": 4, "blocks": 1, "estimate": "log-bicubic"}
            made = build_network("spacetime", context=context, **options)
            with torch.no_grad():
                for weight in made.parameters():
                    weight += shaken * torch.randn(weight.shape) / 3
            save(made, path, make_scaling("linear", {"unit": 1}))
        if exported:
            export(path)
        return str(path)

    return make


def joint(path: str, **options: Any) -> Any:
    return build(path, path, **options)


@pytest.mark.parametrize("grid", [REGION, ACROSS_GREENWICH], ids=["region", "pole"])
def test_with_zero_weights_it_is_the_chain_that_it_corrects(
    network: Callable[..., str], grid: Grid
) -> None:
    field = random_field(grid, 4)
    wanted = build("self-checked", "log-bicubic").downscale(field)
    found = joint(network()).downscale(field)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.time, wanted.time)


def test_analyses_keep_each_cells_mean_and_other_hours_need_not(
    network: Callable[..., str],
) -> None:
    field = random_field(REGION, 3)
    found = joint(network(0.3)).downscale(field)
    start = joint(network()).downscale(field)
    assert not np.allclose(found, start, rtol=0.05)
    mean = area_mean(found.values, REGION)
    np.testing.assert_allclose(mean[::3], field.values, rtol=1e-5)
    assert not np.allclose(mean[1], area_mean(start.values, REGION)[1], rtol=1e-3)
    assert (found.values >= 0).all()


def test_hours_do_not_depend_on_which_others_are_asked_for(
    network: Callable[..., str],
) -> None:
    field = random_field(REGION, 5)
    whole = joint(network(0.3)).downscale(field)
    part = joint(network(0.3)).downscale(field[1:5], whole.time.values[6:9])
    np.testing.assert_array_equal(part, whole[6:9])


def test_engines_answer_as_pytorch_and_bands_as_the_whole(
    network: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    grid = Grid(0.75, 60, 20, 70, 6)
    field = random_field(grid, 2)
    path = network(0.1, WEATHER, exported=True)
    exported, plain = (joint(path, engine=each) for each in ("onnxruntime", "torch"))
    wanted = plain.downscale(field)
    np.testing.assert_allclose(exported.downscale(field), wanted, rtol=1e-4, atol=1e-5)
    runner = exported.parts[0].runner
    run, tallest = runner.run, 3 * 70 + 6 * runner.halo

    def short_of_memory(planes: np.ndarray) -> np.ndarray:
        if planes.shape[-2] == tallest:
            raise MemoryError
        return np.asarray(run(planes))

    monkeypatch.setattr(runner, "run", short_of_memory)
    with pytest.warns(DeepcamsNotice, match="rows at once"):
        found = exported.downscale(field)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_globe_has_no_seam_and_one_value_at_a_pole(
    network: Callable[..., str],
) -> None:
    grid = Grid.globe(3.0)
    field = random_field(grid, 2)
    for row in (0, -1):
        field[:, row] = field[0, row, 0]
    field[1] = field[0]  # where nothing moves, flow is the same everywhere
    turned = field.copy(data=np.roll(field.values, 40, axis=-1))
    path = network(0.3, "latitude")  # the same at all longitudes
    hours = field.time.values[[0, 1]]
    found, again = (joint(path).downscale(each, hours) for each in (field, turned))
    np.testing.assert_allclose(
        np.roll(found, 120, axis=-1), again, rtol=1e-4, atol=1e-4
    )
    for row in (0, -1):
        assert (found.values[:, row, 0] == found.values[:, row].T).all()


def test_missing_cells_and_frames_stay_missing(network: Callable[..., str]) -> None:
    field = random_field(REGION, 4)
    field[1, 3, 4] = np.nan
    field[3] = np.nan
    wanted = np.isnan(build("self-checked", "log-bicubic").downscale(field))
    found = np.isnan(joint(network(0.3)).downscale(field))
    np.testing.assert_array_equal(found, wanted)
    assert 0 < wanted[2].sum() < wanted[2].size


@pytest.mark.parametrize(
    "grid",
    [REGION, ACROSS_GREENWICH, Grid.globe(15.0), Grid(0.75, 233, 3, 8, 5)],
    ids=["region", "north", "globe", "south"],
)
def test_surroundings_continue_the_cells(grid: Grid) -> None:
    fine = grid.refine()
    nodes = np.random.default_rng(0).random((2, *fine.shape))
    wide = surrounded(nodes, grid, 3, 6)
    inside = wide[:, 6:-6, 6:-6]
    np.testing.assert_allclose(inside, cells_from_nodes(nodes, grid), rtol=1e-6)
    if grid.periodic:
        np.testing.assert_array_equal(wide[..., 6:-6, :6], inside[..., -6:])


def test_people_are_where_the_towns_are() -> None:
    found = people(Grid.globe(0.25))
    total = (10.0**found - 1).sum()
    row, column = np.unravel_index(found.argmax(), found.shape)
    part = people(Grid(0.25, row - 3, column - 3, 7, 7))
    assert part.max() == found.max() > 4  # more than ten million
    assert 2.5e6 < total < 4.5e6  # thousands, in towns of 15,000 and more
    sun, unknown = context_planes(
        ("sun", "wind-east"), REGION, np.datetime64("2020-06-21T12")
    )
    assert (sun > 0.5).all()
    assert not unknown.any()


def weather(
    path: Path, hours: int = 10, units: str = "m", step: float = 0.5, **coords: Any
) -> str:
    """Write ERA5-like files of boundary-layer height: 100 m at first, 10 m an hour more."""
    times = np.datetime64("2019-12-31T00", "ns") + np.arange(hours) * np.timedelta64(
        1, "h"
    )
    latitude = coords.get("latitude", np.arange(60, 20, -step))
    longitude = coords.get("longitude", np.arange(0, 40, step))
    values = np.broadcast_to(
        100 + 10 * np.arange(hours)[:, None, None],
        (hours, latitude.size, longitude.size),
    )
    xr.Dataset(
        {"blh": (("time", "latitude", "longitude"), values, {"units": units})},
        {"time": times, "latitude": latitude, "longitude": longitude},
    ).to_netcdf(path)
    return str(path)


def test_weather_comes_to_the_hour_and_the_grid(
    tmp_path: Path, network: Callable[..., str]
) -> None:
    names = ("land", "boundary-layer")
    files = open_auxiliary([weather(tmp_path / "blh.nc")], names, "it")
    found = files.plane(
        "boundary-layer", REGION.refine(), np.datetime64("2019-12-31T02:30", "ns")
    )
    np.testing.assert_allclose(found, np.log10(125 / 500), rtol=1e-5)
    assert files.plane("wind-east", REGION, np.datetime64("2019-12-31T02")) is None
    field = random_field(REGION, 2)
    path = network(0.3, " ".join(names))
    without = joint(path).downscale(field)
    chain = joint(path, auxiliary=(str(tmp_path / "blh.nc"),))
    assert not np.allclose(chain.downscale(field), without, rtol=1e-3)
    assert chain.settings()["chain"][0]["auxiliary"]["names"] == ["boundary-layer"]


def downscaled(tmp_path: Path, path: str, *files: str) -> int:
    from deepcams.cli import main

    field = random_field(REGION, 3)
    field.to_netcdf(tmp_path / "cams.nc")
    given = [part for file in files for part in ("--auxiliary", file)]
    cams, out = str(tmp_path / "cams.nc"), str(tmp_path / "out.nc")
    return main(["downscale", cams, "-o", out, "--method", path, *given])


def test_half_the_hours_of_weather_are_used_and_the_rest_is_said(
    tmp_path: Path, network: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    half = weather(tmp_path / "half.nc", hours=4)
    assert downscaled(tmp_path, network(0.3, WEATHER), half) == 0
    said = capsys.readouterr().err
    assert "does not cover 3 hours, computed without boundary-layer" in said
    assert "no wind-east in the files" in said
    made = xr.open_dataset(tmp_path / "out.nc").pm2p5
    plain = joint(network(0.3, WEATHER)).downscale(random_field(REGION, 3))
    same = np.isclose(made, plain, rtol=3e-3).mean(axis=(1, 2))
    assert (same[4:] == 1).all()
    assert (same[:4] < 0.9).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": "Pa"}, "units: expected m, found 'Pa'"),
        ({"longitude": np.arange(100, 140, 0.5)}, "100..139.5"),
        ({"latitude": np.arange(30, 20, -0.5)}, "20.5..30"),
        ({"hours": 1}, ""),
    ],
    ids=["units", "east", "south", "one hour"],
)
def test_weather_that_does_not_serve_is_one_line(
    tmp_path: Path,
    network: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    message: str,
) -> None:
    file = weather(tmp_path / "blh.nc", **changes)
    if changes == {"hours": 1}:
        moved = xr.open_dataset(file).load()
        moved = moved.assign_coords(time=moved.time + np.timedelta64(400, "D"))
        moved.to_netcdf(tmp_path / "late.nc")
        file, message = str(tmp_path / "late.nc"), "found 2021-02-03"
    assert downscaled(tmp_path, network(0.3, WEATHER), file) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said
    assert not (tmp_path / "out.nc").exists()


def test_what_does_not_fit_is_one_line(
    tmp_path: Path, network: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = network(), os.devnull
    with pytest.raises(InputError, match="use --method"):
        build("flow", path)
    with pytest.raises(InputError, match="a network in space and time"):
        build("flow", "bicubic", auxiliary=("x.nc",))
    for option in ({"factor": 5}, {"gap": 6}, {"conserve": False}):
        with pytest.raises(InputError, match="expected a method in time and one in"):
            joint(path, **option)
    with pytest.raises(InputError, match="takes weather"):
        joint(path, auxiliary=(other,))
    assert downscaled(tmp_path, path, weather(tmp_path / "blh.nc")) == 2
    from deepcams.cli import main

    assert (
        main(
            ["downscale", "x.nc", "-o", "y.nc", "--method", path, "--temporal", "flow"]
        )
        == 2
    )
    assert "expected it without --temporal" in capsys.readouterr().err


def test_a_run_in_items_is_the_field_at_once(
    tmp_path: Path, network: Callable[..., str]
) -> None:
    import deepcams

    field = random_field(REGION, 18)  # more than two items of a day
    path = network(0.3)
    deepcams.downscale_to(
        field, tmp_path / "out.nc", temporal=path, spatial=path, rounding=0.0
    )
    made = xr.open_dataset(tmp_path / "out.nc").pm2p5
    wanted = joint(path).downscale(field)
    np.testing.assert_allclose(made, wanted, rtol=1e-6)
    assert grid_of(made) == grid_of(wanted)
