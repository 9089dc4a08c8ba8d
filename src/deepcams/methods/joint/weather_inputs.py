"""Weather from the user's files, for joint networks that use it.

Each variable has its own grid and time step: one hour in ERA5 and GEOS-CF, three in CAMS. It is interpolated linearly
in time and bilinearly in space. Hours outside the files' times are computed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.text import counted
from deepcams.core.times import HOUR, stamp
from deepcams.methods.base import MAX_GAP
from deepcams.networks.input_planes import AUXILIARY
from deepcams.readers.formats.detect import find_files
from deepcams.readers.weather import open_weather


@dataclass(frozen=True)
class _Quantity:
    """A variable in files.

    Attributes:
        names: names of the variable in lower case: in ERA5 and CAMS, in GEOS-CF.
        units: supported units.
        plane: converts values to the network's input.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    plane: Callable[[np.ndarray], np.ndarray]


def _wind(names: tuple[str, ...]) -> _Quantity:
    units = ("m s-1", "m s**-1", "m/s", "m s^-1")
    return _Quantity(names, units, lambda speed: speed / 10)


_QUANTITIES = {
    "boundary-layer": _Quantity(
        ("blh", "boundary_layer_height", "zpbl", "pblh"),
        ("m", "metre", "metres"),
        lambda height: np.log10(np.maximum(height, 10) / 500),
    ),
    "wind-east": _wind(("u10", "10m_u_component_of_wind", "u10m")),
    "wind-north": _wind(("v10", "10m_v_component_of_wind", "v10m")),
}
assert tuple(_QUANTITIES) == AUXILIARY


class AuxiliaryFiles:
    """Weather in a user's files.

    Args:
        fields: fields by name in :data:`deepcams.networks.input_planes.AUXILIARY`, (time, latitude, longitude), lazy.
        files: name and size in bytes of each file, for provenance.
    """

    def __init__(
        self, fields: dict[str, xr.DataArray], files: Sequence[tuple[str, int]]
    ) -> None:
        self.fields, self.files = fields, list(files)
        self._frames: dict[tuple[str, int], np.ndarray] = {}

    def plane(self, name: str, grid: Grid, hour: np.datetime64) -> np.ndarray | None:
        """Return a quantity at an hour, (grid.rows, grid.columns); None if the files do not cover it."""
        field = self.fields.get(name)
        if field is None:
            return None
        times = field.time.values
        after = int(np.searchsorted(times, hour))
        if after == times.size:
            return None
        if times[after] == hour:
            values = self._frame(name, after)
        else:
            gap = times[after] - times[after - 1]
            if after == 0 or gap > MAX_GAP:
                return None
            t = float((hour - times[after - 1]) / gap)
            first, last = self._frame(name, after - 1), self._frame(name, after)
            values = (1 - t) * first + t * last
        plane = _QUANTITIES[name].plane(_bilinear(values, grid_of(field), grid))
        return np.nan_to_num(plane, nan=0.0)

    def _frame(self, name: str, at: int) -> np.ndarray:
        """Return a stored frame; the latest few are cached."""
        key = (name, at)
        if key not in self._frames:
            values = np.asarray(self.fields[name][at].values, np.float32)
            kept = list(self._frames.items())[-2 * len(self.fields) :]
            self._frames = {**dict(kept), key: values}
        return self._frames[key]

    def check_input(self, field: xr.DataArray) -> None:
        """Check that the files cover a field's region and hours; give a notice of hours they do not cover.

        Raises:
            InputError: the files do not cover the region or any of the hours.
        """
        grid, times = grid_of(field), field.time.values
        hours = np.arange(times[0], times[-1] + HOUR, HOUR)
        for name, weather in self.fields.items():
            where = f"--auxiliary: {weather.attrs['found']}"
            own, known = grid_of(weather), weather.time.values
            south, north = (
                own.latitudes[-1] - own.row_step,
                own.latitudes[0] + own.row_step,
            )
            inside = grid.latitudes[-1] >= south and grid.latitudes[0] <= north
            west = (grid.longitudes[0] - own.longitudes[0] + own.step) % 360
            width = grid.longitudes[-1] - grid.longitudes[0]
            across = own.longitudes[-1] - own.longitudes[0] + 2 * own.step
            if not inside or not (own.periodic or west + width <= across):
                do = "give files of the whole region and a few degrees round it"
                raise InputError(where, grid.describe(), own.describe(), do)
            after = np.searchsorted(known, hours).clip(max=known.size - 1)
            before = (np.searchsorted(known, hours, side="right") - 1).clip(0)
            gap = known[after] - known[before]
            reached = (
                (known[before] <= hours) & (hours <= known[after]) & (gap <= MAX_GAP)
            )
            if not reached.any():
                found = f"{stamp(known[0])} to {stamp(known[-1])}"
                expected = f"hours from {stamp(times[0])} to {stamp(times[-1])}"
                raise InputError(where, expected, found)
            if not reached.all():
                without = counted(int(np.count_nonzero(~reached)), "hour")
                notice(f"{where} does not reach {without}, done without {name}")

    def settings(self) -> dict[str, Any]:
        """Return the contents of the files, for provenance."""
        return {"names": sorted(self.fields), "files": self.files}


def open_auxiliary(
    paths: Sequence[str], wanted: Sequence[str], network: object
) -> AuxiliaryFiles:
    """Open weather files: netCDF, GRIB, zips of them, folders, globs; any regular grid, any time step.

    Args:
        paths: the files.
        wanted: names of the network's context planes.
        network: name of the network for messages.

    Raises:
        InputError: the network uses no weather; files do not exist, have none of its variables, or have other units.
    """
    names = [name for name in wanted if name in AUXILIARY]
    if not names:
        found = f"one that sees {', '.join(wanted) or 'nothing else'}"
        raise InputError(
            network, "a network that takes weather", found, "leave out --auxiliary"
        )
    files = find_files(list(paths))
    fields = {}
    for name in names:
        quantity = _QUANTITIES[name]
        field = open_weather(files, quantity.names, quantity.units, "--auxiliary ")
        if field is not None:
            fields[name] = field
    if not fields:
        expected = "; ".join(" or ".join(_QUANTITIES[name].names) for name in names)
        raise InputError(f"--auxiliary {paths[0]}", expected, "none of them")
    for name in names:
        if name not in fields:
            notice(f"--auxiliary: no {name} in the files, done without it")
    sizes = [(file.path.name, file.local.stat().st_size) for file in files]
    return AuxiliaryFiles(fields, sizes)


def _bilinear(values: np.ndarray, own: Grid, grid: Grid) -> np.ndarray:
    """Interpolate (own.rows, own.columns) to the nodes of another grid; beyond the edges repeat the nearest value."""
    down = (own.latitudes[0] - grid.latitudes) / own.row_step
    row = np.clip(down, 0, own.rows - 1)
    across = (grid.longitudes - own.longitudes[0]) / own.step
    if own.periodic:
        values = np.concatenate([values, values[:, :1]], axis=1)
        column = across % own.columns
    else:
        around = own.around
        half = (
            around - own.columns
        ) / 2  # a node just west of the edge maps to the edge
        column = np.clip((across + half) % around - half, 0, own.columns - 1)
    top = np.minimum(row.astype(int), max(own.rows - 2, 0))
    left = np.minimum(column.astype(int), max(values.shape[1] - 2, 0))
    south = (row - top)[:, None]
    east = column - left
    bottom, right = (
        np.minimum(top + 1, own.rows - 1),
        np.minimum(left + 1, values.shape[1] - 1),
    )
    upper = values[top][:, left] * (1 - east) + values[top][:, right] * east
    lower = values[bottom][:, left] * (1 - east) + values[bottom][:, right] * east
    return np.asarray(upper * (1 - south) + lower * south)
