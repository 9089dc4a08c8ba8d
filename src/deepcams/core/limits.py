"""Limits for particulate matter in one dated table: level, averaging period, form, source, date.

The *form* of a limit says which statistic of the averages must not exceed the level. There are three.
``mean``: the average itself. ``percentile``: a percentile of a year's daily means. ``allowed``: the number of days
per year above the level is limited. ``years`` is the number of years over which the statistic is averaged.

Sources. Checked in November 2026 against public summaries of the texts, not the texts themselves: WHO's levels and
form; levels, allowed days and date of Directive (EU) 2024/2881 (25 with 18 days, 10; from 2030); the EPA's levels and
forms (98th percentile, means of three years; 9.0 from 6 May 2024). Written from memory, unchecked: numbers of annexes,
sections and Federal Register pages; the date of the US 24-hour standard; the date of 2008/50/EC's limit value (2015);
WHO's day of publication.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

Period = Literal["day", "year"]
Form = Literal["mean", "percentile", "allowed"]

_WHO = "WHO global air quality guidelines (2021), table 0.1"
_EU = "Directive (EU) 2024/2881, annex I, table 1"
_EU_2008 = "Directive 2008/50/EC, annex XIV; until 2030 Directive (EU) 2024/2881, annex I, table 2"
_US = "40 CFR 50.20 (89 FR 16202) and part 50, appendix N"
_US_DAY = "40 CFR 50.13, 50.18 and part 50, appendix N"
_WHO_NAMES = ("WHO AQG", "WHO IT4", "WHO IT3", "WHO IT2", "WHO IT1")


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: display name.
        species: ``pm2p5`` or ``pm10``.
        period: averaging period.
        level: ug m-3; values above it are exceedances.
        form: see the module docstring.
        source: legal text or guideline that sets the limit.
        since: date from which it applies.
        percentile: percentile of a year's daily means (form ``percentile``).
        allowed: number of days per year that may exceed the level (form ``allowed``).
        years: number of years over which the statistic is averaged.
    """

    name: str
    species: str
    period: Period
    level: float
    form: Form
    source: str
    since: date
    percentile: float | None = None
    allowed: int | None = None
    years: int = 1

    @property
    def words(self) -> str:
        """The form as display text."""
        if self.form == "percentile":
            text = f"{self.percentile:g}th percentile of a year's days"
        elif self.form == "allowed":
            text = f"at most {self.allowed} days a year above"
        else:
            text = f"{self.period} mean"
        return text + (f", mean of {self.years} years" if self.years > 1 else "")


def _who(species: str, period: Period, levels: tuple[float, ...]) -> tuple[Limit, ...]:
    form: Form = "percentile" if period == "day" else "mean"
    percentile = 99.0 if period == "day" else None
    since = date(2021, 9, 22)
    return tuple(
        Limit(name, species, period, level, form, _WHO, since, percentile)
        for name, level in zip(_WHO_NAMES, levels, strict=True)
    )


LIMITS: tuple[Limit, ...] = (
    *_who("pm2p5", "day", (15.0, 25.0, 37.5, 50.0, 75.0)),
    Limit(
        "EU 2030", "pm2p5", "day", 25.0, "allowed", _EU, date(2030, 1, 1), allowed=18
    ),
    Limit(
        "US 2006",
        "pm2p5",
        "day",
        35.0,
        "percentile",
        _US_DAY,
        date(2006, 12, 18),
        percentile=98.0,
        years=3,
    ),
    *_who("pm2p5", "year", (5.0, 10.0, 15.0, 25.0, 35.0)),
    Limit("EU 2015", "pm2p5", "year", 25.0, "mean", _EU_2008, date(2015, 1, 1)),
    Limit("EU 2030", "pm2p5", "year", 10.0, "mean", _EU, date(2030, 1, 1)),
    Limit("US 2024", "pm2p5", "year", 9.0, "mean", _US, date(2024, 5, 6), years=3),
    *_who("pm10", "day", (45.0, 50.0, 75.0, 100.0, 150.0)),
    *_who("pm10", "year", (15.0, 20.0, 30.0, 50.0, 70.0)),
)
"""All limits, by species and period; WHO's first, the strictest first."""


def limits_of(species: str, period: Period | None = None) -> tuple[Limit, ...]:
    """Return the limits of a species (``pm2p5``, ``pm10``), for one or all periods; empty for other species."""
    return tuple(
        limit
        for limit in LIMITS
        if limit.species == species and period in (None, limit.period)
    )


def who_levels(species: str, period: Period) -> tuple[float, ...]:
    """Return WHO's guideline and interim targets 4 to 1, ug m-3; empty for other species."""
    return tuple(
        limit.level for limit in limits_of(species, period) if limit.source == _WHO
    )


def nth_highest(percentile: float, days: int) -> int:
    """Return the rank, counted from the highest day (1), of a percentile of a year's days: the nearest rank from above.

    Of 351 to 366 days the 98th percentile is the 8th highest and of 50 the highest, as in the table of 40 CFR part 50,
    appendix N; the 99th of a whole year is the 4th highest, so that three days may be above (WHO: "3-4 days a year").
    """
    # Rounded first: 100 - 98 percent of 350 days is 7, and not 7.0000000001.
    return max(math.ceil(round((100 - percentile) / 100 * days, 9)), 1)
