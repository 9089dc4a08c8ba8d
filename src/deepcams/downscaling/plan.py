"""Plan a downscaling (hours, region, work items), and compute one item.

The lazy function :func:`downscale` and the command both use :func:`plan_field` and :func:`compute_hours`, so they give
the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.field import as_field, field_like, grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.times import HOUR
from deepcams.core.values import ValueCounts, load_values
from deepcams.methods import build
from deepcams.methods.base import (
    INTERPOLATED,
    MAX_GAP,
    MISSING,
    Chain,
    hour_status,
    hours_between,
)
from deepcams.methods.chains import BEST, TRAINING_FREE, Order
from deepcams.writers import Item, Split, split_hours

Place = tuple[slice, slice | np.ndarray]
"""Rows and columns of a grid."""


@dataclass(frozen=True)
class Crop:
    """The part of the input that is read, and the part of its result that is output.

    Attributes:
        region: grid of the input that is read: the box's cells and a halo.
        read: rows and columns of the region in the input.
        grid: output grid: all fine nodes of the box's cells.
        output: rows and columns of the output grid in the region's result.
        own: rows and columns of the box's cells in the region, without the halo.
    """

    region: Grid
    read: Place
    grid: Grid
    output: Place
    own: Place


def crop_to(
    grid: Grid,
    box: Sequence[float] | None,
    factor: int,
    halo: int,
    halo_at_poles: int | None = None,
) -> Crop:
    """Return the whole coarse cells that a box touches, with ``halo`` nodes around them as far as available.

    Args:
        grid: grid of the (coarse) input.
        box: west, south, east and north, or ``None`` for all.
        factor: refinement factor of the output.
        halo: number of input nodes beyond a cell that may influence it.
        halo_at_poles: number of these that are also needed across a pole (default: all).

    Raises:
        InputError: the box is invalid or lies outside the data.
    """
    cells = region = grid
    if box is not None:
        cells = grid.cells_in(box, factor=factor)
        across = max(halo if halo_at_poles is None else halo_at_poles, 1)
        region = _with_halo(cells, grid, max(halo, 1), across)
    fine = cells.refine(factor)
    output = fine.place_in(region.refine(factor))
    return Crop(region, region.place_in(grid), fine, output, cells.place_in(region))


def _with_halo(cells: Grid, grid: Grid, halo: int, across: int) -> Grid:
    top, bottom = (
        max(cells.north - halo, grid.north),
        min(cells.south + halo, grid.south),
    )
    if grid.periodic:
        west, columns = cells.west - halo, cells.columns + 2 * halo
        # Across a pole lies the other side of the globe, so a box near a pole needs all longitudes.
        polar = cells.north - across < 0 or cells.south + across > grid.last_row
        if polar or columns >= grid.around:
            west, columns = 0, grid.around
    else:
        first = (cells.west - grid.west) % grid.around
        stop = min(first + cells.columns + halo, grid.columns)
        first = max(first - halo, 0)
        west, columns = grid.west + first, stop - first
    return replace(
        grid, north=top, west=west, rows=bottom - top + 1, columns=columns
    ).canonical()


@dataclass(frozen=True)
class Plan:
    """The work of a downscaling, divided into items.

    Attributes:
        field: required input, canonical, lazy.
        chain: the downscalers.
        crop: input region, and position of the output in the chain's result.
        times: output times.
        items: work items, which divide the times.
    """

    field: xr.DataArray
    chain: Chain
    crop: Crop
    times: np.ndarray
    items: tuple[Item, ...]

    def hours(self, item: Item) -> np.ndarray:
        """Return the item's output times."""
        return self.times[item.start : item.stop]

    @property
    def half_width(self) -> np.timedelta64:
        """Half the averaging interval of the output values; zero for instants."""
        if not is_mean(self.field):
            return np.timedelta64(0, "ns")
        cadence = (
            HOUR
            if self.chain.hourly or self.times.size < 2
            else np.diff(self.times).min()
        )
        return cadence // 2

    def frames(self, item: Item) -> np.ndarray:
        """Return the indices of the input frames that the item needs: those at its hours and around them."""
        times, reach, ends = self.field.time.values, self.chain.reach, self.ends(item)
        own = np.flatnonzero(np.isin(times, self.hours(item)))
        around = [ends + shift for shift in range(-1 - reach, 1 + reach)]
        wanted = np.unique(np.concatenate([own, *around]))
        return wanted[(wanted >= 0) & (wanted < times.size)].astype(int)

    def ends(self, item: Item) -> np.ndarray:
        """Return the indices of the frames at the ends of the intervals that contain the item's other hours."""
        hours, times = self.hours(item), self.field.time.values
        inner = hour_status(times, hours, self.chain.max_gap) == INTERPOLATED
        return np.unique(np.searchsorted(times, hours[inner])).astype(int)

    def is_own(self, item: Item) -> np.ndarray:
        """Return a mask of the :meth:`frames` at one of the item's hours; each frame belongs to at most one item."""
        return np.isin(self.field.time.values[self.frames(item)], self.hours(item))


def plan_field(
    field: xr.DataArray,
    temporal: str = BEST,
    spatial: str = BEST,
    *,
    conserve: bool = True,
    order: Order = "spatial-first",
    bbox: Sequence[float] | None = None,
    period: Period | str | None = None,
    split: Split | None = None,
    **options: Any,
) -> Plan:
    """Choose the methods and plan the work; see :func:`downscale` and :func:`plan_work` for the arguments."""
    field = as_field(field)
    options = {"variable": str(field.name), **options}
    spatial = _fitting(spatial, grid_of(field))
    chain = build(temporal, spatial, conserve=conserve, order=order, **options)
    if chain.weights and is_finer(grid_of(field)):
        notice(f"{chain.name}: {_NOT_LEARNED.format(grid_of(field).spacing)}")
    if isinstance(period, str):
        period = Period.parse(period, "--period")
    return plan_work(field, chain, bbox=bbox, period=period, split=split)


LEARNED_STEP = 0.75
"""Finest grid spacing, degrees, of the fields that the shipped networks were trained to refine."""
_NOT_LEARNED = f"networks learned fields of {LEARNED_STEP:g} degrees or coarser, and these are of {{}}"


def is_finer(grid: Grid) -> bool:
    """Return whether a grid is finer than those the shipped networks were trained to refine."""
    return min(grid.step, grid.row_step) < 0.99 * LEARNED_STEP


def _fitting(spatial: str, grid: Grid) -> str:
    """Return the best method in space for a grid; a training-free one if no network was trained at its scale."""
    if spatial != BEST or not is_finer(grid):
        return spatial
    chosen = TRAINING_FREE["spatial"]
    notice(f"--spatial {chosen}: {_NOT_LEARNED.format(grid.spacing)}")
    return chosen


def plan_work(
    field: xr.DataArray,
    chain: Chain,
    *,
    bbox: Sequence[float] | None = None,
    period: Period | None = None,
    split: Split | None = None,
) -> Plan:
    """Divide the output's hours into work items, and reduce the input to what they need.

    Args:
        field: canonical input, lazy or not.
        chain: from :func:`deepcams.methods.chains`.
        bbox: output the whole coarse cells that this box touches.
        period: output only the hours in it; frames just outside it are still used.
        split: divide at calendar days instead of every 24 hours.

    Raises:
        InputError: the field is not canonical, too short for a method in time, or outside ``bbox`` or ``period``.
    """
    grid, times = grid_of(field), field.time.values
    if chain.hourly and not np.any(np.diff(times) <= chain.max_gap):
        found = "a single frame"
        if times.size > 1:
            found = f"frames {np.diff(times).min() / HOUR:g} hours apart"
        raise InputError(
            "time",
            f"two frames at most {chain.max_gap / HOUR:g} hours apart to interpolate between",
            found,
            "add the next frame's file, allow more with --gap 6, or keep the cadence with --temporal none",
        )
    hours = hours_between(times) if chain.hourly else times
    if period is not None:
        inside = period.contains(hours)
        if not inside.any():
            raise InputError(
                "--period",
                f"a period that holds hours of the data, not {period}",
                f"data from {str(hours[0])[:16]} to {str(hours[-1])[:16]}",
            )
        hours = hours[inside]
        first = int(np.searchsorted(times, hours[0], side="right")) - 1 - chain.reach
        last = int(np.searchsorted(times, hours[-1])) + chain.reach
        field = field.isel(time=slice(max(first, 0), last + 1))
    crop = crop_to(grid, bbox, chain.factor, chain.halo, chain.halo_at_poles)
    if crop.region != grid:
        rows, columns = crop.read
        part = field.isel(latitude=rows, longitude=columns)
        field = field_like(field, part.data, crop.region)
    chain.check_input(field)
    return Plan(field, chain, crop, hours, split_hours(hours, split))


def compute_hours(
    piece: xr.DataArray, chain: Chain, hours: np.ndarray, crop: Crop
) -> np.ndarray:
    """Compute an item from its input frames.

    Args:
        piece: the frames of :meth:`Plan.frames`, canonical; empty for an item within a gap.
        chain: the downscalers.
        hours: the item's output times.
        crop: position of the output in the chain's result.

    Returns:
        (hours, *crop.grid.shape), float32, contiguous; missing values are NaN.

    Raises:
        InputError: the input has an infinite value.
    """
    if piece.time.size == 0:
        return np.full((hours.size, *crop.grid.shape), np.nan, np.float32)
    values, _ = load_values(piece, "input")
    result = chain.downscale(field_like(piece, values, grid_of(piece)), hours)
    return np.ascontiguousarray(result.data[:, *crop.output], np.float32)


def examine(
    values: np.ndarray,
    times: np.ndarray,
    hours: np.ndarray,
    max_gap: np.timedelta64 = MAX_GAP,
) -> tuple[np.ndarray, int, float | None]:
    """Summarise the computed values of an item.

    Args:
        values: (hours, rows, columns).
        times: times of the input frames.
        hours: the item's output times.
        max_gap: largest distance of two frames to interpolate between.

    Returns:
        each hour's status (int8: missing, analysis or interpolated, judged by the actual values), the number of
        missing values in hours that are not entirely missing, and the largest value (``None`` if all are missing).
    """
    status, missing_cells, largest = hour_status(times, hours, max_gap), 0, -np.inf
    for i, frame in enumerate(values):
        top = float(frame.max())
        if np.isnan(top):  # NaNs are rare, so they are counted only if present
            holes = int(np.isnan(frame).sum())
            if holes == frame.size:
                status[i] = MISSING
                continue
            missing_cells += holes
            top = float(np.nanmax(frame))
        largest = max(largest, top)
    return status, missing_cells, largest if np.isfinite(largest) else None


def count_frames(piece: xr.DataArray, chosen: np.ndarray, plan: Plan) -> ValueCounts:
    """Count the values by kind in the ``chosen`` frames (a mask) of ``piece``, in the cells that the output covers."""
    if not chosen.any():
        return ValueCounts()
    own = piece[chosen, *plan.crop.own]
    values, counts = load_values(own, "input")
    if plan.chain.clip_above is None or plan.chain.clips_fine:
        return counts
    return replace(counts, clipped=int((values > plan.chain.clip_above).sum()))


def downscale(
    field: xr.DataArray,
    temporal: str = BEST,
    spatial: str = BEST,
    *,
    conserve: bool = True,
    order: Order = "spatial-first",
    bbox: Sequence[float] | None = None,
    period: Period | str | None = None,
    **options: Any,
) -> xr.DataArray:
    """Downscale a field in time and space, lazily.

    The values are those that ``deepcams downscale`` writes, before bit-rounding: both compute the same work items.

    Args:
        field: from :func:`deepcams.open_cams`, or any array that :func:`deepcams.as_field` accepts.
        temporal: method in time, or ``none`` to keep the cadence.
        spatial: method in space, or ``none`` to keep the grid.
        conserve: keep the coarse cells' area means.
        order: ``spatial-first`` or ``temporal-first``.
        bbox: (west, south, east, north), degrees; the result covers the whole coarse cells that the box touches.
            West > east crosses the dateline.
        period: output only these hours (a :class:`deepcams.Period` or its text, ``2019-03``).
        options: options of the downscalers (see :func:`deepcams.methods.chains`).

    Returns:
        canonical field, hourly unless ``temporal="none"``, backed by Dask with 24 hours per chunk. Hours in gaps
        longer than 3 h, and cells missing in the input, are NaN.

    Raises:
        InputError: see :func:`plan_work`; when the result is computed, also for an infinite value.
    """
    import dask.array as da
    from dask.delayed import delayed

    plan = plan_field(
        field,
        temporal,
        spatial,
        conserve=conserve,
        order=order,
        bbox=bbox,
        period=period,
        **options,
    )
    compute = delayed(compute_hours, pure=False)
    blocks = []
    for item in plan.items:
        piece = plan.field.isel(time=plan.frames(item))
        block = compute(piece, plan.chain, plan.hours(item), plan.crop)
        shape = (item.hours, *plan.crop.grid.shape)
        blocks.append(da.from_delayed(block, shape, np.float32))  # type: ignore[no-untyped-call]
    data = da.concatenate(blocks, axis=0)  # type: ignore[no-untyped-call]
    return field_like(plan.field, data, plan.crop.grid, plan.times)
