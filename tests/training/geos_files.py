"""Small hourly files in GEOS-CF's layouts: 0.25 degrees, south first, a region or the globe, one or more hours each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.grid import Grid

BOX = Grid(0.25, 179, -13, 24, 36)
"""8 x 12 whole cells across Greenwich."""
V1, V2 = "PM25_RH35_GCC", "PM25_RH35"
FILL = np.float32(1e15)


def hours(start: str, count: int) -> np.ndarray:
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(1, "h")


def values(times: np.ndarray, grid: Grid = BOX, seed: int = 0) -> np.ndarray:
    """North first; each hour depends on its own moment alone."""
    out = np.empty((len(times), *grid.shape), np.float32)
    for k, time in enumerate(times):
        rng = np.random.default_rng(
            [seed, int(time.astype("datetime64[m]").astype(int))]
        )
        out[k] = rng.lognormal(2, 1, grid.shape)
    return out


def dataset(
    times: np.ndarray, data: np.ndarray, grid: Grid = BOX, name: str = V1
) -> xr.Dataset:
    longitude = (grid.longitudes + 180) % 360 - 180
    order = np.argsort(longitude, kind="stable")
    array = xr.DataArray(
        data[:, None, ::-1][..., order],
        {
            "time": times,
            "lev": [72.0],
            "lat": grid.latitudes[::-1],
            "lon": longitude[order],
        },
        ("time", "lev", "lat", "lon"),
        name,
        {"units": "ug m-3", "missing_value": FILL},
    )
    return array.to_dataset()


def write(
    folder: Path,
    times: np.ndarray,
    data: np.ndarray,
    grid: Grid = BOX,
    name: str = V1,
    label: str = "",
) -> Path:
    """One file with all of these hours."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = str(times[0])[:16].replace("-", "").replace(":", "").replace("T", "_")
    product = (
        "GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1"
        if name == V1
        else "GEOS.cf.ana.aqc_tavg_1hr_glo_L1440x721_slv"
    )
    path = folder / f"{product}.{stamp}z{label}.nc4"
    encoding = {name: {"zlib": True, "complevel": 1, "_FillValue": FILL}}
    data_set = dataset(times, data, grid, name)
    del data_set[name].attrs["missing_value"]
    data_set.to_netcdf(path, encoding=encoding)
    return path


def write_hours(
    folder: Path, start: str, count: int, each: int = 1, **options: Any
) -> list[Path]:
    """Write files of ``each`` hours; every file costs a tenth of a second to prepare."""
    times = hours(start, count)
    parts = [times[k : k + each] for k in range(0, count, each)]
    return [write(folder, part, values(part), **options) for part in parts]
