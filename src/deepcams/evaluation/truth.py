"""The truth that methods are scored against, from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.period import Period


def open_truth(paths: Sequence[str | Path], period: str | None = None) -> xr.DataArray:
    """Open files as one canonical field, lazily.

    Args:
        paths: files, folders or globs, of any source that deepcams opens.
        period: only the times in it (:meth:`deepcams.core.period.Period.parse`).

    Raises:
        InputError: nothing there can be opened, or no time lies in the period.
    """
    from deepcams.readers.open import open_field

    field = open_field(list(paths))
    if period is None:
        return field
    chosen = Period.parse(period, "--period")
    inside = chosen.contains(field.time.values)
    if not inside.any():
        first, last = (
            str(field.time.values[i].astype("datetime64[m]")).replace("T", " ") for i in (0, -1)
        )
        raise InputError(
            "--period",
            f"times of the truth, {first} to {last}",
            chosen,
            "choose a period within them",
        )
    return field.isel(time=np.flatnonzero(inside))
