"""Which hours and which part of the globe, cut into work items; what one item reads and computes.

The lazy Python function and the command both go through :func:`plan_work` and :func:`compute_hours`, so they give
the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import ValueCounts, field_like, grid_of, is_mean, load_values
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.times import HOUR
from deepcams.methods.base import (
    ANALYSIS,
    INTERPOLATED,
    MAX_GAP,
    MISSING,
    Chain,
    hour_status,
    hours_between,
)
from deepcams.writers import Item, split_hours
from deepcams.writers.layout import Split


@dataclass(frozen=True)
class Crop:
    """Which part of the input is read, and which part of its result is the output.

    Attributes:
        region: grid of the input that is read: the box's cells and a halo.
        rows, columns: its place in the input.
        grid: output grid: all fine nodes of the box's cells.
        out_rows, out_columns: its place in the region's result.
        in_rows, in_columns: place of the box's own cells in the region.
    """

    region: Grid
    rows: slice
    columns: slice | np.ndarray
    grid: Grid
    out_rows: slice
    out_columns: slice | np.ndarray
    in_rows: slice
    in_columns: slice | np.ndarray


def crop_to(grid: Grid, box: Sequence[float] | None, factor: int, halo: int) -> Crop:
    """Return the whole coarse cells that a box touches, with ``halo`` nodes round them where the data have any.

    Args:
        grid: of the (coarse) input.
        box: west, south, east and north, or ``None`` for all.
        factor: how much finer the output is.
        halo: how many input nodes beyond a cell may change it.

    Raises:
        InputError: the box is no box or lies outside the data.
    """
    cells = region = grid
    if box is not None:
        cells = grid.cells_in(box, factor=factor)
        region = _with_halo(cells, grid, max(halo, 1))
    out = cells.refine(factor)
    return Crop(
        region,
        *region.place_in(grid),
        out,
        *out.place_in(region.refine(factor)),
        *cells.place_in(region),
    )


def _with_halo(cells: Grid, grid: Grid, halo: int) -> Grid:
    top, bottom = max(cells.north - halo, grid.north), min(cells.south + halo, grid.south)
    if grid.periodic:
        west, columns = cells.west - halo, cells.columns + 2 * halo
        # Across a pole comes the other side of the globe: a box near it needs the whole circle.
        polar = cells.north - halo < 0 or cells.south + halo > grid.last_row
        if polar or columns >= grid.around:
            west, columns = 0, grid.around
    else:
        first = (cells.west - grid.west) % grid.around
        stop = min(first + cells.columns + halo, grid.columns)
        first = max(first - halo, 0)
        west, columns = grid.west + first, stop - first
    return Grid(grid.step, top, west, bottom - top + 1, columns).canonical()


@dataclass(frozen=True)
class Plan:
    """What is computed, item by item.

    Attributes:
        field: the input that is needed, canonical, lazy.
        chain: what computes.
        crop: where the output lies in the chain's result.
        times: output times.
        items: consecutive pieces of them.
    """

    field: xr.DataArray
    chain: Chain
    crop: Crop
    times: np.ndarray
    items: tuple[Item, ...]

    @property
    def half_width(self) -> np.timedelta64:
        """Half the interval over which each output value is a mean; zero for instants."""
        if not is_mean(self.field):
            return np.timedelta64(0, "ns")
        cadence = HOUR if self.chain.hourly or self.times.size < 2 else np.diff(self.times).min()
        return cadence // 2

    def frames(self, item: Item) -> np.ndarray:
        """Indices of just the input frames that the item's hours are or lie between."""
        hours, times = self.times[item.start : item.stop], self.field.time.values
        status = hour_status(times, hours)
        at = np.searchsorted(times, hours)
        between = at[status == INTERPOLATED]
        return np.unique(np.concatenate([at[status == ANALYSIS], between - 1, between])).astype(int)

    def own(self, item: Item) -> np.ndarray:
        """Those of :meth:`frames` that lie at one of the item's hours: each frame belongs to one item at most."""
        frames = self.frames(item)
        hours = self.times[item.start : item.stop]
        return frames[np.isin(self.field.time.values[frames], hours)]


def plan_work(
    field: xr.DataArray,
    chain: Chain,
    *,
    bbox: Sequence[float] | None = None,
    period: Period | None = None,
    split: Split | None = None,
) -> Plan:
    """Lay out the work.

    Args:
        field: canonical input, lazy or not.
        chain: from :func:`deepcams.methods.chains`.
        bbox: output the whole coarse cells that this box touches.
        period: output only the hours in it; frames just outside are still used.
        split: cut at calendar days instead of every 24 hours.

    Raises:
        InputError: the field is not canonical, too short for a method in time, or outside ``bbox`` or ``period``.
    """
    grid, times = grid_of(field), field.time.values
    if chain.hourly and not np.any(np.diff(times) <= MAX_GAP):
        found = (
            "a single frame"
            if times.size == 1
            else f"frames {np.diff(times).min() / HOUR:g} hours apart"
        )
        do = "add the next frame's file, or keep the cadence with --temporal none"
        raise InputError(
            "time", "two frames at most 3 hours apart to interpolate between", found, do
        )
    hours = hours_between(times) if chain.hourly else times
    if period is not None:
        inside = period.contains(hours)
        if not inside.any():
            found = f"data from {str(hours[0])[:16]} to {str(hours[-1])[:16]}"
            raise InputError(
                "--period", f"a period that holds hours of the data, not {period}", found
            )
        hours = hours[inside]
        first = max(int(np.searchsorted(times, hours[0], side="right")) - 1, 0)
        last = min(int(np.searchsorted(times, hours[-1])), times.size - 1)
        field = field.isel(time=slice(first, last + 1))
    crop = crop_to(grid, bbox, chain.factor, chain.halo)
    if crop.region != grid:
        part = field.isel(latitude=crop.rows, longitude=crop.columns)
        field = field_like(field, part.data, crop.region)
    return Plan(field, chain, crop, hours, split_hours(hours, split))


def compute_hours(piece: xr.DataArray, chain: Chain, hours: np.ndarray, crop: Crop) -> np.ndarray:
    """Compute an item from its input frames.

    Args:
        piece: the frames of :meth:`Plan.frames`, canonical; none for an item that lies in a gap.
        chain: what computes.
        hours: the item's output times.
        crop: which part of the result is kept.

    Returns:
        (hours, *crop.grid.shape), float32, contiguous; missing values are NaN.

    Raises:
        InputError: an infinite value in the input.
    """
    if piece.time.size == 0:
        return np.full((hours.size, *crop.grid.shape), np.nan, np.float32)
    values, _ = load_values(piece, "input")
    result = chain.downscale(field_like(piece, values, grid_of(piece)))
    found = result.time.values
    data = result.data[:, crop.out_rows, crop.out_columns]
    at = np.searchsorted(found, hours)
    inside = at < found.size
    inside[inside] = found[at[inside]] == hours[inside]
    if inside.all() and np.all(np.diff(at) == 1):
        return np.ascontiguousarray(data[at[0] : at[-1] + 1], np.float32)
    out = np.full((hours.size, *crop.grid.shape), np.nan, np.float32)
    out[inside] = data[at[inside]]
    return out


@dataclass(frozen=True)
class Facts:
    """What is known of an item's hours once they are computed.

    Attributes:
        status: int8 per hour: missing, analysis or interpolated, by what is really there.
        missing_cells: missing values in the hours that are not missing as a whole.
        largest: largest value, or ``None``.
    """

    status: np.ndarray
    missing_cells: int
    largest: float | None


def examine(values: np.ndarray, times: np.ndarray, hours: np.ndarray) -> Facts:
    """Status, missing cells and the maximum of an item's hours.

    Args:
        values: (hours, rows, columns).
        times: of the input's frames.
        hours: the item's output times.
    """
    status, missing_cells, largest = hour_status(times, hours), 0, -np.inf
    for i, frame in enumerate(values):
        top = float(frame.max())
        if np.isnan(top):  # NaN somewhere: rare, so it is only then looked for
            holes = int(np.isnan(frame).sum())
            if holes == frame.size:
                status[i] = MISSING
                continue
            missing_cells += holes
            top = float(np.nanmax(frame))
        largest = max(largest, top)
    return Facts(status, missing_cells, largest if np.isfinite(largest) else None)


def count_frames(piece: xr.DataArray, chosen: np.ndarray, plan: Plan) -> ValueCounts:
    """What is found among the values of ``chosen`` frames (positions in ``piece``), in the cells that are kept."""
    if not chosen.size:
        return ValueCounts()
    own = piece.isel(time=chosen, latitude=plan.crop.in_rows, longitude=plan.crop.in_columns)
    values, counts = load_values(own, "input")
    clips = plan.chain.clip_above if not plan.chain.clips_fine else None
    return counts if clips is None else replace(counts, clipped=int((values > clips).sum()))
