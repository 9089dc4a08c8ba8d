"""Small fields that are known functions of time and place, and observations in OpenAQ's columns."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcams.core.field import as_field

COLUMNS = [
    "location_id",
    "sensors_id",
    "location",
    "datetime",
    "lat",
    "lon",
    "parameter",
    "units",
    "value",
]


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCAMS_CACHE", str(tmp_path_factory.mktemp("cache")))


FieldOf = Callable[..., xr.DataArray]


@pytest.fixture
def field_of() -> FieldOf:
    """Make a field: ``field_of(start, count, hours=1, of=f(hour, lat, lon), mean=False, step=7.5, bbox=None)``."""

    def make(
        start: str,
        count: int,
        hours: float = 1,
        of: Callable[..., Any] | None = None,
        mean: bool = False,
        step: float = 7.5,
        bbox: tuple[float, float, float, float] | None = None,
    ) -> xr.DataArray:
        minutes = np.arange(count) * round(60 * hours)
        times = np.datetime64(start, "ns") + minutes * np.timedelta64(1, "m")
        latitude, longitude = np.arange(90, -90.001, -step), np.arange(0, 360, step)
        if bbox is not None:
            west, south, east, north = bbox
            latitude = latitude[(latitude >= south) & (latitude <= north)]
            longitude = np.arange(west, east + 0.001, step)
        hour = (times - np.datetime64("2019-01-01", "ns")) / np.timedelta64(1, "h")
        of = of or (
            lambda t, y, x: 30 + 0.25 * t + 0.1 * y + 10 * np.cos(np.deg2rad(x))
        )
        values = of(
            hour[:, None, None], latitude[None, :, None], longitude[None, None, :]
        )
        values = np.broadcast_to(values, (count, latitude.size, longitude.size)).astype(
            np.float32
        )
        attrs = {
            "units": "ug m-3",
            "cell_methods": "time: mean" if mean else "time: point",
        }
        coords = {"time": times, "latitude": latitude, "longitude": longitude}
        return as_field(xr.DataArray(values, coords, tuple(coords), "pm2p5", attrs))

    return make


TableOf = Callable[..., pd.DataFrame]


@pytest.fixture
def table_of() -> TableOf:
    """Hour-ending values of stations: ``table_of({id: (lat, lon)}, start, hours, value=f(id, hour))``."""

    def make(
        places: dict[Any, tuple[float, float]],
        start: str = "2019-01-01T01:00",
        hours: int = 24,
        value: Callable[..., Any] | None = None,
    ) -> pd.DataFrame:
        stamps = np.datetime64(start, "s") + np.arange(hours) * np.timedelta64(
            3600, "s"
        )
        rng = np.random.default_rng(0)
        parts = []
        for key, (latitude, longitude) in places.items():
            hour = (stamps - np.datetime64("2019-01-01", "s")) / np.timedelta64(1, "h")
            values = (
                rng.uniform(5, 40, hours)
                if value is None
                else np.asarray([value(key, h) for h in hour])
            )
            parts.append(
                pd.DataFrame(
                    {
                        "location_id": key,
                        "sensors_id": 1,
                        "location": f"place {key}",
                        "datetime": [f"{stamp}+00:00" for stamp in stamps],
                        "lat": latitude,
                        "lon": longitude,
                        "parameter": "pm25",
                        "units": "µg/m³",
                        "value": values,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    return make


SaveTable = Callable[..., Path]


@pytest.fixture
def save_table(tmp_path: Path) -> SaveTable:
    """Write a table as ``name`` (csv, csv.gz or parquet)."""

    def save(
        table: pd.DataFrame,
        name: str = "stations.csv",
        columns: Sequence[str] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = table if columns is None else table[list(columns)]
        if name.endswith(".parquet"):
            table.to_parquet(path)
            return path
        text = table.to_csv(index=False, float_format="%.9g").encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return save
