"""Interpolation by optical flow: both frames are carried along the motion between them, and blended.

The motion is computed from the logarithm of the field (:mod:`deepcams.methods.temporal.motion`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np

from deepcams.core.grid import Grid, pad, unify_poles
from deepcams.core.machine import threads
from deepcams.core.stages import stage
from deepcams.methods.arrays import NUMPY, Arrays, arrays_for
from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.interval import Interval
from deepcams.methods.temporal import motion

_FLOOR = 0.1
_CEILING = 1000.0
"""Bounds of values before the logarithm for the motion, ug m-3. The values themselves are never clipped."""

_MARGIN = 12.0
"""Margin repeated around the frame, degrees, so that motion across its edges is detected."""

CROP_MARGIN = 4.0
"""Margin for training crops, degrees; they already include surroundings, which are cut off afterwards."""

_FLOW_STEP = 0.25
"""Approximate grid step to which coarser frames are enlarged before motion estimation, degrees."""


Carrier = Callable[..., list[Any]]
"""Function (t, two other fields at the frames' times) -> both frames carried to t, then the other fields."""


def carrier(
    before: np.ndarray,
    after: np.ndarray,
    grid: Grid,
    arrays: Arrays,
    margin: float = _MARGIN,
) -> Carrier:
    """Estimate the motion between two frames, and return a function that carries them to any time t in [0, 1].

    Args:
        before, after: (rows, columns) of ``grid``, ug m-3.
        arrays: array library and device.
        margin: margin repeated around the frame, degrees.

    Returns:
        a function of t and, optionally, of two more fields of any sign at the frames' times, as arrays of ``arrays``.
        It returns both frames at time t, >= 0, and the two fields, each (rows, columns).
    """
    rows, columns = _surroundings(grid, margin)
    inside = (slice(rows, rows + grid.rows), slice(columns, columns + grid.columns))
    xp = arrays.xp
    frames = [arrays.put(pad(frame, grid, rows, columns)) for frame in (before, after)]
    # bicubic coarsening may undershoot zero
    roots = [xp.sqrt(xp.clip(frame, 0, None)) for frame in frames]
    path = motion.Path(_motion(frames, grid, arrays), arrays)

    def carry(t: float, others: Sequence[Any] = ()) -> list[Any]:
        places = path.to(t)

        def carried(fields: Sequence[Any]) -> list[Any]:
            return [
                arrays.sample(field, *at, cubic=True)[inside]
                for field, at in zip(fields, places, strict=True)
            ]

        both = [xp.clip(each, 0, None) for each in carried(roots)]
        wide = [arrays.rearrange(pad, each, grid, rows, columns) for each in others]
        rest = carried([arrays.contiguous(each) for each in wide]) if wide else []
        return [each * each for each in both] + rest

    return carry


def _surroundings(grid: Grid, margin: float) -> tuple[int, int]:
    """Return the number of rows and columns repeated on each side of a frame."""
    nodes = round(margin / grid.step)
    return min(nodes, grid.rows - 1), min(nodes, grid.columns - 1)


def _motion(frames: Sequence[Any], grid: Grid, arrays: Arrays) -> Any:
    """Estimate the motion between two frames of ``arrays`` that already include their margin."""
    xp = arrays.xp
    first, last = (xp.log(xp.clip(frame, _FLOOR, _CEILING)) for frame in frames)
    enlarge = max(1, round(grid.step / _FLOW_STEP))
    with stage("motion"):
        return motion.motion_between(first, last, arrays, enlarge)


def motion_of(
    before: np.ndarray, after: np.ndarray, grid: Grid, margin: float = _MARGIN
) -> np.ndarray:
    """Estimate the motion between two frames with :func:`deepcams.methods.temporal.motion.motion_between`.

    Args:
        before, after: (rows, columns) of ``grid``, ug m-3.
        margin: margin repeated around the frame, degrees.

    Returns:
        (2, rows, columns), float32, displacement in pixels along columns (eastward) and down the rows.
    """
    rows, columns = _surroundings(grid, margin)
    frames = [pad(frame, grid, rows, columns) for frame in (before, after)]
    found = _motion(frames, grid, NUMPY)
    return np.asarray(
        found[:, rows : rows + grid.rows, columns : columns + grid.columns]
    )


def _carried_to(carry: Carrier, fractions: Sequence[float]) -> list[list[Any]]:
    """Return, for each fraction, both frames carried to that time, as arrays of ``arrays``."""
    # the libraries release the GIL
    with stage("carry"), ThreadPoolExecutor(min(threads(), 2)) as pool:
        return list(pool.map(carry, fractions))


def initial_estimate(
    before: np.ndarray, after: np.ndarray, t: float, grid: Grid
) -> np.ndarray:
    """Compute the initial estimate for a network at time t: both frames, carried along their motion.

    Args:
        before: (rows, columns) of ``grid``, ug m-3, >= 0.
        after: the same one step later.
        t: time between them, in (0, 1).

    Returns:
        (2, rows, columns), float32, ug m-3: the frame before carried forwards, the frame after carried backwards.
    """
    return np.stack(carrier(before, after, grid, NUMPY, CROP_MARGIN)(t))


def initial_estimates(
    before: np.ndarray,
    after: np.ndarray,
    fractions: Sequence[float],
    grid: Grid,
    arrays: Arrays = NUMPY,
) -> np.ndarray:
    """Compute the initial estimates of whole frames at several times, as in :class:`Flow`: (T, 2, rows, columns)."""
    pairs = _carried_to(carrier(before, after, grid, arrays), fractions)
    return np.array([[arrays.get(each) for each in pair] for pair in pairs])


class Flow(TemporalDownscaler):
    """Interpolation along optical flow, at coarse or fine resolution, before or after a spatial method.

    Square roots of values are carried with a cubic kernel: peaks keep their height (a linear kernel flattens them by
    a fifth of the error) and no value falls below zero next to a plume.

    Args:
        arrays: array library and device.
    """

    name = "flow"
    halo = 48

    def __init__(self, arrays: Arrays = NUMPY) -> None:
        self.arrays = arrays

    @classmethod
    def on_device(cls, device: str) -> Self:
        """Create the method for a device: ``auto``, ``cpu`` or ``cuda``; see :func:`arrays_for`."""
        return cls(arrays_for(device))

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Blend the carried frames; see :meth:`TemporalDownscaler.between`."""
        before, after, grid = interval.before, interval.after, interval.on
        times = [float(t) for t in fractions]  # a NumPy scalar would promote to float64
        pairs = _carried_to(carrier(before, after, grid, self.arrays), times)
        frames = [
            self.arrays.get((1 - t) * first + t * last)
            for t, (first, last) in zip(times, pairs, strict=True)
        ]
        return unify_poles(np.stack(frames), grid)

    def settings(self) -> dict[str, Any]:
        """Return the method's name, the parameters of its motion, and the array library."""
        return {
            "name": self.name,
            "motion": motion.SETTINGS,
            "arrays": self.arrays.kind,
            "sampler": self.arrays.sampler,
        }
