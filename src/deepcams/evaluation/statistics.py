"""Statistics of a method against the truth, as sums that add: of one sample, and of many groups (stations) at once.

Any split of the work gives the same table: everything here is a frozen record of float64 sums with ``+``. Means and
second moments are kept centred and merged pairwise (Chan, Golub & LeVeque 1979), so that values far from zero lose
nothing and a year of frames agrees with one big array to 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np

EXTREME_QUANTILE = 0.99
"""Values of the truth above this quantile of their own sample count as extreme."""


@dataclass(frozen=True)
class Pairs:
    """Weighted sums over pairs of a truth and a method's value.

    Attributes:
        count: number of pairs.
        weight: sum of the weights (equal to ``count`` where nothing is weighted).
        truth_mean, method_mean: weighted means, ug m-3.
        truth_moment, method_moment, joint_moment: weighted sums of squared deviations from the means, and of the
            products of both deviations, ug2 m-6.
        error, absolute, squared: weighted sums of method - truth, of its size, and of its square.
    """

    count: int = 0
    weight: float = 0.0
    truth_mean: float = 0.0
    method_mean: float = 0.0
    truth_moment: float = 0.0
    method_moment: float = 0.0
    joint_moment: float = 0.0
    error: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0

    @classmethod
    def of(cls, truth: np.ndarray, method: np.ndarray, weights: np.ndarray | None = None) -> Pairs:
        """Sums over all pairs, none of which may be missing.

        Args:
            truth, method: values of the same shape, ug m-3.
            weights: >= 0, of the same shape; ``None`` weighs every pair 1.
        """
        t, m = np.asarray(truth, np.float64).ravel(), np.asarray(method, np.float64).ravel()
        w = np.ones_like(t) if weights is None else np.asarray(weights, np.float64).ravel()
        total = float(w.sum())
        if not total > 0:
            return cls()
        truth_mean, method_mean = float((w * t).sum()) / total, float((w * m).sum()) / total
        t_off, m_off, error = t - truth_mean, m - method_mean, m - t
        return cls(
            count=t.size,
            weight=total,
            truth_mean=truth_mean,
            method_mean=method_mean,
            truth_moment=float((w * t_off * t_off).sum()),
            method_moment=float((w * m_off * m_off).sum()),
            joint_moment=float((w * t_off * m_off).sum()),
            error=float((w * error).sum()),
            absolute=float((w * abs(error)).sum()),
            squared=float((w * error * error).sum()),
        )

    def __add__(self, other: Pairs) -> Pairs:
        """The sums over both sets of pairs."""
        if not other.weight:
            return self
        if not self.weight:
            return other
        weight = self.weight + other.weight
        share = other.weight / weight
        t_apart, m_apart = other.truth_mean - self.truth_mean, other.method_mean - self.method_mean
        between = self.weight * share
        return Pairs(
            count=self.count + other.count,
            weight=weight,
            truth_mean=self.truth_mean + t_apart * share,
            method_mean=self.method_mean + m_apart * share,
            truth_moment=self.truth_moment + other.truth_moment + t_apart * t_apart * between,
            method_moment=self.method_moment + other.method_moment + m_apart * m_apart * between,
            joint_moment=self.joint_moment + other.joint_moment + t_apart * m_apart * between,
            error=self.error + other.error,
            absolute=self.absolute + other.absolute,
            squared=self.squared + other.squared,
        )

    @property
    def r(self) -> float:
        """Pearson's correlation; NaN where either side does not vary beyond the rounding of float64."""
        for moment, mean in (
            (self.truth_moment, self.truth_mean),
            (self.method_moment, self.method_mean),
        ):
            if not moment > self.weight * (1e-13 * mean) ** 2:
                return math.nan
        return self.joint_moment / (math.sqrt(self.truth_moment) * math.sqrt(self.method_moment))

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, ug m-3; NaN without pairs."""
        return math.sqrt(self.squared / self.weight) if self.weight else math.nan

    @property
    def mae(self) -> float:
        """Mean absolute error, ug m-3; NaN without pairs."""
        return self.absolute / self.weight if self.weight else math.nan

    @property
    def bias(self) -> float:
        """Mean of method - truth, ug m-3; NaN without pairs."""
        return self.error / self.weight if self.weight else math.nan


@dataclass(frozen=True)
class Mean:
    """A mean that adds; undefined (NaN) contributions are left out of it."""

    count: int = 0
    total: float = 0.0

    @classmethod
    def of(cls, value: float) -> Mean:
        """The mean of one value."""
        return cls() if math.isnan(value) else cls(1, value)

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.count + other.count, self.total + other.total)

    @property
    def value(self) -> float:
        """The mean; NaN of nothing."""
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True)
class Scores:
    """What one method has reached over any number of samples; adds.

    A sample is one frame. ``R``, ``RMSE``, ``MAE`` and ``bias`` are means of the samples' own figures (what the paper
    averages over a month); ``pooled`` and ``pooled_extreme`` hold all pairs of all samples in one.

    Attributes:
        samples: frames that were scored.
        skipped: frames left out because the truth or the method was missing altogether.
        missing: nodes left out in the scored frames because either side was missing there.
        R, RMSE, MAE, bias, MAE_p99, RMSE_p99, bias_p99: means over the samples.
        pooled: sums over all pairs.
        pooled_extreme: sums over the pairs above their sample's 99th percentile.
    """

    samples: int = 0
    skipped: int = 0
    missing: int = 0
    R: Mean = Mean()
    RMSE: Mean = Mean()
    MAE: Mean = Mean()
    bias: Mean = Mean()
    MAE_p99: Mean = Mean()
    RMSE_p99: Mean = Mean()
    bias_p99: Mean = Mean()
    pooled: Pairs = field(default_factory=Pairs)
    pooled_extreme: Pairs = field(default_factory=Pairs)

    def __add__(self, other: Scores) -> Scores:
        """The scores over both sets of samples."""
        return Scores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def extreme_threshold(truth: np.ndarray) -> float:
    """The truth's 99th percentile over the nodes of one sample that hold a value (each counts once); NaN of none."""
    values = truth[~np.isnan(truth)]
    return float(np.quantile(values, EXTREME_QUANTILE)) if values.size else math.nan


def score_sample(
    truth: np.ndarray,
    method: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    clip: float | None = None,
    threshold: float | None = None,
) -> Scores:
    """Score one frame.

    Args:
        truth, method: values of the same shape, ug m-3; NaN is missing, and left out on both sides.
        weights: >= 0, of the same shape or one that broadcasts to it; ``None`` weighs every node 1.
        clip: values above this count as this on both sides (the released DeepCAMS code has 800 ug m-3).
        threshold: values of the truth above it are extreme; by default :func:`extreme_threshold` of ``truth``.
            The threshold is compared with the truth before clipping.
    """
    if threshold is None:
        threshold = extreme_threshold(truth)
    both = ~(np.isnan(truth) | np.isnan(method))
    if not both.any():
        return Scores(skipped=1)
    t, m = truth[both].astype(np.float64), method[both].astype(np.float64)
    w = None if weights is None else np.broadcast_to(weights, truth.shape)[both]
    extreme = t > threshold
    if clip is not None:
        t, m = np.minimum(t, clip), np.minimum(m, clip)
    pairs = Pairs.of(t, m, w)
    above = Pairs.of(t[extreme], m[extreme], None if w is None else w[extreme])
    return Scores(
        samples=1,
        missing=truth.size - int(both.sum()),
        R=Mean.of(pairs.r),
        RMSE=Mean.of(pairs.rmse),
        MAE=Mean.of(pairs.mae),
        bias=Mean.of(pairs.bias),
        MAE_p99=Mean.of(above.mae),
        RMSE_p99=Mean.of(above.rmse),
        bias_p99=Mean.of(above.bias),
        pooled=pairs,
        pooled_extreme=above,
    )


@dataclass(frozen=True)
class Table:
    """Scores by method and month; adds.

    Attributes:
        scores: (method, month as ``YYYY-MM``) -> scores.
    """

    scores: Mapping[tuple[str, str], Scores] = field(default_factory=dict)

    def __add__(self, other: Table) -> Table:
        merged = dict(self.scores)
        for key, value in other.scores.items():
            merged[key] = merged[key] + value if key in merged else value
        return replace(self, scores=merged)

    @property
    def methods(self) -> list[str]:
        """Method names in the order in which they came."""
        return list(dict.fromkeys(method for method, _ in self.scores))

    @property
    def months(self) -> list[str]:
        """Months that hold samples, in order."""
        return sorted({month for _, month in self.scores})


COLUMNS = ("n", "o", "m", "oo", "mm", "om", "absolute", "squared", "within2")
"""Number of pairs; sums of the observed and the model's value less :data:`ORIGIN`, of their squares and product; of the
error's size and square; and how many model values lie within a factor of two of the observed."""
ORIGIN = 20.0
"""ug m-3: near the values' mean, so that squares lose nothing."""

GROUP_FIGURES = ("R", "RMSE", "MAE", "bias", "FAC2")
"""Figures of groups, see :func:`figures`."""


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
    own = (
        np.stack([figures(sums)[name] for name in GROUP_FIGURES], axis=1)
        if mean_of_groups
        else sums
    )
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
            found.append(np.stack([each[name] for name in GROUP_FIGURES], axis=1))
    values = np.concatenate(found)
    tail = (1 - level) / 2
    ends = np.full((2, len(GROUP_FIGURES)), np.nan)
    for k in range(len(GROUP_FIGURES)):
        good = values[:, k][~np.isnan(values[:, k])]
        if good.size:
            ends[:, k] = np.quantile(good, [tail, 1 - tail])
    return Interval(
        *({name: float(each[k]) for k, name in enumerate(GROUP_FIGURES)} for each in ends)
    )
