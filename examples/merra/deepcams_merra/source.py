"""A source: PM2.5 of NASA's MERRA-2 (files ``tavg1_2d_aer_Nx``: hourly means, 0.5 x 0.625 degrees)."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

import deepcams
from deepcams.core.errors import InputError
from deepcams.readers.protocols import Paths, listed

PARTS = {
    "DUSMASS25": 1.0,
    "SSSMASS25": 1.0,
    "BCSMASS": 1.0,
    "OCSMASS": 1.4,
    "SO4SMASS": 1.375,
}
"""Mass at the surface, kg m-3, and by what it counts: organic matter over carbon, ammonium sulfate over sulfate."""


def open_merra2(paths: Paths, *, variable: str | None = None) -> xr.DataArray:
    """Open files (paths or globs) as one canonical field; ``variable``: another one than their PM2.5."""
    given = [Path(each) for each in listed(paths)]
    found = sorted(file for each in given for file in each.parent.glob(each.name))
    if not found:
        raise InputError(paths, "files of MERRA-2", "none", "check the path")
    data = xr.open_mfdataset(found, chunks={"time": 24})
    total = data[variable] if variable else sum(k * data[n] for n, k in PARTS.items())
    about = {"units": "kg m-3", "cell_methods": "time: mean", "source": "MERRA-2"}
    return deepcams.as_field(total.rename(variable or "pm2p5").assign_attrs(about))
