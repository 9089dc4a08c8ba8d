"""Optical flow in time: both frames are carried along the motion between them, and blended.

Classical dense inverse search (Kroeger et al. 2016, OpenCV's DIS) on the logarithm of the field. Its few numbers were
chosen on the real GEOS-CF hours west of 75W alone, so that what lies east of it stays unseen (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from deepcams.core.grid import Grid, pad, unify_poles
from deepcams.core.stages import stage
from deepcams.methods.base import TemporalDownscaler

_FLOOR = 0.1
_CEILING = 1000.0
"""Flow sees the logarithm between these (ug m-3) in 256 shades. The values themselves are never clipped."""

_MARGIN = 12.0
"""Degrees of the globe that are repeated round the frame, so that motion across its edges is seen."""

_CROP_MARGIN = 4.0
"""The same for a crop that a network is trained on: the crop already has surroundings, which are cut off again."""

_FLOW_STEP = 0.25
"""Coarser frames are enlarged to about this step (degrees) before their motion is sought."""

_PATCH = 16
_STRIDE = 8
"""Size and distance of the patches that DIS matches, in pixels; at full resolution.

Never more than 16: OpenCV surrounds the frame by 16 pixels, and larger patches read what lies beyond in memory.
"""

_LEAST = 24
"""Pixels of the smallest frame in which DIS finds motion; smaller ones are surrounded by their edges."""

_FIXED_POINT_STEPS = 3
"""Steps to find which point of the frame arrives at a node on the way: x0 = x - t F(x0)."""

# DIS gives other results with other numbers of OpenCV threads; with one, every machine gives the same.
cv2.setNumThreads(1)


def _shades(values: np.ndarray, enlarge: int) -> np.ndarray:
    """Return the image in which flow seeks motion: the logarithm of the values, 8 bits."""
    logs = np.log(np.clip(values, _FLOOR, _CEILING) / _FLOOR)
    shades = np.rint(logs * (255 / np.log(_CEILING / _FLOOR))).astype(np.uint8)
    if enlarge > 1:
        size = (shades.shape[1] * enlarge, shades.shape[0] * enlarge)
        shades = np.asarray(cv2.resize(shades, size, interpolation=cv2.INTER_CUBIC))
    return shades


def _motion(origin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the displacement of each pixel of ``origin`` to ``target``: (rows, columns, 2), (x, y) in pixels."""
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchSize(_PATCH)
    dis.setPatchStride(_STRIDE)
    rows, columns = origin.shape
    below, right = max(_LEAST - rows, 0), max(_LEAST - columns, 0)
    if below or right:
        edges = ((0, below), (0, right))
        origin, target = (
            np.pad(image, edges, mode="edge") for image in (origin, target)
        )
    return np.asarray(dis.calc(origin, target, None))[:rows, :columns]


def _carried(root: np.ndarray, flow: np.ndarray, time: float) -> np.ndarray:
    """Return the frame (its square root is given) after ``time`` of its way along ``flow``."""
    y, x = np.mgrid[: root.shape[0], : root.shape[1]].astype(np.float32)
    t = np.float32(time)

    def sample(image: np.ndarray, flow_here: np.ndarray, kernel: int) -> np.ndarray:
        at_x = x - t * flow_here[..., 0]
        at_y = y - t * flow_here[..., 1]
        moved = cv2.remap(image, at_x, at_y, kernel, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved)

    here = flow
    for _ in range(_FIXED_POINT_STEPS - 1):
        here = sample(flow, here, cv2.INTER_LINEAR)
    return np.square(np.maximum(sample(root, here, cv2.INTER_CUBIC), 0))


def _carried_to(
    before: np.ndarray,
    after: np.ndarray,
    fractions: Sequence[float],
    grid: Grid,
    margin: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each fraction the frame before and the frame after, each carried to that time."""
    nodes = round(margin / grid.step)
    rows = min(nodes, grid.rows - 1)
    columns = min(nodes, grid.columns - 1)
    frames = [pad(frame, grid, rows, columns) for frame in (before, after)]
    enlarge = max(1, round(grid.step / _FLOW_STEP))
    with stage("motion"):
        shades = [_shades(frame, enlarge) for frame in frames]
    # bicubic coarsening may undershoot zero
    roots = [np.sqrt(np.maximum(frame, 0)) for frame in frames]
    inside = (slice(rows, rows + grid.rows), slice(columns, columns + grid.columns))

    def motion(origin: int, target: int) -> np.ndarray:
        flow = _motion(shades[origin], shades[target])
        if enlarge == 1:
            return flow
        small = cv2.resize(flow, frames[0].shape[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(small / np.float32(enlarge))

    def carried(t: float) -> tuple[np.ndarray, np.ndarray]:
        forwards = _carried(roots[0], flows[0], t)
        backwards = _carried(roots[1], flows[1], 1 - t)
        return forwards[inside], backwards[inside]

    with ThreadPoolExecutor(2) as pool:  # OpenCV frees the interpreter while it works
        with stage("motion"):
            flows = list(pool.map(motion, (0, 1), (1, 0)))
        with stage("carry"):
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
    (pair,) = _carried_to(before, after, [t], grid, _CROP_MARGIN)
    return np.stack(pair)


def initial_estimates(
    before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid
) -> np.ndarray:
    """Return the initial estimates of whole frames at several times, as in :class:`Flow`: (T, 2, rows, columns)."""
    return np.array(_carried_to(before, after, fractions, grid, _MARGIN))


class Flow(TemporalDownscaler):
    """Interpolation along optical flow; at coarse or fine resolution, before or after a method in space.

    Values are carried as square roots with a cubic kernel: peaks keep their height (a linear kernel flattens them by
    a fifth of the error) and nothing falls below zero next to a plume.
    """

    name = "flow"
    halo = 48

    def between(
        self,
        before: np.ndarray,
        after: np.ndarray,
        fractions: Sequence[float],
        grid: Grid,
    ) -> np.ndarray:
        """Blend the carried frames; see :meth:`TemporalDownscaler.between`."""
        pairs = _carried_to(before, after, fractions, grid, _MARGIN)
        frames = [
            (1 - t) * first + t * second
            for t, (first, second) in zip(fractions, pairs, strict=True)
        ]
        return unify_poles(np.stack(frames).astype(np.float32, copy=False), grid)

    def settings(self) -> dict[str, Any]:
        """Return the method's name and its numbers."""
        return {
            "name": self.name,
            "patch": _PATCH,
            "stride": _STRIDE,
            "opencv": cv2.__version__,
        }
