"""A store's own array in place of the lazy field made of it: the same values, without a task for every chunk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.field import DIMS, UNITS
from deepcams.store.zarr_store import RUN


def direct_values(store: Sequence[str | Path] | str | Path, field: xr.DataArray) -> Any | None:
    """The array that holds a field's values as they are, if there is one.

    Args:
        store: what the field was opened from.
        field: canonical.

    Returns:
        an array to be indexed with slices and numbers (:class:`zarr.Array`), or ``None`` where the field is not a
        single store of deepcams, so that values may be elsewhere, in other units or in another order.
    """
    paths = [store] if isinstance(store, str | Path) else list(store)
    if len(paths) != 1 or not (Path(paths[0]) / "zarr.json").is_file():
        return None
    import zarr

    path = Path(paths[0])
    try:
        if RUN not in json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]:
            return None
        group = zarr.open_group(path, mode="r")
        values: Any = group[str(field.name)]
        plain = values.metadata.dimension_names == DIMS and values.shape == field.shape and values.dtype == np.float32
        packed = {"scale_factor", "add_offset"} & set(values.attrs)
        if not plain or packed or values.attrs.get("units") != UNITS:
            return None
        for axis in ("latitude", "longitude"):
            if not np.array_equal(np.asarray(group[axis]), field[axis].values):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values
