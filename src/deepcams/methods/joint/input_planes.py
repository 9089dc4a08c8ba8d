"""Input planes of joint networks in addition to concentrations (:mod:`deepcams.networks.input_planes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import xarray as xr

from deepcams.core.grid import Grid
from deepcams.core.sun import sun_elevation
from deepcams.files.land_mask import land_fraction
from deepcams.files.towns import cities

_QUARTER = 4
"""Nodes of the land mask per degree."""


class Auxiliary(Protocol):
    """Interface of weather data; see :class:`deepcams.methods.joint.weather_inputs.AuxiliaryFiles`."""

    def plane(self, name: str, grid: Grid, hour: np.datetime64) -> np.ndarray | None:
        """Return a plane of :data:`deepcams.networks.input_planes.AUXILIARY` at an hour; None if not available.

        Returns:
            (rows, columns).
        """
        ...

    def check_input(self, field: xr.DataArray) -> None:
        """Raise InputError if the data do not cover a field."""

    def settings(self) -> dict[str, Any]:
        """Return the contents of the files, for provenance."""
        ...


@lru_cache(maxsize=8)
def people(grid: Grid) -> np.ndarray:
    """Return log10(1 + n), float32, with n thousand inhabitants of towns (>= 15,000) in each node's cell."""
    towns = cities()
    row = np.rint((90 - towns.latitude) / grid.row_step).astype(int) - grid.north
    column = np.rint(towns.longitude / grid.step).astype(int) - grid.west
    column %= grid.around
    inside = (row >= 0) & (row < grid.rows) & (column < grid.columns)
    count = np.zeros(grid.shape)
    np.add.at(count, (row[inside], column[inside]), towns.population[inside] / 1000)
    return np.log10(1 + count).astype(np.float32)


@lru_cache(maxsize=8)
def land(grid: Grid) -> np.ndarray:
    """Return the fraction of land around each node, 0 to 1, float32."""
    rows = np.rint((90 - grid.latitudes) * _QUARTER).astype(int)
    columns = np.rint(grid.longitudes * _QUARTER).astype(int) % (360 * _QUARTER)
    return land_fraction()[rows[:, None], columns]


def _latitude(grid: Grid, hour: np.datetime64) -> np.ndarray:
    return np.broadcast_to(grid.latitudes[:, None] / 90, grid.shape)


def _sun(grid: Grid, hour: np.datetime64) -> np.ndarray:
    degrees = sun_elevation(hour, grid.latitudes[:, None], grid.longitudes[None])
    return np.sin(np.deg2rad(degrees))


_MAKE: Mapping[str, Callable[[Grid, np.datetime64], np.ndarray]] = {
    "people": lambda grid, hour: people(grid),
    "land": lambda grid, hour: land(grid),
    "latitude": _latitude,
    "sun": _sun,
}


def context_planes(
    names: Sequence[str],
    grid: Grid,
    hour: np.datetime64,
    auxiliary: Auxiliary | None = None,
) -> np.ndarray:
    """Return planes by name at an hour.

    Args:
        names: names in :data:`deepcams.networks.input_planes.CONTEXT`.
        grid: fine grid.
        hour: UTC, centre of the hour's bounds.
        auxiliary: weather data; planes that are not available are 0.

    Returns:
        (len(names), grid.rows, grid.columns), float32.
    """
    planes = np.zeros((len(names), *grid.shape), np.float32)
    for plane, name in zip(planes, names, strict=True):
        if name in _MAKE:
            plane[:] = _MAKE[name](grid, hour)
        elif auxiliary is not None:
            found = auxiliary.plane(name, grid, hour)
            if found is not None:
                plane[:] = found
    return planes
