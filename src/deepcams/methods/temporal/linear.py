"""Linear interpolation in time: the correct baseline, and the one printed in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.interval import Interval


def straight(
    before: np.ndarray, after: np.ndarray, fractions: Sequence[float]
) -> np.ndarray:
    """Interpolate linearly between two frames of any shape: (len(fractions), ..), of the frames' dtype."""
    t = np.asarray(fractions, before.dtype).reshape(-1, *[1] * before.ndim)
    return np.asarray((1 - t) * before + t * after)


class Linear(TemporalDownscaler):
    """Linear interpolation in time, ``(1 - t) before + t after``."""

    name = "linear"
    kind = "baseline"

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Interpolate; see :meth:`TemporalDownscaler.between`."""
        return straight(interval.before, interval.after, fractions)


class LinearEq9(Linear):
    """Equation 9 of Xiao et al. 2022 as printed, ``t before + (1 - t) after``: the weights are reversed.

    At t = 1/3 the frame 1 h away gets a third of the weight, the one 2 h away two thirds. It only serves to reproduce
    the baseline of the paper's Table 2; :class:`Linear` is the correct interpolation.
    """

    name = "linear-eq9"

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Interpolate with the frames exchanged; see :meth:`TemporalDownscaler.between`."""
        return straight(interval.after, interval.before, fractions)
