"""Whole series of pairs, for scores that need ranks, or deviations from a mean that is known only at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Series:
    """The complete series of pairs of many groups (stations).

    Attributes:
        group: (n,), int64, 0..groups - 1, in any order.
        truth, method: (n,), float64, ug m-3, none missing.
        groups: number of groups.
        truth_order, method_order: :func:`order_of` of both, if known; else computed when needed.
    """

    group: np.ndarray
    truth: np.ndarray
    method: np.ndarray
    groups: int
    truth_order: np.ndarray | None = None
    method_order: np.ndarray | None = None

    @cached_property
    def number(self) -> np.ndarray:
        """Number of pairs of each group: (groups,)."""
        return np.bincount(self.group, minlength=self.groups)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values (n,) over each group: (groups,)."""
        total = np.bincount(self.group, values, self.groups)
        return total.astype(np.float64)  # integers for empty input

    def agreement(self) -> np.ndarray:
        """Compute Willmott's index of agreement (1981): ``1 - sum (m - o)^2 / sum (|m - mean o| + |o - mean o|)^2``.

        Returns:
            (groups,), 0..1; NaN for fewer than two pairs, and where all values of both sides are equal.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total(self.truth) / self.number
            around = mean[self.group]
            possible = self.total(
                (abs(self.method - around) + abs(self.truth - around)) ** 2
            )
            # A sum within the rounding error of the mean counts as zero.
            possible[possible <= self.number * (1e-13 * mean) ** 2] = np.nan
            index = 1 - self.total((self.method - self.truth) ** 2) / possible
        return np.where(self.number > 1, index, np.nan)

    def rank_correlation(self) -> np.ndarray:
        """Compute Spearman's correlation: Pearson's correlation of the ranks; ties share their mean rank.

        Returns:
            (groups,), -1..1; NaN where a side has only one value.
        """
        middle = ((self.number + 1) / 2)[self.group]
        sides = []
        for order, values in (
            (self.truth_order, self.truth),
            (self.method_order, self.method),
        ):
            side = ranks(self.group, order_of(values) if order is None else order)
            side -= middle
            sides.append(side)
        truth, method = sides
        both = self.total(truth * method)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(self.total(truth**2)) * np.sqrt(self.total(method**2))
            return np.asarray(both / spread)


def order_of(values: np.ndarray) -> np.ndarray:
    """Map values to integers >= 0 that have the same order and ties: (n,), int64.

    Args:
        values: (n,), none missing.
    """
    if values.dtype != np.float32 or (values < 0).any():
        return np.unique(values, return_inverse=True)[1]
    # The bits of positive floats sort like the floats; adding 0 turns -0 into 0.
    return (values + np.float32(0)).view(np.int32).astype(np.int64)


def ranks(group: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return each value's rank within its group, from 1; ties share their mean rank.

    Args:
        group: (n,), int64, from 0.
        order: (n,), :func:`order_of` of the values.
    """
    if not order.size:
        return np.zeros(0)
    span = int(order.max()) + 1
    # Sorting one integer key (group, then value) is faster than sorting by two keys.
    key = group.astype(np.int64) * span + order
    bits = order.size.bit_length()
    if int(key.max()).bit_length() + bits < 63:
        # With the position in the low bits, sorting the keys alone also gives the permutation.
        key <<= bits
        key |= np.arange(key.size)
        key.sort()
        place = key & ((1 << bits) - 1)
        key >>= bits
    else:
        place = np.argsort(key)
        key = key[place]
    begin = np.flatnonzero(np.r_[True, key[1:] > key[:-1]])
    size = np.diff(np.r_[begin, key.size])
    found = np.empty(key.size)
    del key
    found[place] = np.repeat(begin + (size + 1) / 2, size)
    number = np.bincount(group)
    found -= (np.cumsum(number) - number)[group]
    return found
