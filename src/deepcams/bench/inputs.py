"""Inputs to measure with: fields without meaning, smooth at all scales, and stations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR
from deepcams.files.optional import need
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_geos_cf import write_geos_cf

COARSE_STEP = 0.75


def write_input(
    path: Path, days: int, seed: int = 0, first: int = 0, closed: bool = True
) -> None:
    """Write 3-hourly global fields at 0.75 degrees, smooth at all scales and moving eastward, in CAMS's layout.

    Args:
        path: netCDF file.
        days: how many.
        seed: chooses the field.
        first: days after 2019-01-01 that they begin.
        closed: whether one more frame closes the last.
    """
    grid = Grid.globe(COARSE_STEP)
    still = _pattern(grid, np.random.default_rng(seed))
    frames = 8 * first + np.arange(8 * days + closed)
    values = np.stack(
        [np.roll(still, k, axis=1) * (1 + 0.2 * np.sin(k / 4)) for k in frames]
    )
    times = np.datetime64("2019-01-01", "ns") + frames * 3 * HOUR
    about = xr.DataArray(name="pm2p5", attrs={"source": "noise, no data"})
    write_cams(field_like(about, values.astype(np.float32), grid, times), path)


def _pattern(grid: Grid, draw: np.random.Generator) -> np.ndarray:
    waves = np.fft.rfftfreq(grid.columns)[None], np.fft.fftfreq(2 * grid.rows)[:, None]
    spectrum = 1 / np.maximum(np.hypot(*waves), 1 / grid.columns) ** 1.8
    noise = draw.standard_normal((2, *spectrum.shape)) * spectrum
    pattern = np.fft.irfft2(noise[0] + 1j * noise[1], s=(2 * grid.rows, grid.columns))[
        : grid.rows
    ]
    return np.asarray(np.exp(1 + 1.2 * pattern / pattern.std()))


def write_hours(folder: Path, days: int) -> None:
    """Write the same noise as hourly means on fine nodes, a file an hour in GEOS-CF's layout.

    Args:
        folder: of the files.
        days: how many.
    """
    hours = np.arange(24 * days)
    times = np.datetime64("2019-01-01T00:30", "ns") + hours * HOUR
    grid = Grid.globe(COARSE_STEP).refine()
    about = {"cell_methods": "time: mean", "source": "noise, no data"}
    still = _pattern(grid, np.random.default_rng(0))
    for hour, time in zip(hours, times, strict=True):
        moved = np.roll(still, hour, axis=1) * (1 + 0.2 * np.sin(hour / 12))
        like = xr.DataArray(name="pm2p5", attrs=about)
        write_geos_cf(
            field_like(like, moved[None].astype(np.float32), grid, time[None]), folder
        )


def write_stations(path: Path, number: int, days: int, seed: int = 0) -> int:
    """Write hourly values of stations in cities, in OpenAQ's columns as one Parquet file.

    Args:
        path: the file.
        number: of stations.
        days: how many, from 2019-01-01.
        seed: chooses places and values.

    Returns:
        the number of rows.
    """
    import pandas as pd

    from deepcams.simulation.station_network import place_stations

    columns = ["location_id", "location", "lat", "lon"]
    places = pd.DataFrame(
        [
            (str(s.id), s.name, s.latitude, s.longitude)
            for s in place_stations(seed, number)
        ],
        columns=columns,
    )
    with need("duckdb").connect() as database:
        database.register("places", places)
        # A hash of station and hour in place of noise: the same in any order of work.
        database.execute(
            f"""COPY (
                SELECT places.*, to_timestamp(epoch(TIMESTAMP '2019-01-01 01:00') + 3600 * hour) AS datetime,
                    'pm25' AS parameter, 'µg/m³' AS units,
                    hash(location_id, hour, {seed:d}) / 18446744073709551616 - 0.5 AS noise,
                    round(20 * exp(0.4 * sin(hour * pi() / 12) + 2 * noise), 1) AS value
                FROM places, range({24 * days:d}) hours(hour)
            ) TO '{str(path).replace("'", "''")}' (FORMAT parquet, COMPRESSION zstd)"""
        )
    return 24 * days * number
