"""Fields in, a checked training store out: the thin way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import xarray as xr

from deepcams.degrade import METHODS, Degradation
from deepcams.errors import choose
from deepcams.field import grid_of, is_mean, load_values
from deepcams.sources.base import Paths
from deepcams.sources.open import open_field
from deepcams.store.records import write_atomically
from deepcams.training.prepared import FORMAT, HOURS, IDENTITY, STATE, Prepared, arrays_of

_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")


def prepare(field: xr.DataArray | Paths, out: str | Path, *, degradation: Degradation = "area") -> Prepared:
    """Write a store for training."""
    import zarr

    choose("degradation", degradation, get_args(Degradation))
    if not isinstance(field, xr.DataArray):
        field = open_field(field)
    out = Path(out)
    coarse, rows, columns = grid_of(field).whole_cells()
    times = field.time.values
    identity = {
        "format": FORMAT, "variable": str(field.name), "degradation": degradation, "mean": is_mean(field),
        "coarse": {k: getattr(coarse, k) for k in ("step", "north", "west", "rows", "columns")},
        "first hour": str(times[0]),
    }  # fmt: skip
    zarr.create_group(out, zarr_format=3, attributes={IDENTITY: identity})
    zarr.create_group(out / STATE, zarr_format=3)
    arrays = arrays_of(out, str(field.name), coarse)
    slots = (times - times[0]) // _HOUR
    span = times[0] + np.arange(slots[-1] + 1) * _HOUR
    for resolution, array in arrays.items():
        array.lay_out(coarse.refine() if resolution == "fine" else coarse, str(field.name), dict(field.attrs))
        array.extend(span)
    for k, slot in enumerate(slots.tolist()):
        values = load_values(field[k : k + 1])[0][0, rows, columns]
        arrays["fine"].write(slot, values)
        arrays["coarse"].write(slot, METHODS[degradation](values, coarse))
    state = {"slots": slots.tolist(), "sources": {"family": str(field.attrs.get("source", "field"))}}
    write_atomically(out / STATE / HOURS, json.dumps(state).encode())
    return Prepared.open(out)
