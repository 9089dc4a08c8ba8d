"""Annual statistics of each station's daily means for limits and annual means, from integer counts and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.limits import nth_highest
from deepcams.core.times import DAY_SECONDS
from deepcams.evaluation.sums import pairs_of
from deepcams.stations.averages import (
    Means,
    days_in_years,
    enough,
    year_of,
)

if TYPE_CHECKING:
    from deepcams.stations.sums import Scored
    from deepcams.stations.validation import Validation

OUTCOMES = ("hits", "misses", "false_alarms", "correct_negatives")
PERCENTILES = (98.0, 99.0)
"""Percentiles of a year's daily means that limits use."""


def possible_days(
    start: np.ndarray, known: np.ndarray, possible: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the years of hours, and for each the number of UTC days with at least 75 % of their possible hours.

    Args:
        start: (hours,), seconds since 1970 UTC, increasing, whole days.
        known: (hours,), whether there is a value.
        possible: possible number of values per day.

    Returns:
        (years,) and (years,), int64.
    """
    days, which = np.unique(start // DAY_SECONDS, return_inverse=True)
    whole = enough(np.bincount(which, known), possible)
    years, year = np.unique(year_of(days), return_inverse=True)
    return years, np.bincount(year, whole).astype(np.int64)


@dataclass
class Years:
    """Annual statistics of each station's daily means that limits use.

    Attributes:
        years: (years,), calendar years.
        possible: (years,), number of days of the product.
        levels: levels of limits, ug m-3.
        outcomes: (stations, years, levels, 4), number of days per outcome: :data:`OUTCOMES`.
        ranked: (stations, years, 2, 2), :data:`PERCENTILES` of the observed and the modelled days by nearest rank,
            ug m-3; NaN without days.
    """

    years: np.ndarray
    possible: np.ndarray
    levels: tuple[float, ...]
    outcomes: np.ndarray
    ranked: np.ndarray

    @classmethod
    def zeros(
        cls,
        stations: int,
        years: np.ndarray,
        possible: np.ndarray,
        levels: tuple[float, ...],
    ) -> Years:
        """Create zero counts."""
        outcomes = np.zeros((stations, years.size, len(levels), 4), np.int64)
        ranked = np.full((stations, years.size, len(PERCENTILES), 2), np.nan)
        return cls(years, possible, levels, outcomes, ranked)

    def count(self, batch: np.ndarray, daily: Means) -> dict[str, np.ndarray]:
        """Count the days of a batch of stations (increasing numbers).

        Returns:
            ``years.outcomes`` and ``years.ranked`` of these stations.
        """
        station = np.searchsorted(batch, daily.station)
        group = station * self.years.size + np.searchsorted(
            self.years, year_of(daily.day)
        )
        groups = batch.size * self.years.size
        outcomes = np.zeros((groups, len(self.levels), 4), np.int64)
        for k, level in enumerate(self.levels):
            # 0, 1, 2, 3: hits, misses, false alarms, correct negatives.
            kind = 3 - 2 * (daily.observed > level) - (daily.model > level)
            outcomes[:, k] = np.bincount(
                group * 4 + kind, minlength=groups * 4
            ).reshape(groups, 4)
        ranked = np.full((groups, len(PERCENTILES), 2), np.nan)
        number = np.bincount(group, minlength=groups)
        end = np.cumsum(number)
        there = np.flatnonzero(number)
        for side, values in enumerate((daily.observed, daily.model)):
            ordered = values[np.lexsort((values, group))]
            for k, percentile in enumerate(PERCENTILES):
                nth = np.array([nth_highest(percentile, int(n)) for n in number[there]])
                ranked[there, k, side] = ordered[end[there] - nth]
        shape = batch.size, self.years.size
        return {
            "years.outcomes": outcomes.reshape(*shape, *outcomes.shape[1:]),
            "years.ranked": ranked.reshape(*shape, *ranked.shape[1:]),
        }


@dataclass
class AnnualMeans:
    """Annual means of stations.

    Attributes:
        years: (years,), calendar years.
        sums: (stations, years, columns), sums over the pairs of the year.
        days: (stations, years), number of valid days; 1 if pairs are annual.
        counts: (stations, years), whether at least 75 % of the year's days are valid.
        observed, model: (stations, years), ug m-3; NaN where the year does not count.
    """

    years: np.ndarray
    sums: np.ndarray
    days: np.ndarray
    counts: np.ndarray
    observed: np.ndarray
    model: np.ndarray

    @classmethod
    def of(cls, found: Validation, scored: Scored) -> AnnualMeans:
        """Return the annual means of a validation of daily or annual means."""
        of_month = found.months.astype("datetime64[Y]").astype(int) + 1970
        years = np.unique(of_month)
        month = scored.stations.month
        sums = np.stack([month[:, of_month == year].sum(axis=1) for year in years], 1)
        pairs = pairs_of(sums)
        days = np.asarray(pairs.count)
        counts = days > 0
        if found.options.average == "day":
            counts = enough(days, days_in_years(years))
        observed, model = (
            np.where(counts, mean, np.nan)
            for mean in (pairs.truth_mean, pairs.method_mean)
        )
        return cls(years, sums, days, counts, observed, model)
