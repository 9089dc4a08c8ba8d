"""From hourly observations and a field's series to sums over pairs: one batch of stations after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import xarray as xr

from deepcams.core.observations import Observations
from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.extract import Series
from deepcams.stations.matching import Placement, TimePlan, TimeRule, cadence, plan_times
from deepcams.stations.pair_sums import COLUMNS, sum_pairs
from deepcams.stations.quality import Count, Report

PairSet = Literal["own", "same", "hourly"]
DENSITY_TOP = 1000
"""ug m-3: pairs up to here are counted in the density, in squares of 1 ug m-3."""


@dataclass
class Sums:
    """Sums over one product's pairs, for stations or for cells.

    Attributes:
        month: (groups, months, 9), see :mod:`deepcams.stations.pair_sums`.
        hour: (groups, 24, 9), by local mean solar hour.
    """

    month: np.ndarray
    hour: np.ndarray

    @classmethod
    def zeros(cls, groups: int, months: int) -> Sums:
        """Of nothing yet."""
        return cls(np.zeros((groups, months, len(COLUMNS))), np.zeros((groups, 24, len(COLUMNS))))


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
        field: as it was opened.
        rule: how it is matched in time.
        placement: of the stations on its grid.
        times: those of its times that were read, int64, seconds since 1970 UTC.
        series: its values at the placement's points and these times.
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
        self,
        products: list[Product],
        stations: int,
        months: np.ndarray,
        cell_number: np.ndarray,
        cells: int,
        longitude: np.ndarray,
    ) -> None:
        self.products, self._months = products, months
        self._cell = cell_number
        self._solar = np.where(np.isfinite(longitude), longitude, 0.0) / 15 * HOUR_SECONDS
        self.observed = np.zeros((stations, 24, 2))
        self.observed_months = np.zeros((stations, months.size), np.int64)
        names: list[tuple[str, PairSet]] = [("field", "own")] if products else []
        self._linear = (
            len(products) > 1
            and products[1].rule == "touching"
            and cadence(products[1].field) > HOUR_SECONDS
        )
        if len(products) > 1:
            names += [("original", "own"), ("field", "same"), ("original", "same")]
        if self._linear:
            names += [("field", "hourly"), ("original, linear in time", "hourly")]
        self.scored = [
            Scored(
                product, pairs, Sums.zeros(stations, months.size), Sums.zeros(cells, months.size)
            )
            for product, pairs in names
        ]
        self._squares: dict[str, np.ndarray] = {}

    def take(self, observed: Observations) -> Report:
        """Match one batch."""
        self._squares = {}
        self._count(observed)
        if not self.products:
            return Report()
        report = {}
        inside = self.products[0].placement.inside[observed.station]
        report["outside the region"] = Count(len(observed), int((~inside).sum()))
        observed = observed.where(inside)
        bounds, which = _intervals(observed)
        plans = {p.name: self._plan(p, p.rule, bounds) for p in self.products}
        timed = plans["field"].known[which]
        report["outside the field's times"] = Count(len(observed), int((~timed).sum()))
        possible = np.logical_or.reduce([plan.known for plan in plans.values()])[which]
        observed, which, timed = observed.where(possible), which[possible], timed[possible]
        # One cell's hours follow each other from here on, whatever set of pairs is taken.
        order = np.argsort(
            self._cell[observed.station] * (bounds.shape[1] + 1) + which, kind="stable"
        )
        observed, which = observed.where(order), which[order]
        values = {p.name: _at(p, observed.station, which, plans[p.name]) for p in self.products}
        missing = int(timed.sum()) - int((~np.isnan(values["field"])).sum())
        report["missing in the field"] = Count(int(timed.sum()), missing)
        if self._linear:
            original = self.products[1]
            plan = self._plan(original, "linear", bounds)
            values["original, linear in time"] = _at(original, observed.station, which, plan)
        known = {name: ~np.isnan(value) for name, value in values.items()}
        groups = _Groups(observed, which, self._cell, int(self._months[0]), self._solar)
        for number, scored in enumerate(self.scored):
            keep = known[scored.product]
            if scored.pairs == "same":
                keep = known["field"] & known["original"]
            elif scored.pairs == "hourly":
                keep = known["field"] & known["original, linear in time"]
            chosen = np.flatnonzero(keep)
            if chosen.size:
                squares = groups.add(
                    scored, chosen, observed.value[chosen], values[scored.product][chosen]
                )
                self._squares |= {
                    f"{number}.density.{year}": each for year, each in squares.items()
                }
        return Report(report)

    def piece(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """All that the batch taken last has added, for :meth:`restore`.

        Args:
            batch: its stations' numbers.
        """
        return {name: table[rows] for name, table, rows in self._tables(batch)} | self._squares

    def restore(self, batch: np.ndarray, piece: dict[str, np.ndarray]) -> None:
        """Add what another run's batch of these stations has added, to the bit."""
        for name, table, rows in self._tables(batch):
            table[rows] = piece[name]
        for name, each in piece.items():
            number, what, *year = name.split(".")
            if what == "density":
                _add_squares(self.scored[int(number)], int(year[0]), each)

    def _tables(self, batch: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """What a batch adds to, but for densities: names, tables, and rows of them.

        No other batch adds to these rows: one holds all stations of a cell.
        """
        yield "all.observed", self.observed, batch
        yield "all.months", self.observed_months, batch
        cells = np.unique(self._cell[batch])
        for number, scored in enumerate(self.scored):
            for what, sums, rows in (
                ("stations", scored.stations, batch),
                ("cells", scored.cells, cells),
            ):
                yield f"{number}.{what}.month", sums.month, rows
                yield f"{number}.{what}.hour", sums.hour, rows

    def _count(self, observed: Observations) -> None:
        """Add to what was observed, field or not."""
        station = observed.station.astype(np.int64)
        key = station * 24 + solar_hour(observed, self._solar)
        size = self.observed.shape[0] * 24
        self.observed[..., 0] += np.bincount(key, minlength=size).reshape(-1, 24)
        self.observed[..., 1] += np.bincount(key, observed.value, size).reshape(-1, 24)
        month = np.clip(month_of(observed.end - 1) - self._months[0], 0, self._months.size - 1)
        number = np.bincount(
            station * self._months.size + month, minlength=self.observed_months.size
        )
        self.observed_months += number.reshape(self.observed_months.shape)

    def _plan(self, product: Product, rule: TimeRule, bounds: np.ndarray) -> TimePlan:
        return plan_times(product.times, rule, bounds[0], bounds[1], cadence(product.field))


def solar_hour(observed: Observations, offset: np.ndarray) -> np.ndarray:
    """The hour of the day, in local mean solar time, that holds the middle of each interval: (n,), 0..23.

    Args:
        observed: rows.
        offset: (stations,), seconds that the sun is ahead of UTC.
    """
    middle = (observed.start + observed.end) / 2 + offset[observed.station]
    return np.asarray((middle // HOUR_SECONDS % 24).astype(np.int64))


class _Groups:
    """Which station, cell, month and hour each row of a batch belongs to, numbered within the batch."""

    def __init__(
        self,
        observed: Observations,
        which: np.ndarray,
        cell: np.ndarray,
        first_month: int,
        solar: np.ndarray,
    ) -> None:
        self._stations, self._station = np.unique(observed.station, return_inverse=True)
        self._cells, self._cell = np.unique(cell[observed.station], return_inverse=True)
        self._months, self._month = np.unique(
            month_of(observed.end - 1) - first_month, return_inverse=True
        )
        self._years = (self._months + first_month) // 12 + 1970
        self._which = which
        self._time = self._month * 24 + solar_hour(observed, solar)

    def add(
        self, scored: Scored, chosen: np.ndarray, observed: np.ndarray, model: np.ndarray
    ) -> dict[int, np.ndarray]:
        """Add the chosen rows' pairs to a product's sums and density; say what is added to the density."""
        squares = _squares(self._years[self._month[chosen]], observed, model)
        for year, each in squares.items():
            _add_squares(scored, year, each)
        self._put(
            scored.stations,
            self._stations,
            self._station[chosen],
            self._time[chosen],
            observed,
            model,
        )
        cell, which = self._cell[chosen], self._which[chosen]
        begin = np.flatnonzero(np.r_[True, (cell[1:] != cell[:-1]) | (which[1:] != which[:-1])])
        if begin.size < cell.size:
            number = np.diff(np.r_[begin, cell.size])
            observed = np.add.reduceat(observed, begin) / number
            model = np.add.reduceat(model.astype(np.float64), begin) / number
        self._put(
            scored.cells, self._cells, cell[begin], self._time[chosen[begin]], observed, model
        )
        return squares

    def _put(
        self,
        sums: Sums,
        names: np.ndarray,
        group: np.ndarray,
        time: np.ndarray,
        observed: np.ndarray,
        model: np.ndarray,
    ) -> None:
        months = self._months.size
        found = sum_pairs(group * (months * 24) + time, observed, model, names.size * months * 24)
        table = found.reshape(names.size, months, 24, -1)
        sums.month[names[:, None], self._months] += table.sum(axis=2)
        sums.hour[names] += table.sum(axis=1)


def _squares(year: np.ndarray, observed: np.ndarray, model: np.ndarray) -> dict[int, np.ndarray]:
    """Year -> (2, squares): squares of the density that hold pairs, as flat indices, and how many they hold."""
    inside = (observed < DENSITY_TOP) & (model < DENSITY_TOP) & (observed >= 0)
    flat = observed[inside].astype(np.int64) * DENSITY_TOP + model[inside].astype(np.int64)
    year = year[inside]
    return {
        each: np.stack(np.unique(flat[year == each], return_counts=True)).astype(np.int32)
        for each in np.unique(year).tolist()
    }


def _add_squares(scored: Scored, year: int, squares: np.ndarray) -> None:
    if year not in scored.density:
        scored.density[year] = np.zeros((DENSITY_TOP, DENSITY_TOP), np.int32)
    scored.density[year].reshape(-1)[squares[0]] += squares[1]


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
