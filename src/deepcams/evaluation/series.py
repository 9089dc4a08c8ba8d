"""Whole series of pairs, for what does not follow from sums: ranks, and deviations from a mean known at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Series:
    """The pairs of many groups (stations), each group's complete.

    Attributes:
        group: (n,), int64, 0..groups - 1, in any order.
        truth, method: (n,), float64, ug m-3, none missing.
        groups: how many there are.
        truth_order, method_order: :func:`order_of` both, where it is known; else found when needed.
    """

    group: np.ndarray
    truth: np.ndarray
    method: np.ndarray
    groups: int
    truth_order: np.ndarray | None = None
    method_order: np.ndarray | None = None

    @cached_property
    def number(self) -> np.ndarray:
        """Pairs of each group: (groups,)."""
        return np.bincount(self.group, minlength=self.groups)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values (n,) over each group: (groups,)."""
        total = np.bincount(self.group, values, self.groups)
        return total.astype(np.float64)  # of nothing it is made of whole numbers

    def agreement(self) -> np.ndarray:
        """Return Willmott's index of agreement (1981): ``1 - sum (m - o)^2 / sum (|m - mean o| + |o - mean o|)^2``.

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
    """Return whole numbers >= 0 in the order of values, equal ones for equal values: (n,), int64.

    Args:
        values: (n,), none missing.
    """
    if values.dtype != np.float32 or (values < 0).any():
        return np.unique(values, return_inverse=True)[1]
    # The bits of positive floats are in the order of the floats; adding 0 makes -0 to 0.
    return (values + np.float32(0)).view(np.int32).astype(np.int64)


def ranks(group: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return each value's rank within its group, from 1; equal values share the mean of theirs.

    Args:
        group: (n,), int64, from 0.
        order: (n,), :func:`order_of` the values.
    """
    if not order.size:
        return np.zeros(0)
    span = int(order.max()) + 1
    # One whole number orders by group, then by value: sorting those is quicker than by two keys.
    key = group.astype(np.int64) * span + order
    bits = order.size.bit_length()
    if int(key.max()).bit_length() + bits < 63:
        # With its place in the same number, too, there is nothing to sort beside it.
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
