"""Drift of the mean by region: ``python benchmarks/drift.py [METHOD_IN_TIME METHOD_IN_SPACE]``.

A day of each season in the simulated world, and the four CAMS frames of 2019-12-31: the mean of the hours (their coarse
cells, the first and last hour by half) over that of the analyses joined by straight lines, less one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.methods import build
from deepcams.methods.spatial.coarsen import area_mean
from deepcams.readers.open import open_field
from deepcams.simulation import SimulatedWorld

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CAMS = DATA / "cams" / "cams_eac4_20191231_new_layout.nc"
SEED = 5
DAYS = ("2019-01-15", "2019-04-15", "2019-07-15", "2019-10-15")
REGIONS = {
    "globe": (-180, -90, 180, 90),
    "North America": (-130, 25, -65, 55),
    "South America": (-80, -40, -40, 10),
    "Europe": (-10, 36, 40, 60),
    "Africa": (-15, -30, 45, 30),
    "South Asia": (65, 5, 95, 35),
    "East Asia": (100, 20, 145, 50),
    "Australia": (113, -40, 155, -12),
}
"""W S E N."""


def fields() -> Iterator[tuple[str, xr.DataArray]]:
    """Yield coarse fields, 3 h apart, with their names."""
    for day in DAYS:
        times = pd.date_range(day, periods=9, freq="3h").values
        world = SimulatedWorld(SEED).field(Grid.globe(0.75), times)
        yield f"simulated {day}", world.load()
    yield "CAMS 2019-12-31", open_field(CAMS).load()


def mean(values: np.ndarray, grid: Grid, box: tuple[float, ...]) -> float:
    """Return the mean over a box and over time, whose ends count half."""
    west, south, east, north = box
    longitudes = (grid.longitudes + 180) % 360 - 180
    rows = (grid.latitudes >= south) & (grid.latitudes <= north)
    columns = (longitudes >= west) & (longitudes <= east)
    part = values[:, rows][:, :, columns].astype(float).mean(axis=2)
    series = np.average(part, axis=1, weights=grid.row_areas[rows])
    return float((series[:-1] + series[1:]).mean() / 2)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", default=["best", "best"])
    temporal, spatial = parser.parse_args().methods
    print("| field |", " | ".join(REGIONS), "|\n|---|" + "---:|" * len(REGIONS))
    for name, field in fields():
        grid = grid_of(field)
        hours = area_mean(build(temporal, spatial).downscale(field).values, grid)
        row = [
            mean(hours, grid, box) / mean(field.values, grid, box) - 1
            for box in REGIONS.values()
        ]
        print(f"| {name} |", " | ".join(f"{100 * each:+.2f} %" for each in row), "|")


if __name__ == "__main__":
    main()
