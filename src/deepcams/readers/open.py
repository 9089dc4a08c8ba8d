"""Recognise the layout of files, and open them with the reader for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import xarray as xr

from deepcams.core.errors import DeepcamsError, InputError, notice
from deepcams.core.field import CLOCK, LOCAL_DATE, as_field
from deepcams.core.species import PM25
from deepcams.core.text import from_json
from deepcams.core.units import units_factor
from deepcams.core.url import Url
from deepcams.readers import SOURCE, SOURCES
from deepcams.readers.cams import find_variable, open_cams_files
from deepcams.readers.formats.datasets import (
    field_variables,
    opened,
    reason,
    unfinished,
)
from deepcams.readers.formats.detect import KINDS, DataFile, find_files
from deepcams.readers.geos_cf import open_geos_cf_files, version_of
from deepcams.readers.merge import as_given, open_merged
from deepcams.readers.protocols import Paths
from deepcams.readers.times import Stamp, cell_method
from deepcams.writers.layout import MEANS, RUN
from deepcams.writers.target import absent_files

_PM25_NAMES = re.compile(
    r"(?:.*[^a-z0-9])?pm_?2[p._]?5(?:$|_(?:conc|mean|surface|sfc|total|rh35.*)$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """The layout of a dataset.

    Attributes:
        source: source that can open it: ``cams``, ``geos-cf`` or ``cf`` (any file that follows the CF conventions).
        words: description for display.
    """

    source: Literal["cams", "geos-cf", "cf"]
    words: str


def layout_of(dataset: xr.Dataset, file: DataFile) -> Layout:
    """Recognise the layout of an opened file from its content alone."""
    if file.source:
        return Layout("cf", f"opened by the source {file.source}")
    version = version_of(dataset)
    if version is not None:
        saved = (
            " (names in lower case: saved from OPeNDAP)"
            if "lat" in dataset.dims and _lower(dataset)
            else ""
        )
        return Layout("geos-cf", f"GEOS-CF version {version}, hourly means{saved}")
    wrapped = f", in a zip ({file.member})" if file.member else ""
    if _is_ours(dataset):
        return Layout(
            "cf",
            f"written by deepcams, {'Zarr' if file.kind == 'zarr' else 'netCDF'}{wrapped}",
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
    return Layout(
        "cf", KINDS[file.kind] + (f" ({conventions})" if conventions else "") + wrapped
    )


def _is_ours(dataset: xr.Dataset) -> bool:
    keys = ("source_version", "source", "title", "history", "creator_name")
    words = " ".join(str(dataset.attrs.get(key, "")) for key in keys)
    return "deepcams" in words.lower()


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
    """Return the PM2.5 of any dataset, else its only mass concentration."""
    fields = field_variables(dataset)
    before_2015 = "mass_concentration_of_pm2p5_ambient_aerosol_in_air"
    standard = (PM25.standard_name, before_2015)
    for found in (
        [fields[name] for name in fields if name == PM25.name],
        [array for name, array in fields.items() if name.endswith("_mean")]
        if means_over(dataset)
        else [],
        [
            array
            for array in fields.values()
            if array.attrs.get("standard_name") in standard
        ],
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


def means_over(dataset: xr.Dataset) -> str:
    """Return the averaging period of a dataset written by ``deepcams means`` (``day``); empty for other datasets.

    All variables of such a dataset belong to one species.
    """
    try:
        return str(from_json(str(dataset.attrs[RUN]))[MEANS]["over"])
    except (KeyError, ValueError, TypeError):
        return ""


def _is_concentration(array: xr.DataArray) -> bool:
    try:
        units_factor(array.attrs.get("units"), array.name)
    except InputError:
        return False
    return True


def _open_cf_files(
    files: Sequence[DataFile],
    variable: str | None,
    stamp: Stamp | None,
    with_dask: bool,
) -> xr.DataArray:
    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        if variable is None:
            array = _concentration(dataset, file)
        else:
            array = find_variable(dataset, variable, file)
        if array is None:
            return None
        source = array.attrs.get("source", dataset.attrs.get("source"))
        array = array.assign_attrs(cell_methods=cell_method(array, file))
        if "time" in dataset.coords and LOCAL_DATE in str(
            dataset.time.attrs.get("long_name")
        ):
            array.attrs[CLOCK] = LOCAL_DATE
        return array if source is None else array.assign_attrs(source=str(source))

    wanted = variable or "PM2.5 (pm2p5)"
    return open_merged(files, choose, wanted, stamp, with_dask=with_dask)


def find_field_files(paths: Paths, *, urls: bool = True) -> list[DataFile]:
    """Find the files of a field (:func:`find_files`), for the chosen source, if any.

    Output of deepcams is recognised whatever the source, because it is used together with fields of other sources. A
    chosen source may also open files that are neither netCDF nor GRIB, if they are given by name or glob.

    Raises:
        InputError, MissingExtraError: see :func:`find_files`.
    """
    source = SOURCE.get()
    if source is None:
        return find_files(paths, urls=urls)
    files = find_files(paths, urls=urls, others=True)
    with suppress(DeepcamsError):
        first = opened(files[0])
        if _is_ours(first.datasets[0]):
            return [first, *files[1:]]
    return [replace(file, source=source) for file in files]


def open_by_source(files: Sequence[DataFile], variable: str | None) -> xr.DataArray:
    """Open files together with their chosen source.

    Raises:
        InputError: the source fails, or does not return a field.
        DeepcamsError: the source cannot be loaded.
    """
    if files[0].datasets:  # already open
        return next(iter(files[0].datasets[0].data_vars.values()))
    name = files[0].source
    source = SOURCES.get(name)
    paths = [
        each.path if isinstance(each.path, Url) else str(each.path) for each in files
    ]
    where = f"{files[0]}, .." if files[1:] else files[0]
    try:
        wanted = None if variable == PM25.name else variable
        field = as_field(source(paths, variable=wanted), f"source {name}")
    except DeepcamsError:
        raise
    except Exception as error:  # any error of another package
        raise InputError(
            where, f"a field of the source {name}", reason(error)
        ) from error
    field.attrs.setdefault("source", name)
    field.encoding["source_files"] = list(dict.fromkeys(map(as_given, files)))
    return field


def open_coarse(
    files: Sequence[DataFile], variable: str | None = None, *, with_dask: bool = True
) -> xr.DataArray:
    """Open the input of a downscaling: files with CAMS variable names, or those of the chosen source.

    Args:
        files: result of :func:`find_field_files`.
        variable: name of the variable; ``None``: PM2.5.
        with_dask: see :func:`deepcams.readers.merge.open_merged`.

    Raises:
        InputError: see :func:`deepcams.open_cams`.
    """
    if files[0].source:
        return open_by_source(files, variable)
    return open_cams_files(files, variable or PM25.name, with_dask=with_dask)


def open_files(
    files: Sequence[DataFile],
    variable: str | None = None,
    stamp: Stamp | None = None,
    *,
    with_dask: bool = True,
) -> xr.DataArray:
    """Open files returned by :func:`find_field_files` (see :func:`open_field`), with a notice on unfinished outputs.

    For ``with_dask`` see :func:`deepcams.readers.merge.open_merged`.
    """
    if files[0].source:
        return open_by_source(files, variable)
    files = [
        opened(file) if file is files[0] or file.kind == "zarr" else file
        for file in files
    ]
    for file in files:
        if file.kind == "zarr":
            found = unfinished(file, file.datasets[0])
            if found is not None:
                notice(found.words())
    for folder in sorted({file.folder for file in files if file.folder}, key=str):
        words = absent_files(folder)
        if words:
            notice(words)
    source = layout_of(files[0].datasets[0], files[0]).source
    if source == "cams":
        wanted = variable or PM25.name
        return open_cams_files(files, wanted, stamp, with_dask=with_dask)
    if source == "geos-cf":
        return open_geos_cf_files(files, variable, stamp, with_dask=with_dask)
    return _open_cf_files(files, variable, stamp, with_dask)


def open_field(
    paths: Paths, variable: str | None = None, stamp: Stamp | None = None
) -> xr.DataArray:
    """Open a field of any supported kind: CAMS, GEOS-CF, deepcams output, or any file that follows CF.

    Args:
        paths: file, folder, glob, Zarr store, URL, or a sequence of them in any order, all of one source.
        variable: name of the variable; ``None``: PM2.5, else the only mass concentration.
        stamp: position of the stamps of means in their intervals, for files without time bounds: ``start``,
            ``middle`` or ``end``; default: the middle, with a notice if the stamps are full hours.

    Returns:
        (time, latitude, longitude), float32, ug m-3, backed by Dask; ``cell_methods`` says "time: mean" where the
        file does (always for GEOS-CF), else "time: point". Means are stamped in the middle of their interval.

    Raises:
        InputError: the field cannot be opened; see :func:`deepcams.open_cams`.
    """
    return open_files(find_field_files(paths), variable, stamp)
