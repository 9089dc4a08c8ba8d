"""The output follows CF-1.11 and ACDD-1.3, and other people's tools read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from deepcams.downscaling.job import downscale_to
from deepcams.downscaling.output_identity import provenance

MakeField = Callable[..., xr.DataArray]
LINEAR = {"temporal": "linear", "spatial": "bicubic"}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same field as netCDF, as Zarr, as Zarr turned to netCDF, and hourly means as netCDF."""
    from deepcams.core.field import as_field

    folder = tmp_path_factory.mktemp("outputs")
    latitude, longitude = np.arange(90, -91, -7.5), np.arange(0, 360, 7.5)
    values = (
        np.random.default_rng(0)
        .lognormal(1, 1, (5, latitude.size, longitude.size))
        .astype(np.float32)
    )
    values[:, 4, 5] = np.nan
    times = np.datetime64("2019-12-31T15", "ns") + np.arange(5) * np.timedelta64(3, "h")
    coordinates = {"time": times, "latitude": latitude, "longitude": longitude}
    field = as_field(
        xr.DataArray(
            values, coordinates, tuple(coordinates), "pm2p5", {"units": "ug m-3"}
        )
    )
    paths = {
        name: folder / f"{name}.nc" for name in ("netcdf", "turned", "mean", "box")
    } | {"zarr": folder / "a.zarr"}
    downscale_to(field, paths["netcdf"], **LINEAR)
    downscale_to(field, paths["zarr"], **LINEAR)
    downscale_to(field, paths["box"], bbox=(150, -30, -160, 20), rounding=0, **LINEAR)
    half = field.assign_coords(time=field.time + np.timedelta64(30, "m")).assign_attrs(
        cell_methods="time: mean"
    )
    downscale_to(half, paths["mean"], **LINEAR)
    stored = xr.open_zarr(paths["zarr"])
    # xarray gives every float coordinate a _FillValue unless told not to, whatever the store says.
    for name in (
        *stored.coords,
        *(name for name in stored.data_vars if str(name).endswith("_bounds")),
    ):
        stored[name].encoding["_FillValue"] = None
    stored.to_netcdf(paths["turned"])
    return paths


PROJ = """
import json, sys, pyproj
for attributes in json.load(sys.stdin):
    print(pyproj.CRS.from_cf(attributes).to_epsg())
    del attributes["crs_wkt"]
    print(pyproj.CRS.from_cf(attributes).ellipsoid.inverse_flattening)
"""


def test_every_output_names_its_coordinate_reference_system(
    outputs: dict[str, Path],
) -> None:
    """A grid mapping as CF and GDAL have it; pyproj, in a process of its own, reads EPSG:4326."""
    pytest.importorskip("compliance_checker", reason="pyproj comes with it")
    mappings = []
    for name in ("netcdf", "zarr", "mean", "box"):
        path = outputs[name]
        zarr_store = path.suffix == ".zarr"
        stored = xr.open_zarr(path) if zarr_store else xr.open_dataset(path)
        mapping = stored[stored.pm2p5.attrs["grid_mapping"]]
        assert mapping.shape == ()
        mappings.append(mapping.attrs)
    done = subprocess.run(
        [sys.executable, "-c", PROJ],
        input=json.dumps(mappings, default=float),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["4326", "298.257223563"] * 4


CHECK = """
import sys
from compliance_checker import runner
runner.CheckSuite.load_all_available_checkers()
checks, *paths = sys.argv[1:]
for path in paths:
    runner.ComplianceChecker.run_checker(
        path, checks.split(), 0, "normal", output_filename=path + ".json", output_format="json"
    )
"""


def _checked(checks: str, *paths: Path) -> list[dict[str, Any]]:
    """What the checker finds, in a process of its own: its PROJ and ecCodes' own crash together at the end."""
    pytest.importorskip(
        "compliance_checker", reason="compliance-checker is not installed"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECK, checks, *map(str, paths)],
        check=True,
    )
    return [
        json.loads(path.with_name(f"{path.name}.json").read_text()) for path in paths
    ]


def test_compliance_checker_finds_no_error(outputs: dict[str, Path]) -> None:
    for found in _checked(
        "cf:1.11 acdd:1.3",
        *(outputs[name] for name in ("netcdf", "turned", "mean", "box")),
    ):
        assert set(found) == {"cf:1.11", "acdd:1.3"}
        failed = {
            checker: [
                (one["name"], one["msgs"])
                for one in result["high_priorities"]
                if one["value"][0] < one["value"][1]
            ]
            for checker, result in found.items()
        }
        assert failed == {"cf:1.11": [], "acdd:1.3": []}
        warned = [
            one["msgs"]
            for one in found["cf:1.11"]["medium_priorities"]
            if one["value"][0] < one["value"][1]
        ]
        assert warned == []


def test_the_checker_would_have_found_an_error(
    outputs: dict[str, Path], tmp_path: Path
) -> None:
    """That the test above can fail: the same file with wrong units."""
    with xr.open_dataset(outputs["netcdf"]) as dataset:
        dataset.load()
    dataset.pm2p5.attrs["units"] = "K"
    dataset.to_netcdf(tmp_path / "wrong.nc")
    (found,) = _checked("cf:1.11", tmp_path / "wrong.nc")
    high = found["cf:1.11"]["high_priorities"]
    assert any(one["value"][0] < one["value"][1] for one in high)


@pytest.mark.parametrize("name", ["netcdf", "zarr"])
def test_plain_xarray_reads_it(outputs: dict[str, Path], name: str) -> None:
    with xr.open_dataset(outputs[name]) as found:
        assert found.pm2p5.dims == ("time", "latitude", "longitude")
        assert found.pm2p5.attrs["units"] == "ug m-3"
        assert (
            found.pm2p5.attrs["standard_name"]
            == "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"
        )
        assert found.time.dtype.kind == "M"
        assert found.status.attrs["flag_meanings"].split() == [
            "missing",
            "analysis",
            "interpolated",
        ]
        assert found.pm2p5.isel(time=0).isnull().sum() == 9
        assert found.attrs["Conventions"] == "CF-1.11, ACDD-1.3"
        assert (
            "Contains modified Copernicus Atmosphere Monitoring Service information 2019-2020"
            in found.attrs["acknowledgement"]
        )
        assert found.encoding or found.pm2p5.encoding


@pytest.mark.filterwarnings("error")
def test_zarr_readers_find_nothing_strange_in_the_store(
    outputs: dict[str, Path],
) -> None:
    wanted = {"pm2p5", "status", "time", "latitude", "longitude"}
    for consolidated in (True, False):
        assert wanted <= set(
            xr.open_zarr(outputs["zarr"], consolidated=consolidated).variables
        )
        group = zarr.open_group(
            outputs["zarr"], mode="r", use_consolidated=consolidated
        )
        assert wanted <= {name for name, _ in group.members()}


def _tool(name: str, *arguments: str | Path) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian: cdo, netcdf-bin)")
    done = subprocess.run(
        [name, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("name", ["netcdf", "turned", "box"])
def test_cdo_reads_it(outputs: dict[str, Path], name: str) -> None:
    told = _tool("cdo", "sinfo", outputs[name])
    assert "13 steps" in told
    assert "lonlat" in told
    assert "2019-12-31 15:00:00" in told
    assert "2020-01-01 03:00:00" in told


@pytest.mark.parametrize("name", ["netcdf", "turned", "box"])
def test_ncdump_reads_it(outputs: dict[str, Path], name: str) -> None:
    told = _tool("ncdump", "-h", outputs[name])
    assert "float pm2p5(time, latitude, longitude)" in told
    assert 'pm2p5:ancillary_variables = "status"' in told


@pytest.mark.parametrize(
    ("source", "acknowledged"),
    [
        ("CAMS global reanalysis (EAC4)", "Contains modified Copernicus Atmosphere"),
        ("NASA GEOS-CF version 1", "Made from NASA GEOS-CF version 1, 2019"),
        ("a simulated world in CAMS's layout, no real data", "Simulated, no real data"),
    ],
)
def test_only_what_is_made_from_cams_acknowledges_it(
    source: str, acknowledged: str
) -> None:
    times = np.array(["2019-03-08T00", "2019-03-08T03"], "M8[ns]")
    found = provenance({"inputs": []}, "deepcams", "PM2.5", source, times)
    assert found["acknowledgement"].startswith(acknowledged)
    assert ("Copernicus" in found["license"]) == source.startswith("CAMS")
