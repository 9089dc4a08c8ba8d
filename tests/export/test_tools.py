"""Other people's tools read our files: the right values, at the right place and time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.box import eastward
from deepcams.downscaling.job import downscale_to
from deepcams.export import export_to
from deepcams.readers.cams import open_cams

ENVIRONMENT = {
    **os.environ,
    "QT_QPA_PLATFORM": "offscreen",
    "LC_ALL": "C",
    "GDAL_PAM_ENABLED": "NO",
}


def _tool(name: str, *arguments: object, package: str = "") -> str:
    """Run a tool and return what it prints; what it complains of fails the test."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (Debian: {package or name})")
    done = subprocess.run(
        [name, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    return done.stdout


def _gdal(name: str, *arguments: object) -> str:
    return _tool(name, *arguments, package="gdal-bin")


@dataclass
class Files:
    """A field in all formats.

    Attributes:
        stored: what was exported, as xarray alone reads it.
        hour: place of a time, and latitude and longitude of a node, that are asked for.
    """

    netcdf: Path
    cog: Path
    zarr2: Path
    stored: xr.DataArray
    hour: int
    latitude: float
    longitude: float

    @property
    def series(self) -> np.ndarray:
        """The values at the node."""
        place = {"latitude": self.latitude, "longitude": self.longitude % 360}
        return self.stored.sel(place).values

    @property
    def value(self) -> float:
        """The value that is asked for."""
        return float(self.series[self.hour])


def _files(
    store: Path, folder: Path, hour: int, latitude: float, longitude: float
) -> Files:
    pytest.importorskip("rasterio")
    paths = [folder / name for name in ("a.nc", "a.tif", "a.zarr")]
    for path, form in zip(paths, ("netcdf", "cog", "zarr2"), strict=True):
        export_to([store], path, form)
    stored = xr.open_zarr(store).pm2p5.load()
    return Files(*paths, stored, hour, latitude, longitude)


@pytest.fixture(scope="module")
def files(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return _files(store, tmp_path_factory.mktemp("files"), 11, -22.5, -67.5)


@pytest.fixture(scope="module")
def real(cams_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """CAMS's frames of the fires of 2019-12-31, downscaled as by default; a node in the smoke of New South Wales."""
    folder = tmp_path_factory.mktemp("real")
    field = open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc")
    downscale_to(field, folder / "pm25.zarr")
    return _files(folder / "pm25.zarr", folder, 2, -36.5, 150.0)


def test_cdo(files: Files) -> None:
    check_cdo(files)


def check_cdo(files: Files) -> None:
    told = _tool("cdo", "-s", "sinfon", files.netcdf)
    assert f"longitude : -180 to {180 - _step(files):g}" in told
    assert "circular" in told
    place = f"-remapnn,lon={files.longitude}_lat={files.latitude}"
    table = ["-outputtab,date,time,lon,lat,value", place, "-selname,pm2p5"]
    lines = _tool("cdo", "-s", *table, files.netcdf).splitlines()[1:]
    assert len(lines) == files.stored.sizes["time"]
    for line, time, value in zip(
        lines, files.stored.time.values, files.series, strict=True
    ):
        date, clock, longitude, latitude, found = line.split()
        assert f"{date}T{clock}" == str(time)[:19]
        assert (float(longitude), float(latitude)) == (files.longitude, files.latitude)
        assert float(found) == pytest.approx(value, rel=1e-5)
    # Area means: CDO takes the cells' bounds from the file.
    means = _tool(
        "cdo", "-s", "-outputf,%.9g", "-fldmean", "-selname,pm2p5", files.netcdf
    )
    latitude = files.stored.latitude.values
    step = _step(files) / 2
    edges = np.clip(np.stack([latitude - step, latitude + step]), -90, 90)
    areas = xr.DataArray(np.diff(np.sin(np.deg2rad(edges)), axis=0)[0], dims="latitude")
    expected = (
        files.stored.astype(float).weighted(areas).mean(("latitude", "longitude"))
    )
    np.testing.assert_allclose(
        [float(word) for word in means.split()], expected, rtol=1e-5
    )


def _step(files: Files) -> float:
    return float(np.diff(files.stored.longitude.values[:2])[0])


def test_nco(files: Files, tmp_path: Path) -> None:
    check_nco(files, tmp_path)


def check_nco(files: Files, folder: Path) -> None:
    place = ["-d", f"latitude,{files.latitude}", "-d", f"longitude,{files.longitude}"]
    print_values = ["--trd", "-H", "-C", "-v", "pm2p5", "-s", "%.9g\n"]
    told = _tool("ncks", *print_values, *place, files.netcdf, package="nco")
    np.testing.assert_allclose([float(word) for word in told.split()], files.series)
    time = str(files.stored.time.values[files.hour])[:19].replace("T", " ")
    one = ["-d", f"time,{time}"]
    told = _tool("ncks", *print_values, *place, *one, files.netcdf, package="nco")
    assert float(told) == pytest.approx(files.value)
    mean = folder / "mean.nc"
    _tool("ncra", "-O", files.netcdf, mean, package="nco")
    with xr.open_dataset(mean) as found:
        expected = files.stored.mean("time", skipna=True)
        np.testing.assert_allclose(
            found.pm2p5[0].sortby("longitude"), _eastward(expected), rtol=1e-5
        )


def _eastward(stored: xr.DataArray) -> xr.DataArray:
    return stored.assign_coords(longitude=eastward(stored.longitude.values)).sortby(
        "longitude"
    )


def test_ncdump(files: Files) -> None:
    told = _tool("ncdump", "-h", files.netcdf, package="netcdf-bin")
    assert 'pm2p5:grid_mapping = "crs"' in told
    assert "time = UNLIMITED ; // (13 currently)" in told


def test_gdal(files: Files, tmp_path: Path) -> None:
    check_gdal(files, tmp_path)


def check_gdal(files: Files, folder: Path) -> None:
    step = _step(files)
    netcdf = f"NETCDF:{files.netcdf}:pm2p5"
    for name, north in ((netcdf, 90 + step / 2), (files.cog, 90 - step / 2)):
        about = json.loads(_gdal("gdalinfo", "-json", name))
        assert "4326" in about["coordinateSystem"]["wkt"]
        assert about["geoTransform"] == [-180 - step / 2, step, 0, north, 0, -step]
        assert len(about["bands"]) == files.stored.sizes["time"]
        band = about["bands"][files.hour]
        assert band["noDataValue"] == "NaN" or np.isnan(band["noDataValue"])
        _check_value(files, name)
    moment = f"{np.datetime_as_string(files.stored.time.values[files.hour], 'm')}Z"
    assert band["description"] == f"pm2p5 {moment}"
    inside = files.stored.values[files.hour, 1:-1].astype(float)
    statistics = [band[name] for name in ("minimum", "maximum", "mean", "stdDev")]
    expected = [f(inside) for f in (np.nanmin, np.nanmax, np.nanmean, np.nanstd)]
    np.testing.assert_allclose(statistics, expected, atol=0.001)
    # A Zarr store has its place, but no reference system that GDAL 3.6 reads rightly: it is given.
    one = folder / "zarr.tif"
    source = f'ZARR:"{files.zarr2}":/pm2p5:{files.hour}'
    _gdal("gdal_translate", "-q", "-a_srs", "EPSG:4326", source, one)
    _check_value(files, one, 1)


def _check_value(files: Files, name: object, band: int | None = None) -> None:
    place = ["-wgs84", name, files.longitude, files.latitude]
    band = band or files.hour + 1
    told = _gdal("gdallocationinfo", "-valonly", "-b", band, *place)
    assert float(told) == pytest.approx(files.value, rel=1e-6)


def test_gdalwarp_puts_each_node_within_half_a_pixel(
    files: Files, tmp_path: Path
) -> None:
    check_gdalwarp(files, tmp_path)


def check_gdalwarp(files: Files, folder: Path) -> None:
    """In web maps' projection each pixel shows the value of the node within half a step of it, at the dateline too."""
    import rasterio

    out = folder / "mercator.tif"
    one = folder / "hour.vrt"
    _gdal("gdal_translate", "-q", "-of", "VRT", "-b", files.hour + 1, files.cog, one)
    edge = 20037508.34
    extent = ["-te", -edge, -edge, edge, edge, "-ts", 700, 700]
    _gdal("gdalwarp", "-q", "-t_srs", "EPSG:3857", *extent, one, out)
    with rasterio.open(out) as raster:
        values = raster.read(1)
        transform = raster.transform
    radius = 6378137.0
    x = transform.c + transform.a * (np.arange(values.shape[1]) + 0.5)
    y = transform.f + transform.e * (np.arange(values.shape[0]) + 0.5)
    longitude = np.degrees(x / radius)
    latitude = np.degrees(2 * np.arctan(np.exp(y / radius)) - np.pi / 2)
    step, frame = _step(files), files.stored.values[files.hour]
    # Both nodes within half a pixel (and what float arithmetic loses) may be taken.
    matched = np.zeros(values.shape, bool)
    for shift in (-0.001, 0.001):
        rows = np.round((90 - latitude) / step + shift).astype(int)
        columns = np.round(longitude / step + shift).astype(int) % frame.shape[1]
        nodes = frame[np.clip(rows, 1, len(frame) - 2)[:, None], columns[None]]
        matched |= (values == nodes) | (np.isnan(values) & np.isnan(nodes))
    assert matched.all()


R_SCRIPT = """
arguments <- commandArgs(trailingOnly = TRUE)
netcdf <- arguments[1]; cog <- arguments[2]
hour <- as.integer(arguments[3]); lon <- as.numeric(arguments[4]); lat <- as.numeric(arguments[5])
suppressMessages({library(terra); library(ncdf4); library(stars)})
say <- function(...) cat(sprintf("%s\\n", c(...)), sep = "")
grid <- rast(netcdf, subds = "pm2p5")
say(crs(grid, describe = TRUE)$code, format(time(grid)[hour], "%Y-%m-%dT%H:%M", tz = "UTC"), units(grid)[1])
say(sprintf("%.9g", extract(grid[[hour]], cbind(lon, lat))[1, 1]))
tif <- rast(cog)
say(names(tif)[hour], sprintf("%.9g", extract(tif[[hour]], cbind(lon, lat))[1, 1]))
file <- nc_open(netcdf)
values <- ncvar_get(file, "pm2p5")
say(sprintf("%.9g", values[which(file$dim$longitude$vals == lon), which(file$dim$latitude$vals == lat), hour]))
cube <- read_stars(paste0('NETCDF:"', netcdf, '":pm2p5'))
say(format(st_get_dimension_values(cube, "time")[hour], "%Y-%m-%dT%H:%M", tz = "UTC"))
point <- st_sfc(st_point(c(lon, lat)), crs = 4326)
say(sprintf("%.9g", as.numeric(st_extract(cube[, , , hour], point)[[1]])))
cube <- read_stars(cog)
say(st_crs(cube)$epsg, sprintf("%.9g", as.numeric(st_extract(cube[, , , hour], point)[[1]])))
"""


@pytest.mark.slow
def test_real_fires_in_every_tool(real: Files, tmp_path: Path) -> None:
    assert real.value > 100  # smoke
    check_cdo(real)
    check_nco(real, tmp_path)
    check_gdal(real, tmp_path)
    check_gdalwarp(real, tmp_path)


@pytest.mark.slow
def test_r(real: Files, tmp_path: Path) -> None:
    """The packages terra, ncdf4 and stars."""
    if shutil.which("Rscript") is None:
        pytest.skip(
            "R is not installed (Debian: r-cran-terra, r-cran-ncdf4, r-cran-stars)"
        )
    for package in ("terra", "ncdf4", "stars"):
        there = [
            "Rscript",
            "-e",
            f"quit(status = !requireNamespace('{package}', quietly = TRUE))",
        ]
        if subprocess.run(there, capture_output=True, check=False).returncode:
            pytest.skip(f"R's {package} is not installed (Debian: r-cran-{package})")
    script = tmp_path / "read.R"
    script.write_text(R_SCRIPT)
    where = [real.hour + 1, real.longitude, real.latitude]
    told = _tool("Rscript", script, real.netcdf, real.cog, *where).splitlines()
    time = str(real.stored.time.values[real.hour])[:16]
    value = f"{real.value:.9g}"
    expected = ["4326", time, "ug m-3", value, f"pm2p5 {time}Z", value]
    assert told == [*expected, value, time, value, "4326", value]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["netcdf", "cog"])
def test_qgis(real: Files, tmp_path: Path, form: str) -> None:
    """QGIS without its window: the extent, and the value under a point of a vector layer."""
    run = "qgis_process.bin"  # Debian's qgis_process gives it an option that it does not know
    if shutil.which(run) is None:
        run = "qgis_process"
    raster = getattr(real, form)
    given = [f"INPUT={raster}", f"BAND={real.hour + 1}"]
    told = _tool(
        run, "run", "native:rasterlayerproperties", "--", *given, package="qgis"
    )
    assert "CRS_AUTHID:\tEPSG:4326" in told
    assert "X_MIN:\t-180.125" in told
    point = {"type": "Point", "coordinates": [real.longitude, real.latitude]}
    layer = tmp_path / "point.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": point}
    layer.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    out = tmp_path / "sampled.geojson"
    given = [f"INPUT={layer}", f"RASTERCOPY={raster}", f"OUTPUT={out}"]
    _tool(run, "run", "native:rastersampling", "--", *given, package="qgis")
    (found,) = json.loads(out.read_text())["features"]
    assert found["properties"][f"SAMPLE_{real.hour + 1}"] == pytest.approx(real.value)
