"""The interface of downscalers, and the base classes of spatial and temporal methods.

A spatial method only implements how frames are refined (:meth:`SpatialDownscaler.refine`), a temporal method only how
to interpolate between two frames (:meth:`TemporalDownscaler.between`); hours, gaps, missing cells and the canonical
field are handled here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTOR, Grid, pad, place
from deepcams.core.stages import stage
from deepcams.core.times import HOUR
from deepcams.methods.interval import Interval
from deepcams.methods.result_cache import ResultCache

Kind = Literal["baseline", "training-free", "network"]

MAX_GAP = 3 * HOUR
"""Longest default gap between frames that is interpolated; in longer gaps the hours are missing."""

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
        name: name in provenance and tables.
        halo: number of input nodes beyond a region's edge that affect values inside it.
        factor: refinement factor of the grid (1 for a temporal method).
        hourly: whether the result is hourly.
        reach: number of frames before and after an interval that affect the hours inside it.
        clip_above: value at which the method clips (as a network's scaling may); None: no clipping.
    """

    name: str
    halo: int
    factor: int
    hourly: bool
    reach: int
    clip_above: float | None

    def downscale(
        self, field: xr.DataArray, hours: np.ndarray | None = None
    ) -> xr.DataArray:
        """Return the finer field.

        Args:
            field: canonical field, in memory.
            hours: output times, increasing, for temporal methods; default: every hour from the first frame to the last.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Return all settings that affect the result, as JSON types, for provenance and completion records."""
        ...


def fill_missing(
    values: np.ndarray, grid: Grid
) -> tuple[np.ndarray, np.ndarray | None]:
    """Replace each NaN by the nearest value of its frame, so that methods need not handle missing cells.

    Args:
        values: (time, rows, columns).

    Returns:
        the filled values, and the mask of missing ones (``None`` if nothing was missing). A frame without any value
        becomes 0.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values, None
    from scipy import ndimage  # slow import, and few inputs have missing cells

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
    """Base of spatial and temporal methods."""

    name: str
    kind: Kind = "training-free"
    reach: int = 0
    clip_above: float | None = None

    def settings(self) -> dict[str, Any]:
        """Return the method's name and options."""
        return {"name": self.name}


class SpatialDownscaler(_Method):
    """A spatial method: refines each frame independently by ``factor``.

    Attributes:
        factors: allowed values of :attr:`factor`.
    """

    factors: tuple[int, ...] = (FACTOR,)

    halo: int = 2
    factor: int = FACTOR
    hourly: bool = False

    def settings(self) -> dict[str, Any]:
        """Return the method's name, and its factor if not the default."""
        factor = {} if self.factor == FACTOR else {"factor": self.factor}
        return {**super().settings(), **factor}

    @abstractmethod
    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine complete coarse values.

        Args:
            values: (time, grid.rows, grid.columns), float32, >= 0, nothing missing.
            grid: the coarse grid.

        Returns:
            ``(time, *grid.refine(factor).shape)``, float32, >= 0.
        """

    def downscale(
        self, field: xr.DataArray, hours: np.ndarray | None = None
    ) -> xr.DataArray:
        """Refine the field to ``grid_of(field).refine(factor)``; fine nodes of a missing coarse cell are missing."""
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


def hour_status(
    times: np.ndarray, hours: np.ndarray, max_gap: np.timedelta64 = MAX_GAP
) -> np.ndarray:
    """Return the status of each of ``hours`` given frames at ``times``: missing, analysis or interpolated, int8."""
    status = np.full(hours.size, MISSING, np.int8)
    after = np.searchsorted(times, hours)  # first frame at or after the hour
    inner = (after > 0) & (after < times.size)
    gap = np.zeros(hours.size, "timedelta64[ns]")
    gap[inner] = times[after[inner]] - times[after[inner] - 1]
    status[inner & (gap <= max_gap)] = INTERPOLATED
    status[np.isin(hours, times)] = ANALYSIS
    return status


class TemporalDownscaler(_Method):
    """A temporal method: makes frames between consecutive input frames, which stay bit-identical.

    Attributes:
        reach: 1 if the method uses ``earlier`` and ``later`` of an interval, else 0.
        max_gap: longest gap between frames that is interpolated.
    """

    max_gap: np.timedelta64 = MAX_GAP

    halo: int = 0
    factor: int = 1
    hourly: bool = True

    def settings(self) -> dict[str, Any]:
        """Return the method's name, and the longest gap if not the default."""
        gap = {} if self.max_gap == MAX_GAP else {"gap": self.max_gap / HOUR}
        return {**super().settings(), **gap}

    @abstractmethod
    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Interpolate between two frames.

        Args:
            interval: the frames (float32 on grids, float64 at points) with their coordinates and times.
            fractions: times in (0, 1), measured from ``interval.before``.

        Returns:
            (len(fractions), ..), each of the frames' shape and dtype, >= 0.
        """

    def downscale(
        self, field: xr.DataArray, hours: np.ndarray | None = None
    ) -> xr.DataArray:
        """Interpolate the field to hours from its first to its last frame.

        Hours in a gap longer than :attr:`max_gap` are missing, as are cells missing in either of the two frames. The
        neighbouring frames are used if the method needs them and they are one equal step away.
        """
        grid = grid_of(field)
        times = field.time.values
        every = hours_between(times)
        wanted = every if hours is None else hours
        raw = np.asarray(field.data)
        values, missing = fill_missing(raw, grid)
        frames = _Frames(values, missing, times, grid, str(field.name))
        hourly = np.full((wanted.size, *grid.shape), np.nan, np.float32)
        known = np.isin(wanted, times)
        hourly[known] = raw[np.searchsorted(times, wanted[known])]
        last = np.searchsorted(times, wanted)  # the frame that ends the interval
        for i in np.unique(last[~known & (last > 0) & (last < times.size)]) - 1:
            step = times[i + 1] - times[i]
            if step > self.max_gap or frames.is_empty(i) or frames.is_empty(i + 1):
                continue
            inner = np.flatnonzero((last == i + 1) & ~known)
            fractions = ((wanted[inner] - times[i]) / step).tolist()
            interval = frames.interval(i, self.reach)
            with stage("blend"):
                made = self.between(interval, fractions)
            if missing is not None:
                made[:, missing[i] | missing[i + 1]] = np.nan
            hourly[inner] = made
        return field_like(field, hourly, grid, wanted)


class _Frames:
    """The frames of a field with missing cells filled.

    Args:
        values: (time, rows, columns), filled.
        missing: mask of the filled cells, of the same shape; ``None`` if nothing was filled.
    """

    def __init__(
        self,
        values: np.ndarray,
        missing: np.ndarray | None,
        times: np.ndarray,
        grid: Grid,
        variable: str,
    ) -> None:
        self.values, self.missing, self.times = values, missing, times
        self.grid, self.variable = grid, variable

    def is_empty(self, i: int) -> bool:
        """Return whether a frame has no value at all."""
        return self.missing is not None and bool(self.missing[i].all())

    def interval(self, i: int, reach: int) -> Interval:
        """Return the interval from frame i to i + 1, with the available frames around it."""
        earlier, later = (
            self._neighbour(i, *each) if reach else None
            for each in ((i - 1, i, i + 1), (i + 2, i + 1, i))
        )
        return Interval.on_grid(
            self.values[i],
            self.values[i + 1],
            self.grid,
            earlier=earlier,
            later=later,
            start=self.times[i],
            step=self.times[i + 1] - self.times[i],
            variable=self.variable,
        )

    def _neighbour(self, i: int, at: int, near: int, far: int) -> np.ndarray | None:
        """Return frame ``at``, one step beyond ``near``; missing cells are extrapolated from ``far`` and ``near``."""
        times = self.times
        if not 0 <= at < times.size or self.is_empty(at):
            return None
        if abs(times[at] - times[near]) != times[i + 1] - times[i]:
            return None
        if self.missing is None or not self.missing[at].any():
            return self.values[at]
        line = 2 * self.values[near] - self.values[far]
        return np.where(self.missing[at], np.maximum(line, 0), self.values[at])


class Chain:
    """A sequence of downscalers; itself a downscaler.

    Args:
        parts: downscalers in the order in which they are applied. In the paper time comes first, then space.
    """

    def __init__(self, parts: Sequence[Downscaler]) -> None:
        self.parts = tuple(parts)
        self.name = " + ".join(part.name for part in self.parts) or "none"
        self.hourly = any(part.hourly for part in self.parts)
        clips = [part.clip_above for part in self.parts if part.clip_above is not None]
        self.clip_above = min(clips, default=None)
        self.reach = max((part.reach for part in self.parts), default=0)
        # consecutive work items share a frame, and those within reach of the temporal method
        self._recent = ResultCache(2 * self.reach + 2)
        self.halo = self.halo_at_poles = 0
        self.factor = 1
        for part in self.parts:
            halo = -(-part.halo // self.factor)
            self.halo += halo
            # optical flow uses the whole frame; beyond a pole a halo for it is not worth whole rows
            self.halo_at_poles += 0 if isinstance(part, TemporalDownscaler) else halo
            self.factor *= part.factor

    def downscale(
        self, field: xr.DataArray, hours: np.ndarray | None = None
    ) -> xr.DataArray:
        """Apply all parts; see :meth:`Downscaler.downscale`."""
        hourly = False
        for part in self.parts:
            if self.reach and isinstance(part, SpatialDownscaler) and not hourly:
                field = self.refined(part, field)
            else:
                field = part.downscale(field, hours)
            hourly = hourly or part.hourly
        return field

    def check_input(self, field: xr.DataArray) -> None:
        """Raise InputError if a part cannot process a field with its other inputs."""
        for part in self.parts:
            check = getattr(part, "check_input", None)
            if check is not None:
                check(field)

    def refined(self, part: SpatialDownscaler, field: xr.DataArray) -> xr.DataArray:
        """Refine frames by one part; the last frames of the previous call are cached."""
        recent, grid = self._recent, grid_of(field)
        keys = [recent.key(frame, repr(grid)) for frame in np.asarray(field.data)]
        # look up once: other threads may evict entries
        kept = [recent.get(key) for key in keys]
        new = [i for i, frame in enumerate(kept) if frame is None]
        fine = np.empty((len(keys), *grid.refine(part.factor).shape), np.float32)
        if new:
            fine[new] = part.downscale(field.isel(time=new)).data
        for i, frame in enumerate(kept):
            if frame is not None:
                fine[i] = frame
        for i in range(len(keys))[-recent.size :]:
            recent.keep(keys[i], fine[i].copy())
        return field_like(field, fine, grid.refine(part.factor))

    @property
    def max_gap(self) -> np.timedelta64:
        """Longest gap between frames that is interpolated."""
        gaps = [getattr(part, "max_gap", None) for part in self.parts]
        return max((gap for gap in gaps if gap is not None), default=MAX_GAP)

    @property
    def clips_fine(self) -> bool:
        """Whether fine values are clipped: the clipping part comes after a spatial one."""
        finer = 1
        for part in self.parts:
            if part.clip_above is not None:
                return finer > 1
            finer *= part.factor
        return False

    @property
    def weights(self) -> list[str]:
        """Hashes of the parts' checkpoints; empty for training-free methods."""
        settings = [part.settings() for part in self.parts]
        return [each["sha256"] for each in settings if "sha256" in each]

    def settings(self) -> dict[str, Any]:
        """Return the settings of all parts, in order."""
        return {"chain": [part.settings() for part in self.parts]}
