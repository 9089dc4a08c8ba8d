"""Weather variables that accompany concentrations: recognised by name and units, and opened like fields."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.units import UNITS
from deepcams.readers.formats.datasets import field_variables, open_datasets
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.merge import open_merged


def open_weather(
    files: Sequence[DataFile],
    names: Sequence[str],
    units: Sequence[str],
    option: str = "",
    *,
    with_dask: bool = False,
) -> xr.DataArray | None:
    """Open a weather variable from all files that have it, lazily.

    Args:
        files: data files of any kind.
        names: accepted variable names, in lower case.
        units: accepted units.
        option: option that names the files, for messages.
        with_dask: see :func:`deepcams.readers.merge.open_merged`.

    Returns:
        (time, latitude, longitude), float32, in the file's own units; ``attrs["found"]`` is the variable's name.
        ``None`` if no file has it.

    Raises:
        InputError: the units are not accepted, or the parts do not form one field.
    """
    label = ""

    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        nonlocal label
        for key, array in field_variables(dataset).items():
            if key.lower() in names:
                found = str(array.attrs.get("units", "")).strip()
                if found not in units:
                    where = f"{option}{file}: {key}: units"
                    raise InputError(where, units[0], repr(found))
                label = f"{file}: {key}"
                # with these units the readers of concentrations do not convert the values
                return array.assign_attrs(units=UNITS)
        return None

    having = [file for file in files if has_weather(file, names)]
    if not having:
        return None
    field = open_merged(having, choose, names[0], with_dask=with_dask)
    return field.assign_attrs(found=label)


def has_weather(file: DataFile, names: Sequence[str]) -> bool:
    """Return whether a file has a variable of one of these names."""
    return any(
        key.lower() in names
        for dataset in open_datasets(file)
        for key in field_variables(dataset)
    )
