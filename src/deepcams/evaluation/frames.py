"""Scores of frames: each sample's own figures, their means, and all pairs in one; they add.

Any split of the work gives the same table: everything here is a frozen record with ``+``.
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
"""Values of the truth above this quantile of their own sample count as extreme."""
OF_EXTREMES = ("MAE", "RMSE", "bias")
"""Scores that are also given over the extreme values alone."""


@dataclass(frozen=True)
class Mean:
    """A mean that adds; undefined (NaN) contributions are left out of it."""

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
        """The mean; NaN of nothing."""
        return self.total / self.count if self.count else math.nan


def added(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return two tables of things that add as one."""
    both = {key: one[key] + other[key] for key in one.keys() & other.keys()}
    return {**one, **other, **both}


@dataclass(frozen=True)
class Scores:
    """What one method has reached over any number of samples; adds.

    A sample is one frame. ``means`` are means of the samples' own figures (what the paper averages over a month);
    ``pooled`` and ``pooled_extreme`` hold all pairs of all samples in one.

    Attributes:
        samples: frames that were scored.
        skipped: frames left out because the truth or the method was missing altogether.
        missing: nodes left out in the scored frames because either side was missing there.
        means: ``R``, .. and ``MAE_p99``, ..: means over the samples.
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
        """Return the mean of the samples' figures; NaN without any."""
        return self.means.get(key, Mean()).value


def extreme_threshold(truth: np.ndarray) -> float:
    """Return the truth's 99th percentile over a sample's nodes with a value (each counts once); NaN of none."""
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
    keys = of_frames()
    # Whole frames are large: only what their scores read is summed.
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
    """Scores by method and month, and what diagnostics add up over all months; adds.

    Attributes:
        scores: (method, month as ``YYYY-MM``) -> scores.
        sums: (method, name of a diagnostic) -> its sums.
    """

    scores: Mapping[tuple[str, str], Scores] = field(default_factory=dict)
    sums: Mapping[tuple[str, str], Sums] = field(default_factory=dict)

    def __add__(self, other: Table) -> Table:
        return Table(added(self.scores, other.scores), added(self.sums, other.sums))

    @property
    def months(self) -> list[str]:
        """Months that hold samples, in order."""
        return sorted({month for _, month in self.scores})
