"""A temporal network as a method in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepcams.core.grid import Grid, pad, unify_poles
from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.device import Precision, finite, with_less_each_time, working
from deepcams.methods.flow import Flow, guides
from deepcams.methods.neural import Neural
from deepcams.networks.checkpoint import Checkpoint

_BAND = 224
"""Rows that are worked on at once where the network allows it: a third of the memory for a quarter more work."""


class NeuralTemporal(Neural, TemporalDownscaler):
    """What a trained temporal network sees between two frames.

    Nodes of the globe (or of a region's mirror image) are added on each side, as many as the network's ``margin``, so
    that its zero padding stays far from the frame: with 128 columns the released XVFI has no seam beyond rounding
    (with 64, one of 0.3 %).

    Args:
        checkpoint: a loaded checkpoint of kind "temporal".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str = "auto", precision: Precision = "float32"
    ) -> None:
        super().__init__(checkpoint, device, precision)
        margin: Any = self.network.margin
        self.halo = max(margin[0], Flow.halo if self.network.guide else 0)

    def between(
        self, before: np.ndarray, after: np.ndarray, fractions: Sequence[float], grid: Grid
    ) -> np.ndarray:
        """See :meth:`TemporalDownscaler.between`; all fractions in one pass where memory allows."""
        margin_rows, margin_columns = self.network.margin
        rows, columns = self.network.size_rule.enlarge(
            grid.rows + 2 * margin_rows, grid.columns + 2 * margin_columns
        )
        top, left = (rows - grid.rows + 1) // 2, (columns - grid.columns + 1) // 2

        def surrounded(frames: np.ndarray) -> torch.Tensor:
            wide = np.ascontiguousarray(pad(frames, grid, top, left)[..., :rows, :columns])
            return self.checkpoint.scaling.forward(torch.from_numpy(wide).to(self.device))[
                None
            ].unsqueeze(-3)

        given = surrounded(np.stack([before, after]))
        carried = surrounded(guides(before, after, fractions, grid)) if self.network.guide else None
        scaling = self.checkpoint.scaling

        def predict(at_once: int) -> np.ndarray:
            parts = []
            with torch.inference_mode(), working(self.device, self.precision):
                for first in range(0, len(fractions), at_once):
                    some = slice(first, first + at_once)
                    bands = []
                    for band, inner_rows in self._bands(rows):
                        guide = None if carried is None else carried[:, some, ..., band, :]
                        inner = self.network.interpolate(
                            given[..., band, :], list(fractions[some]), guide
                        )
                        bands.append(scaling.inverse(inner[0, :, 0, inner_rows].float()).cpu())
                    parts.append(torch.cat(bands, dim=-2))
            return torch.cat(parts).numpy()

        sizes = sorted({len(fractions), 1}, reverse=True)
        found, _ = with_less_each_time(predict, sizes, "inner hours at once:")
        found = finite(found, self.name)
        inside = found[:, top : top + grid.rows, left : left + grid.columns]
        return unify_poles(np.maximum(inside, 0), grid)

    def _bands(self, rows: int) -> list[tuple[slice, slice]]:
        """Rows to work on at once, and which of them to keep; the whole frame unless the network's reach is known."""
        reach, multiple = self.network.reach, self.network.size_rule.multiple
        if reach is None:
            return [(slice(0, rows), slice(None))]
        height = -(-_BAND // multiple) * multiple
        bands = []
        for first in range(0, rows, height):
            last = min(first + height, rows)
            above = max(first - -(-reach // multiple) * multiple, 0)
            below = min(last + -(-reach // multiple) * multiple, rows)
            bands.append((slice(above, below), slice(first - above, last - above)))
        return bands
