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
from deepcams.methods.base import TemporalDownscaler

_FLOOR, _CEILING = 0.1, 1000.0
"""What the flow sees: the logarithm between these (ug m-3) in 256 shades. The values themselves are never clipped."""

_MARGIN = 12.0
"""Degrees of the globe that are repeated round the frame, so that motion across its edges is seen."""

_CROP_MARGIN = 4.0
"""The same for a crop that a network is trained on: its own surroundings are cut off again."""

_FLOW_STEP = 0.25
"""Coarser frames are enlarged to about this step (degrees) before their motion is sought."""

_PATCH, _STRIDE = 16, 8
"""Size and distance of the patches that DIS matches, in pixels; at full resolution.

Never more than 16: OpenCV surrounds the frame by 16 pixels, and larger patches read what lies beyond in memory.
"""

_FIXED_POINT_STEPS = 3
"""Steps to find which point of the frame arrives at a node on the way: x0 = x - t F(x0)."""

# DIS gives other results with other numbers of OpenCV threads; with one, every machine gives the same.
cv2.setNumThreads(1)


def _shades(values: np.ndarray, enlarge: int) -> np.ndarray:
    scaled = np.log(np.clip(values, _FLOOR, _CEILING) / _FLOOR) * (255 / np.log(_CEILING / _FLOOR))
    shades = np.rint(scaled).astype(np.uint8)
    if enlarge > 1:
        shades = np.asarray(
            cv2.resize(shades, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC)
        )
    return shades


def _motion(origin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Displacement of each pixel of ``origin`` towards ``target``: (rows, columns, 2), (x, y) in pixels."""
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    dis.setPatchSize(_PATCH)
    dis.setPatchStride(_STRIDE)
    return np.asarray(dis.calc(origin, target, None))


def _carried(root: np.ndarray, flow: np.ndarray, time: float) -> np.ndarray:
    """The frame (its square root is given) after ``time`` of its way along ``flow``."""
    y, x = np.mgrid[: root.shape[0], : root.shape[1]].astype(np.float32)
    t = np.float32(time)
    here = flow
    for _ in range(_FIXED_POINT_STEPS - 1):
        here = cv2.remap(
            flow,
            x - t * here[..., 0],
            y - t * here[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    moved = cv2.remap(
        root,
        x - t * here[..., 0],
        y - t * here[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(np.square(np.maximum(moved, 0)))


def _carried_to(
    before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid, margin: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each fraction the frame before and the frame after, each carried to that time."""
    nodes = round(margin / grid.step)
    rows, columns = min(nodes, grid.rows - 1), min(nodes, grid.columns - 1)
    frames = [pad(frame, grid, rows, columns) for frame in (before, after)]
    enlarge = max(1, round(grid.step / _FLOW_STEP))
    shades = [_shades(frame, enlarge) for frame in frames]
    roots = [
        np.sqrt(np.maximum(frame, 0)) for frame in frames
    ]  # a bicubic degradation may undershoot
    size = frames[0].shape[::-1]
    inside = np.s_[rows : rows + grid.rows, columns : columns + grid.columns]

    def motion(origin: int, target: int) -> np.ndarray:
        flow = _motion(shades[origin], shades[target])
        return (
            flow
            if enlarge == 1
            else cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / np.float32(enlarge)
        )

    def carried(t: float) -> tuple[np.ndarray, np.ndarray]:
        return _carried(roots[0], flows[0], t)[inside], _carried(roots[1], flows[1], 1 - t)[inside]

    with ThreadPoolExecutor(2) as pool:  # OpenCV frees the interpreter while it works
        flows = list(pool.map(motion, (0, 1), (1, 0)))
        return list(pool.map(carried, fractions))


def guide(before: np.ndarray, after: np.ndarray, t: float, grid: Grid) -> np.ndarray:
    """What a network that starts from flow is given: both frames, carried along their motion to time t.

    Args:
        before: (rows, columns) of ``grid``, ug m-3, not below 0.
        after: likewise, one step later.
        t: where between them, in (0, 1).

    Returns:
        (2, rows, columns), float32, ug m-3: the frame before carried forwards, the frame after carried backwards.
    """
    (pair,) = _carried_to(before, after, [t], grid, _CROP_MARGIN)
    return np.stack(pair)


def guides(
    before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid
) -> np.ndarray:
    """:func:`guide` for whole frames and several times, as :class:`Flow` sees them: (T, 2, rows, columns)."""
    return np.stack(
        [np.stack(pair) for pair in _carried_to(before, after, fractions, grid, _MARGIN)]
    )


class Flow(TemporalDownscaler):
    """Interpolation along optical flow; at coarse or fine resolution, wherever in the chain it stands.

    Values are carried as square roots with a cubic kernel: peaks keep their height (a linear kernel flattens them by
    a fifth of the error) and nothing falls below zero beside a plume.
    """

    name = "flow"
    halo = 48

    def between(
        self, before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid
    ) -> np.ndarray:
        """See :meth:`TemporalDownscaler.between`."""
        pairs = _carried_to(before, after, fractions, grid, _MARGIN)
        frames = [
            (1 - t) * first + t * second
            for t, (first, second) in zip(fractions, pairs, strict=True)
        ]
        return unify_poles(np.stack(frames).astype(np.float32, copy=False), grid)

    def settings(self) -> dict[str, Any]:
        """The method's name and its numbers."""
        return {"name": self.name, "patch": _PATCH, "stride": _STRIDE, "opencv": cv2.__version__}
