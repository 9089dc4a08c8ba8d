"""Planes that a network in space and time sees beside concentrations (:mod:`deepcams.networks.input_planes`)."""

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
"""Nodes a degree of the land mask."""


class Auxiliary(Protocol):
    """What a user's file says of weather; see :class:`deepcams.methods.joint.weather_inputs.AuxiliaryFiles`."""

    def plane(self, name: str, grid: Grid, hour: np.datetime64) -> np.ndarray | None:
        """Return the plane of a name in :data:`deepcams.networks.input_planes.AUXILIARY` at an hour; None: not known.

        Returns:
            (rows, columns).
        """
        ...

    def check_input(self, field: xr.DataArray) -> None:
        """Raise InputError where the file cannot serve a field."""

    def settings(self) -> dict[str, Any]:
        """Return what the file holds, for provenance."""
        ...


@lru_cache(maxsize=8)
def people(grid: Grid) -> np.ndarray:
    """Return log10(1 + n), n thousand inhabitants of towns (of 15,000 and more) in each node's cell, float32."""
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
    """Return the share of land round each node, 0 to 1, float32."""
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
    """Return the planes of some names at an hour.

    Args:
        names: of :data:`deepcams.networks.input_planes.CONTEXT`.
        grid: the fine grid.
        hour: UTC, the centre of the hour's bounds.
        auxiliary: the user's file; what it does not know is 0.

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
