"""Small files in the providers' layouts, made here; the whole globe at 7.5 degrees, so that poles and seam are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

LATITUDE = np.arange(90, -91, -7.5)
LONGITUDE = np.arange(0, 360, 7.5)


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path_factory.mktemp("cache")))


World = Callable[..., xr.DataArray]


@pytest.fixture
def world() -> World:
    """Make PM2.5 records: ``world(start, count, hours=3, seed=0)``."""
    return _world


def _world(start: str, count: int, hours: int = 3, seed: int = 0) -> xr.DataArray:
    """PM2.5 in kg m-3 that depends on its moment alone, so that overlapping records agree."""
    times = np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(hours, "h")
    values = np.empty((count, LATITUDE.size, LONGITUDE.size), np.float32)
    for k, time in enumerate(times):
        rng = np.random.default_rng(
            [seed, int(time.astype("datetime64[m]").astype(int))]
        )
        values[k] = rng.lognormal(2, 1, values.shape[1:]) * 1e-9
    return xr.DataArray(
        values,
        dims=("time", "latitude", "longitude"),
        coords={"time": times, "latitude": LATITUDE, "longitude": LONGITUDE},
        name="pm2p5",
        attrs={
            "units": "kg m**-3",
            "long_name": "Particulate matter d <= 2.5 um",
            "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
        },
    )


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write an array or dataset as netCDF under ``name`` and give the path."""

    def to(
        name: str, data: xr.DataArray | xr.Dataset, packed: float = 0.0, **options: Any
    ) -> Path:
        dataset = data.to_dataset() if isinstance(data, xr.DataArray) else data
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            options["encoding"] = {
                "pm2p5": {
                    "dtype": "int16",
                    "scale_factor": packed,
                    "add_offset": packed * 32000,
                    "_FillValue": -32767,
                }
            }
        dataset.to_netcdf(path, **options)
        return path

    return to


@pytest.fixture
def save_grib(tmp_path: Path) -> Callable[..., Path]:
    """Write maps as GRIB 1 as ECMWF codes them: (parameter, moment, step in hours, map) each; skips without ecCodes."""
    eccodes = pytest.importorskip("eccodes", reason="the extra [grib] is not installed")

    def to(
        name: str,
        maps: Sequence[tuple[int, np.datetime64, int, np.ndarray]],
        level: int | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            for parameter, moment, step, values in maps:
                stamp = str(moment.astype("datetime64[m]"))
                handle = eccodes.codes_grib_new_from_samples(
                    f"regular_ll_{'pl' if level else 'sfc'}_grib1"
                )
                keys: dict[str, Any] = {
                    "centre": "ecmf",
                    "Ni": LONGITUDE.size,
                    "Nj": LATITUDE.size,
                    "latitudeOfFirstGridPointInDegrees": 90.0,
                    "longitudeOfFirstGridPointInDegrees": 0.0,
                    "latitudeOfLastGridPointInDegrees": -90.0,
                    "longitudeOfLastGridPointInDegrees": 352.5,
                    "iDirectionIncrementInDegrees": 7.5,
                    "jDirectionIncrementInDegrees": 7.5,
                    "paramId": parameter,
                    "dataDate": int(stamp[:10].replace("-", "")),
                    "dataTime": int(stamp[11:13]) * 100,
                    "stepRange": str(step),
                    "bitsPerValue": 16,
                }
                if level:
                    keys["level"] = level
                for key, value in keys.items():
                    eccodes.codes_set(handle, key, value)
                eccodes.codes_set_values(handle, values.ravel().astype(float))
                eccodes.codes_write(handle, file)
                eccodes.codes_release(handle)
        return path

    return to
