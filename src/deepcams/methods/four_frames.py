"""Interpolation in time from four values: two frames more than a straight line sees, one on either side.

Frames are equally far apart, at -1, 0, 1 and 2 steps; values between the middle two are made. Both curves are cubic
Hermite polynomials and differ only in the slopes that they take at the middle frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def catmull_rom(frames: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Return values on the spline of Catmull and Rom (1974), none of them below 0.

    The slope at a frame is that of the straight line between its two neighbours. The spline overshoots beside
    extremes; where it would fall below 0, it is 0.

    Args:
        frames: (4, ..), float, >= 0; a value is NaN where any of its four is.
        fractions: times in [0, 1], from the second frame to the third.

    Returns:
        (len(fractions), ..), of the frames' type.
    """
    first, before, after, last = frames
    slopes = (after - first) / 2, (last - before) / 2
    return np.maximum(_hermite(before, after, *slopes, fractions), 0)


def pchip(frames: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Return values on the monotone curve of Fritsch and Butland (1984), as ``scipy.interpolate.PchipInterpolator``.

    The slope at a frame is the harmonic mean of the steps before and after it, and 0 where one is up and the other
    down: the curve never leaves the range of the two frames it lies between.

    Args:
        frames: (4, ..), float; a value is NaN where any of its four is.
        fractions: times in [0, 1], from the second frame to the third.

    Returns:
        (len(fractions), ..), of the frames' type.
    """
    first, before, after, last = frames
    step = after - before
    slopes = _harmonic(before - first, step), _harmonic(step, last - after)
    return _hermite(before, after, *slopes, fractions)


def _harmonic(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Harmonic mean of two steps; 0 where they differ in sign or one is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = 2 / (1 / one + 1 / other)
    return np.where(np.sign(one) * np.sign(other) <= 0, 0, mean).astype(
        mean.dtype, copy=False
    )


def _hermite(
    before: np.ndarray,
    after: np.ndarray,
    slope_before: np.ndarray,
    slope_after: np.ndarray,
    fractions: Sequence[float],
) -> np.ndarray:
    """Cubic Hermite polynomial; slopes are per step."""
    t = np.asarray(fractions, before.dtype).reshape(-1, *[1] * before.ndim)
    rise = t * t * (3 - 2 * t)
    bend = t * (1 - t)
    return np.asarray(
        before
        + rise * (after - before)
        + bend * ((1 - t) * slope_before - t * slope_after)
    )
