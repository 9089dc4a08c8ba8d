"""Population rasters at their native resolution, read window by window; and a simulated one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError, UnreadableError
from deepcams.exposure.coverage import Lines
from deepcams.files.cache import identity
from deepcams.files.optional import need
from deepcams.files.records import fingerprint
from deepcams.files.towns import cities

SIMULATED = "simulated"
"""Name, given instead of a file, of the simulated population."""
Kind = Literal["count", "density"]
EARTH_RADIUS = 6371.0072
"""Radius of the sphere with the Earth's area, km."""
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
_LARGEST = 1e8
"""Largest plausible number of people in a cell; larger values are unmarked missing values."""


@dataclass(frozen=True)
class Population:
    """People in the cells of a raster in longitude and latitude.

    Attributes:
        lines: boundaries of its cells.
        read: returns the values of a slice of rows and a slice of columns: float64, NaN where missing.
        kind: ``count``: people per cell; ``density``: people per square kilometre.
        year: year of the population, as text; empty if unknown.
        source: description of the origin.
        identity: fingerprint of the data.
    """

    lines: Lines
    read: Callable[[slice, slice], np.ndarray]
    kind: Kind
    year: str
    source: str
    identity: str

    def density(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return people per area of the unit sphere (0 where missing), and a mask of missing cells."""
        try:
            values = self.read(rows, columns)
        except Exception as error:  # each library raises its own type
            found = " ".join(str(error.__cause__ or error).split())[:160]
            expected = "readable values"
            raise UnreadableError(self.source, expected, found) from error
        with np.errstate(invalid="ignore"):
            missing = ~((values >= 0) & (values <= _LARGEST))
        values = np.where(missing, 0.0, values)
        if self.kind == "density":
            return values * EARTH_RADIUS**2, missing
        heights = -np.diff(np.sin(np.deg2rad(self.lines.rows)))[rows]
        widths = np.deg2rad(np.diff(self.lines.columns))[columns]
        return values / (heights[:, None] * widths), missing


def simulated_population(step: float = 0.1) -> Population:
    """Return a simulated population: the inhabitants of GeoNames' towns, spread over about ten kilometres.

    It is not a census: people outside towns of 15,000 are missing. It is meant for demos and tests.

    Args:
        step: cell size, degrees; must divide 180.

    Returns:
        a global population.
    """
    rows, columns = round(180 / step), round(360 / step)
    lines = Lines(90 - step * np.arange(rows + 1), step * np.arange(columns + 1) - 180)
    return Population(
        lines,
        lambda rows, columns: _spread(step)[rows, columns],
        "count",
        "none",
        "simulated from GeoNames' towns; no census",
        f"simulated-{step}",
    )


@lru_cache(maxsize=2)
def _spread(step: float) -> np.ndarray:
    """Return the people of the simulated population, (rows, columns)."""
    from scipy.ndimage import gaussian_filter

    rows, columns = round(180 / step), round(360 / step)
    known = cities()
    row = np.clip(((90 - known.latitude) / step).astype(int), 0, rows - 1)
    column = ((known.longitude + 180) / step).astype(int) % columns
    people = np.bincount(row * columns + column, known.population, rows * columns)
    spread = gaussian_filter(
        people.reshape(rows, columns), 0.1 / step, mode=("nearest", "wrap")
    )
    return np.asarray(spread * (people.sum() / spread.sum()))


def read_population(
    path: str | Path,
    *,
    kind: Kind = "count",
    year: str | None = None,
    variable: str | None = None,
) -> Population:
    """Open a population raster; values are read lazily.

    Args:
        path: GeoTIFF (WorldPop, GHS-POP, GPW, LandScan), netCDF or Zarr, in degrees; or ``simulated``.
        kind: ``count``: people per cell; ``density``: people per square kilometre.
        year: year of the population; default the last year in the file's name.
        variable: variable to read, for a netCDF file with several.

    Returns:
        the raster; negative values and those marked as missing count as missing.

    Raises:
        InputError: the file cannot be read, or is not a raster with even steps in degrees.
    """
    if str(path) == SIMULATED:
        return simulated_population()
    path = Path(path).expanduser()
    if not path.exists():
        expected = "a population raster, or simulated"
        raise InputError(path, expected, "nothing of this name", "check the path")
    opened = _raster if path.suffix.lower() in (".tif", ".tiff") else _dataset
    lines, read = opened(path, variable)
    years = _YEAR.findall(path.name)
    return Population(
        lines,
        read,
        kind,
        year or (years[-1] if years else ""),
        path.name,
        fingerprint(*identity(path), kind, variable),
    )


def _raster(path: Path, variable: str | None) -> Any:
    rasterio = need("rasterio")
    try:
        with rasterio.Env():  # keeps GDAL's messages off the terminal
            file = rasterio.open(path)
    except Exception as error:  # rasterio raises its own types
        found = " ".join(str(error).split())[:160]
        raise InputError(path, "a GeoTIFF", found) from error
    if variable is not None or file.count != 1:
        raise InputError(path, "one band", f"{file.count}; a GeoTIFF has no variables")
    if file.crs is None or not file.crs.is_geographic:
        found = "none" if file.crs is None else file.crs.to_string()[:60]
        do = "use the edition in degrees (WGS 84), or warp it with gdalwarp -t_srs EPSG:4326 -r sum"
        raise InputError(path, "a reference system in degrees", found, do)
    about = file.transform
    if about.b or about.d or about.a <= 0 or about.e >= 0:
        raise InputError(path, "a raster with north up", "a turned one")
    rows = about.f + about.e * np.arange(file.height + 1)
    columns = about.c + about.a * np.arange(file.width + 1)

    def read(rows: slice, columns: slice) -> np.ndarray:
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        with rasterio.Env():
            found = file.read(1, window=window, masked=True)
        return np.asarray(found.astype(np.float64).filled(np.nan))

    return _checked(rows, columns, path), read


def _dataset(path: Path, variable: str | None) -> Any:
    from deepcams.readers.formats.datasets import open_datasets
    from deepcams.readers.formats.detect import find_files

    files = find_files(path)
    if len(files) != 1:
        raise InputError(path, "one file of people", f"{len(files)}")
    data = open_datasets(files[0])[0]
    names = [name for name, each in data.data_vars.items() if each.ndim >= 2]
    if variable is None and len(names) != 1:
        listed = ", ".join(map(str, names)) or "none"
        do = "choose one with --population-variable"
        raise InputError(path, "one variable with two dimensions", listed, do)
    if variable is not None and variable not in data:
        listed = ", ".join(map(str, names))
        raise InputError(path, f"one of {listed}", repr(variable))
    array = data[variable or names[0]].squeeze(drop=True)
    axes = []
    for usual in (("latitude", "lat", "y"), ("longitude", "lon", "x")):
        name = next((each for each in usual if each in array.dims), None)
        if name is None or name not in array.coords:
            raise InputError(path, f"a coordinate {usual[0]}", f"{array.dims}")
        axes.append(name)
    if array.ndim != 2:
        raise InputError(path, "one map", f"dimensions {array.dims}")
    array = array.transpose(*axes)
    middles = np.asarray(array[axes[0]].values, float)
    upward = middles.size > 1 and middles[0] < middles[-1]
    if upward:
        array, middles = array[::-1], middles[::-1]
    lines = [_between(middles, path), _between(array[axes[1]].values, path)]

    def read(rows: slice, columns: slice) -> np.ndarray:
        return np.asarray(array[rows, columns].values, np.float64)

    return _checked(lines[0], lines[1], path), read


def _between(middles: np.ndarray, path: Path) -> np.ndarray:
    """Return the boundaries of cells, given their centres.

    Raises:
        InputError: fewer than two centres, or uneven ones.
    """
    middles = np.asarray(middles, float)
    if middles.size < 2:
        raise InputError(path, "at least 2 x 2 cells", f"{middles.size} in a row")
    step = (middles[-1] - middles[0]) / (middles.size - 1)
    even = middles[0] + step * np.arange(middles.size)
    if not np.all(np.abs(middles - even) <= 0.02 * abs(step)):
        do = "regrid it to even steps in degrees"
        raise InputError(path, "coordinates of even steps", "uneven ones", do)
    return middles[0] + step * (np.arange(middles.size + 1) - 0.5)


def _checked(rows: np.ndarray, columns: np.ndarray, path: Path) -> Lines:
    """Return the boundaries of a raster; those near a pole are moved to the pole.

    Raises:
        InputError: they are not valid latitudes and longitudes.
    """
    step = rows[0] - rows[1]
    inside = rows[0] <= 90 + 0.51 * step and rows[-1] >= -90 - 0.51 * step
    around = columns[-1] - columns[0]
    if not inside or not 0 < around <= 360 + 0.01 * step or np.any(columns < -361):
        found = f"{columns[0]:g}..{columns[-1]:g} E, {rows[-1]:g}..{rows[0]:g} N"
        do = "use the edition in degrees (WGS 84)"
        expected = "cells in degrees of longitude and latitude"
        raise InputError(path, expected, found, do)
    if abs(around - 360) < 0.01 * step:
        columns = columns[0] + 360 * np.arange(columns.size) / (columns.size - 1)
    rows = np.clip(rows, -90, 90)
    for pole, at in ((90.0, 0), (-90.0, -1)):
        if abs(rows[at] - pole) < 0.01 * step:
            rows[at] = pole
    return Lines(rows, columns)
