"""Fields that exposure is taken from: any that deepcams opens, and the daily means that ``deepcams means`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import as_field
from deepcams.core.times import DAY, DAY_SECONDS
from deepcams.files.storage import storage_at
from deepcams.means.store import DailyStore, identity_of
from deepcams.readers.detect import find_files
from deepcams.readers.open import open_field
from deepcams.stations.matching import cadence

_INTERVAL = "interval"
"""Of a field's encoding: seconds between its times, where it may have a single one."""


DAYS = "days"
"""Of a field's encoding: whose days the means of a daily store are."""


def interval_of(field: xr.DataArray) -> int:
    """Return the usual distance of a field's times, seconds."""
    return int(field.encoding.get(_INTERVAL, 0)) or cadence(field)


def open_exposure_field(paths: Sequence[str], variable: str | None) -> xr.DataArray:
    """Open a field, or the means of a finished store of daily means.

    Args:
        paths: files, folders, globs or URLs; of a store of daily means one.
        variable: which one; of a store of daily means without its ending.

    Raises:
        InputError: there is none, or means of months or years.
    """
    identity = identity_of(paths[0]) if len(paths) == 1 else None
    if identity is None:
        return open_field(list(paths), variable)
    store = DailyStore(paths[0], identity)
    if variable not in (None, store.species, f"{store.species}_mean"):
        raise InputError("--variable", store.species, repr(variable))
    (file,) = find_files(paths[0])
    zarr = file.kind == "zarr"
    source: Any = storage_at(file.path).zarr(read_only=True) if zarr else file.local
    engine: Any = "zarr" if zarr else "netcdf4"
    dataset = xr.open_dataset(source, engine=engine, chunks={})
    means = dataset[f"{store.species}_mean"].rename(store.species)
    assert means.chunks is not None
    tile = means.chunks[1][0], means.chunks[2][0]
    field = as_field(means, paths[0])
    # Each day is stamped in its middle, whichever day it is that the store has.
    days = store.dates.astype("datetime64[ns]") + DAY // 2
    field = field.assign_coords(time=np.asarray(days))
    field.attrs["cell_methods"] = "time: mean"
    field.attrs["source"] = str(dataset.attrs.get("source", ""))
    about = {"tile": tile, _INTERVAL: DAY_SECONDS, DAYS: store.settings["days"]}
    field.encoding.update(about)
    return field
