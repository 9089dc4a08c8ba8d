"""Exposure of zones, against sums in NumPy and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.errors import DeepcamsNotice
from deepcams.core.field import grid_of
from deepcams.exposure.coverage import Lines
from deepcams.exposure.polygons import Ring, Zones, country_zones, read_zones
from deepcams.exposure.population import (
    Population,
    read_population,
    simulated_population,
)
from deepcams.exposure.weights import weigh
from deepcams.exposure.zones import zone_exposure
from exposure.worlds import (
    COARSE,
    REGION,
    Command,
    brute_areas,
    field_on,
    rectangle,
    write_field,
    write_geojson,
    zones_of,
)

STAR = [[13, 59], [6, 54], [-3, 57], [1, 49], [3, 44], [8, 47], [13, 46], [9, 51]]
STAR = [*STAR, STAR[0]]
BOX = rectangle(-5, 46, 9, 55)


def people_in(
    numbers: np.ndarray, west: float, north: float, step: float
) -> Population:
    rows, columns = numbers.shape
    lines = Lines(
        north - step * np.arange(rows + 1), west + step * np.arange(columns + 1)
    )
    return Population(
        lines,
        lambda r, c: numbers[r, c],
        "count",
        "2020",
        "test",
        f"{numbers.sum()}{step}",
    )


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_means_by_area_are_those_of_narrow_strips(missing: float) -> None:
    field = field_on(REGION, hours=5, missing=missing)
    found = zone_exposure(field, zones_of(STAR, BOX), over="hour")
    for number, ring in enumerate((STAR, BOX)):
        areas = brute_areas(np.asarray(ring, float), REGION, samples=600)
        for hour, values in enumerate(field.values.astype(float)):
            known = np.isfinite(values)
            expected = np.sum(areas[known] * values[known]) / areas[known].sum()
            assert found.mean[hour, number] == pytest.approx(expected, rel=1e-6)
            share = areas[known].sum() / areas.sum()
            assert found.covered[hour, number] == pytest.approx(share, abs=1e-6)


def test_means_by_people_are_those_of_fine_pieces() -> None:
    """People of cells that fit neither the field's nor the zone's lines, counted in pieces of a hundredth degree."""
    rng = np.random.default_rng(3)
    step = 0.7
    numbers = rng.integers(0, 1000, (20, 24)).astype(float)
    numbers[3, 4] = -200.0  # missing, as GHS-POP writes it
    population = people_in(numbers, -4.3, 58.1, step)
    field = field_on(REGION, hours=3, missing=0.1)
    box = rectangle(-3, 47, 8.5, 55.5)
    limits = (5.0, 20.0)
    found = zone_exposure(
        field, zones_of(box), over="hour", population=population, classes=limits
    )
    assert found.people is not None
    assert found.population_mean is not None
    assert found.people_covered is not None
    north = 58.1 - 0.01 * np.arange(1401)
    west = -4.3 + 0.01 * np.arange(1680)
    area = -np.diff(np.sin(np.deg2rad(north)))
    middle_north, middle_west = north[:-1] - 0.005, west + 0.005
    row, column = np.arange(1400) // 70, np.arange(1680) // 70
    cell_area = np.add.reduceat(area, np.arange(0, 1400, 70))
    share = (area / cell_area[row] / 70)[:, None]
    people = np.maximum(numbers, 0)[row][:, column] * share
    people[(middle_north < 47) | (middle_north > 55.5)] = 0
    people[:, (middle_west < -3) | (middle_west > 8.5)] = 0
    own = np.floor((REGION.latitudes[0] + 1 - middle_north) / 2).astype(int)
    east = np.floor((middle_west - REGION.longitudes[0] + 1) / 2).astype(int)
    assert found.people[0] == pytest.approx(people.sum(), rel=1e-6)
    inside = ((middle_north > 47) & (middle_north < 55.5))[:, None] & (
        (middle_west > -3) & (middle_west < 8.5)
    )
    areas = np.broadcast_to(area[:, None], inside.shape)[inside]
    known_cells = (numbers >= 0)[row][:, column][inside]
    assert found.people_known is not None
    expected = areas[known_cells].sum() / areas.sum()
    assert found.people_known[0] == pytest.approx(expected, abs=1e-6)
    for hour, values in enumerate(field.values.astype(float)):
        here = values[own][:, east]
        known = np.isfinite(here)
        mean = np.sum(people[known] * here[known]) / people[known].sum()
        assert found.population_mean[hour, 0] == pytest.approx(mean, rel=1e-6)
        covered = people[known].sum() / people.sum()
        assert found.people_covered[hour, 0] == pytest.approx(covered, rel=1e-6)
        table = found.table()
        low = people[known & (here <= 5)].sum() / people[known].sum()
        assert table["share_0_5"][hour] == pytest.approx(low, rel=1e-6)
        above = people[known & (here > 20)].sum() / people[known].sum()
        assert table["share_above_20"][hour] == pytest.approx(above, rel=1e-6)


def test_a_hand_example() -> None:
    """Two cells of a row, 10 and 40; 300 people in the first and 100 in the second: 17.5, and 3 in 4 up to 15."""
    field = field_on(REGION, hours=1)
    values = np.full(field.shape, np.nan, np.float32)
    values[0, 2, 6:8] = [10, 40]  # the row's cells reach from 55 to 57 N, 3 to 7 E
    field = field.copy(data=values)
    population = people_in(np.array([[300.0, 100.0]]), 3.0, 57.0, 2.0)
    found = zone_exposure(
        field,
        zones_of(rectangle(3, 55, 7, 57)),
        over="hour",
        population=population,
        classes=[15],
    )
    row = found.table().iloc[0]
    assert row["mean"] == pytest.approx(25)
    assert row["population_mean"] == pytest.approx(17.5)
    assert row["people"] == pytest.approx(400)
    assert row["share_0_15"] == pytest.approx(0.75)
    assert row["share_above_15"] == pytest.approx(0.25)
    burden = found.table("healthiar")
    assert burden["exp_central"].tolist() == pytest.approx([10, 40])
    assert burden["prop_pop_exp"].tolist() == pytest.approx([0.75, 0.25])
    assert burden["pop_exp"].tolist() == pytest.approx([300, 100])
    assert list(burden)[:3] == ["geo_id_micro", "info", "start"]


def test_people_are_conserved() -> None:
    """Zones that share out the globe have all people, wherever their borders cut cells."""
    west, middle, east = (
        rectangle(a, -90, b, 90) for a, b in ((-180, -31.7), (-31.7, 77.3), (77.3, 180))
    )
    population = simulated_population(0.5)
    weights = weigh(zones_of(west, middle, east), COARSE, population)
    whole = population.read(slice(None), slice(None)).sum()
    assert weights.zone_people.sum() == pytest.approx(whole, rel=1e-12)
    assert weights.people is not None
    assert weights.people.sum() == pytest.approx(whole, rel=1e-12)


def test_days_and_years_need_three_quarters() -> None:
    field = field_on(REGION, hours=51)
    field = field.isel(time=np.r_[0:42, 48:51])  # the third day has three hours: none
    values = field.values
    values[:7, 0, 0] = np.nan
    values[:6, 0, 1] = np.nan
    whole = [rectangle(-9, 59, -7, 61), rectangle(-7, 59, -5, 61)]
    with pytest.warns(DeepcamsNotice, match="1 day with fewer"):
        found = zone_exposure(field, zones_of(*whole), over="day")
    assert found.steps.texts() == ["2019-12-30", "2019-12-31"]
    assert np.isnan(found.mean[0, 0])
    assert found.mean[0, 1] == pytest.approx(values[6:24, 0, 1].mean(dtype=float))
    assert found.mean[1, 0] == pytest.approx(values[24:42, 0, 0].mean(dtype=float))


def test_weights_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    field, zones = field_on(REGION, hours=2), zones_of(rectangle(1.25, 46, 4, 51.5))
    population = simulated_population(2.0)
    first = zone_exposure(field, zones, over="hour", population=population)

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("deepcams.exposure.weights._weigh", refuse)
    again = zone_exposure(field, zones, over="hour", population=population)
    pd.testing.assert_frame_equal(again.table(), first.table())


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "shp", "parquet"])
def test_zones_of_any_file(kind: str, tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    hole = rectangle(1, 49, 3, 51)
    shapes = [shapely.Polygon(BOX, [hole]), shapely.box(10, 50, 12, 52)]
    if kind != "geojson":  # which is always in degrees
        shapes = [shape.segmentize(0.05) for shape in shapes]  # curved in metres
    table = geopandas.GeoDataFrame({"code": ["A", "B"]}, geometry=shapes, crs=4326)
    if kind != "geojson":
        table = table.to_crs(3035)
    path = tmp_path / f"zones.{kind}"
    table.to_parquet(path) if kind == "parquet" else table.to_file(path)
    zones = read_zones(path)
    assert zones.ids == ("A", "B")
    assert [ring.hole for ring in zones.rings] == [False, True, False]
    expected = weigh(zones_of(BOX, rectangle(10, 50, 12, 52)), REGION).zone_area
    expected[0] -= weigh(zones_of(hole), REGION).zone_area[0]
    assert weigh(zones, REGION).zone_area == pytest.approx(expected, rel=1e-6)


def test_edges_that_are_straight_in_metres(tmp_path: Path) -> None:
    """A square of 2,000 km in an equal-area projection has that area, though its edges are curved in degrees."""
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    square = shapely.box(3e6, 2e6, 5e6, 4e6)
    geopandas.GeoDataFrame(geometry=[square], crs=3035).to_file(tmp_path / "z.gpkg")
    zones = read_zones(tmp_path / "z.gpkg")
    area = weigh(zones, COARSE).zone_area[0] * 6371007.2**2
    assert area == pytest.approx(4e12, rel=4e-3)  # of the sphere, not the ellipsoid


@pytest.mark.parametrize("suffix", ["csv", "parquet", "gpkg"])
def test_tables_of_real_files(suffix: str, command: Command) -> None:
    write_field(Path("field.nc"), REGION)
    write_geojson(Path("zones.geojson"), {"one": BOX, "two": STAR})
    population = people_in(np.full((9, 12), 10.0), -9, 61, 2)
    raster = xr.DataArray(
        np.full((9, 12), 10.0),
        {"lat": REGION.latitudes, "lon": REGION.longitudes},
        ["lat", "lon"],
        "people",
    )
    raster.to_netcdf("people_2015.nc")
    status, said = command(
        *("zones", "field.nc", "--zones", "zones.geojson", "-o", f"out.{suffix}"),
        *("--population", "people_2015.nc", "--classes", "5,10", "--over", "day"),
    )
    assert (status, said) == (0, "")
    found = zone_exposure(
        field_on(REGION),
        read_zones("zones.geojson"),
        population=population,
        classes=(5, 10),
    )
    expected = found.table()
    if suffix == "csv":
        table = pd.read_csv("out.csv")
        assert table["start"].tolist() == ["2019-12-30", "2019-12-31"] * 2
    elif suffix == "parquet":
        table = pd.read_parquet("out.parquet")
        assert (table["start"] == expected["start"]).all()
    else:
        geopandas = pytest.importorskip("geopandas")
        table = geopandas.read_file("out.gpkg", layer="exposure")
        shapes = geopandas.read_file("out.gpkg", layer="zones")
        assert shapes["zone"].tolist() == ["one", "two"]
        assert shapes.crs == 4326
        assert shapes.area[0] == pytest.approx(14 * 9)
    assert table["zone"].tolist() == expected["zone"].tolist()
    numbers = [name for name in expected if name not in ("zone", "name", "start")]
    assert table[numbers].to_numpy(float) == pytest.approx(
        expected[numbers].to_numpy(float), rel=1e-6
    )
    facts = json.loads(Path(f"out.{suffix}.json").read_text())
    assert facts["population"]["year"] == "2015"
    assert facts["classes"]["upper_limits"] == [5, 10]


@pytest.mark.parametrize("name", ["days.zarr", "days.nc"])
def test_daily_means_of_the_means_verb(
    name: str, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    write_field(Path("field.nc"), COARSE, hours=72)
    assert command("means", "field.nc", "-o", name, "--days", "nautical")[0] == 0
    write_geojson(Path("zones.geojson"), {"one": rectangle(-14, -1, 14, 1)})
    run = ("zones", name, "--zones", "zones.geojson", "-o", "out.csv")
    assert command(*run)[0] == 0
    found = pd.read_csv("out.csv")
    own = zone_exposure(field_on(COARSE, hours=72), read_zones("zones.geojson"))
    # About Greenwich nautical days are nearly those of UTC; the store's values are rounded.
    assert found["start"].tolist() == own.steps.texts()
    middle = found["mean"][1]
    assert middle == pytest.approx(own.mean[1, 0], rel=0.05)
    assert json.loads(Path("out.csv.json").read_text())["days"] == "nautical"
    Path("list.csv").write_text("lat,lon\n0,0\n")
    for words in (["points", name, "list.csv", "-o", "places.csv"], run):
        assert main([*words, "--json"]) == 0
        out = json.loads(capfd.readouterr().out)["written"]
        assert out == [words[-1], f"{words[-1]}.json"]
    values = field_on(COARSE, hours=72).values[:, 9, 0].reshape(3, 24).mean(axis=1)
    assert pd.read_csv("places.csv")["value"].to_numpy() == pytest.approx(
        values, rel=2e-3
    )
    _, said = command(*run, "--over", "hour")
    assert "--over: expected a field with a value each hour" in said
    command("means", name, "-o", "month.nc", "--over", "month", "--complete", 5)
    assert command(*run[:1], "month.nc", *run[2:], "--over", "month")[0] == 0
    months = pd.read_csv("out.csv")
    assert months["start"].tolist() == ["2019-12"]


def test_a_geotiff_of_people(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    numbers = np.arange(18 * 36, dtype=np.float32).reshape(18, 36)
    numbers[0] = -9999
    about = {
        "driver": "GTiff",
        "width": 36,
        "height": 18,
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:4326",
        "transform": rasterio.transform.from_origin(-180, 90, 10, 10),
        "nodata": -9999,
    }
    with rasterio.open(tmp_path / "ppp_2020.tif", "w", **about) as file:
        file.write(numbers, 1)
    population = read_population(tmp_path / "ppp_2020.tif")
    assert population.year == "2020"
    weights = weigh(zones_of(rectangle(-180, -90, 180, 90)), COARSE, population)
    assert weights.zone_people[0] == pytest.approx(numbers[1:].sum(dtype=float))
    row = (1 - np.sin(np.deg2rad(80))) / 2
    assert weights.missing[0] == pytest.approx(row)


def test_countries_of_a_real_frame(cams_dir: Path) -> None:
    from deepcams.downscaling.plan import downscale
    from deepcams.readers.cams import open_cams

    coarse = open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc").isel(time=[0, 1])
    fine = downscale(coarse, temporal="linear", spatial="bicubic", bbox=(0, 40, 30, 60))
    field = fine.isel(time=[0]).compute()
    codes = ("CZE", "BRA")
    countries = country_zones()
    numbers = [countries.ids.index(code) for code in codes]
    rings = [
        Ring(numbers.index(ring.zone), ring.points)
        for ring in countries.rings
        if ring.zone in numbers
    ]
    zones = Zones(codes, codes, tuple(rings), countries.source)
    with pytest.warns(DeepcamsNotice, match="1 zone of 2 without a cell"):
        found = zone_exposure(field, zones, over="hour")
    areas = brute_areas(rings[-1].points, grid_of(field), samples=100)
    mean = np.sum(areas * field.values[0].astype(float)) / areas.sum()
    assert found.mean[0, 0] == pytest.approx(mean, rel=1e-6)
    assert found.covered[0] == pytest.approx([1, 0])
    assert np.isnan(found.mean[0, 1])
