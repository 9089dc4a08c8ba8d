"""Whole series of pairs, for what does not follow from sums: ranks, and deviations from a mean known at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Series:
    """The pairs of many groups (stations), each group's complete.

    Attributes:
        group: (n,), int64, 0..groups - 1, in any order.
        truth, method: (n,), float64, ug m-3, none missing.
        groups: how many there are.
    """

    group: np.ndarray
    truth: np.ndarray
    method: np.ndarray
    groups: int

    @cached_property
    def number(self) -> np.ndarray:
        """Pairs of each group: (groups,)."""
        return np.bincount(self.group, minlength=self.groups)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values (n,) over each group: (groups,)."""
        return np.bincount(self.group, values, self.groups)

    def agreement(self) -> np.ndarray:
        """Return Willmott's index of agreement (1981): 1 - sum (m - o)^2 / sum (|m - mean o| + |o - mean o|)^2.

        Returns:
            (groups,), 0..1; NaN of fewer than two pairs, and where both sides are one and the same value throughout.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total(self.truth) / self.number
            around = mean[self.group]
            possible = self.total(
                (abs(self.method - around) + abs(self.truth - around)) ** 2
            )
            # No more than the rounding of the mean is nothing.
            possible[possible <= self.number * (1e-13 * mean) ** 2] = np.nan
            index = 1 - self.total((self.method - self.truth) ** 2) / possible
        return np.where(self.number > 1, index, np.nan)

    def rank_correlation(self) -> np.ndarray:
        """Return Spearman's correlation: Pearson's of the ranks, of which equal values share the mean.

        Returns:
            (groups,), -1..1; NaN where a side has only one value.
        """
        middle = ((self.number + 1) / 2)[self.group]
        truth, method = (
            ranks(self.group, values) - middle for values in (self.truth, self.method)
        )
        both = self.total(truth * method)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(self.total(truth**2)) * np.sqrt(self.total(method**2))
            return np.asarray(both / spread)


def ranks(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each value's rank within its group, from 1; equal values share the mean of theirs.

    Args:
        group: (n,), int64, from 0.
        values: (n,), none missing.
    """
    if not values.size:
        return np.zeros(0)
    different, code = np.unique(values, return_inverse=True)
    # One whole number orders by group, then by value: sorting those is quicker than by two keys.
    key = group.astype(np.int64) * different.size + code
    order = np.argsort(key)
    key = key[order]
    begin = np.flatnonzero(np.r_[True, np.diff(key) > 0])
    size = np.diff(np.r_[begin, key.size])
    first = np.searchsorted(key, group[order[begin]] * different.size)
    mean = begin - first + (size + 1) / 2
    found: np.ndarray[Any, np.dtype[np.float64]] = np.empty(key.size)
    found[order] = np.repeat(mean, size)
    return found
