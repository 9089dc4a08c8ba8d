"""Weather beside concentrations: variables known by their names and units, opened as the fields are."""

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
    """Open a quantity of all files that have it, lazily.

    Args:
        files: found already, of any kind.
        names: that the variable may have, in lower case.
        units: that it may have.
        option: where the files come from, for messages.
        with_dask: see :func:`deepcams.readers.merge.open_merged`.

    Returns:
        (time, latitude, longitude), float32, in the file's own units; ``attrs["found"]`` says which variable it is.
        ``None``: no file has it.

    Raises:
        InputError: other units, or parts that do not make one field.
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
                # so the readers of concentrations leave the numbers as they are
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
