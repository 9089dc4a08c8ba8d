"""The contract of downscalers, and what all methods in space and all in time share.

A method in space only says how frames become finer (:meth:`SpatialDownscaler.refine`), a method in time only what
lies between two frames (:meth:`TemporalDownscaler.between`); hours, gaps, missing cells and the canonical field
are dealt with here, once.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from scipy import ndimage

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTOR, Grid, pad, place

HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")
MAX_GAP = 3 * HOUR
"""Frames further apart than this are not interpolated between: the hours in the gap are missing."""

MISSING, ANALYSIS, INTERPOLATED = 0, 1, 2
"""Status of an output hour: no value; a frame of the input at this very hour; computed between two frames."""


@runtime_checkable
class Downscaler(Protocol):
    """Anything with ``downscale(field) -> field`` (both canonical, in memory).

    Attributes:
        name: as written into provenance and tables.
        halo: how many input nodes beyond a region's edge may change the values inside it.
        factor: how many times finer the grid becomes (1 for a method in time).
        hourly: whether the result is hourly.
        clips: the value above which the method loses the excess (a network's scaling may); None: nothing is lost.
    """

    name: str
    halo: int
    factor: int
    hourly: bool
    clips: float | None

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """The finer field."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, as JSON types, for provenance and completion records."""
        ...


def fill_missing(values: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray | None]:
    """Replace each NaN by the nearest value of its frame, so that methods need not know of missing cells.

    Args:
        values: (time, rows, columns).

    Returns:
        the filled values, and the mask of what was missing (``None`` where nothing was). A frame
        without any value becomes 0.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values, None
    values = values.copy()
    for frame, holes in zip(values, missing, strict=True):
        if holes.all():
            frame[:] = 0
        elif holes.any():
            wrap = grid.columns // 2 if grid.periodic else 0
            wide = pad(holes, grid, 0, wrap)
            rows, columns = ndimage.distance_transform_edt(
                wide, return_distances=False, return_indices=True
            )
            inside = slice(wrap, wrap + grid.columns)
            frame[:] = frame[rows[:, inside], (columns[:, inside] - wrap) % grid.columns]
    return values, missing


class SpatialDownscaler(ABC):
    """A method in space: each frame on its own becomes ``factor`` times finer."""

    name: str
    halo: int = 2
    factor: int = FACTOR
    hourly: bool = False
    clips: float | None = None

    @abstractmethod
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Fine values of complete coarse ones.

        Args:
            values: (time, grid.rows, grid.columns), float32, >= 0, nothing missing.
            grid: the coarse grid.

        Returns:
            ``(time, *grid.refine(factor).shape)``, float32, >= 0.
        """

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """The field on ``grid_of(field).refine(factor)``; where a coarse cell is missing its fine nodes are."""
        grid = grid_of(field)
        values, missing = fill_missing(np.asarray(field.data), grid)
        fine = self.refine(values, grid)
        if missing is not None:
            fine[place(missing, grid, self.factor)] = np.nan
        return field_like(field, fine, grid.refine(self.factor))

    def settings(self) -> dict[str, Any]:
        """The method's name and options."""
        return {"name": self.name}


def hours_between(times: np.ndarray) -> np.ndarray:
    """Every hour from the first frame to the last, ``datetime64[ns]``.

    Raises:
        InputError: a frame lies between the hours counted from the first one.
    """
    hours = np.arange(times[0], times[-1] + HOUR // 2, HOUR)
    off = np.flatnonzero((times - times[0]) % HOUR != np.timedelta64(0))
    if off.size:
        raise InputError(
            "time", "frames a whole number of hours apart", f"one at {str(times[off[0]])[:16]}"
        )
    return hours


def hour_status(times: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """What each of ``hours`` is to frames at ``times``: missing, analysis or interpolated, int8."""
    status = np.full(hours.size, MISSING, np.int8)
    after = np.searchsorted(times, hours)  # first frame at or after the hour
    inner = (after > 0) & (after < times.size)
    gap = np.zeros(hours.size, "timedelta64[ns]")
    gap[inner] = times[after[inner]] - times[after[inner] - 1]
    status[inner & (gap <= MAX_GAP)] = INTERPOLATED
    status[np.isin(hours, times)] = ANALYSIS
    return status


class TemporalDownscaler(ABC):
    """A method in time: what lies between two neighbouring frames. The frames themselves are kept to the bit."""

    name: str
    halo: int = 0
    factor: int = 1
    hourly: bool = True
    clips: float | None = None

    @abstractmethod
    def between(
        self, before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid
    ) -> np.ndarray:
        """Frames between two complete ones.

        Args:
            before, after: (rows, columns), float32, >= 0, nothing missing.
            fractions: where, in (0, 1), measured from ``before``.
            grid: their grid, coarse or fine.

        Returns:
            (len(fractions), rows, columns), float32, >= 0.
        """

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """The field at every hour from its first to its last frame.

        Hours in a gap of more than 3 h are missing; a cell that misses at either frame is missing in between.
        """
        grid, times = grid_of(field), field.time.values
        hours = hours_between(times)
        raw = np.asarray(field.data)
        values, missing = fill_missing(raw, grid)
        hourly = np.empty((hours.size, *grid.shape), np.float32)
        at = np.searchsorted(hours, times)
        hourly[at] = raw
        hourly[hour_status(times, hours) == MISSING] = np.nan
        for i, (first, last) in enumerate(itertools.pairwise(at)):
            if last - first < 2 or times[i + 1] - times[i] > MAX_GAP:
                continue
            if missing is not None and (missing[i].all() or missing[i + 1].all()):
                hourly[first + 1 : last] = np.nan
                continue
            inner = np.arange(1, last - first)
            hourly[first + 1 : last] = self.between(
                values[i], values[i + 1], list(inner / (last - first)), grid
            )
            if missing is not None:
                hourly[first + 1 : last, missing[i] | missing[i + 1]] = np.nan
        return field_like(field, hourly, grid, hours)

    def settings(self) -> dict[str, Any]:
        """The method's name and options."""
        return {"name": self.name}


class Chain:
    """Downscalers one after the other; a downscaler itself.

    Args:
        parts: in the order in which they work. The paper has time first, then space.
    """

    def __init__(self, parts: Sequence[Downscaler]) -> None:
        self.parts = tuple(parts)
        self.name = " + ".join(part.name for part in self.parts) or "none"
        self.factor = int(np.prod([part.factor for part in self.parts], dtype=int))
        self.hourly = any(part.hourly for part in self.parts)
        self.clips = min(
            (part.clips for part in self.parts if part.clips is not None), default=None
        )
        halo, finer = 0, 1
        for part in self.parts:
            halo += -(-part.halo // finer)
            finer *= part.factor
        self.halo = halo

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """The field after all parts."""
        for part in self.parts:
            field = part.downscale(field)
        return field

    @property
    def clips_fine(self) -> bool:
        """Whether what loses its excess are fine values: the clipping part works after one in space."""
        finer = 1
        for part in self.parts:
            if part.clips is not None:
                return finer > 1
            finer *= part.factor
        return False

    @property
    def weights(self) -> list[str]:
        """Hashes of the checkpoints that the parts rest on; none for training-free methods."""
        return [
            settings["sha256"] for part in self.parts if "sha256" in (settings := part.settings())
        ]

    def settings(self) -> dict[str, Any]:
        """The settings of all parts, in order."""
        return {"chain": [part.settings() for part in self.parts]}
