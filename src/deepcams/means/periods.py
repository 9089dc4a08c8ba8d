"""Monthly, seasonal and annual means of a store of daily means, computed block by block of the map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.limits import nth_highest
from deepcams.means.daily import needed_of, status_of
from deepcams.means.levels import Level
from deepcams.means.store import DailyStore

Over = Literal["day", "month", "season", "year"]

_MONTHS = {"month": 1, "season": 3, "year": 12}
_FIRST = {"month": 0, "season": 11, "year": 0}
"""Offset of the first month of a period from January; seasons begin in December."""


@dataclass(frozen=True)
class Stretch:
    """One month, season or year.

    Attributes:
        start, stop: first date, and first date after the end, ``datetime64[D]``.
    """

    start: np.datetime64
    stop: np.datetime64

    @property
    def days(self) -> int:
        """Number of calendar days."""
        return int((self.stop - self.start).astype(int))


def stretches(dates: np.ndarray, over: Over, percent: float) -> list[Stretch]:
    """Return all periods from the first to the last with enough days.

    Seasons are December to February (of the year that they end in), March to May, and so on.

    Args:
        dates: dates with a mean in any cell, increasing, ``datetime64[D]``.
        over: kind of period.
        percent: required percentage of a period's days.
    """
    size, first = _MONTHS[over], _FIRST[over]
    if not dates.size:
        return []
    months = dates.astype("datetime64[M]").astype(np.int64)
    numbers = (months - first) // size
    found = []
    for number in range(int(numbers[0]), int(numbers[-1]) + 1):
        month = np.datetime64(0, "M") + (number * size + first)
        start, stop = (
            each.astype("datetime64[D]")
            for each in (month, month + np.timedelta64(size, "M"))
        )
        found.append((Stretch(start, stop), int((numbers == number).sum())))
    enough = [
        i for i, (one, n) in enumerate(found) if n >= needed_of(one.days, percent)
    ]
    return [one for one, _ in found[enough[0] : enough[-1] + 1]] if enough else []


@dataclass(frozen=True)
class PeriodPlan:
    """The periods to compute.

    Attributes:
        store: daily means.
        over: kind of period.
        stretches: periods of the output, without gaps.
        percent: required percentage of a period's days.
        levels: levels above which days are counted.
        percentiles: percentiles of daily means.
    """

    store: DailyStore
    over: Over
    stretches: tuple[Stretch, ...]
    percent: float
    levels: tuple[Level, ...]
    percentiles: tuple[float, ...]

    @property
    def span(self) -> str:
        """Range and number of the days, as text."""
        dates = self.store.dates
        return f"{dates[0]} to {dates[-1]} ({dates.size} days)"

    def computer(self) -> Periods:
        """Return the object that computes the periods."""
        return Periods(self)

    def sample(self, start: int, stop: int) -> np.ndarray:
        """Return the daily mean of the middle day of a range of periods: (1, rows, columns), float32."""
        one, dates = self.stretches[(start + stop) // 2], self.store.dates
        middle = one.start + (one.stop - one.start) // 2
        at = min(int(np.searchsorted(dates, middle)), dates.size - 1)
        return self.store.read("mean", slice(at, at + 1), (slice(None), slice(None)))


class Periods:
    """Computes the periods of a plan.

    Args:
        plan: the periods.
    """

    def __init__(self, plan: PeriodPlan) -> None:
        self.plan = plan

    def compute(self, index: int, out: Sequence[np.ndarray]) -> int:
        """Compute a period.

        Args:
            index: index of the period.
            out: output maps (rows, columns), in the order of :func:`names_of`.

        Returns:
            see :func:`deepcams.means.daily.status_of`.
        """
        one = self.plan.stretches[index]
        found = statistics(self.plan, one)
        for (name, _), map_ in zip(names_of(self.plan), out, strict=True):
            map_[...] = found[name]
        needed = needed_of(one.days, self.plan.percent)
        return status_of(found["days"], needed, one.days)


def plan_periods(
    store: DailyStore,
    over: Over,
    percent: float,
    levels: tuple[Level, ...],
    percentiles: Sequence[float],
) -> PeriodPlan:
    """Find the periods of a daily store.

    Raises:
        InputError: no period has enough days, or a percentile is invalid.
    """
    for one in percentiles:
        if not 0 < one < 100:
            raise InputError(
                "--percentile", "numbers above 0 and below 100", f"{one:g}"
            )
    found = stretches(store.dates[store.some], over, percent)
    if not found:
        first, last = store.dates[[0, -1]]
        raise InputError(
            store.path,
            f"a {over} of which {percent:g} % of the days are there",
            f"{store.dates.size} days from {first} to {last}",
            "give more days, or ask for less with --complete",
        )
    return PeriodPlan(
        store, over, tuple(found), percent, levels, tuple(sorted(set(percentiles)))
    )


def statistics(plan: PeriodPlan, one: Stretch) -> dict[str, np.ndarray]:
    """Compute a period's maps, keyed by the suffix of their names.

    Returns:
        (rows, columns) each: ``mean`` of the valid daily means, ``max`` (highest hour), ``max_day`` (highest daily
        mean), ``p98`` and so on, ``days_above_15``, ``longest_run_above_15``, ``hours_above_15`` and so on, masked
        where there are too few valid days; ``days`` (number of valid days) and ``count`` (number of hours with values)
        are never masked.
    """
    store = plan.store
    at = np.flatnonzero((store.dates >= one.start) & (store.dates < one.stop))
    maps: dict[str, np.ndarray] = {}
    rows, columns = store.blocks()
    for place in product(rows, columns):
        for name, values in _block(plan, one, at, place).items():
            if name not in maps:
                maps[name] = np.empty(store.grid.shape, values.dtype)
            maps[name][place] = values
    return maps


def _block(
    plan: PeriodPlan, one: Stretch, at: np.ndarray, place: tuple[slice, slice]
) -> dict[str, np.ndarray]:
    """Compute a block of a period's maps."""
    store = plan.store
    times = slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 0)
    mean = store.read("mean", times, place)
    valid = ~np.isnan(mean)
    days = valid.sum(axis=0, dtype=np.int16)
    few = days < needed_of(one.days, plan.percent)
    total = mean.sum(axis=0, dtype=np.float64, where=valid)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {"mean": (total / days).astype(np.float32)}
    found["days"] = days
    found["count"] = store.read("count", times, place).sum(axis=0, dtype=np.int16)
    found["max"] = _largest(store.read("max", times, place))
    found["max_day"] = _largest(mean)
    found |= _percentiles(mean, days, plan.percentiles)
    for level in plan.levels:
        above = mean > np.float32(level.value)
        found[f"days_{level.suffix}"] = above.sum(axis=0, dtype=np.int16)
        found[f"longest_run_{level.suffix}"] = longest_run(above)
    for level in plan.levels:
        name = f"hours_{level.suffix}"
        if name in store.names:
            hours = store.read(name, times, place)
            found[name] = hours.sum(axis=0, dtype=np.int16, where=hours >= 0)
    for name, values in found.items():
        if name not in ("days", "count"):
            values[few] = np.nan if values.dtype.kind == "f" else -1
    return found


def _largest(values: np.ndarray) -> np.ndarray:
    """Return the largest value of each cell, NaN where it has none: (rows, columns)."""
    if not len(values):
        return np.full(values.shape[1:], np.nan, np.float32)
    return np.asarray(np.fmax.reduce(values, axis=0))


def _percentiles(
    mean: np.ndarray, days: np.ndarray, percentiles: Sequence[float]
) -> Mapping[str, np.ndarray]:
    """Return percentiles of daily means by nearest rank from above, as the limits define them."""
    if not percentiles:
        return {}
    falling = -np.sort(-mean, axis=0)  # NaN sorts last
    found = {}
    for percent in percentiles:
        ranks = [nth_highest(percent, number) for number in range(len(mean) + 1)]
        # Ranks count from 1; clip for periods without a day.
        rank = np.minimum(np.array(ranks)[days] - 1, max(len(mean) - 1, 0))
        if len(mean):
            chosen = np.take_along_axis(falling, rank[None], axis=0)[0]
        else:
            chosen = np.full(days.shape, np.nan, np.float32)
        found[percentile_name(percent)] = chosen
    return found


def percentile_name(percent: float) -> str:
    """Return the suffix of a percentile's name: ``p98``, ``p99p5``."""
    return f"p{percent:g}".replace(".", "p")


def longest_run(above: np.ndarray) -> np.ndarray:
    """Return the largest number of consecutive days above a level; a missing day ends a run.

    Args:
        above: (days, rows, columns), bool.

    Returns:
        (rows, columns), int16.
    """
    run = np.zeros(above.shape[1:], np.int16)
    longest = run.copy()
    for day in above:
        run = (run + np.int16(1)) * day
        np.maximum(longest, run, out=longest)
    return longest


def half_widths(found: Sequence[Stretch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of periods and half their lengths: ``datetime64[ns]``, ``timedelta64[ns]``."""
    starts, stops = (
        np.array([getattr(one, end) for one in found], "datetime64[ns]")
        for end in ("start", "stop")
    )
    half = (stops - starts) // 2
    return starts + half, half


def names_of(plan: PeriodPlan) -> Iterator[tuple[str, Any]]:
    """Yield the suffix of each map's name, with its percentile or level."""
    yield from ((name, None) for name in ("mean", "days", "count", "max", "max_day"))
    yield from ((percentile_name(one), one) for one in plan.percentiles)
    for kind in ("days", "longest_run", "hours"):
        for level in plan.levels:
            name = f"{kind}_{level.suffix}"
            if kind != "hours" or name in plan.store.names:
                yield name, level
