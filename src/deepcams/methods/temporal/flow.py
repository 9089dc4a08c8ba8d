"""Optical flow in time: both frames are carried along the motion between them, and blended.

The motion is that of the logarithm of the field (:mod:`deepcams.methods.temporal.motion`).
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
"""Motion is sought in the logarithm between these (ug m-3). The values themselves are never clipped."""

_MARGIN = 12.0
"""Degrees of the globe that are repeated round the frame, so that motion across its edges is seen."""

CROP_MARGIN = 4.0
"""The same for a crop that a network is trained on: the crop already has surroundings, which are cut off again."""

_FLOW_STEP = 0.25
"""Coarser frames are enlarged to about this step (degrees) before their motion is sought."""


Carrier = Callable[..., list[Any]]
"""(t, other fields at the times of both frames) -> both frames carried to t, then the other fields."""


def carrier(
    before: np.ndarray,
    after: np.ndarray,
    grid: Grid,
    arrays: Arrays,
    margin: float = _MARGIN,
) -> Carrier:
    """Find the motion between two frames, and return what carries them to any time t in [0, 1].

    Args:
        before, after: (rows, columns) of ``grid``, ug m-3.
        arrays: the array library that does the work, and where.
        margin: degrees round the frame that are repeated.

    Returns:
        a function of t and, if wanted, of two more fields at the times of both frames, of ``arrays`` and of any sign.
        It gives both frames at time t, >= 0, and the two fields, (rows, columns) of ``arrays`` each.
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
    """Return how many rows and columns are repeated on each side of a frame."""
    nodes = round(margin / grid.step)
    return min(nodes, grid.rows - 1), min(nodes, grid.columns - 1)


def _motion(frames: Sequence[Any], grid: Grid, arrays: Arrays) -> Any:
    """Find the motion between two frames of ``arrays`` that already have their surroundings."""
    xp = arrays.xp
    first, last = (xp.log(xp.clip(frame, _FLOOR, _CEILING)) for frame in frames)
    enlarge = max(1, round(grid.step / _FLOW_STEP))
    with stage("motion"):
        return motion.motion_between(first, last, arrays, enlarge)


def motion_of(
    before: np.ndarray, after: np.ndarray, grid: Grid, margin: float = _MARGIN
) -> np.ndarray:
    """Return the motion between two frames, as :func:`deepcams.methods.temporal.motion.motion_between` has it.

    Args:
        before, after: (rows, columns) of ``grid``, ug m-3.
        margin: degrees round the frame that are repeated.

    Returns:
        (2, rows, columns), float32, pixels eastward and down the rows.
    """
    rows, columns = _surroundings(grid, margin)
    frames = [pad(frame, grid, rows, columns) for frame in (before, after)]
    found = _motion(frames, grid, NUMPY)
    return np.asarray(
        found[:, rows : rows + grid.rows, columns : columns + grid.columns]
    )


def _carried_to(carry: Carrier, fractions: Sequence[float]) -> list[list[Any]]:
    """Return for each fraction the frame before and the frame after, each carried to that time, of ``arrays``."""
    # the libraries free the interpreter while they work
    with stage("carry"), ThreadPoolExecutor(min(threads(), 2)) as pool:
        return list(pool.map(carry, fractions))


def initial_estimate(
    before: np.ndarray, after: np.ndarray, t: float, grid: Grid
) -> np.ndarray:
    """Return the initial estimate of a network at time t: both frames, carried along their motion.

    Args:
        before: (rows, columns) of ``grid``, ug m-3, not below 0.
        after: likewise, one step later.
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
    """Return the initial estimates of whole frames at several times, as in :class:`Flow`: (T, 2, rows, columns)."""
    pairs = _carried_to(carrier(before, after, grid, arrays), fractions)
    return np.array([[arrays.get(each) for each in pair] for pair in pairs])


class Flow(TemporalDownscaler):
    """Interpolation along optical flow; at coarse or fine resolution, before or after a method in space.

    Values are carried as square roots with a cubic kernel: peaks keep their height (a linear kernel flattens them by
    a fifth of the error) and nothing falls below zero next to a plume.

    Args:
        arrays: the array library that does the work, and where.
    """

    name = "flow"
    halo = 48

    def __init__(self, arrays: Arrays = NUMPY) -> None:
        self.arrays = arrays

    @classmethod
    def on_device(cls, device: str) -> Self:
        """Return it with what works on ``auto``, ``cpu`` or ``cuda``; see :func:`arrays_for`."""
        return cls(arrays_for(device))

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Blend the carried frames; see :meth:`TemporalDownscaler.between`."""
        before, after, grid = interval.before, interval.after, interval.on
        times = [float(t) for t in fractions]  # NumPy's would make all float64
        pairs = _carried_to(carrier(before, after, grid, self.arrays), times)
        frames = [
            self.arrays.get((1 - t) * first + t * last)
            for t, (first, last) in zip(times, pairs, strict=True)
        ]
        return unify_poles(np.stack(frames), grid)

    def settings(self) -> dict[str, Any]:
        """Return the method's name, the numbers of its motion, and the library that does the work."""
        return {
            "name": self.name,
            "motion": motion.SETTINGS,
            "arrays": self.arrays.kind,
            "sampler": self.arrays.sampler,
        }
