"""Matching of a field's values to observations in time and space.

In time there are two rules, and a third for comparison; each is a fixed linear combination of the field's times:

- ``touching`` (instants): the mean of the field's instants within the closed interval. An hourly field has two, the
  start and the end of the hour; a 3-hourly analysis matches the hour that ends with it and the one that begins with it.
- ``overlap`` (means over intervals): the mean weighted by overlap, if the field's intervals cover the whole hour.
- ``linear`` (instants): the mean of the linear interpolation between instants at most 3 h apart, as a user of a
  3-hourly product would compute an hour in between.
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
"""Longest gap that ``linear`` interpolates, seconds."""


@dataclass(frozen=True)
class Placement:
    """Positions of stations on a grid.

    Attributes:
        inside: (stations,), whether a cell of the grid contains the station.
        cell: (stations,), row x columns + column of that cell; -1 outside.
        point: (stations,), index of the station's point; -1 outside.
        rows, columns: (points, 1 or 4), nodes of each point.
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
    """Find the nodes and weights for stations.

    A cell extends half a step to each side of its node; the rows at the poles are caps. ``bilinear`` interpolates
    between the four nodes around the station; longitude wraps around, and in the half cell beyond a region's outermost
    nodes their values are used.

    Args:
        grid: grid of the field.
        latitude, longitude: (stations,), degrees; NaN is outside.
        rule: ``cell`` or ``bilinear``.

    Returns:
        the placement, with points numbered in the order in which stations first use them.
    """
    known = np.isfinite(latitude) & np.isfinite(longitude)
    down = (90 - np.where(known, latitude, 0.0)) / grid.row_step - grid.north
    right = np.where(known, longitude, 0.0) / grid.step - grid.west
    # Wrap into the 360 degrees that begin half a cell west of the first node.
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
    """Linear combinations of values at times that give the values of intervals.

    Attributes:
        index: (intervals, terms), index of the time; weight: (intervals, terms), its weight: 0 for unused terms, NaN in
            the first term if the field does not cover the interval.
    """

    index: np.ndarray
    weight: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(intervals,), whether the field covers them."""
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
    """Return the rule for a field's values: ``overlap`` for means, else ``touching``."""
    return "overlap" if is_mean(field) else "touching"


def cadence(field: xr.DataArray) -> int:
    """Return the usual time step of a field, seconds; an hour if it has only one time."""
    times = field_seconds(field)
    return int(np.median(np.diff(times))) if times.size > 1 else HOUR_SECONDS


def field_seconds(field: xr.DataArray) -> np.ndarray:
    """Return a field's times, int64, seconds since 1970 UTC."""
    return np.asarray(field.time.values.astype("datetime64[s]").astype(np.int64))


def plan_times(
    times: np.ndarray,
    rule: TimeRule,
    start: np.ndarray,
    end: np.ndarray,
    step: int = HOUR_SECONDS,
) -> TimePlan:
    """Compute the combinations for intervals.

    Args:
        times: times of the field, int64, seconds since 1970 UTC, increasing; for ``overlap`` the interval middles.
        rule: see the module.
        start, end: (intervals,), int64, seconds since 1970 UTC.
        step: length of the field's own intervals, seconds (``overlap``).
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
