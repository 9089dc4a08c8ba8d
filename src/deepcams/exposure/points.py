"""Exposure at places: a field sampled at each place of a list, within its time window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, notice
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import counted
from deepcams.core.times import stamp
from deepcams.exposure.fields import DAYS
from deepcams.exposure.point_list import PointList
from deepcams.exposure.steps import Steps, step_means, steps_of
from deepcams.files.land_mask import smoothed_land
from deepcams.stations.averages import enough
from deepcams.stations.extract import Series, nodes_read, read_nodes
from deepcams.stations.matching import Placement, SpaceRule, place_stations

How = Literal["nearest", "bilinear"]
PointOver = Literal["hour", "day", "month", "year", "window"]
Shape = Literal["long", "wide"]

_RULES: dict[How, SpaceRule] = {"nearest": "cell", "bilinear": "bilinear"}
_TOGETHER = 1 << 25
"""Number of values in memory at once."""
_ROWS = 1 << 21
"""Number of table rows made at once."""
_DAY = np.timedelta64(1, "D")
_SEA = 0.01
"""Fraction of land around a place below which it counts as at sea."""


@dataclass(frozen=True)
class PointOptions:
    """Options for sampling a field at places.

    Attributes:
        over: averaging: none (``hour``), days, months or years of UTC, or one mean per row's window.
        how: value of the cell, or bilinear interpolation between the four nodes around.
        lags: number of preceding days whose values are added (``over`` day only).
        shape: ``long``: one row per value. ``wide``: one row per place and one column per step (with ``lags``: one row
            per day, one column per lag).
        coordinates: whether latitude and longitude are in the table.
        period: times of the field to use.
    """

    over: PointOver = "day"
    how: How = "nearest"
    lags: int = 0
    shape: Shape = "long"
    coordinates: bool = False
    period: Period | None = None

    def check(self, points: PointList) -> None:
        """Raise if options are incompatible.

        Raises:
            InputError: lags with steps other than days, or window means without windows.
        """
        if self.lags and self.over != "day":
            do = "add --over day"
            raise InputError("--lags", "days (--over day)", f"--over {self.over}", do)
        if self.lags < 0:
            raise InputError("--lags", "a number of days", str(self.lags))
        if self.over == "window" and points.start is None:
            do = "add columns start and end to the list"
            raise InputError("--over window", "a list with windows", "none", do)


class PointExposure:
    """A field at places. Values are cached on disk without ids; tables are computed on request.

    Args:
        field: canonical, lazy or not.
        points: see :func:`deepcams.exposure.read_points`.
        options: options of the sampling.
        progress: callback, called with the stages "reading" and "writing".

    Attributes:
        steps: time steps that are read.
        facts: inputs and settings, as JSON types; of the list only its length.

    Raises:
        InputError: no place is in the field's region, or no window in its time range.
    """

    def __init__(
        self,
        field: xr.DataArray,
        points: PointList,
        options: PointOptions | None = None,
        progress: Progress | None = None,
    ) -> None:
        options = options or PointOptions()
        options.check(points)
        self._points, self._options = points, options
        self._ids = pd.Series(points.ids, dtype="str").array
        self._progress = progress or no_progress
        grid = grid_of(field)
        placement = _place(grid, points, options.how)
        over = "day" if options.over == "window" else options.over
        steps = steps_of(field, over, options.period)
        self._first, self._last = _windows(points, steps)
        self.steps = self._needed(steps)
        self._inside, self._slot, self._weight = _slots(placement, grid)
        nodes, slot = np.unique(self._slot, return_inverse=True)
        self._slot = slot.reshape(self._slot.shape)
        self._series = self._read(field, nodes)
        self.facts = _facts(field, points, options, self.steps, self._inside)
        self.facts["nodes"] = int(nodes.size)
        self.facts["nodes_read_of_each_map"] = nodes_read(field, nodes)

    def _needed(self, steps: Steps) -> Steps:
        """Return the steps from the first to the last that any window needs; window indices start there."""
        some = self._last >= self._first
        first = max(int(self._first[some].min()) - self._options.lags, 0)
        stop = int(self._last[some].max()) + 1
        self._first, self._last = self._first - first, self._last - first
        return steps.part(first, stop)

    def _read(self, field: xr.DataArray, nodes: np.ndarray) -> Series:
        """Read the field at nodes and cache the means over steps on disk."""
        begin, end = self.steps.within
        series = Series(nodes.size)
        blocks = read_nodes(field, nodes, "field", (begin, end))
        waiting = list[np.ndarray]()
        for first, means in step_means(blocks, self.steps):
            waiting.append(means.astype(np.float32))
            done = first + len(means)
            if sum(each.nbytes for each in waiting) > 4 * _TOGETHER or done == len(
                self.steps
            ):
                series.append(np.concatenate(waiting).T)
                waiting.clear()
            self._progress(
                "reading", int(self.steps.stop[done - 1]) - begin, end - begin
            )
        return series

    def _values(self, rows: np.ndarray) -> np.ndarray:
        """Return the time series of rows of the list: (rows, steps), float32; NaN outside the field."""
        result = np.full((rows.size, len(self.steps)), np.nan, np.float32)
        inside = self._inside[rows]
        slot, weight = self._slot[rows[inside]], self._weight[rows[inside]]
        if not slot.size:
            return result
        nodes, at = np.unique(slot, return_inverse=True)
        series, at = self._series.read(nodes), at.reshape(slot.shape)
        total = np.zeros((len(slot), len(self.steps)), np.float32)
        for k in range(slot.shape[1]):
            used = np.flatnonzero(weight[:, k] > 1e-12)
            part = series[at[used, k]]
            total[used] += part * weight[used, k, None].astype(np.float32)
        result[inside] = total
        return result

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the table in parts, in the order of the list.

        Yields:
            the columns listed in docs/points.md; values in ug m-3, float32.
        """
        number = len(self._points)
        size = max(min(_TOGETHER, _ROWS * 16) // max(len(self.steps), 1), 1)
        for begin in range(0, number, size):
            rows = np.arange(begin, min(begin + size, number))
            values = self._values(rows)
            few = max(_ROWS // (max(len(self.steps), 1) * (self._options.lags + 1)), 1)
            for first in range(0, rows.size, few):
                part = slice(first, first + few)
                yield self._table(rows[part], values[part])
                self._progress("writing", begin + min(first + few, rows.size), number)

    def table(self) -> pd.DataFrame:
        """Return the whole table."""
        return pd.concat(list(self.tables()), ignore_index=True)

    def _table(self, rows: np.ndarray, values: np.ndarray) -> pd.DataFrame:
        days = np.arange(values.shape[1])
        within = days >= self._first[rows, None]
        within &= days <= self._last[rows, None]
        if self._options.over == "window":
            return self._window_table(rows, np.where(within, values, np.nan))
        if self._options.lags:
            return self._lag_table(rows, values, within)
        if self._options.shape == "wide":
            frame = self._about(rows)
            texts = self.steps.texts()
            wide = pd.DataFrame(np.where(within, values, np.nan), columns=texts)
            return pd.concat([frame, wide], axis=1)
        place, step = np.nonzero(within)
        frame = self._about(rows[place])
        return frame.assign(start=self.steps.start[step], value=values[place, step])

    def _about(self, rows: np.ndarray) -> pd.DataFrame:
        points = self._points
        frame = pd.DataFrame({"id": self._ids.take(rows)})
        if self._options.coordinates:
            frame["latitude"] = points.latitude[rows]
            frame["longitude"] = points.longitude[rows]
        return frame

    def _window_table(self, rows: np.ndarray, values: np.ndarray) -> pd.DataFrame:
        points = self._points
        assert points.start is not None
        assert points.end is not None
        known = np.isfinite(values)
        number = known.sum(axis=1)
        possible = self._days_of(rows)
        total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
        whole = enough(number, possible) & (number > 0)
        mean = np.where(whole, total / np.maximum(number, 1), np.nan)
        return self._about(rows).assign(
            start=points.start[rows].astype("datetime64[s]"),
            end=points.end[rows].astype("datetime64[s]"),
            days=number,
            value=mean.astype(np.float32),
        )

    def _days_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of days in the windows of rows; open windows end with the field."""
        points = self._points
        assert points.start is not None
        assert points.end is not None
        first, last = (self.steps.start[at].astype("datetime64[D]") for at in (0, -1))
        start = np.where(np.isnat(points.start[rows]), first, points.start[rows])
        end = np.where(np.isnat(points.end[rows]), last, points.end[rows])
        return np.asarray((end - start) // _DAY + 1)

    def _lag_table(
        self, rows: np.ndarray, values: np.ndarray, within: np.ndarray
    ) -> pd.DataFrame:
        place, step = np.nonzero(within)
        lags = np.arange(self._options.lags + 1)
        # By date, because a field may lack days.
        day = self.steps.start.astype("datetime64[D]")
        wanted = day[step][:, None] - lags * _DAY
        at = np.minimum(np.searchsorted(day, wanted), day.size - 1)
        found = np.where(day[at] == wanted, values[place[:, None], at], np.nan)
        frame = self._about(rows[place]).assign(start=self.steps.start[step])
        if self._options.shape == "wide":
            columns = {f"lag_{lag}": found[:, lag] for lag in lags}
            return frame.assign(**columns)
        frame = frame.loc[frame.index.repeat(lags.size)].reset_index(drop=True)
        lag = np.tile(lags, place.size)
        return frame.assign(lag=lag, value=found.ravel().astype(np.float32))


def point_exposure(
    field: xr.DataArray,
    points: PointList,
    *,
    over: PointOver = "day",
    how: How = "nearest",
    lags: int = 0,
    shape: Shape = "long",
    coordinates: bool = False,
    period: Period | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Sample a field at places, within their time windows.

    Only the chunks that contain places are read.

    Args:
        field: canonical, lazy or not.
        points: see :func:`deepcams.exposure.read_points`.
        over, how, lags, shape, coordinates, period: see :class:`deepcams.exposure.points.PointOptions`.
        progress: callback, called with the stages "reading" and "writing".

    Returns:
        a table; values in ug m-3, NaN outside the field.

    Raises:
        InputError: no place is in the field's region, no window in its time range, or options are incompatible.
    """
    options = PointOptions(over, how, lags, shape, coordinates, period)
    return PointExposure(field, points, options, progress).table()


def _place(grid: Grid, points: PointList, how: How) -> Placement:
    """Find the nodes of places.

    Raises:
        InputError: no place lies in the field's region.
    """
    latitude, longitude = points.latitude, points.longitude
    placement = place_stations(grid, latitude, longitude, _RULES[how])
    if not placement.inside.any():
        do = ""
        possible = np.all(np.abs(longitude) <= 90)
        if possible and place_stations(grid, longitude, latitude).inside.any():
            do = "latitude and longitude are swapped: exchange the names of the columns"
        expected = f"a place in the region of the field ({grid.describe()})"
        raise InputError("list", expected, f"none of {len(points):,}", do)
    if np.all(np.abs(longitude) <= 90):
        sea = smoothed_land(latitude, longitude) < _SEA
        if sea.mean() > 0.5 and np.all(smoothed_land(longitude, latitude) >= _SEA):
            notice(
                f"{counted(int(sea.sum()), 'place')} of {len(points):,} at sea, and all of them on land if latitude "
                "and longitude are exchanged: are they swapped?"
            )
    outside = int((~placement.inside).sum())
    if outside:
        notice(
            f"{counted(outside, 'place')} of {len(points):,} outside the field: rows without values"
        )
    return placement


def _slots(
    placement: Placement, grid: Grid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per place, whether it is inside (n,), its nodes and their weights (n, 1 or 4)."""
    nodes = placement.rows * grid.columns + placement.columns
    at = np.maximum(placement.point, 0)
    return placement.inside, nodes[at], placement.weights[at]


def _windows(points: PointList, steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last step of each row's window; last < first if the window has no step.

    Raises:
        InputError: no window overlaps the field's time range.
    """
    size = len(points)
    if points.start is None or points.end is None:
        return np.zeros(size, int), np.full(size, len(steps) - 1)
    begin = steps.start
    start = points.start
    if steps.over in ("month", "year"):
        # A window's first step is the month or year it begins in.
        unit = "M" if steps.over == "month" else "Y"
        start = start.astype(f"datetime64[{unit}]")
    first = np.searchsorted(begin, start.astype("datetime64[s]"), "left")
    after = (points.end + _DAY).astype("datetime64[s]")
    last = np.searchsorted(begin, after, "left") - 1
    first = np.where(np.isnat(points.start), 0, first)
    last = np.where(np.isnat(points.end), len(steps) - 1, last)
    missed = last < first
    span = f"{stamp(steps.start[0])} to {stamp(steps.end[-1])} UTC"
    if missed.all():
        expected = f"a window in the field's time ({span})"
        raise InputError("list", expected, f"none of {size:,} rows")
    # Instants have start == end.
    end = max(steps.start[-1], steps.end[-1] - np.timedelta64(1, "s"))
    early = points.start < steps.start[0].astype("datetime64[D]")
    partly = ~missed & (early | (points.end > end.astype("datetime64[D]")))
    if missed.any():
        notice(
            f"{counted(int(missed.sum()), 'window')} of {size:,} outside the field's time ({span}): no values"
        )
    if partly.any():
        many = counted(int(partly.sum()), "window")
        notice(f"{many} of {size:,} partly outside the field's time ({span})")
    return first, last


def _facts(
    field: xr.DataArray,
    points: PointList,
    options: PointOptions,
    steps: Steps,
    inside: np.ndarray,
) -> dict[str, Any]:
    """Return the inputs and settings of a table; of the list only its length."""
    return {
        "made_by": f"deepcams {__version__} points",
        "field": str(field.attrs.get("source", "")),
        "variable": str(field.name),
        "units": "ug m-3",
        "days": str(field.encoding.get(DAYS, "utc")),
        "grid": grid_of(field).describe(),
        "over": options.over,
        "how": options.how,
        "lags": options.lags,
        "from": stamp(steps.start[0]),
        "to": stamp(steps.end[-1]),
        "steps_need": "75 % of their values",
        "places": len(points),
        "places_outside": int((~inside).sum()),
        "windows": points.start is not None,
    }
