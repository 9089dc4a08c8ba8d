"""The contract of downscalers, and what all methods in space and all in time share.

A method in space only says how frames become finer (:meth:`SpatialDownscaler.refine`), a method in time only how to
interpolate between two frames (:meth:`TemporalDownscaler.between`); hours, gaps, missing cells and the canonical field
are dealt with here, once.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTOR, Grid, pad, place
from deepcams.core.stages import stage
from deepcams.core.times import HOUR

MAX_GAP = 3 * HOUR
"""Frames further apart than this are not interpolated between: the hours in the gap are missing."""

MISSING = 0
"""Status of an output hour without a value."""
ANALYSIS = 1
"""Status of an output hour that is a frame of the input."""
INTERPOLATED = 2
"""Status of an output hour computed between two frames."""


@runtime_checkable
class Downscaler(Protocol):
    """Anything with ``downscale(field) -> field`` (both canonical, in memory).

    Attributes:
        name: as written into provenance and tables.
        halo: how many input nodes beyond a region's edge may change the values inside it.
        factor: how many times finer the grid becomes (1 for a method in time).
        hourly: whether the result is hourly.
        clip_above: the value above which the method loses the excess (a network's scaling may); None: nothing is lost.
    """

    name: str
    halo: int
    factor: int
    hourly: bool
    clip_above: float | None

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """Return the finer field."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return everything that decides the result, as JSON types, for provenance and completion records."""
        ...


def fill_missing(
    values: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray | None]:
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
    from scipy import ndimage  # takes long to import, and few inputs miss cells

    values = values.copy()
    wrap = grid.columns // 2 if grid.periodic else 0
    inside = slice(wrap, wrap + grid.columns)
    for frame, holes in zip(values, missing, strict=True):
        if holes.all():
            frame[:] = 0
        elif holes.any():
            wide = pad(holes, grid, 0, wrap)
            nearest = ndimage.distance_transform_edt(
                wide, return_distances=False, return_indices=True
            )
            row, column = nearest[..., inside]
            frame[:] = frame[row, (column - wrap) % grid.columns]
    return values, missing


class _Method(ABC):
    """What methods in space and in time share."""

    name: str
    clip_above: float | None = None

    def settings(self) -> dict[str, Any]:
        """Return the method's name and options."""
        return {"name": self.name}


class SpatialDownscaler(_Method):
    """A method in space: each frame on its own becomes ``factor`` times finer."""

    halo: int = 2
    factor: int = FACTOR
    hourly: bool = False

    @abstractmethod
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Return fine values of complete coarse ones.

        Args:
            values: (time, grid.rows, grid.columns), float32, >= 0, nothing missing.
            grid: the coarse grid.

        Returns:
            ``(time, *grid.refine(factor).shape)``, float32, >= 0.
        """

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """Return the field on ``grid_of(field).refine(factor)``; fine nodes of a missing coarse cell are missing."""
        grid = grid_of(field)
        values, missing = fill_missing(np.asarray(field.data), grid)
        with stage("space"):
            fine = self.refine(values, grid)
        if missing is not None:
            fine[place(missing, grid, self.factor)] = np.nan
        return field_like(field, fine, grid.refine(self.factor))


def hours_between(times: np.ndarray) -> np.ndarray:
    """Return every hour from the first frame to the last, ``datetime64[ns]``.

    Raises:
        InputError: a frame is not a whole number of hours after the first one.
    """
    hours = np.arange(times[0], times[-1] + HOUR // 2, HOUR)
    off = np.flatnonzero((times - times[0]) % HOUR != np.timedelta64(0))
    if off.size:
        found = f"one at {str(times[off[0]])[:16]}"
        raise InputError("time", "frames a whole number of hours apart", found)
    return hours


def hour_status(times: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Return the status of each of ``hours`` given frames at ``times``: missing, analysis or interpolated, int8."""
    status = np.full(hours.size, MISSING, np.int8)
    after = np.searchsorted(times, hours)  # first frame at or after the hour
    inner = (after > 0) & (after < times.size)
    gap = np.zeros(hours.size, "timedelta64[ns]")
    gap[inner] = times[after[inner]] - times[after[inner] - 1]
    status[inner & (gap <= MAX_GAP)] = INTERPOLATED
    status[np.isin(hours, times)] = ANALYSIS
    return status


class TemporalDownscaler(_Method):
    """A method in time: frames between two neighbouring frames, which themselves are unchanged to the bit."""

    halo: int = 0
    factor: int = 1
    hourly: bool = True

    @abstractmethod
    def between(
        self,
        before: np.ndarray,
        after: np.ndarray,
        fractions: Sequence[float],
        grid: Grid,
    ) -> np.ndarray:
        """Return frames between two complete ones.

        Args:
            before, after: (rows, columns), float32, >= 0, nothing missing.
            fractions: their times, in (0, 1), measured from ``before``.
            grid: their grid, coarse or fine.

        Returns:
            (len(fractions), rows, columns), float32, >= 0.
        """

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """Return the field at every hour from its first to its last frame.

        Hours in a gap of more than 3 h are missing; a cell that is missing in either frame is missing in between.
        """
        grid = grid_of(field)
        times = field.time.values
        hours = hours_between(times)
        raw = np.asarray(field.data)
        values, missing = fill_missing(raw, grid)
        hourly = np.full((hours.size, *grid.shape), np.nan, np.float32)
        at = np.searchsorted(hours, times)
        hourly[at] = raw
        for i, (first, last) in enumerate(itertools.pairwise(at)):
            if last - first < 2 or times[i + 1] - times[i] > MAX_GAP:
                continue
            if missing is not None and (missing[i].all() or missing[i + 1].all()):
                continue
            fractions = np.arange(1, last - first) / (last - first)
            inner = slice(first + 1, last)
            with stage("blend"):
                hourly[inner] = self.between(
                    values[i], values[i + 1], list(fractions), grid
                )
            if missing is not None:
                hourly[inner, missing[i] | missing[i + 1]] = np.nan
        return field_like(field, hourly, grid, hours)


class Chain:
    """Downscalers one after the other; a downscaler itself.

    Args:
        parts: in the order in which they work. The paper has time first, then space.
    """

    def __init__(self, parts: Sequence[Downscaler]) -> None:
        self.parts = tuple(parts)
        self.name = " + ".join(part.name for part in self.parts) or "none"
        self.hourly = any(part.hourly for part in self.parts)
        clips = [part.clip_above for part in self.parts if part.clip_above is not None]
        self.clip_above = min(clips, default=None)
        self.halo = 0
        self.factor = 1
        for part in self.parts:
            self.halo += -(-part.halo // self.factor)
            self.factor *= part.factor

    def downscale(self, field: xr.DataArray) -> xr.DataArray:
        """Return the field after all parts."""
        for part in self.parts:
            field = part.downscale(field)
        return field

    @property
    def clips_fine(self) -> bool:
        """Return whether fine values are clipped: the clipping part works after one in space."""
        finer = 1
        for part in self.parts:
            if part.clip_above is not None:
                return finer > 1
            finer *= part.factor
        return False

    @property
    def weights(self) -> list[str]:
        """Return the hashes of the parts' checkpoints; none for training-free methods."""
        settings = [part.settings() for part in self.parts]
        return [each["sha256"] for each in settings if "sha256" in each]

    def settings(self) -> dict[str, Any]:
        """Return the settings of all parts, in order."""
        return {"chain": [part.settings() for part in self.parts]}
