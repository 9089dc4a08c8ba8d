"""CAMS global reanalysis (EAC4) and whatever comes in its layouts: netCDF of today and of before 2024, GRIB, zips.

Names as the Atmosphere Data Store, the ECMWF parameter database and the CF standard name table write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from deepcams.core.errors import InputError
from deepcams.readers.detect import DataFile, field_variables, find_files
from deepcams.readers.merge import open_merged
from deepcams.readers.protocols import Paths

TITLE = "CAMS global reanalysis (EAC4)"


@dataclass(frozen=True)
class Species:
    """One EAC4 variable that is a mass concentration at the surface, under all its names.

    Attributes:
        name: netCDF and GRIB short name.
        request: name in a request to the Atmosphere Data Store.
        standard_name: CF standard name.
        long_name: as ECMWF writes it.
        parameter: GRIB parameter number.
        label: for people.
    """

    name: str
    request: str
    standard_name: str
    long_name: str
    parameter: int
    label: str

    @property
    def names(self) -> tuple[str, ...]:
        """Everything a user may call it."""
        return (
            self.name,
            self.request,
            self.standard_name,
            self.label,
            self.long_name,
            str(self.parameter),
        )


SPECIES = tuple(
    Species(
        short,
        f"particulate_matter_{size}um",
        f"mass_concentration_of_{short}_ambient_aerosol_particles_in_air",
        f"Particulate matter d <= {size} um",
        parameter,
        label,
    )
    for short, size, parameter, label in (
        ("pm1", "1", 210072, "PM1"),
        ("pm2p5", "2.5", 210073, "PM2.5"),
        ("pm10", "10", 210074, "PM10"),
    )
)
"""EAC4's mass concentrations; its other species are mixing ratios, columns and optical depths."""


def species_of(name: str) -> Species | None:
    """The species a user means by any of its names, whatever the case."""
    lowered = name.strip().lower()
    return next((one for one in SPECIES if lowered in (known.lower() for known in one.names)), None)


def find_variable(dataset: xr.Dataset, variable: str, where: object) -> xr.DataArray | None:
    """The data variable that ``variable`` names: by its own name first, then by what its attributes say it is.

    Raises:
        InputError: several variables answer to the name.
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
        }
    found = [array for name, array in fields.items() if name.lower() in names]
    if not found and species is not None:
        found = [
            array
            for array in fields.values()
            if array.attrs.get("standard_name") == species.standard_name
            or array.attrs.get("GRIB_paramId") == species.parameter
            or str(array.attrs.get("long_name", "")).replace("<=", "<").replace(" ", "").lower()
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

    Takes the data store's netCDF of today and of before 2024, GRIB (extra ``[grib]``), and zips of them under any
    name; latitudes and longitudes either way; kg m-3 or ug m-3; leftovers such as ``number`` or ``expver``.

    Args:
        paths: file, folder, glob, or a sequence of them in any order. Times that stand in several files are taken once
            if their values agree within packing.
        variable: ``pm2p5``, ``pm1``, ``pm10`` or another variable in the files that is a mass concentration, by its
            netCDF, request or CF standard name.

    Returns:
        (time, latitude, longitude), float32, ug m-3, ``cell_methods`` "time: point", backed by Dask.

    Raises:
        InputError: no such files or variable, damaged files, unknown units, an irregular grid, another calendar than
            the standard one, files on different grids, or different values at one time.
        MissingExtraError: GRIB, and cfgrib is not installed.
    """
    return open_cams_files(find_files(paths), variable or "pm2p5")


def open_cams_files(files: Sequence[DataFile], wanted: str) -> xr.DataArray:
    """:func:`open_cams` for files that were found already."""
    species = species_of(wanted)

    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        array = find_variable(dataset, wanted, file)
        return (
            None
            if array is None
            else array.assign_attrs(cell_methods="time: point", source=source(dataset))
        )

    def source(dataset: xr.Dataset) -> str:
        """CAMS, unless the file says that it was simulated in its layout."""
        history = str(dataset.attrs.get("history", ""))
        return (
            "a simulated world in CAMS's layout, no real data"
            if history.startswith("simulated")
            else TITLE
        )

    label = f"{species.label} ({species.name})" if species else wanted
    field = open_merged(files, choose, label)
    if species is not None:
        field = field.rename(species.name).assign_attrs(
            standard_name=species.standard_name, long_name=species.long_name
        )
    return field
