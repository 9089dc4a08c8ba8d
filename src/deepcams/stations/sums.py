"""Sums over pairs of observed and model values, computed by batches of stations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from deepcams.core.observations import Observations
from deepcams.core.times import DAY_SECONDS, HOUR_SECONDS
from deepcams.evaluation.scores import of_series, series_figures
from deepcams.evaluation.series import Series, order_of
from deepcams.evaluation.sums import COLUMNS, sum_pairs
from deepcams.stations.archive.quality import Count, Report
from deepcams.stations.averages import (
    HOURS,
    Average,
    Calendar,
    Means,
    annual,
    hours_a_day,
    year_of,
)
from deepcams.stations.bootstrap_blocks import Weeks, week_of
from deepcams.stations.matching import cadence
from deepcams.stations.products import Product
from deepcams.stations.station_years import Years, possible_days

PairSet = Literal["own", "same", "hourly"]
LINEAR = "original, linear in time"
BOTH: dict[PairSet, tuple[str, ...]] = {
    "own": (),
    "same": ("field", "original"),
    "hourly": ("field", LINEAR),
}
"""Products that must have a value, besides the product itself, by set of pairs."""
DENSITY_TOP = 1000
"""Largest value counted in the density, ug m-3; its squares are 1 ug m-3 wide."""

Piece = dict[str, np.ndarray]
"""All sums of one batch of stations by name, from :meth:`Matcher.match`."""


@dataclass
class Sums:
    """Sums over one product's pairs, for stations or for cells.

    Attributes:
        month: (groups, months, columns), see :data:`deepcams.evaluation.sums.COLUMNS`.
        hour: (groups, 24, 9), by local mean solar hour.
    """

    month: np.ndarray
    hour: np.ndarray

    @classmethod
    def zeros(cls, groups: int, months: int) -> Sums:
        """Create zero sums."""
        return cls(
            np.zeros((groups, months, len(COLUMNS))),
            np.zeros((groups, 24, len(COLUMNS))),
        )


@dataclass
class Scored:
    """One product on one set of pairs.

    Attributes:
        product: ``field``, ``original`` or ``original, linear in time``.
        pairs: ``own``: all pairs of the product; ``same``: pairs for which both products have a value; ``hourly``:
            pairs for which the field and the original, interpolated linearly in time, have a value.
        stations, cells: sums by station, and by cell of the field after averaging the cell's stations.
        density: (1000, 1000) by year, number of pairs by observed (rows) and model value (columns), 1 ug m-3 each.
        series: (stations, scores), scores that need each station's whole series
            (:func:`deepcams.evaluation.scores.of_series`); NaN without pairs.
        blocks: (regions x weeks, columns), sums by block; ``None`` if no other product has the same pairs.
        years: for daily means, annual statistics of each station for limits.
    """

    product: str
    pairs: PairSet
    stations: Sums
    cells: Sums
    density: dict[int, np.ndarray] = field(default_factory=dict)
    series: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    blocks: np.ndarray | None = None
    years: Years | None = None

    def any(self) -> bool:
        """Return whether there is a pair."""
        return bool(self.stations.month[..., 0].any())


def month_of(seconds: np.ndarray) -> np.ndarray:
    """Convert times in seconds since 1970 UTC to calendar months since January 1970."""
    return np.asarray(
        seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    )


class Matcher:
    """Matches batches of observations with products and computes their sums.

    Args:
        products: the field, the original, both or none.
        months: months that may contain pairs, months since January 1970.
        cell: (stations,), number of each station's cell; all stations of a cell are in one batch.
        longitude: (stations,), degrees.
        average: whether pairs are hourly values, or daily or annual means.
        offset: (stations,), UTC offset of their days, seconds; NaN: the station has no days.
        levels: levels whose exceedances by daily means are counted, ug m-3.
        region: (stations,), from :func:`deepcams.stations.bootstrap_blocks.regions_of`; ``None``: a single region.

    Attributes:
        scored: sums over all batches added so far.
        observed: (stations, 24, 2), number and sum of all observed values by local hour.
        observed_months: (stations, months), number of all observed values.
    """

    def __init__(
        self,
        products: list[Product],
        months: np.ndarray,
        cell: np.ndarray,
        longitude: np.ndarray,
        average: Average = "hour",
        offset: np.ndarray | None = None,
        levels: tuple[float, ...] = (),
        region: np.ndarray | None = None,
    ) -> None:
        self.products = products
        self._weeks = Weeks(months)
        self._region = np.zeros(cell.size, np.int64) if region is None else region
        self._average = average
        self._offset = np.zeros(cell.size) if offset is None else offset
        self._months, self._cell = months, cell
        self._solar = (
            np.where(np.isfinite(longitude), longitude, 0.0) / 15 * HOUR_SECONDS
        )
        self.observed = np.zeros((cell.size, 24, 2))
        self.observed_months = np.zeros((cell.size, months.size), np.int64)
        self.scored: list[Scored] = []
        names: list[tuple[str, PairSet]] = []
        if products:
            names.append(("field", "own"))
        if len(products) > 1:
            names += [("original", "own"), ("field", "same"), ("original", "same")]
            original = products[1]
            if original.rule == "touching" and cadence(original.field) > HOUR_SECONDS:
                names += [("field", "hourly"), (LINEAR, "hourly")]
        cells = int(cell.max(initial=-1)) + 1
        for product, pairs in names:
            scored = Scored(
                product,
                pairs,
                Sums.zeros(cell.size, months.size),
                Sums.zeros(cells, months.size),
                series=np.full((cell.size, len(of_series())), np.nan),
            )
            if BOTH[pairs]:
                blocks = (int(self._region.max(initial=0)) + 1) * self._weeks.number
                scored.blocks = np.zeros((blocks, len(COLUMNS)))
            self.scored.append(scored)
        if average != "hour":
            self._possible = {each.name: _hours_a_day(each) for each in products}
            self._possible[LINEAR] = HOURS
        if average == "day":
            self._follow_years(levels)

    def _follow_years(self, levels: tuple[float, ...]) -> None:
        """Enable counting of daily means by year, relative to the days of the products."""
        ends = np.array([self._months[0], self._months[-1] + 1])
        begin, end = (
            ends.astype("datetime64[M]")
            .astype("datetime64[s]")
            .astype(np.int64)
            .tolist()
        )
        start = np.arange(begin, end, HOUR_SECONDS)
        bounds = np.stack([start, start + HOUR_SECONDS])
        known = {
            each.name: each.plan(each.rule, bounds).known for each in self.products
        }
        if any(scored.product == LINEAR for scored in self.scored):
            known[LINEAR] = self.products[1].plan("linear", bounds).known
        for scored in self.scored:
            needed = (scored.product, *BOTH[scored.pairs])
            both = np.logical_and.reduce([known[name] for name in needed])
            years, number = possible_days(start, both, self._hours_of(scored))
            scored.years = Years.zeros(self._cell.size, years, number, levels)

    def _hours_of(self, scored: Scored) -> int:
        """Return the possible number of hours per day of a set of pairs."""
        return min(
            self._possible[name] for name in (scored.product, *BOTH[scored.pairs])
        )

    def match(self, batch: np.ndarray, observed: Observations) -> tuple[Piece, Report]:
        """Match the observations of a batch of stations (increasing numbers) with all products."""
        piece = self._count(batch, observed)
        if not self.products:
            return piece, Report()
        counts = {}
        inside = self.products[0].placement.inside[observed.station]
        counts["outside the region"] = Count(len(observed), int((~inside).sum()))
        observed = observed.where(inside)
        if self._average != "hour" and np.isnan(self._offset).any():
            dated = ~np.isnan(self._offset[observed.station])
            counts["no offset from UTC"] = Count(len(observed), int((~dated).sum()))
            observed = observed.where(dated)
        calendar = Calendar(observed, self._offset)
        bounds, interval = _intervals(observed)
        plans = {
            product.name: product.plan(product.rule, bounds)
            for product in self.products
        }
        timed = plans["field"].known[interval]
        counts["outside the field's times"] = Count(len(observed), int((~timed).sum()))
        possible = np.flatnonzero(
            np.logical_or.reduce([plan.known for plan in plans.values()])[interval]
        )
        # From here on the rows of a cell are consecutive, for every set of pairs.
        cell = self._cell[observed.station[possible]]
        order = possible[
            np.argsort(cell * (bounds.shape[1] + 1) + interval[possible], kind="stable")
        ]
        observed, interval, timed = observed.where(order), interval[order], timed[order]
        values = {
            product.name: product.at(observed.station, interval, plans[product.name])
            for product in self.products
        }
        missing = int(timed.sum()) - int((~np.isnan(values["field"])).sum())
        counts["missing in the field"] = Count(int(timed.sum()), missing)
        if any(scored.product == LINEAR for scored in self.scored):
            original = self.products[1]
            values[LINEAR] = original.at(
                observed.station, interval, original.plan("linear", bounds)
            )
        known = {name: ~np.isnan(value) for name, value in values.items()}
        rows = _Rows.of_hours(self, batch, observed, interval)
        day = calendar.day(observed)
        for number, scored in enumerate(self.scored):
            needed = [known[name] for name in (scored.product, *BOTH[scored.pairs])]
            chosen = np.flatnonzero(np.logical_and.reduce(needed))
            if not chosen.size:
                continue
            model = values[scored.product][chosen]
            in_blocks = scored.blocks is not None
            if self._average == "hour":
                found = rows.sums(chosen, model, in_blocks)
            else:
                means = calendar.daily(
                    observed.station[chosen],
                    day[chosen],
                    observed.value[chosen],
                    model,
                    self._hours_of(scored),
                )
                counts |= self._counts(scored, means)
                found = self._averaged(batch, scored, means)
            piece |= {f"{number}.{name}": each for name, each in found.items()}
        return piece, Report(counts)

    def _counts(self, scored: Scored, daily: Means) -> dict[str, Count]:
        """Count the invalid days (and years) of a product's own pairs."""
        if scored.pairs != "own":
            return {}
        name = scored.product
        counts = {f"{name}'s days under 75 %": Count(daily.candidates, daily.dropped)}
        if self._average == "year":
            years = annual(daily)
            counts[f"{name}'s years under 75 %"] = Count(
                years.candidates, years.dropped
            )
        return counts

    def _averaged(self, batch: np.ndarray, scored: Scored, daily: Means) -> Piece:
        """Compute the sums over pairs of daily or annual means."""
        means = annual(daily) if self._average == "year" else daily
        if not means.day.size:
            return {}
        order = np.lexsort((means.day, self._cell[means.station]))
        rows = _Rows.of_means(self, batch, means, order)
        found = rows.sums(
            np.arange(order.size), means.model[order], scored.blocks is not None
        )
        if scored.years is not None:
            found |= scored.years.count(batch, daily)
        return found

    def add(self, batch: np.ndarray, piece: Piece) -> None:
        """Add a batch's piece, of this or an earlier run; the sums are bit-identical.

        No other batch adds to the same stations and cells, because a batch has all stations of a cell; several batches
        may add to a block, in their order.
        """
        self.observed[batch] += piece["observed"]
        self.observed_months[batch] += piece["observed_months"]
        groups = {"stations": batch, "cells": np.unique(self._cell[batch])}
        for name, each in piece.items():
            number, _, rest = name.partition(".")
            what, _, part = rest.partition(".")
            if what == "density":
                density = self.scored[int(number)].density
                table = density.setdefault(
                    int(part), np.zeros((DENSITY_TOP, DENSITY_TOP), np.int32)
                )
                table.reshape(-1)[each[0]] += each[1]
            elif what == "series":
                self.scored[int(number)].series[batch] = each
            elif what == "blocks":
                blocks = self.scored[int(number)].blocks
                if blocks is not None:
                    blocks[each[:, 0].astype(np.int64)] += each[:, 1:]
            elif what == "years":
                years = self.scored[int(number)].years
                if years is not None:
                    getattr(years, part)[batch] = each
            elif what in groups:
                sums = getattr(self.scored[int(number)], what)
                getattr(sums, part)[groups[what]] += each

    def _count(self, batch: np.ndarray, observed: Observations) -> Piece:
        """Sum all observed values, with or without a product."""
        station = np.searchsorted(batch, observed.station)
        key = station * 24 + self.solar_hour(observed)
        number, total = (
            np.bincount(key, weights, batch.size * 24).reshape(-1, 24)
            for weights in (None, observed.value)
        )
        months = self._months
        month = np.clip(month_of(observed.end - 1) - months[0], 0, months.size - 1)
        by_month = np.bincount(
            station * months.size + month, minlength=batch.size * months.size
        )
        return {
            "observed": np.stack([number, total], axis=2),
            "observed_months": by_month.reshape(-1, months.size),
        }

    def solar_hour(self, observed: Observations) -> np.ndarray:
        """Return the hour of the day in local mean solar time at the middle of each interval: (n,), 0..23."""
        middle = (observed.start + observed.end) / 2 + self._solar[observed.station]
        return np.asarray((middle // HOUR_SECONDS % 24).astype(np.int64))


class _Rows:
    """The matched rows of a batch, with station, cell, month and hour of each."""

    def __init__(
        self,
        matcher: Matcher,
        batch: np.ndarray,
        station: np.ndarray,
        moment: np.ndarray,
        value: np.ndarray,
        month: np.ndarray,
        week: np.ndarray,
        hour: np.ndarray,
    ) -> None:
        cell, weeks = matcher._cell, matcher._weeks
        self._block = matcher._region[station] * weeks.number + week - weeks.first
        self._stations, self._station = batch.size, np.searchsorted(batch, station)
        cells = np.unique(cell[batch])
        self._cells, self._cell = cells.size, np.searchsorted(cells, cell[station])
        self._all_months, self._interval, self._value = matcher._months, moment, value
        self._order = order_of(value)
        self._months, self._month = np.unique(
            month - matcher._months[0], return_inverse=True
        )
        self._time = self._month * 24 + hour

    @classmethod
    def of_hours(
        cls,
        matcher: Matcher,
        batch: np.ndarray,
        observed: Observations,
        interval: np.ndarray,
    ) -> _Rows:
        """Return rows of observed intervals, sorted by cell and interval."""
        last = observed.end - 1
        of_time = month_of(last), week_of(last), matcher.solar_hour(observed)
        return cls(matcher, batch, observed.station, interval, observed.value, *of_time)

    @classmethod
    def of_means(
        cls, matcher: Matcher, batch: np.ndarray, means: Means, order: np.ndarray
    ) -> _Rows:
        """Return rows of means in an order by cell and day; they have no hour of the day."""
        day, station = means.day[order], means.station[order]
        month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        if matcher._average == "year":
            # Average stations of one cell by year, although their years may begin on different days.
            moment = year_of(day)
        else:
            moment = day
        of_time = month, week_of(day * DAY_SECONDS), np.zeros(day.size, np.int64)
        return cls(matcher, batch, station, moment, means.observed[order], *of_time)

    def sums(self, chosen: np.ndarray, model: np.ndarray, in_blocks: bool) -> Piece:
        """Compute the sums over the pairs of the chosen rows with the model's values, optionally also by block."""
        observed, time = self._value[chosen], self._time[chosen]
        found = self._density(self._month[chosen], observed, model)
        found["series"] = series_figures(
            Series(
                self._station[chosen],
                observed,
                model.astype(np.float64),
                self._stations,
                self._order[chosen],
                order_of(model),
            )
        )
        if in_blocks:
            block, which = np.unique(self._block[chosen], return_inverse=True)
            sums = sum_pairs(which, observed, model, block.size)
            found["blocks"] = np.column_stack([block, sums])
        found |= self._table(
            "stations", self._stations, self._station[chosen], time, observed, model
        )
        cell, interval = self._cell[chosen], self._interval[chosen]
        begin = np.flatnonzero(
            np.r_[True, (np.diff(cell) != 0) | (np.diff(interval) != 0)]
        )
        if begin.size < cell.size:
            number = np.diff(np.r_[begin, cell.size])
            observed = np.add.reduceat(observed, begin) / number
            model = np.add.reduceat(model.astype(np.float64), begin) / number
        return found | self._table(
            "cells", self._cells, cell[begin], time[begin], observed, model
        )

    def _table(
        self,
        name: str,
        groups: int,
        group: np.ndarray,
        time: np.ndarray,
        observed: np.ndarray,
        model: np.ndarray,
    ) -> Piece:
        months = self._months.size
        key = group * (months * 24) + time
        found = sum_pairs(key, observed, model, groups * months * 24)
        table = found.reshape(groups, months, 24, -1)
        by_month = np.zeros((groups, self._all_months.size, len(COLUMNS)))
        by_month[:, self._months] = table.sum(axis=2)
        return {f"{name}.month": by_month, f"{name}.hour": table.sum(axis=1)}

    def _density(
        self, month: np.ndarray, observed: np.ndarray, model: np.ndarray
    ) -> Piece:
        """Count the pairs per square of each year's density: (2, squares), flat indices and numbers of pairs."""
        inside = (observed < DENSITY_TOP) & (model < DENSITY_TOP) & (observed >= 0)
        flat = observed[inside].astype(np.int64) * DENSITY_TOP + model[inside].astype(
            np.int64
        )
        first = int(self._all_months[0])
        year = (self._months + first)[month[inside]] // 12 + 1970
        return {
            f"density.{each}": np.stack(
                np.unique(flat[year == each], return_counts=True)
            ).astype(np.int32)
            for each in np.unique(year).tolist()
        }


def _hours_a_day(product: Product) -> int:
    return hours_a_day(product.rule, cadence(product.field))


def _intervals(observed: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Return the unique intervals, (2, intervals) starts and ends, and the index of each row's interval."""
    length = observed.end - observed.start
    unique, which = np.unique(observed.end * DAY_SECONDS + length, return_inverse=True)
    ends = unique // DAY_SECONDS
    return np.stack([ends - unique % DAY_SECONDS, ends]), which
