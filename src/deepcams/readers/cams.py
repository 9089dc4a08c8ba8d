"""Reader of the CAMS global reanalysis (EAC4) and files in its layouts: netCDF (current, before 2024), GRIB, zips."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from deepcams.core.air import named_concentration
from deepcams.core.errors import InputError
from deepcams.core.species import AIR_DENSITY, PARTICLES, species_of
from deepcams.readers.formats.datasets import field_variables
from deepcams.readers.formats.detect import DataFile, find_files
from deepcams.readers.in_air import open_in_air
from deepcams.readers.merge import Chooser, open_merged
from deepcams.readers.protocols import Paths
from deepcams.readers.times import CHAINED, Stamp, cell_method

TITLE = "CAMS global reanalysis (EAC4)"
FORECASTS = "CAMS global atmospheric composition forecasts"


def find_variable(
    dataset: xr.Dataset, variable: str, where: object
) -> xr.DataArray | None:
    """Return the data variable called ``variable``: matched by its name first, then by its attributes.

    Raises:
        InputError: several variables match the name.
    """
    fields = field_variables(dataset)
    if variable in fields:
        return fields[variable]
    names = {variable.strip().lower()}
    species = species_of(variable)
    if species is not None:
        names |= {
            species.name,
            species.request,
            species.label.lower(),
            species.label.replace(".", "").lower(),
            *species.aliases,
        }
    found = [array for name, array in fields.items() if name.lower() in names]
    if not found and species is not None:
        found = [
            array
            for array in fields.values()
            if array.attrs.get("standard_name")
            in (species.standard_name, *species.ratio_names)
            or array.attrs.get("GRIB_paramId") == species.parameter
            or str(array.attrs.get("long_name", ""))
            .replace("<=", "<")
            .replace(" ", "")
            .lower()
            == species.long_name.replace("<=", "<").replace(" ", "").lower()
        ]
    if len(found) > 1:
        listed = ", ".join(str(array.name) for array in found)
        raise InputError(
            where, f"one variable {variable}", listed, "choose one with --variable NAME"
        )
    return found[0] if found else None


def open_cams(paths: Paths, *, variable: str | None = "pm2p5") -> xr.DataArray:
    """Open CAMS EAC4 files as one canonical field of instants, lazily.

    Accepts the data store's current netCDF layout and that of before 2024, GRIB (extra ``[grib]``), and zips of them
    under any name; any orientation of latitude and longitude; kg m-3 or ug m-3; extra dimensions such as ``number``
    or ``expver``.

    Args:
        paths: file, folder, glob, URL, or a sequence of them in any order. Times that occur in several files are used
            once if their values agree within packing precision.
        variable: ``pm2p5``, ``pm1``, ``pm10`` or another mass concentration in the files, by its netCDF, request or CF
            standard name; ``no2``, ``o3``, ``co`` and ``so2`` are mixing ratios there, which need the air density: from
            temperature and surface pressure (``t``, ``sp``) in the same or other files, or from
            :data:`deepcams.core.species.AIR_DENSITY` (``deepcams --density``), which takes precedence.

    Returns:
        (time, latitude, longitude), float32, ug m-3, ``cell_methods`` "time: point", backed by Dask.

    Raises:
        InputError: missing or damaged files, a missing variable, unknown units, an irregular grid, a non-standard
            calendar, files on different grids, or different values for the same time.
        MissingExtraError: a file is GRIB and ecCodes is not installed.
    """
    return open_cams_files(find_files(paths), variable or "pm2p5")


def open_cams_files(
    files: Sequence[DataFile],
    wanted: str,
    stamp: Stamp | None = None,
    *,
    with_dask: bool = True,
) -> xr.DataArray:
    """Open files returned by :func:`find_files`; see :func:`open_cams` and, for ``with_dask``, :func:`open_merged`."""
    species = species_of(wanted)

    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        array = find_variable(dataset, wanted, file)
        if array is None:
            return None
        simulated = str(dataset.attrs.get("history", "")).startswith("simulated")
        source = (
            "a simulated world in CAMS's layout, no real data" if simulated else TITLE
        )
        return array.assign_attrs(cell_methods=cell_method(array, file), source=source)

    label = f"{species.label} ({species.name})" if species else wanted

    def merged(files: Sequence[DataFile], choose: Chooser) -> xr.DataArray:
        return open_merged(files, choose, label, stamp, with_dask=with_dask)

    if AIR_DENSITY.get() is None and species not in PARTICLES:
        field = open_in_air(files, choose, merged, with_dask=with_dask)
    else:
        field = merged(files, choose)
    source = str(field.attrs["source"])
    if CHAINED in source:  # only forecasts are chained
        field.attrs["source"] = source.replace(TITLE, FORECASTS)
    if species is None:
        return field
    long_name = named_concentration(species)
    names = {"standard_name": species.standard_name, "long_name": long_name}
    return rename(field, species.name).assign_attrs(names)


def rename(field: xr.DataArray, name: str) -> xr.DataArray:
    """Rename a field, keeping its encoding, which xarray's own ``rename`` drops."""
    renamed = field.rename(name)
    renamed.encoding = field.encoding
    return renamed
