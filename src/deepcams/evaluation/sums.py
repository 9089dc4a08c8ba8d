"""Sums over pairs of a true and a method's value; any split of the work gives the same sums.

There are two forms with the same content. :class:`Pairs` holds one set of pairs, weighted or not: means and second
moments are centred and merged pairwise (Chan, Golub & LeVeque 1979), so that values far from zero lose no precision and
a year of frames agrees with one large array to 1e-10. Sums of many groups (stations) are arrays of plain sums, which
are additive and can be resampled by a matrix product; :func:`pairs_of` converts them to a record of arrays.
:mod:`deepcams.evaluation.scores` computes the scores from either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


def _fraction(truth: np.ndarray, method: np.ndarray) -> np.ndarray:
    """Return 2 (method - truth) / (method + truth), -2..2: negative values count as 0, and two zeros agree."""
    # In place: these are the largest arrays.
    truth, method = np.maximum(truth, 0.0), np.maximum(method, 0.0)
    both = truth + method
    both[both == 0] = 1
    method -= truth
    method *= 2
    method /= both
    return method


TERMS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "absolute": lambda truth, method: abs(method - truth),
    "squared": lambda truth, method: np.square(method - truth),
    # Counted within a factor of two; for a true 0 only 0 is.
    "within2": lambda truth, method: (method >= 0.5 * truth) & (method <= 2 * truth),
    "fraction": _fraction,
    "absolute_fraction": lambda truth, method: abs(_fraction(truth, method)),
}
"""Terms summed over pairs in addition to means and second moments: the value of each pair, by name. A new score may
need a new term."""

_CENTRED = ("n", "o", "m", "oo", "mm", "om")
COLUMNS = (*_CENTRED, *TERMS)
"""Columns of a group's sums: number of pairs; sums of observed and model value minus :data:`ORIGIN`, of their squares
and product; and of each of the :data:`TERMS`."""
ORIGIN = 20.0
"""Value near the mean, ug m-3, subtracted so that squares lose no precision."""


@dataclass(frozen=True)
class Pairs:
    """Weighted sums over pairs of a true and a method's value: numbers, or arrays of one shape for many groups.

    Attributes:
        count: number of pairs.
        weight: sum of the weights (``count`` if unweighted).
        truth_mean, method_mean: weighted means, ug m-3.
        truth_moment, method_moment, joint_moment: weighted sums of squared deviations from the means, and of the
            products of both deviations, ug2 m-6.
        error: weighted sum of method - truth.
        terms: weighted sums of all or some :data:`TERMS`.
    """

    count: Any = 0
    weight: Any = 0.0
    truth_mean: Any = 0.0
    method_mean: Any = 0.0
    truth_moment: Any = 0.0
    method_moment: Any = 0.0
    joint_moment: Any = 0.0
    error: Any = 0.0
    terms: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(TERMS, 0.0))

    @classmethod
    def of(
        cls,
        truth: np.ndarray,
        method: np.ndarray,
        weights: np.ndarray | None = None,
        terms: Iterable[str] | None = None,
    ) -> Pairs:
        """Compute the sums over all pairs; no value may be missing.

        Args:
            truth, method: values of the same shape, ug m-3.
            weights: >= 0, of the same shape; ``None``: 1 for every pair.
            terms: names of the :data:`TERMS` to sum; ``None``: all.
        """
        t, m = (
            np.asarray(truth, np.float64).ravel(),
            np.asarray(method, np.float64).ravel(),
        )
        w = (
            np.ones_like(t)
            if weights is None
            else np.asarray(weights, np.float64).ravel()
        )
        total = float(w.sum())
        if not total > 0:
            return cls()
        truth_mean, method_mean = (
            float((w * t).sum()) / total,
            float((w * m).sum()) / total,
        )
        t_off, m_off = t - truth_mean, m - method_mean
        return cls(
            count=t.size,
            weight=total,
            truth_mean=truth_mean,
            method_mean=method_mean,
            truth_moment=float((w * t_off * t_off).sum()),
            method_moment=float((w * m_off * m_off).sum()),
            joint_moment=float((w * t_off * m_off).sum()),
            error=float((w * (m - t)).sum()),
            terms={
                name: float((w * TERMS[name](t, m)).sum())
                for name in (TERMS if terms is None else terms)
            },
        )

    def __add__(self, other: Pairs) -> Pairs:
        """Return the sums over both sets of pairs."""
        if not other.weight:
            return self
        if not self.weight:
            return other
        weight = self.weight + other.weight
        share = other.weight / weight
        t_apart, m_apart = (
            other.truth_mean - self.truth_mean,
            other.method_mean - self.method_mean,
        )
        between = self.weight * share
        return Pairs(
            count=self.count + other.count,
            weight=weight,
            truth_mean=self.truth_mean + t_apart * share,
            method_mean=self.method_mean + m_apart * share,
            truth_moment=self.truth_moment
            + other.truth_moment
            + t_apart * t_apart * between,
            method_moment=self.method_moment
            + other.method_moment
            + m_apart * m_apart * between,
            joint_moment=self.joint_moment
            + other.joint_moment
            + t_apart * m_apart * between,
            error=self.error + other.error,
            terms={
                name: value + other.terms[name] for name, value in self.terms.items()
            },
        )

    def mean(self, term: str) -> Any:
        """Return the mean of one of the :data:`TERMS`; NaN without pairs."""
        return np.divide(self.terms[term], self.weight)

    def line(self) -> tuple[Any, Any]:
        """Return slope and intercept of the least-squares regression on the truth; NaN where undefined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.divide(self.joint_moment, self.truth_moment)
        return slope, self.method_mean - slope * self.truth_mean

    @property
    def spread(self) -> Any:
        """Square root of the product of both moments; NaN where a side varies no more than float64 rounding."""
        sides = (
            (self.truth_moment, self.truth_mean),
            (self.method_moment, self.method_mean),
        )
        if any(
            not moment > self.weight * (1e-13 * mean) ** 2 for moment, mean in sides
        ):
            return np.nan
        return np.sqrt(self.truth_moment) * np.sqrt(self.method_moment)


class GroupPairs(Pairs):
    """Sums of many groups; a moment within the rounding error of its sums is NaN."""

    @property
    def spread(self) -> np.ndarray:
        """Square root of the product of both moments."""
        return np.asarray(np.sqrt(self.truth_moment * self.method_moment))


def sum_pairs(
    group: np.ndarray, observed: np.ndarray, model: np.ndarray, groups: int
) -> np.ndarray:
    """Compute the sums over the pairs of each group: (groups, columns), float64, with :data:`COLUMNS`.

    Args:
        group: (n,), group index of each pair.
        observed, model: (n,), ug m-3, none missing.
        groups: number of groups.
    """
    o, m = np.asarray(observed, np.float64), np.asarray(model, np.float64)
    terms = [term(o, m) for term in TERMS.values()]
    o, m = o - ORIGIN, m - ORIGIN
    columns = (None, o, m, o * o, m * m, o * m, *terms)
    return np.stack([np.bincount(group, each, groups) for each in columns], axis=1)


def pairs_of(sums: np.ndarray) -> GroupPairs:
    """Convert sums (.., columns) to a record with fields of shape (..); NaN without pairs."""
    columns = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    n, o, m, oo, mm, om = columns[: len(_CENTRED)]
    with np.errstate(invalid="ignore", divide="ignore"):
        observed, model = (
            np.where(moment > 1e-12 * (abs(squares) + n), moment, np.nan)
            for moment, squares in ((oo - o * o / n, oo), (mm - m * m / n, mm))
        )
        return GroupPairs(
            count=n.astype(np.int64),
            weight=n,
            truth_mean=ORIGIN + o / n,
            method_mean=ORIGIN + m / n,
            truth_moment=observed,
            method_moment=model,
            joint_moment=om - o * m / n,
            error=m - o,
            terms=dict(zip(TERMS, columns[len(_CENTRED) :], strict=True)),
        )
