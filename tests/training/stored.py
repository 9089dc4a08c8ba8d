"""Fields to prepare, and what stands in a store that was prepared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr
from geos_files import BOX, values

from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.files.records import FOLDER
from deepcams.training.store.checks import Fault
from deepcams.training.store.open import REPORT, Prepared

DAY = "2019-03-08T00:30"


def memory(times: np.ndarray, grid: Grid = BOX) -> xr.DataArray:
    """A canonical field of hourly means."""
    template = xr.DataArray(0.0, name="pm2p5", attrs={"cell_methods": "time: mean"})
    return field_like(template, values(times, grid), grid, times)


def left_out(store: Prepared) -> tuple[Fault, ...]:
    report = json.loads((store.path / REPORT).read_text())
    return tuple(Fault.from_json(fault) for fault in report["faults"])


def frames(store: Prepared, resolution: str = "fine") -> np.ndarray:
    return np.stack([store.frame(k, resolution) for k in range(len(store))])


def snapshot(path: Path) -> dict[str, bytes]:
    """Everything in a store but what says when."""
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and FOLDER not in p.parts
    }
