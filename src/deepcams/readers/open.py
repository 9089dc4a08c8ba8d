"""Opening whatever one is given: which layout it is, and the door that takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.field import units_factor
from deepcams.readers.cams import SPECIES, find_variable, open_cams_files
from deepcams.readers.detect import (
    KINDS,
    DataFile,
    field_variables,
    find_files,
    open_datasets,
    unfinished,
)
from deepcams.readers.geos_cf import open_geos_cf_files, version_of
from deepcams.readers.merge import open_merged
from deepcams.readers.protocols import Paths

_PM25_NAMES = re.compile(
    r"(?:.*[^a-z0-9])?pm_?2[p._]?5(?:$|_(?:conc|mean|surface|sfc|total|rh35.*)$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Layout:
    """Whose layout a dataset has.

    Attributes:
        source: who can open it: ``cams``, ``geos-cf`` or ``cf`` (anything that follows the conventions).
        words: the layout for people.
    """

    source: Literal["cams", "geos-cf", "cf"]
    words: str


def layout_of(dataset: xr.Dataset, file: DataFile) -> Layout:
    """Recognise the layout of an opened file, by its content alone."""
    version = version_of(dataset)
    if version is not None:
        saved = (
            " (names in lower case: saved from OPeNDAP)"
            if "lat" in dataset.dims and _lower(dataset)
            else ""
        )
        return Layout("geos-cf", f"GEOS-CF version {version}, hourly means{saved}")
    wrapped = f", in a zip ({file.member})" if file.member else ""
    own = [
        str(dataset.attrs.get(key, ""))
        for key in ("source_version", "source", "title", "history", "creator_name")
    ]
    if "deepcams" in " ".join(own).lower():
        return Layout(
            "cf", f"deepcams output, {'Zarr' if file.kind == 'zarr' else 'netCDF'}{wrapped}"
        )
    if _is_ecmwf(dataset):
        if file.kind == "grib":
            return Layout("cams", f"CAMS, GRIB{wrapped}")
        age = (
            "as the data store writes it today"
            if "valid_time" in dataset.coords
            else "in the layout of before 2024"
        )
        return Layout("cams", f"CAMS, netCDF {age}{wrapped}")
    conventions = str(dataset.attrs.get("Conventions", "")).strip()
    return Layout("cf", KINDS[file.kind] + (f" ({conventions})" if conventions else "") + wrapped)


def _lower(dataset: xr.Dataset) -> bool:
    return all(str(name).islower() for name in dataset.data_vars)


def _is_ecmwf(dataset: xr.Dataset) -> bool:
    words = f"{dataset.attrs.get('institution', '')} {dataset.attrs.get('GRIB_centre', '')}".lower()
    if "ecmwf" in words or "medium-range" in words:
        return True
    return any(
        str(array.attrs.get("units", "")) == "kg m**-3" or "GRIB_paramId" in array.attrs
        for array in dataset.data_vars.values()
    )


def _concentration(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
    """The PM2.5 of any dataset, else its only mass concentration."""
    fields = field_variables(dataset)
    standard = [s.standard_name for s in SPECIES if s.name == "pm2p5"]
    standard += ["mass_concentration_of_pm2p5_ambient_aerosol_in_air"]  # its name before 2015
    for found in (
        [fields[name] for name in fields if name == "pm2p5"],
        [array for array in fields.values() if array.attrs.get("standard_name") in standard],
        [array for name, array in fields.items() if _PM25_NAMES.fullmatch(name)],
        [array for array in fields.values() if _is_concentration(array)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(str(array.name) for array in found)
            do = "choose one with --variable NAME (from Python: variable=NAME)"
            raise InputError(file, "one mass concentration", f"several: {listed}", do)
    return None


def _is_concentration(array: xr.DataArray) -> bool:
    try:
        units_factor(array.attrs.get("units"), array.name)
    except InputError:
        return False
    return True


def _open_cf_files(files: Sequence[DataFile], variable: str | None) -> xr.DataArray:
    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        array = (
            _concentration(dataset, file)
            if variable is None
            else find_variable(dataset, variable, file)
        )
        if array is None:
            return None
        over_time = re.search(r"\btime:\s*mean\b", str(array.attrs.get("cell_methods", "")))
        source = array.attrs.get("source", dataset.attrs.get("source"))
        array = array.assign_attrs(cell_methods="time: mean" if over_time else "time: point")
        return array if source is None else array.assign_attrs(source=str(source))

    return open_merged(files, choose, variable or "PM2.5 (pm2p5)")


def open_files(files: Sequence[DataFile], variable: str | None = None) -> xr.DataArray:
    """:func:`open_field` for files that were found already; says which of them are unfinished outputs."""
    first = open_datasets(files[0])[0]
    for file in files:
        if file.kind == "zarr":
            dataset = first if file is files[0] else open_datasets(file)[0]
            if (found := unfinished(file, dataset)) is not None:
                notice(found.words())
    source = layout_of(first, files[0]).source
    if source == "cams":
        return open_cams_files(files, variable or "pm2p5")
    if source == "geos-cf":
        return open_geos_cf_files(files, variable)
    return _open_cf_files(files, variable)


def open_field(paths: Paths, variable: str | None = None) -> xr.DataArray:
    """Open whatever field the paths hold: CAMS, GEOS-CF, deepcams' own output, or any file that follows CF.

    Args:
        paths: file, folder, glob, Zarr store, or a sequence of them in any order, all of one source.
        variable: which variable; ``None`` is PM2.5, else the only mass concentration there is.

    Returns:
        (time, latitude, longitude), float32, ug m-3, backed by Dask; ``cell_methods`` says "time: mean" where the
        file does (always for GEOS-CF), else "time: point".

    Raises:
        InputError: no such field there; see :func:`deepcams.open_cams`.
    """
    return open_files(find_files(paths), variable)
