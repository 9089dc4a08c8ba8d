"""Averages of hourly pairs to daily or annual means with at least 75 % of the values.

A day counts at a station if at least 75 % of its hours (18) were observed and the product has at least 75 % of its
possible hours: 24 for an hourly one; 16 for a 3-hourly analysis, because each instant belongs to two hours. Both means
are over the hours that have both values. A year counts if at least 75 % of its days count; its mean is that of its
valid days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError
from deepcams.core.observations import Observations
from deepcams.core.sun import nautical_hours
from deepcams.core.times import DAY_SECONDS, HOUR_SECONDS
from deepcams.stations.matching import TimeRule

Average = Literal["hour", "day", "year"]
Days = Literal["utc", "nautical", "station"]

HOURS = 24
"""Hours per day."""
_SPAN = 1 << 22  # days: some 5,700 years on each side of 1970
DAY_WORDS = {
    "utc": "UTC",
    "station": "the stations' own time, without daylight saving",
    "nautical": "nautical time (round(longitude / 15) hours from UTC)",
}


def enough(number: np.ndarray | int, possible: np.ndarray | int) -> np.ndarray:
    """Return whether a number is at least 75 % of the possible number, in integer arithmetic (18 of 24 are enough)."""
    return np.asarray(4 * np.asarray(number) >= 3 * np.asarray(possible))


def check_by(average: Average, by: Iterable[str]) -> None:
    """Check that groupings are valid for the averages.

    Raises:
        InputError: daily means are grouped by hour, or annual ones by hour or month.
    """
    without = {"hour": (), "day": ("hour",), "year": ("hour", "month")}[average]
    for name in by:
        if name in without:
            expected = f"a grouping that {average}s have"
            do = f"leave --average out for rows by {name}"
            raise InputError("--by", expected, repr(name), do)


def offsets(stations: pd.DataFrame, days: Days) -> np.ndarray:
    """Return the UTC offset of each station's days: (stations,), float64, seconds; NaN if unknown.

    By longitude all are known, because stations without coordinates have no pairs.

    Args:
        stations: table with ``longitude`` (degrees), and for ``station`` with ``utc_offset`` (hours).
        days: ``utc``; ``nautical``, whole hours by longitude; ``station``, the stations' own clocks.

    Raises:
        InputError: no station has a known UTC offset.
    """
    if days == "utc":
        return np.zeros(len(stations))
    if days == "station":
        if "utc_offset" not in stations:
            raise InputError(
                "--days station",
                "stations whose times have an offset (2019-01-01T01:00:00+08:00)",
                "times in UTC alone",
                "use --days nautical, whole hours by longitude",
            )
        return np.asarray(stations["utc_offset"].to_numpy(float) * HOUR_SECONDS)
    east = stations["longitude"].fillna(0).to_numpy(float)
    return nautical_hours(east) * HOUR_SECONDS


def hours_a_day(rule: TimeRule, cadence: int) -> int:
    """Return the number of hours per day for which a product has values.

    Args:
        rule: rule of matching in time; an instant belongs to the hour that ends and the one that begins with it.
        cadence: time step, seconds.
    """
    if rule != "touching":
        return HOURS
    return min(2 * DAY_SECONDS // max(cadence, 1), HOURS)


def days_in_years(years: np.ndarray) -> np.ndarray:
    """Return the number of days of calendar years: (n,), int64."""
    first = (np.asarray(years) - 1970).astype("datetime64[Y]")
    days = (first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")
    return np.asarray(days.astype(np.int64))


def year_of(day: np.ndarray) -> np.ndarray:
    """Return the calendar years of days since 1970: (n,), int64."""
    years = np.asarray(day, "datetime64[D]").astype("datetime64[Y]")
    return np.asarray(years.astype(np.int64) + 1970)


@dataclass(frozen=True)
class Means:
    """Pairs of means, sorted by station and day.

    Attributes:
        station: (n,), station of each pair.
        day: (n,), int64, days since 1970 in the station's time; for a year its first day that counts.
        observed, model: (n,), float64, ug m-3.
        candidates: number of days (or years) with any pair.
        dropped: number of these that do not count.
    """

    station: np.ndarray
    day: np.ndarray
    observed: np.ndarray
    model: np.ndarray
    candidates: int
    dropped: int


class Calendar:
    """The days of some stations, with the number of observed hours of each.

    Args:
        observed: all observations of these stations, with or without a value of a product.
        offset: (all stations,), see :func:`offsets`; known for all stations with observations.
    """

    def __init__(self, observed: Observations, offset: np.ndarray) -> None:
        self._offset = np.nan_to_num(offset).astype(np.int64)
        self._keys, self._hours = np.unique(
            self._key(observed.station, self.day(observed)), return_counts=True
        )

    def day(self, observed: Observations) -> np.ndarray:
        """Return the day that contains the middle of each interval: (n,), int64, days since 1970."""
        middle = (observed.start + observed.end) // 2 + self._offset[observed.station]
        return np.asarray(middle // DAY_SECONDS)

    @staticmethod
    def _key(station: np.ndarray, day: np.ndarray) -> np.ndarray:
        return np.asarray(station.astype(np.int64) * _SPAN + day + _SPAN // 2)

    def daily(
        self,
        station: np.ndarray,
        day: np.ndarray,
        observed: np.ndarray,
        model: np.ndarray,
        possible: int,
    ) -> Means:
        """Average hourly pairs by day.

        Args:
            station, day, observed, model: (n,), values of the pairs.
            possible: possible number of hours per day, see :func:`hours_a_day`.
        """
        keys, which, number = np.unique(
            self._key(station, day), return_inverse=True, return_counts=True
        )
        seen = self._hours[np.searchsorted(self._keys, keys)]
        counts = enough(seen, HOURS) & enough(number, possible)
        o, m = (np.bincount(which, each) / number for each in (observed, model))
        return Means(
            keys[counts] // _SPAN,
            keys[counts] % _SPAN - _SPAN // 2,
            o[counts],
            m[counts],
            keys.size,
            int((~counts).sum()),
        )


def annual(daily: Means) -> Means:
    """Average the days that count by calendar year."""
    year = year_of(daily.day)
    _, first, which, number = np.unique(
        daily.station.astype(np.int64) * 10_000 + year,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    counts = enough(number, days_in_years(year[first]))
    o, m = (
        np.bincount(which, each, first.size) / number
        for each in (daily.observed, daily.model)
    )
    first = first[counts]
    return Means(
        daily.station[first],
        daily.day[first],
        o[counts],
        m[counts],
        counts.size,
        int((~counts).sum()),
    )
