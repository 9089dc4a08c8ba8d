"""Which values of a field stand for an observation: by time bounds, and by the cell or between nodes.

In time there are two rules, and one more for comparison; each is a fixed linear combination of the field's times:

- ``touching`` (instants): the mean of the field's instants within the closed interval. An hourly field has two, the
  hour's begin and end; a 3-hourly analysis meets the hour that ends with it and the hour that begins with it.
- ``overlap`` (means over intervals): the mean weighted by overlap, where the field's intervals cover the whole hour.
- ``linear`` (instants): the mean of the straight lines between instants at most 3 h apart: what a user of a 3-hourly
  product would take for an hour in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from deepcams.core.field import is_mean
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR_SECONDS

TimeRule = Literal["touching", "overlap", "linear"]
SpaceRule = Literal["cell", "bilinear"]

LONGEST_GAP = 3 * HOUR_SECONDS
"""Seconds that ``linear`` goes across."""


@dataclass(frozen=True)
class Placement:
    """Where stations lie on a grid.

    Attributes:
        inside: (stations,), whether a cell of the grid holds the station.
        cell: (stations,), row x columns + column of that cell; -1 outside.
        point: (stations,), which of the points a station takes its values from; -1 outside.
        rows, columns: (points, 1 or 4), the nodes that a point is made of.
        weights: (points, 1 or 4), summing to 1.
    """

    inside: np.ndarray
    cell: np.ndarray
    point: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray


def place_stations(
    grid: Grid, latitude: np.ndarray, longitude: np.ndarray, rule: SpaceRule = "cell"
) -> Placement:
    """Find the nodes that stand for stations.

    A cell reaches half a step to each side of its node; the rows at the poles are caps. ``bilinear`` weighs the four
    nodes around the station; longitude goes round, and in the half cell beyond a region's outermost nodes the
    outermost nodes hold.

    Args:
        grid: of the field.
        latitude, longitude: (stations,), degrees; NaN lies nowhere.
        rule: ``cell`` or ``bilinear``.

    Returns:
        with points numbered in the order of the stations that first use them.
    """
    known = np.isfinite(latitude) & np.isfinite(longitude)
    down = (90 - np.where(known, latitude, 0.0)) / grid.row_step - grid.north
    right = np.where(known, longitude, 0.0) / grid.step - grid.west
    # Into the turn that begins half a cell west of the first node.
    right = (right + 0.5) % grid.around - 0.5
    row, column = (
        np.floor(down + 0.5).astype(np.int64),
        np.floor(right + 0.5).astype(np.int64),
    )
    inside = known & (row >= 0) & (row < grid.rows) & (column < grid.columns)
    cell = np.where(inside, row * grid.columns + column, -1)
    if rule == "cell":
        unique, first, which = np.unique(
            cell[inside], return_index=True, return_inverse=True
        )
        order = np.argsort(first)
        rank = np.empty(order.size, np.int64)
        rank[order] = np.arange(order.size)
        point = np.full(cell.size, -1)
        point[inside] = rank[which]
        nodes = unique[order][:, None]
        return Placement(
            inside,
            cell,
            point,
            nodes // grid.columns,
            nodes % grid.columns,
            np.ones(nodes.shape),
        )
    point = np.full(cell.size, -1)
    point[inside] = np.arange(int(inside.sum()))
    down, right = np.clip(down[inside], 0, grid.rows - 1), right[inside]
    if not grid.periodic:
        right = np.clip(right, 0, grid.columns - 1)
    north = np.minimum(np.floor(down), grid.rows - 2).astype(np.int64)
    west = np.floor(right).astype(np.int64)
    west = west if grid.periodic else np.minimum(west, grid.columns - 2)
    v, u = down - north, right - west
    rows = np.stack([north, north, north + 1, north + 1], axis=1)
    columns = np.stack([west, west + 1, west, west + 1], axis=1) % grid.columns
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], axis=1)
    return Placement(inside, cell, point, rows, columns, weights)


@dataclass(frozen=True)
class TimePlan:
    """How the values at some times combine to the values of some intervals.

    Attributes:
        index: (intervals, terms), which time; weight: the same shape, its weight: 0 for a term that is none, NaN in
            the first term where the field says nothing of the interval.
    """

    index: np.ndarray
    weight: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(intervals,), whether the field says anything of them."""
        return (
            ~np.isnan(self.weight[:, 0])
            if self.weight.size
            else np.zeros(len(self.weight), bool)
        )

    def apply(self, series: np.ndarray) -> np.ndarray:
        """Combine: (points, times) -> (points, intervals), float32; NaN where any term is missing."""
        result = np.zeros((series.shape[0], self.index.shape[0]), np.float32)
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            used = np.flatnonzero(weight != 0)
            result[:, used] += series[:, index[used]] * weight[used].astype(np.float32)
        return result


def rule_of(field: xr.DataArray) -> TimeRule:
    """The rule that a field's own values follow: ``overlap`` for means, else ``touching``."""
    return "overlap" if is_mean(field) else "touching"


def cadence(field: xr.DataArray) -> int:
    """Usual distance of a field's times, seconds; an hour where there is only one."""
    times = field_seconds(field)
    return int(np.median(np.diff(times))) if times.size > 1 else HOUR_SECONDS


def field_seconds(field: xr.DataArray) -> np.ndarray:
    """A field's times, int64, seconds since 1970 UTC."""
    return np.asarray(field.time.values.astype("datetime64[s]").astype(np.int64))


def plan_times(
    times: np.ndarray,
    rule: TimeRule,
    start: np.ndarray,
    end: np.ndarray,
    step: int = HOUR_SECONDS,
) -> TimePlan:
    """Make the plan for intervals.

    Args:
        times: the field's, int64, seconds since 1970 UTC, increasing; the middles of the intervals for ``overlap``.
        rule: see the module.
        start, end: (intervals,), int64, seconds since 1970 UTC.
        step: width of the field's own intervals, seconds (``overlap``).
    """
    if rule == "touching":
        first, stop = (
            np.searchsorted(times, start, "left"),
            np.searchsorted(times, end, "right"),
        )
        number = stop - first
        terms = max(int(number.max(initial=0)), 1)
        index = np.minimum(first[:, None] + np.arange(terms), max(times.size - 1, 0))
        weight = np.where(
            np.arange(terms) < number[:, None], 1 / np.maximum(number, 1)[:, None], 0.0
        )
        return _plan(index, weight, number > 0)
    begins, ends = (
        (times - step // 2, times + step // 2)
        if rule == "overlap"
        else (times[:-1], times[1:])
    )
    if not begins.size:
        return _plan(
            np.zeros((start.size, 1), np.int64),
            np.zeros((start.size, 1)),
            np.zeros(start.size, bool),
        )
    first, stop = (
        np.searchsorted(ends, start, "right"),
        np.searchsorted(begins, end, "left"),
    )
    terms = max(int((stop - first).max(initial=0)), 1)
    which = first[:, None] + np.arange(terms)
    real = which < stop[:, None]
    which = np.minimum(which, begins.size - 1)
    low, high = (
        np.maximum(begins[which], start[:, None]),
        np.minimum(ends[which], end[:, None]),
    )
    share = np.where(real, np.maximum(high - low, 0), 0) / (end - start)[:, None]
    known = abs(share.sum(axis=1) - 1) < 1e-9
    if rule == "overlap":
        return _plan(which, share, known)
    gap = ends[which] - begins[which]
    known &= ~((gap > LONGEST_GAP) & (share > 0)).any(axis=1)
    along = np.where(share > 0, ((low + high) / 2 - begins[which]) / gap, 0.0)
    index = np.stack([which, which + 1], axis=2).reshape(start.size, -1)
    weight = np.stack([share * (1 - along), share * along], axis=2).reshape(
        start.size, -1
    )
    return _plan(index, weight, known)


def _plan(index: np.ndarray, weight: np.ndarray, known: np.ndarray) -> TimePlan:
    weight = np.array(weight, np.float64)
    weight[~known] = 0
    if weight.size:
        weight[~known, 0] = np.nan
    return TimePlan(np.asarray(index, np.int64), weight)
