"""From hourly observations and a field's series to sums over pairs: one batch of stations after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import xarray as xr

from deepcams.evaluation.grouped import COLUMNS, add_pairs
from deepcams.evaluation.matching import Placement, TimePlan, TimeRule, cadence, plan_times
from deepcams.evaluation.quality import Count, Report
from deepcams.evaluation.series import Series
from deepcams.observations import HOUR, Observations

PairSet = Literal["own", "same", "hourly"]
DENSITY_TOP = 1000
"""ug m-3: pairs up to here are counted in the density, in squares of 1 ug m-3."""


@dataclass
class Sums:
    """Sums over one product's pairs, for stations or for cells.

    Attributes:
        month: (groups, months, 9), see :mod:`deepcams.evaluation.grouped`.
        hour: (groups, 24, 9), by local mean solar hour.
    """

    month: np.ndarray
    hour: np.ndarray

    @classmethod
    def zeros(cls, groups: int, months: int) -> Sums:
        """Of nothing yet."""
        return cls(np.zeros((groups, months, len(COLUMNS))), np.zeros((groups, 24, len(COLUMNS))))

    def add(
        self, group: np.ndarray, month: np.ndarray, hour: np.ndarray, observed: np.ndarray, model: np.ndarray
    ) -> None:
        """Add pairs."""
        months = self.month.shape[1]
        add_pairs(self.month.reshape(-1, len(COLUMNS)), group * months + month, observed, model)
        add_pairs(self.hour.reshape(-1, len(COLUMNS)), group * 24 + hour, observed, model)


@dataclass
class Scored:
    """One product on one set of pairs.

    Attributes:
        product: ``field``, ``original`` or ``original, linear in time``.
        pairs: ``own``: all that the product has; ``same``: where both products have one; ``hourly``: where the field
            and the straight line between the original's instants have one.
        stations, cells: sums by station, and by cell of the field after averaging a cell's stations.
        density: year -> (1000, 1000), numbers of pairs by observed (rows) and model value (columns), 1 ug m-3 each.
    """

    product: str
    pairs: PairSet
    stations: Sums
    cells: Sums
    density: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass
class Product:
    """A field, and what of it stands at the stations.

    Attributes:
        name: ``field`` or ``original``.
        field: cut to the stations' time.
        rule: how it is matched in time.
        placement: of the stations on its grid.
        times: its times, int64, seconds since 1970 UTC.
        series: its values at the placement's points.
    """

    name: str
    field: xr.DataArray
    rule: TimeRule
    placement: Placement
    times: np.ndarray
    series: Series


def month_of(seconds: np.ndarray) -> np.ndarray:
    """The calendar month of moments (seconds since 1970 UTC): months since January 1970."""
    return np.asarray(seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64))


class Matcher:
    """Turns batches of observations into sums."""

    def __init__(
        self, products: list[Product], stations: int, months: np.ndarray,
        cell_number: np.ndarray, cells: int, longitude: np.ndarray,
    ) -> None:  # fmt: skip
        self.products, self._months = products, months
        self._cell = cell_number
        self._solar = np.where(np.isfinite(longitude), longitude, 0.0) / 15 * HOUR
        self.observed = np.zeros((stations, 24, 2))
        self.observed_months = np.zeros((stations, months.size), np.int64)
        names: list[tuple[str, PairSet]] = [("field", "own")] if products else []
        self._linear = len(products) > 1 and products[1].rule == "touching" and cadence(products[1].field) > HOUR
        if len(products) > 1:
            names += [("original", "own"), ("field", "same"), ("original", "same")]
        if self._linear:
            names += [("field", "hourly"), ("original, linear in time", "hourly")]
        self.scored = [
            Scored(product, pairs, Sums.zeros(stations, months.size), Sums.zeros(cells, months.size))
            for product, pairs in names
        ]

    def take(self, observed: Observations) -> Report:
        """Match one batch."""
        local = ((observed.start + observed.end) / 2 + self._solar[observed.station]) // HOUR % 24
        hour = local.astype(np.int64)
        month = month_of(observed.end - 1) - self._months[0]
        month = np.clip(month, 0, self._months.size - 1)
        key = observed.station.astype(np.int64) * 24 + hour
        size = self.observed.shape[0] * 24
        self.observed[..., 0] += np.bincount(key, minlength=size).reshape(-1, 24)
        self.observed[..., 1] += np.bincount(key, observed.value, size).reshape(-1, 24)
        at = observed.station.astype(np.int64) * self._months.size + month
        self.observed_months += np.bincount(at, minlength=self.observed_months.size).reshape(self.observed_months.shape)
        if not self.products:
            return Report()
        report = {}
        inside = self.products[0].placement.inside[observed.station]
        report["outside the region"] = Count(len(observed), int((~inside).sum()))
        observed, hour, month = observed.where(inside), hour[inside], month[inside]
        bounds, which = _intervals(observed)
        values = {p.name: _at(p, observed.station, which, self._plan(p, p.rule, bounds)) for p in self.products}
        timed = self._plan(self.products[0], self.products[0].rule, bounds).known[which]
        report["outside the field's times"] = Count(len(observed), int((~timed).sum()))
        own = ~np.isnan(values["field"])
        report["missing in the field"] = Count(int(timed.sum()), int((timed & ~own).sum()))
        if self._linear:
            original = self.products[1]
            plan = self._plan(original, "linear", bounds)
            values["original, linear in time"] = _at(original, observed.station, which, plan)
        known = {name: ~np.isnan(value) for name, value in values.items()}
        for scored in self.scored:
            keep = known[scored.product]
            if scored.pairs == "same":
                keep = known["field"] & known["original"]
            elif scored.pairs == "hourly":
                keep = known["field"] & known["original, linear in time"]
            chosen = np.flatnonzero(keep)
            self._add(scored, observed.where(chosen), values[scored.product][chosen], month[chosen], hour[chosen])
        return Report(report)

    def _plan(self, product: Product, rule: TimeRule, bounds: np.ndarray) -> TimePlan:
        return plan_times(product.times, rule, bounds[0], bounds[1], cadence(product.field))

    def _add(
        self, scored: Scored, observed: Observations, model: np.ndarray, month: np.ndarray, hour: np.ndarray
    ) -> None:
        if not len(observed):
            return
        station = observed.station.astype(np.int64)
        scored.stations.add(station, month, hour, observed.value, model)
        year = (month + self._months[0]) // 12 + 1970
        inside = (observed.value < DENSITY_TOP) & (model < DENSITY_TOP) & (observed.value >= 0)
        flat = np.floor(observed.value[inside]).astype(np.int64) * DENSITY_TOP + np.floor(model[inside]).astype(
            np.int64
        )
        for each in np.unique(year).tolist():
            if each not in scored.density:
                scored.density[each] = np.zeros((DENSITY_TOP, DENSITY_TOP), np.int32)
            place, number = np.unique(flat[year[inside] == each], return_counts=True)
            scored.density[each].reshape(-1)[place] += number.astype(np.int32)
        cell = self._cell[station]
        order = np.lexsort((observed.end, cell))
        cell, end = cell[order], observed.end[order]
        begin = np.flatnonzero(np.r_[True, (cell[1:] != cell[:-1]) | (end[1:] != end[:-1])])
        number = np.diff(np.r_[begin, cell.size])
        first = order[begin]
        scored.cells.add(
            cell[begin], month[first], hour[first], np.add.reduceat(observed.value[order], begin) / number,
            np.add.reduceat(model[order].astype(np.float64), begin) / number,
        )  # fmt: skip


def _intervals(observed: Observations) -> tuple[np.ndarray, np.ndarray]:
    """The intervals that occur: (2, intervals) starts and ends, and which one each row has."""
    if not len(observed):
        return np.zeros((2, 0), np.int64), np.zeros(0, np.int64)
    length = observed.end - observed.start
    key = observed.end * 86_400 + length
    unique, which = np.unique(key, return_inverse=True)
    ends = unique // 86_400
    return np.stack([ends - unique % 86_400, ends]), which


def _at(product: Product, station: np.ndarray, which: np.ndarray, plan: TimePlan) -> np.ndarray:
    """The product's value for each row: (n,), float32; NaN where it has none."""
    if not station.size:
        return np.zeros(0, np.float32)
    points = product.placement.point[station]
    needed, row = np.unique(points, return_inverse=True)
    outside = needed < 0
    values = plan.apply(product.series.read(np.where(outside, 0, needed)))
    values[outside] = np.nan
    return np.asarray(values[row, which])
