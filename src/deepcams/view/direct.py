"""A store's own array in place of the lazy field made of it: the same values, without a task for every chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.writers.own import own_values


def direct_values(store: Sequence[str | Path] | str | Path, field: xr.DataArray) -> Any | None:
    """The array that holds a field's values as they are, if there is one.

    Args:
        store: what the field was opened from.
        field: canonical.

    Returns:
        an array to be indexed with slices and numbers (:class:`zarr.Array`), or ``None`` where the field is not a
        single store of deepcams, so that values may be elsewhere, in other units or in another order.
    """
    found = own_values(store, str(field.name))
    if found is None:
        return None
    group, values = found
    try:
        same = all(
            np.array_equal(np.asarray(group[axis]), field[axis].values)
            for axis in ("latitude", "longitude")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if same and values.shape == field.shape else None
