"""A spatial network as a method in space."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deepcams.downscalers.base import SpatialDownscaler
from deepcams.downscalers.device import Precision, choose_device, memory_budget, with_less_each_time, working
from deepcams.downscalers.tiling import Tiles
from deepcams.grid import Grid, nodes_from_cells
from deepcams.networks.checkpoint import Checkpoint

MARGIN = 16
"""Halo of a network that takes whole frames: what lies beyond the frame's edges, so that they are like its inside."""

_SMALLEST = 32
"""Core of a tile below which halving it saves no memory worth the loss."""


class NeuralSpatial(SpatialDownscaler):
    """What a trained spatial network makes of each frame; large frames in tiles where the network wants them.

    Args:
        checkpoint: a loaded checkpoint of kind "spatial".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: Precision = "float32") -> None:
        self.checkpoint, self.precision = checkpoint, precision
        self.device = choose_device(device)
        working(self.device, precision)
        self.network: Any = checkpoint.network.to(self.device).eval()
        self.name = checkpoint.card.network
        self.clips = checkpoint.scaling.clips
        self.factor = int(checkpoint.card.factor or 1)
        tiling: Any = self.network.tiling
        self.halo = tiling.halo if tiling else MARGIN
        self._wanted = tiling.size if tiling else None

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        frames = [nodes_from_cells(self._frame(frame, grid), grid, self.factor) for frame in values]
        return np.maximum(np.stack(frames), 0)

    def tiles(self, grid: Grid) -> Tiles:
        """How a frame on ``grid`` is cut: by the network's wish and the memory at hand."""
        return Tiles.cut(grid, self._sizes(grid)[0], self.halo, self.network.size_rule.multiple)

    def _sizes(self, grid: Grid) -> list[int]:
        """Tile sizes to try, largest first."""
        multiple = self.network.size_rule.multiple
        least = max(self.network.size_rule.minimum, 2 * self.halo + _SMALLEST)
        size = self._wanted or max(grid.shape) + 2 * self.halo + multiple - 1
        budget = memory_budget(self.device)
        while size > least and self.network.working_bytes(size, size) > budget:
            size = max(size // 2, least)
        sizes = [size]
        while sizes[-1] > least:
            sizes.append(max(sizes[-1] // 2, least))
        return sizes

    def _frame(self, frame: np.ndarray, grid: Grid) -> np.ndarray:
        scaling, rule = self.checkpoint.scaling, self.network.size_rule

        def refined(tiles: np.ndarray) -> np.ndarray:
            scaled = scaling.forward(torch.from_numpy(tiles).to(self.device))[:, None]
            with torch.inference_mode(), working(self.device, self.precision):
                fine = self.network.refine(scaled)
            return scaling.inverse(fine[:, 0].float()).cpu().numpy()

        def whole(size: int) -> np.ndarray:
            tiles = Tiles.cut(grid, size, self.halo, rule.multiple)
            one = max(self.network.working_bytes(tiles.rows.size, tiles.columns.size), 1)
            batch = 1 if self.device.type == "cpu" else max(1, min(memory_budget(self.device) // one, len(tiles)))
            return tiles.apply(frame, refined, self.factor, batch)

        sizes = self._sizes(grid)
        fine, used = with_less_each_time(whole, sizes, "tiles of")
        if used:  # the next frames need not fail again
            self._wanted = sizes[used]
        return fine

    def settings(self) -> dict[str, Any]:
        """The checkpoint's hash, how it is run, and the tiles that were asked for."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": self.device.type,
            "precision": self.precision,
            "halo": self.halo,
        }
