"""A temporal network as a method in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepcams.downscalers.base import TemporalDownscaler
from deepcams.downscalers.device import Precision, choose_device, finite, with_less_each_time, working
from deepcams.grid import Grid, pad, unify_poles
from deepcams.networks.checkpoint import Checkpoint

MARGIN_ROWS, MARGIN_COLUMNS = 64, 128
"""Nodes of the globe (or of a region's mirror image) that are added on each side, so that a network's zero padding
stays far from the frame: with 128 columns the released XVFI has no seam beyond rounding (with 64, one of 0.3 %)."""


class NeuralTemporal(TemporalDownscaler):
    """What a trained temporal network sees between two frames.

    Args:
        checkpoint: a loaded checkpoint of kind "temporal".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    halo = MARGIN_ROWS

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: Precision = "float32") -> None:
        self.checkpoint, self.precision = checkpoint, precision
        self.device = choose_device(device)
        working(self.device, precision)  # refuses an unknown precision now, not in the middle of the work
        self.network: Any = checkpoint.network.to(self.device).eval()
        self.name = checkpoint.card.network
        self.clips = checkpoint.scaling.clips

    def between(self, before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid) -> np.ndarray:
        """See :meth:`TemporalDownscaler.between`; all fractions in one pass where memory allows."""
        rows, columns = self.network.size_rule.enlarge(grid.rows + 2 * MARGIN_ROWS, grid.columns + 2 * MARGIN_COLUMNS)
        top, left = (rows - grid.rows + 1) // 2, (columns - grid.columns + 1) // 2
        frames = pad(np.stack([before, after]), grid, top, left)[:, :rows, :columns]
        scaling = self.checkpoint.scaling

        def predict(at_once: int) -> np.ndarray:
            given = scaling.forward(torch.from_numpy(np.ascontiguousarray(frames)).to(self.device))[None, :, None]
            parts = []
            with torch.inference_mode(), working(self.device, self.precision):
                for first in range(0, len(fractions), at_once):
                    inner = self.network.interpolate(given, list(fractions[first : first + at_once]))
                    parts.append(scaling.inverse(inner[0, :, 0].float()).cpu())
            return torch.cat(parts).numpy()

        sizes = sorted({len(fractions), 1}, reverse=True)
        found, _ = with_less_each_time(predict, sizes, "inner hours at once:")
        found = finite(found, self.name)
        inside = found[:, top : top + grid.rows, left : left + grid.columns]
        return unify_poles(np.maximum(inside, 0), grid)

    def settings(self) -> dict[str, Any]:
        """The checkpoint's hash and how it is run."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": self.device.type,
            "precision": self.precision,
        }
