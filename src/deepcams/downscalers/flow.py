"""Optical flow in time: both frames are carried along the motion between them, and blended.

Classical dense inverse search (Kroeger et al. 2016, OpenCV's DIS) on the logarithm of the field.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deepcams.downscalers.base import TemporalDownscaler
from deepcams.grid import Grid, pad

_FLOOR, _CEILING = 0.1, 1000.0
"""What the flow sees: the logarithm between these (ug m-3) in 256 shades. The values themselves are never clipped."""

_MARGIN_DEGREES = 12.0
"""How much of the globe is repeated round the frame, so that motion across its edges is seen."""


def _shades(values: np.ndarray) -> np.ndarray:
    span = np.log(_CEILING / _FLOOR)
    scaled = np.log(np.clip(values, _FLOOR, _CEILING) / _FLOOR) * (255 / span)
    return np.rint(scaled).astype(np.uint8)


class Flow(TemporalDownscaler):
    """Interpolation along optical flow; at coarse or fine resolution, wherever in the chain it stands."""

    name = "flow"
    halo = 48

    def between(self, before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid) -> np.ndarray:
        """See :meth:`TemporalDownscaler.between`."""
        margin = round(_MARGIN_DEGREES / grid.step)
        rows, columns = min(margin, grid.rows - 1), min(margin, grid.columns - 1)
        first, last = (pad(frame, grid, rows, columns) for frame in (before, after))
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        shades = _shades(first), _shades(last)
        forward = dis.calc(shades[0], shades[1], None)
        backward = dis.calc(shades[1], shades[0], None)
        y, x = np.mgrid[: first.shape[0], : first.shape[1]].astype(np.float32)

        def carried(frame: np.ndarray, flow: np.ndarray, time: float) -> np.ndarray:
            t = np.float32(time)
            return cv2.remap(
                frame, x - t * flow[..., 0], y - t * flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )

        inside = (slice(rows, rows + grid.rows), slice(columns, columns + grid.columns))
        frames = [
            (1 - t) * carried(first, forward, t)[inside] + t * carried(last, backward, 1 - t)[inside] for t in fractions
        ]
        return np.stack(frames).astype(np.float32)
