"""A simulated world with known truth: PM2.5 at any grid and cadence, a pure function of seed, place and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import UNITS, field_like
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.readers.protocols import Paths

if TYPE_CHECKING:
    from deepcams.simulation.arrays import Arrays

_ORIGIN = np.datetime64("2000-01-01T00:00", "ns")
_HOUR = 3_600_000_000_000
_BLOCK_NODES = 4_200_000  # of one lazy block: four global hours at 0.25 degrees, 17 MB


@dataclass(frozen=True)
class SimulatedWorld:
    """Cities, fires, dust and sea salt carried by smooth winds over a textured ground.

    The value at a node and a moment depends on nothing else: not on the region, the grid's step or the other times
    asked for, nor on the chunks, to the last bit on the same platform.

    Attributes:
        seed: chooses the world.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InputError("seed", "a whole number from 0", repr(self.seed))

    def field(
        self, grid: Grid, times: np.ndarray, mean: bool = False, arrays: Arrays | None = None
    ) -> xr.DataArray:
        """The truth on ``grid`` at ``times``; lazy, one block per few hours.

        Args:
            grid: any regular grid, also a region.
            times: ``datetime64``, strictly increasing.
            mean: means over the hour around each time (GEOS-CF stamps HH:30) instead of instants.
            arrays: what to compute with, by default NumPy; others (PyTorch on a GPU, see
                :mod:`deepcams.simulation.arrays`) agree with it to about 1e-5 of the value, and to 3e-4 beside
                the sharpest sources.

        Returns:
            canonical field (time, latitude, longitude), float32, ug m-3, all values positive.

        Raises:
            InputError: no times, or times that do not increase.
        """
        import dask.array as da

        times = np.atleast_1d(np.asarray(times, "datetime64[ns]"))
        if times.size == 0 or np.any(np.diff(times) <= np.timedelta64(0)):
            raise InputError(
                "times", "at least one time, strictly increasing", f"{times.size} times"
            )
        grid = grid.canonical()
        each = max(1, min(times.size, _BLOCK_NODES // (grid.rows * grid.columns)))
        stamps = da.from_array(times.astype("int64"), chunks=each)  # type: ignore[no-untyped-call]
        data = da.map_blocks(  # type: ignore[no-untyped-call]
            _block,
            stamps,
            self.seed,
            grid,
            mean,
            arrays,
            dtype=np.float32,
            new_axis=[1, 2],
            chunks=(stamps.chunks[0], (grid.rows,), (grid.columns,)),
            meta=np.empty((0, 0, 0), np.float32),
        )
        attrs = {
            "units": UNITS,
            "standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
            "long_name": "Simulated particulate matter d <= 2.5 um",
            "cell_methods": "time: mean" if mean else "time: point",
            "source": f"deepcams simulated world, seed {self.seed}: no real data",
        }
        template = xr.DataArray(0.0, name="pm2p5", attrs=attrs)
        return field_like(template, data, grid, times)

    def values(
        self, grid: Grid, time: np.datetime64, mean: bool = False, arrays: Arrays | None = None
    ) -> np.ndarray:
        """The truth on ``grid`` at one time: (rows, columns), float32, ug m-3; see :meth:`field`."""
        stamp = np.asarray([time], "datetime64[ns]").astype("int64")
        result: np.ndarray = _block(stamp, self.seed, grid.canonical(), mean, arrays)[0]
        return result


def _block(
    stamps: np.ndarray, seed: int, grid: Grid, mean: bool, arrays: Arrays | None
) -> np.ndarray:
    from deepcams.simulation.arrays import NUMPY
    from deepcams.simulation.world import Moment

    origin = int(_ORIGIN.astype("int64"))

    def at(stamp: int) -> np.ndarray:
        return Moment(seed, (stamp - origin) / _HOUR, arrays or NUMPY).values(grid)

    result = np.empty((stamps.size, *grid.shape), np.float32)
    if not mean:
        for k, stamp in enumerate(stamps.tolist()):
            result[k] = at(stamp)
        return result
    after: tuple[int, np.ndarray] | None = None
    for k, stamp in enumerate(stamps.tolist()):
        # Simpson's rule over the hour; the next hour begins where this one ends.
        before = (
            after[1]
            if after is not None and after[0] == stamp - _HOUR // 2
            else at(stamp - _HOUR // 2)
        )
        after = stamp + _HOUR // 2, at(stamp + _HOUR // 2)
        result[k] = (before + np.float32(4) * at(stamp) + after[1]) * np.float32(1 / 6)
    return result


def open_simulated(
    paths: Paths,
    *,
    variable: str | None = None,
    grid: Grid | None = None,
    seed: int = 0,
    hours: int = 1,
    mean: bool = False,
    arrays: Arrays | None = None,
) -> xr.DataArray:
    """A simulated field for a period, through the same door as files.

    Args:
        paths: the period as text, for instance ``2019-12-01..2019-12-02`` (nothing is read from disk).
        variable: only PM2.5 (``pm2p5``) is simulated.
        grid: default the 0.25 degree globe.
        seed: chooses the world.
        hours: between two times (3 for CAMS).
        mean: hourly means stamped in the middle of the hour instead of instants on the hour.
        arrays: what to compute with (see :meth:`SimulatedWorld.field`).

    Raises:
        InputError: not one period, another variable, or no step of at least an hour.
    """
    if not isinstance(paths, str):
        raise InputError("simulated", "a period as text (2019-12-01..2019-12-02)", repr(paths))
    if variable is not None and variable.lower().replace(".", "p") not in ("pm2p5", "pm25"):
        raise InputError("simulated: variable", "pm2p5", repr(variable))
    if hours < 1:
        raise InputError("hours", "at least 1", hours)
    period = Period.parse(paths)
    first = period.start + np.timedelta64(30 if mean else 0, "m")
    times = np.arange(first, period.end, np.timedelta64(hours, "h").astype("timedelta64[ns]"))
    return SimulatedWorld(seed).field(
        grid if grid is not None else Grid.globe(0.25), times, mean, arrays
    )
