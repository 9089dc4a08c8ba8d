"""Optical flow in time: both frames are carried along the motion between them, and blended.

The motion is that of the logarithm of the field (:mod:`deepcams.methods.motion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from deepcams.core.grid import Grid, pad, unify_poles
from deepcams.core.stages import stage
from deepcams.methods import motion
from deepcams.methods.arrays import NUMPY, Arrays, arrays_for
from deepcams.methods.base import TemporalDownscaler

_FLOOR = 0.1
_CEILING = 1000.0
"""Motion is sought in the logarithm between these (ug m-3). The values themselves are never clipped."""

_MARGIN = 12.0
"""Degrees of the globe that are repeated round the frame, so that motion across its edges is seen."""

_CROP_MARGIN = 4.0
"""The same for a crop that a network is trained on: the crop already has surroundings, which are cut off again."""

_FLOW_STEP = 0.25
"""Coarser frames are enlarged to about this step (degrees) before their motion is sought."""


def _carried_to(
    before: np.ndarray,
    after: np.ndarray,
    fractions: Sequence[float],
    grid: Grid,
    margin: float,
    arrays: Arrays,
) -> list[tuple[Any, Any]]:
    """Return for each fraction the frame before and the frame after, each carried to that time, of ``arrays``."""
    nodes = round(margin / grid.step)
    rows = min(nodes, grid.rows - 1)
    columns = min(nodes, grid.columns - 1)
    frames = [arrays.put(pad(frame, grid, rows, columns)) for frame in (before, after)]
    xp = arrays.xp
    first, last = (xp.log(xp.clip(frame, _FLOOR, _CEILING)) for frame in frames)
    # bicubic coarsening may undershoot zero
    roots = [xp.sqrt(xp.clip(frame, 0, None)) for frame in frames]
    enlarge = max(1, round(grid.step / _FLOW_STEP))
    with stage("motion"):
        found = motion.motion_between(first, last, arrays, enlarge)
    path = motion.Path(roots, found, arrays)
    inside = (slice(rows, rows + grid.rows), slice(columns, columns + grid.columns))

    def carried(time: float) -> tuple[Any, Any]:
        both = (xp.clip(root[inside], 0, None) for root in path.at(time))
        forwards, backwards = (root * root for root in both)
        return forwards, backwards

    # the libraries free the interpreter while they work
    with stage("carry"), ThreadPoolExecutor(2) as pool:
        return list(pool.map(carried, fractions))


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
    (pair,) = _carried_to(before, after, [t], grid, _CROP_MARGIN, NUMPY)
    return np.stack(pair)


def initial_estimates(
    before: np.ndarray,
    after: np.ndarray,
    fractions: Sequence[float],
    grid: Grid,
    arrays: Arrays = NUMPY,
) -> np.ndarray:
    """Return the initial estimates of whole frames at several times, as in :class:`Flow`: (T, 2, rows, columns)."""
    pairs = _carried_to(before, after, fractions, grid, _MARGIN, arrays)
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
    def on_device(cls, device: str) -> Flow:
        """Return it with what works on ``auto``, ``cpu`` or ``cuda``; see :func:`arrays_for`."""
        return cls(arrays_for(device))

    def between(
        self,
        before: np.ndarray,
        after: np.ndarray,
        fractions: Sequence[float],
        grid: Grid,
    ) -> np.ndarray:
        """Blend the carried frames; see :meth:`TemporalDownscaler.between`."""
        times = [float(t) for t in fractions]  # NumPy's would make all float64
        pairs = _carried_to(before, after, times, grid, _MARGIN, self.arrays)
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
