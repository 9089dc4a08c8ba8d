"""What a user can get wrong with zones and lists of places: one line, status 2, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.exposure.polygons import read_zones
from exposure.worlds import REGION, Command, rectangle, write_field, write_geojson

BOX = rectangle(0, 46, 9, 55)
BOW_TIE = [[0, 46], [9, 55], [9, 46], [0, 55], [0, 46]]


@pytest.fixture
def refused(command: Command, tmp_path: Path) -> Command:
    """Run a command that must fail, in a folder with a field and zones; return its one line."""
    write_field(tmp_path / "field.nc", REGION)
    write_geojson(tmp_path / "zones.geojson", {"one": BOX})

    def run(*arguments: object) -> tuple[int, str]:
        before = sorted(tmp_path.rglob("*"))
        status, said = command(*arguments)
        assert status == 2, said
        assert len(said.splitlines()) == 1
        assert said.startswith("deepcams: error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return status, said

    return run


def zones_said(refused: Command, *more: object, zones: str = "zones.geojson") -> str:
    return refused("zones", "field.nc", "--zones", zones, "-o", "out.csv", *more)[1]


def test_zones_that_cannot_be_used(refused: Command) -> None:
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    write_geojson(Path("bow.geojson"), {"tie": BOW_TIE})
    said = zones_said(refused, zones="bow.geojson")
    assert "zone 'tie': expected valid rings, found Self-intersection" in said
    geopandas.GeoDataFrame(geometry=[shapely.box(0, 46, 9, 55)]).to_file("bare.gpkg")
    assert "coordinate reference system (CRS), found none" in zones_said(
        refused, zones="bare.gpkg"
    )
    write_geojson(Path("far.geojson"), {"far": rectangle(100, 0, 101, 1)})
    said = zones_said(refused, zones="far.geojson")
    assert "zones that meet the field (2 degrees, 9 x 12" in said
    write_geojson(Path("swapped.geojson"), {"one": rectangle(30, 100, 40, 120)})
    said = zones_said(refused, zones="swapped.geojson")
    assert "latitude and longitude are swapped" in said
    write_geojson(Path("round.geojson"), {"one": rectangle(0, 0, 1e9, 9)})
    assert "longitudes within -720..720" in zones_said(refused, zones="round.geojson")
    write_geojson(Path("none.geojson"), {})
    assert "at least one polygon" in zones_said(refused, zones="none.geojson")
    Path("text.gpkg").write_text("no zones")
    assert "expected polygons" in zones_said(refused, zones="text.gpkg")
    assert "nothing of this name" in zones_said(refused, zones="absent.gpkg")
    point = {"type": "Point", "coordinates": [0, 50]}
    feature = {"type": "Feature", "properties": {"id": 1}, "geometry": point}
    Path("point.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    assert "expected a polygon, found Point" in zones_said(
        refused, zones="point.geojson"
    )
    assert "--id: expected one of id" in zones_said(refused, "--id", "code")


def test_an_id_that_comes_twice(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "z.geojson", {"a": BOX, "b": BOX}, code="x")
    with pytest.raises(InputError, match="each id once, found 'x' twice"):
        read_zones(path, id_column="code")


def test_a_ring_across_180_is_told(tmp_path: Path) -> None:
    ring = [[170, -20], [-170, -20], [-170, 20], [170, 20], [170, -20]]
    path = write_geojson(tmp_path / "z.geojson", {"a": ring})
    with pytest.warns(DeepcamsNotice, match="1 ring with an edge of more than 180"):
        zones = read_zones(path)
    assert np.ptp(zones.rings[0].points[:, 0]) == 20


def test_options_that_do_not_go_together(refused: Command) -> None:
    assert "--classes: expected a population" in zones_said(refused, "--classes", "5")
    people = ("--population", "simulated")
    said = zones_said(refused, *people, "--classes", "5,5")
    assert "increasing numbers above 0, found 5,5" in said
    assert "separated by commas" in zones_said(refused, *people, "--classes", "low")
    said = zones_said(refused, *people, "--classes", "who", "--over", "month")
    assert "days or years of pm2p5" in said
    assert "a population" in zones_said(refused, "--layout", "healthiar")
    assert "a time of the field" in zones_said(refused, "--period", "2018")
    assert "a year with at least 75 %" in zones_said(refused, "--over", "year")
    said = refused("zones", "field.nc", "--zones", "zones.geojson", "-o", "out.shp")[1]
    assert "ends with .csv, .parquet, .gpkg, found '.shp'" in said
    said = refused("zones", "field.nc", "--zones", "countries", "-o", "no/out.csv")[1]
    assert "expected an existing folder" in said


def test_populations_that_cannot_be_used(refused: Command) -> None:
    metres = xr.DataArray(
        np.ones((4, 5)),
        {"y": np.arange(4) * -1000.0 + 9e5, "x": np.arange(5) * 1000.0},
        ["y", "x"],
        "people",
    )
    metres.to_netcdf("metres.nc")
    said = zones_said(refused, "--population", "metres.nc")
    assert "cells in degrees of longitude and latitude" in said
    uneven = metres.assign_coords(y=[60, 59, 57, 56], x=np.arange(5.0))
    uneven.to_netcdf("uneven.nc")
    said = zones_said(refused, "--population", "uneven.nc")
    assert "coordinates of even steps" in said
    xr.Dataset({"a": metres, "b": metres}).to_netcdf("two.nc")
    said = zones_said(refused, "--population", "two.nc")
    assert "choose one with --population-variable" in said
    Path("text.tif").write_text("no raster")
    assert "expected a GeoTIFF" in zones_said(refused, "--population", "text.tif")
    said = zones_said(refused, "--population", "absent.tif")
    assert "nothing of this name" in said
    rasterio = pytest.importorskip("rasterio")
    about = {"driver": "GTiff", "width": 5, "height": 4, "count": 1, "dtype": "float32"}
    turned = rasterio.transform.from_origin(0, 6e6, 1000, 1000)
    with rasterio.open(
        "mollweide.tif", "w", crs="ESRI:54009", transform=turned, **about
    ) as file:
        file.write(np.ones((4, 5), np.float32), 1)
    said = zones_said(refused, "--population", "mollweide.tif")
    assert "a reference system in degrees, found ESRI:54009" in said
    assert "gdalwarp" in said
    degrees = rasterio.transform.from_origin(0, 55, 1, 1)
    with rasterio.open(
        "cut_2020.tif", "w", crs="EPSG:4326", transform=degrees, **about
    ) as file:
        file.write(np.ones((4, 5), np.float32), 1)
    Path("cut_2020.tif").write_bytes(Path("cut_2020.tif").read_bytes()[:-40])
    said = zones_said(refused, "--population", "cut_2020.tif")
    assert "cut_2020.tif: expected readable values" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an empty file"),
        ("id,latitude,longitude\n", "an empty list"),
        ("7431,48.2,16.3\n7432,48.2,16.3\n", "found 3 columns of other names"),
        ("latitude,longitude\n116.4,39.9\n121.5,31.2\n", "are swapped"),
        ("latitude,longitude\n2,48\n3,50\n", "are swapped"),
        ("latitude,longitude\n-33,151\n", "a place in the region of the field"),
        ("latitude,longitude,start\n48,2,tomorrow\n", "a day as 2019-12-31 in start"),
        ("latitude,longitude,date\n48,2,2020-12-31\n", "a window in the field's time"),
    ],
)
def test_lists_that_cannot_be_used(text: str, says: str, refused: Command) -> None:
    Path("list.csv").write_text(text)
    _, said = refused("points", "field.nc", "list.csv", "-o", "out.csv")
    assert says in said


def test_options_of_points_that_do_not_go_together(refused: Command) -> None:
    Path("list.csv").write_text("latitude,longitude\n48,2\n")
    run = ("points", "field.nc", "list.csv", "-o", "out.csv")
    assert "a list with windows" in refused(*run, "--over", "window")[1]
    assert "days (--over day)" in refused(*run, "--over", "hour", "--lags", "2")[1]
    said = refused(*run[:2], "absent.csv", *run[3:])[1]
    assert "no file of this name" in said


@pytest.mark.parametrize("suffix", ["csv", "parquet", "gpkg"])
def test_a_full_disk(
    suffix: str, refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may grow to a kilobyte: the older output stays."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    out = Path(f"out.{suffix}")
    out.write_text("older")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    zones = ("zones", "field.nc", "--zones", "zones.geojson", "--over", "hour")
    monkeypatch.setattr("deepcams.exposure.weights.writable", lambda folder: False)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        _, said = refused(*zones, "-o", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)
    assert f"{out} cannot be written" in said
    assert out.read_text() == "older"
