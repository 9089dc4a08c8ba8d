"""Temporal interpolation from four frames: the two that linear interpolation uses, and one more on either side.

Frames are equally spaced, at -1, 0, 1 and 2 steps; values are interpolated between the middle two, at each location
independently. All curves are cubic Hermite polynomials and differ only in their slopes at the middle frames. An unknown
outer frame is extrapolated linearly from the middle two; if both are unknown, the curve is that straight line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.interval import Interval

Slope = Callable[[Any, Any, Any], Any]
"""Function (difference before a frame, difference after it, array module) -> slope at the frame, per step."""


def mean_slope(one: Any, other: Any, xp: Any = np) -> Any:
    """Return the mean of two differences: the slope of the straight line between the frame's neighbours."""
    return (one + other) / 2


def harmonic_slope(one: Any, other: Any, xp: Any = np) -> Any:
    """Return the harmonic mean of two differences; 0 where they differ in sign or one is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = 2 / (1 / one + 1 / other)
    return xp.where(xp.sign(one) * xp.sign(other) <= 0, 0, mean)


def middle_slope(one: Any, other: Any, xp: Any = np) -> Any:
    """Return the mean of :func:`mean_slope` and :func:`harmonic_slope`."""
    return (mean_slope(one, other) + harmonic_slope(one, other, xp)) / 2


def curve(
    steps: Sequence[Any],
    before: Any,
    fraction: float,
    slope: Slope = middle_slope,
    xp: Any = np,
) -> Any:
    """Evaluate the curve at one time; the result is >= 0.

    Args:
        steps: differences of the four frames, in order; three arrays of any shape, of the library ``xp``.
        before: the second frame.
        fraction: time in [0, 1], from the second frame to the third.
        slope: function for the slope at a frame.
        xp: array module.
    """
    first, middle, last = steps
    t = float(fraction)  # a NumPy scalar would promote to float64
    bend = (1 - t) * slope(first, middle, xp) - t * slope(middle, last, xp)
    values = before + t * t * (3 - 2 * t) * middle + t * (1 - t) * bend
    return xp.clip(values, 0, None)


class Cubic(TemporalDownscaler):
    """A cubic curve through four frames at each location, between :class:`CatmullRom` and :class:`Pchip`.

    Its slope at a frame is the mean of theirs. It exceeds the range of its two frames by at most a sixteenth of the
    largest of the three differences between the four.
    """

    name = "cubic"
    reach = 1
    slope = staticmethod(middle_slope)

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Interpolate; see :meth:`TemporalDownscaler.between`."""
        before, middle = interval.before, interval.after - interval.before
        first = middle if interval.earlier is None else before - interval.earlier
        last = middle if interval.later is None else interval.later - interval.after
        steps = (first, middle, last)
        return np.stack([curve(steps, before, t, self.slope) for t in fractions])


class CatmullRom(Cubic):
    """The spline of Catmull and Rom (1974).

    The slope at a frame is that of the straight line between its two neighbours. The spline exceeds the range of its
    two frames by at most an eighth of the largest difference; negative values are set to 0.
    """

    name = "catmull-rom"
    slope = staticmethod(mean_slope)


class Pchip(Cubic):
    """The monotone curve of Fritsch and Butland (1984), as ``scipy.interpolate.PchipInterpolator``.

    The slope at a frame is the harmonic mean of the differences before and after it, and 0 where their signs differ:
    the curve never leaves the range of its two frames.
    """

    name = "pchip"
    slope = staticmethod(harmonic_slope)
