"""Small worlds, polygons in files, and areas by brute force."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.exposure.coverage import without_jumps
from deepcams.exposure.polygons import Ring, Zones
from deepcams.exposure.weights import lines_of

COARSE = Grid.globe(10.0)
REGION = Grid(2.0, 15, -4, 9, 12)


def field_on(
    grid: Grid, hours: int = 48, start: str = "2019-12-30", missing: float = 0.0
) -> xr.DataArray:
    """Return random values on a grid, some of them missing."""
    rng = np.random.default_rng(5)
    values = rng.gamma(2.0, 8.0, (hours, *grid.shape)).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    times = np.datetime64(start, "ns") + np.arange(hours) * np.timedelta64(1, "h")
    coordinates = {
        "time": times,
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    array = xr.DataArray(
        values, coordinates, list(coordinates), "pm2p5", {"units": "ug m-3"}
    )
    return as_field(array)


def zones_of(*rings: Sequence[Sequence[float]]) -> Zones:
    """Return zones of one ring each, called a, b, .."""
    ids = tuple("abcdefghij"[: len(rings)])
    found = [
        Ring(number, without_jumps(np.asarray(ring, float))[0])
        for number, ring in enumerate(rings)
    ]
    return Zones(ids, ids, tuple(found), "test")


def rectangle(
    west: float, south: float, east: float, north: float
) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def brute_areas(ring: np.ndarray, grid: Grid, samples: int = 400) -> np.ndarray:
    """Return a ring's area in each cell: each cell's column is cut into strips, whose crossings are sorted.

    Written for tests from the definition, with nothing of the package but the cells' edges. Along a strip's middle the
    inside runs from every odd crossing of the ring to the next.
    """
    lines = lines_of(grid)
    sines = np.sin(np.deg2rad(lines.rows))
    found = np.zeros(lines.shape)
    ring = np.asarray(ring, float)
    first, last = ring[:, 0].min(), ring[:, 0].max()
    low, high = ring[:-1], ring[1:]
    for column in range(lines.shape[1]):
        west, east = lines.columns[column : column + 2]
        width = (east - west) / samples
        for middle in west + width * (np.arange(samples) + 0.5):
            for turn in (-720, -360, 0, 360, 720):
                x = middle + turn
                if not first < x < last:
                    continue
                across = (low[:, 0] - x) * (high[:, 0] - x) < 0
                one, two = low[across], high[across]
                share = (x - one[:, 0]) / (two[:, 0] - one[:, 0])
                at = np.sort(one[:, 1] + share * (two[:, 1] - one[:, 1]))
                for south, north in np.sin(np.deg2rad(at)).reshape(-1, 2):
                    top, bottom = (
                        np.minimum(north, sines[:-1]),
                        np.maximum(south, sines[1:]),
                    )
                    found[:, column] += np.deg2rad(width) * np.maximum(top - bottom, 0)
    return found


def write_geojson(path: Path, rings: dict[str, Any], **properties: Any) -> Path:
    """Write polygons of one ring each, by their ids."""
    features = [
        {
            "type": "Feature",
            "properties": {"id": name, **properties},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for name, ring in rings.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def write_field(path: Path, grid: Grid = COARSE, **options: Any) -> Path:
    """Write a field as netCDF."""
    field_on(grid, **options).to_netcdf(path)
    return path


Command = Callable[..., tuple[int, str]]
