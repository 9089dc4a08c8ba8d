"""Input of means: hourly fields from files, or a store of daily means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import as_field, field_like, grid_of
from deepcams.core.period import Period
from deepcams.core.url import Place, Url
from deepcams.means.store import DailyStore, identity_of
from deepcams.readers.formats.datasets import opened, unfinished
from deepcams.readers.open import find_field_files, open_files
from deepcams.readers.protocols import Paths
from deepcams.writers.target import absent_files


def daily_of(source: Paths) -> DailyStore | None:
    """Return the store of daily means at a path; ``None`` for any other input."""
    paths = [source] if isinstance(source, str | Path | Url) else list(source)
    if len(paths) != 1:
        return None
    identity = identity_of(paths[0])
    return None if identity is None else DailyStore(paths[0], identity)


def hourly(
    source: xr.DataArray | Paths, variable: str | None
) -> tuple[xr.DataArray, list[str | Place]]:
    """Return the field (lazy) and its files.

    Raises:
        InputError: no field is found, or it is an unfinished output.
    """
    if isinstance(source, xr.DataArray):
        return as_field(source), []
    files = find_field_files(source)
    for folder in sorted({file.folder for file in files if file.folder}, key=str):
        if words := absent_files(folder):
            raise InputError(folder, "a finished output", words)
    stores = [file.kind == "zarr" and not file.source for file in files]
    files = [
        opened(file) if store else file
        for file, store in zip(files, stores, strict=True)
    ]
    for file, store in zip(files, stores, strict=True):
        part = unfinished(file, file.datasets[0]) if store else None
        if part is not None:
            raise InputError(
                file,
                "a finished store",
                f"{int(part.items.sum())} of {part.items.size} parts of it",
                "give the command that began it again",
            )
    field = open_files(files, variable, with_dask=False)
    return field, [file.given for file in files]


def chosen(
    field: xr.DataArray, bbox: Sequence[float] | None, period: Period | str | None
) -> xr.DataArray:
    """Return the part of a field in a box and a period."""
    if isinstance(period, str):
        period = Period.parse(period, "--period")
    if period is not None:
        inside = period.contains(field.time.values)
        if not inside.any():
            first, last = (str(each)[:16] for each in field.time.values[[0, -1]])
            expected = f"a period that holds hours of the data, not {period}"
            raise InputError("--period", expected, f"data from {first} to {last}")
        at = np.flatnonzero(inside)
        field = field.isel(time=slice(int(at[0]), int(at[-1]) + 1))
    if bbox is not None:
        grid, rows, columns = grid_of(field).select(bbox)
        part = field.isel(latitude=rows, longitude=columns)
        field = field_like(field, part.data, grid)
    return field
