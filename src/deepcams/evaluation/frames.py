"""Additive scores of frames: figures of each sample, their means, and sums over all pairs.

All records here are frozen and support ``+``, so any split of the work gives the same table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deepcams.evaluation.diagnostics.base import Sums
from deepcams.evaluation.scores import figures, of_frames, terms_of
from deepcams.evaluation.sums import Pairs

EXTREME_QUANTILE = 0.99
"""Quantile of a sample above which values of the truth count as extreme."""
OF_EXTREMES = ("MAE", "RMSE", "bias")
"""Scores that are also computed over the extreme values only."""


@dataclass(frozen=True)
class Mean:
    """An additive mean; undefined (NaN) contributions are ignored."""

    count: int = 0
    total: float = 0.0

    @classmethod
    def of(cls, *values: float) -> Mean:
        """Return the mean of some values."""
        known = [value for value in values if not math.isnan(value)]
        return cls(len(known), sum(known))

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.count + other.count, self.total + other.total)

    @property
    def value(self) -> float:
        """The mean; NaN without contributions."""
        return self.total / self.count if self.count else math.nan


def added(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    """Add two mappings key by key."""
    both = {key: one[key] + other[key] for key in one.keys() & other.keys()}
    return {**one, **other, **both}


@dataclass(frozen=True)
class Scores:
    """Additive scores of one method over any number of samples.

    A sample is one frame. ``means`` are means of the samples' own figures (as the paper averages over a month);
    ``pooled`` and ``pooled_extreme`` are sums over all pairs of all samples.

    Attributes:
        samples: number of scored frames.
        skipped: number of frames left out because the truth or the method was entirely missing.
        missing: number of nodes left out of scored frames because the truth or the method was missing.
        means: means over the samples: ``R``, .. and ``MAE_p99``, ...
        pooled: sums over all pairs.
        pooled_extreme: sums over the pairs above their sample's 99th percentile.
    """

    samples: int = 0
    skipped: int = 0
    missing: int = 0
    means: Mapping[str, Mean] = field(default_factory=dict)
    pooled: Pairs = field(default_factory=Pairs)
    pooled_extreme: Pairs = field(default_factory=Pairs)

    def __add__(self, other: Scores) -> Scores:
        """Return the scores over both sets of samples."""
        return Scores(
            self.samples + other.samples,
            self.skipped + other.skipped,
            self.missing + other.missing,
            added(self.means, other.means),
            self.pooled + other.pooled,
            self.pooled_extreme + other.pooled_extreme,
        )

    def mean(self, key: str) -> float:
        """Return the mean of the samples' figures; NaN without samples."""
        return self.means.get(key, Mean()).value


def extreme_threshold(truth: np.ndarray) -> float:
    """Return the truth's 99th percentile over a sample's nodes with a value (unweighted); NaN if there is none."""
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
        truth, method: values of the same shape, ug m-3; nodes that are NaN in either are left out.
        weights: >= 0, of the same shape or broadcastable to it; ``None``: 1 for every node.
        clip: upper bound applied to both (800 ug m-3 in the released DeepCAMS code).
        threshold: value of the truth, before clipping, above which it is extreme; default: :func:`extreme_threshold`
            of ``truth``.
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
    keys = of_frames()
    # Frames are large: sum only the terms that the scores need.
    terms = terms_of(keys)
    pairs = Pairs.of(t, m, w, terms)
    above = Pairs.of(t[extreme], m[extreme], None if w is None else w[extreme], terms)
    own = figures(pairs, keys)
    own |= {f"{key}_p99": value for key, value in figures(above, OF_EXTREMES).items()}
    return Scores(
        samples=1,
        missing=truth.size - int(both.sum()),
        means={key: Mean.of(float(value)) for key, value in own.items()},
        pooled=pairs,
        pooled_extreme=above,
    )


@dataclass(frozen=True)
class Table:
    """Additive scores by method and month, and sums of diagnostics over all months.

    Attributes:
        scores: scores by (method, month as ``YYYY-MM``).
        sums: sums by (method, name of a diagnostic).
    """

    scores: Mapping[tuple[str, str], Scores] = field(default_factory=dict)
    sums: Mapping[tuple[str, str], Sums] = field(default_factory=dict)

    def __add__(self, other: Table) -> Table:
        return Table(added(self.scores, other.scores), added(self.sums, other.sums))

    @property
    def months(self) -> list[str]:
        """Months with samples, in order."""
        return sorted({month for _, month in self.scores})
