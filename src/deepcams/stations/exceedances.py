"""Exceedances of the limits of :mod:`deepcams.core.limits` by observed means, modelled means, and both.

The four outcomes are counted: hits a, misses c, false alarms b, correct negatives d. POD = a / (a + c),
FAR = b / (a + b), CSI = a / (a + b + c) and Gilbert's skill score (ETS) = (a - e) / (a + b + c - e), where
e = (a + b) (a + c) / n is the expected number of random hits (Jolliffe and Stephenson 2012, Forecast verification,
chapter 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from deepcams.core.limits import Limit, limits_of
from deepcams.evaluation.tables import ALL, Row, defined
from deepcams.stations.station_years import OUTCOMES, PERCENTILES, AnnualMeans

if TYPE_CHECKING:
    from deepcams.stations.sums import Scored
    from deepcams.stations.validation import Validation

SETS = ("own", "same")
"""Sets of pairs whose exceedances are counted."""
SET_WORDS = {"own": "all pairs of its own", "same": "pairs of both"}


def daily_levels(species: str) -> tuple[float, ...]:
    """Return the levels of a species' daily limits, ug m-3, increasing, without duplicates."""
    return tuple(sorted({limit.level for limit in limits_of(species, "day")}))


def scores(outcomes: np.ndarray) -> dict[str, Any]:
    """Compute POD, FAR, CSI and ETS from the four :data:`OUTCOMES` (.., 4): numbers or arrays; NaN where undefined."""
    a, c, b, d = np.moveaxis(np.asarray(outcomes, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = np.divide((a + b) * (a + c), a + b + c + d)
        return {
            "POD": np.divide(a, a + c),
            "FAR": np.divide(b, a + b),
            "CSI": np.divide(a, a + b + c),
            "ETS": np.divide(a - chance, a + b + c - chance),
        }


def compliance(found: Validation, scored: Scored) -> pd.DataFrame:
    """Return one row per station, year and limit: whether observations and model met the limit.

    Only years with at least 75 % of valid days are included. A limit averaged over three years needs three such
    consecutive years, and is in the row of the last.

    Returns:
        columns station, year, limit, period, level, days, observed, model (the statistic: ug m-3, or days above),
        observed_met, model_met; no rows if no year counts.
    """
    means = AnnualMeans.of(found, scored)
    parts = []
    for limit in limits_of(found.options.species):
        both = _statistic(limit, scored, means)
        if both is None:
            continue
        most = limit.level if limit.allowed is None else limit.allowed
        station, year = np.nonzero(np.isfinite(both).all(axis=0))
        observed, model = both[:, station, year]
        table = {
            "station": found.stations["id"].astype(str).to_numpy()[station],
            "year": means.years[year],
            "limit": limit.name,
            "period": limit.period,
            "level": limit.level,
            "form": limit.words,
            "days": means.days[station, year],
            "observed": observed,
            "model": model,
            "observed_met": observed <= most,
            "model_met": model <= most,
        }
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _statistic(limit: Limit, scored: Scored, means: AnnualMeans) -> np.ndarray | None:
    """Compute a limit's statistic: (2, stations, years), observed and modelled, NaN where a year does not count.

    The result is ``None`` for limits of daily means if pairs are annual.
    """
    if limit.period == "year":
        both = np.stack([means.observed, means.model])
    elif scored.years is None:
        return None
    elif limit.form == "percentile":
        k = PERCENTILES.index(limit.percentile or 0.0)
        both = np.moveaxis(scored.years.ranked[:, :, k], -1, 0)
    else:
        k = scored.years.levels.index(limit.level)
        hits, misses, alarms, _ = np.moveaxis(scored.years.outcomes[:, :, k], -1, 0)
        both = np.stack([hits + misses, hits + alarms]).astype(np.float64)
    both = np.where(means.counts, both, np.nan)
    if limit.years == 1:
        return both
    longer = np.full(both.shape, np.nan)
    for last in range(limit.years - 1, both.shape[2]):
        longer[..., last] = both[..., last - limit.years + 1 : last + 1].mean(axis=2)
    return longer


def rows(found: Validation) -> list[Row]:
    """Return one row per product, set of pairs, limit and group (all, then each year if there are several).

    Returns:
        product, pairs, limit, period, level, form, source, since, group, stations, n (days; station-years for annual
        limits), the four :data:`OUTCOMES`, POD, FAR, CSI, ETS; station_years to which the limit can be applied, and
        observed_met and model_met, the numbers of them that met it. Undefined values are ``None``.
    """
    result: list[Row] = []
    for scored in found.scored:
        if scored.pairs not in SETS or not scored.any():
            continue
        means, met = AnnualMeans.of(found, scored), compliance(found, scored)
        groups = [(ALL, np.ones(means.years.size, bool))]
        if np.count_nonzero(means.days.any(axis=0)) > 1:
            groups += [(str(year), means.years == year) for year in means.years]
        for limit in limits_of(found.options.species):
            table = _outcomes(limit, scored, means)
            if table is None:
                continue
            asked = met[(met["limit"] == limit.name) & (met["period"] == limit.period)]
            for group, inside in groups:
                counts = table[:, inside].sum(axis=1)
                used = counts.sum(axis=1) > 0
                if group != ALL and not used.any():
                    continue
                own = asked[asked["year"].isin(means.years[inside])]
                total = counts.sum(axis=0)
                row = {
                    "product": scored.product,
                    "pairs": scored.pairs,
                    "limit": limit.name,
                    "period": limit.period,
                    "level": limit.level,
                    "form": limit.words,
                    "source": limit.source,
                    "since": limit.since.isoformat(),
                    "group": group,
                    "stations": int(used.sum()),
                    "n": int(total.sum()),
                    **{
                        name: int(number)
                        for name, number in zip(OUTCOMES, total, strict=True)
                    },
                    **{name: float(value) for name, value in scores(total).items()},
                    "station_years": len(own),
                    "observed_met": int(own["observed_met"].sum())
                    if len(own)
                    else None,
                    "model_met": int(own["model_met"].sum()) if len(own) else None,
                }
                result.append(defined(row))
    return result


def _outcomes(limit: Limit, scored: Scored, means: AnnualMeans) -> np.ndarray | None:
    """Count exceedances of a limit's level: (stations, years, 4); ``None`` for daily limits if pairs are annual."""
    if limit.period == "day":
        if scored.years is None:
            return None
        k = scored.years.levels.index(limit.level)
        return scored.years.outcomes[:, :, k]
    high, modelled = means.observed > limit.level, means.model > limit.level
    kinds = (high & modelled, high & ~modelled, ~high & modelled, ~high & ~modelled)
    return np.stack([kind & means.counts for kind in kinds], axis=2).astype(np.int64)
