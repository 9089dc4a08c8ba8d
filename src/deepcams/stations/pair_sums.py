"""Sums over pairs for many groups at once, and what resampling whole groups (stations) says of their figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepcams.evaluation.statistics import Pairs

COLUMNS = ("n", "o", "m", "oo", "mm", "om", "absolute", "squared", "within2")
"""Number of pairs; sums of the observed and the model's value less :data:`ORIGIN`, of their squares and product; of the
error's size and square; and how many model values lie within a factor of two of the observed."""
ORIGIN = 20.0
"""ug m-3: near the values' mean, so that squares lose nothing."""

FIGURES = ("R", "RMSE", "MAE", "bias", "FAC2")


def sum_pairs(
    group: np.ndarray, observed: np.ndarray, model: np.ndarray, groups: int
) -> np.ndarray:
    """Sums over the pairs of each group: (groups, 9), float64, with :data:`COLUMNS`.

    Args:
        group: (n,), each pair's group.
        observed, model: (n,), ug m-3, none missing.
        groups: how many there are.
    """
    o, m = np.asarray(observed, np.float64), np.asarray(model, np.float64)
    error = m - o
    # As numbers within a factor of two; of an observed 0 only 0 is.
    within = (m >= 0.5 * o) & (m <= 2 * o)
    o, m = o - ORIGIN, m - ORIGIN
    columns = (None, o, m, o * o, m * m, o * m, abs(error), error * error, within)
    return np.stack([np.bincount(group, each, groups) for each in columns], axis=1)


def pairs_of(sums: np.ndarray) -> Pairs:
    """The record of all pairs in some groups' sums: (groups, 9) or (9,)."""
    n, o, m, oo, mm, om, absolute, squared, _ = sums.reshape(-1, len(COLUMNS)).sum(axis=0).tolist()
    if not n:
        return Pairs()
    return Pairs(
        int(n),
        n,
        ORIGIN + o / n,
        ORIGIN + m / n,
        max(oo - o * o / n, 0.0),
        max(mm - m * m / n, 0.0),
        om - o * m / n,
        m - o,
        absolute,
        squared,
    )


def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """R, RMSE, MAE, bias and FAC2 of each group: (.., 9) -> name -> (..); NaN without pairs."""
    n, o, m, oo, mm, om, absolute, squared, within = np.moveaxis(
        np.asarray(sums, np.float64), -1, 0
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        v, w, c = oo - o * o / n, mm - m * m / n, om - o * m / n
        # What rounding leaves of a side that does not vary is no variance.
        vary = (v > 1e-12 * (abs(oo) + n)) & (w > 1e-12 * (abs(mm) + n))
        r = np.where(vary, c / np.sqrt(np.where(vary, v * w, 1.0)), np.nan)
        return {
            "R": np.where(n > 1, r, np.nan),
            "RMSE": np.sqrt(squared / n),
            "MAE": absolute / n,
            "bias": (m - o) / n,
            "FAC2": within / n,
        }


@dataclass(frozen=True)
class Interval:
    """Ends of a bootstrap interval, for each figure."""

    low: dict[str, float]
    high: dict[str, float]


def bootstrap(
    sums: np.ndarray,
    draws: int,
    seed: int = 0,
    level: float = 0.95,
    mean_of_groups: bool = False,
    fewest: int = 2,
) -> Interval | None:
    """Percentile intervals of the figures when whole groups (stations) are drawn with replacement.

    Pairs of one station are not independent; stations nearly are, so they are what is resampled.

    Args:
        sums: (groups, 9); groups without pairs do not count.
        draws: how many resamples.
        seed: of the draws.
        level: share of the resamples within the interval.
        mean_of_groups: resample the mean of the groups' own figures instead of the figures of all pairs.
        fewest: pairs that a group must have for its own figures to count.

    Returns:
        ``None`` for fewer than two groups or no draws.
    """
    sums = sums[sums[:, 0] >= (fewest if mean_of_groups else 1)]
    groups = len(sums)
    if groups < 2 or draws < 1:
        return None
    random = np.random.default_rng(seed)
    own = np.stack([figures(sums)[name] for name in FIGURES], axis=1) if mean_of_groups else sums
    known = ~np.isnan(own)
    filled = np.where(known, own, 0.0)
    found = []
    together = max(4_000_000 // groups, 1)
    for at in range(0, draws, together):
        size = min(together, draws - at)
        # How often each group is drawn: counts of uniform draws, many resamples at a time.
        drawn = random.integers(0, groups, (size, groups))
        drawn += np.arange(size)[:, None] * groups
        times = (
            np.bincount(drawn.ravel(), minlength=size * groups)
            .reshape(size, groups)
            .astype(np.float64)
        )
        if mean_of_groups:
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append((times @ filled) / (times @ known.astype(np.float64)))
        else:
            each = figures(times @ filled)
            found.append(np.stack([each[name] for name in FIGURES], axis=1))
    values = np.concatenate(found)
    tail = (1 - level) / 2
    ends = np.full((2, len(FIGURES)), np.nan)
    for k in range(len(FIGURES)):
        good = values[:, k][~np.isnan(values[:, k])]
        if good.size:
            ends[:, k] = np.quantile(good, [tail, 1 - tail])
    return Interval(*({name: float(each[k]) for k, name in enumerate(FIGURES)} for each in ends))
