"""A spatial network as a method in space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepcams.core.errors import notice
from deepcams.core.grid import Grid, nodes_from_cells, pad, unify_poles
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.device import (
    Precision,
    finite,
    memory_budget,
    out_of_memory,
    with_less_each_time,
    working,
)
from deepcams.methods.neural import Neural
from deepcams.methods.tiling import Tiles
from deepcams.networks.checkpoint import Checkpoint

MARGIN = 16
"""Halo of a network that takes whole frames: what lies beyond the frame's edges, so that they are like its inside."""

_SMALLEST = 32
"""Core of a tile below which halving it saves no memory worth the loss."""


class _Around:
    """What lies around a frame on ``grid``: :func:`deepcams.core.grid.pad`, for tensors."""

    def __init__(self, grid: Grid, device: torch.device) -> None:
        self.grid, self.device = grid, device
        self._places: dict[int, Tensor] = {}

    def __call__(self, frame: Tensor, margin: int) -> Tensor:
        """(B, C, rows, columns) -> (B, C, rows + 2 margin, columns + 2 margin)."""
        if margin not in self._places:
            places = np.arange(self.grid.rows * self.grid.columns).reshape(self.grid.shape)
            self._places[margin] = torch.from_numpy(pad(places, self.grid, margin, margin)).to(
                self.device
            )
        return frame.flatten(-2)[..., self._places[margin]]


class NeuralSpatial(Neural, SpatialDownscaler):
    """What a trained spatial network makes of each frame.

    Large frames are worked on as a whole where the network can see them through a sliding window, else in tiles.

    Args:
        checkpoint: a loaded checkpoint of kind "spatial".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str = "auto", precision: Precision = "float32"
    ) -> None:
        super().__init__(checkpoint, device, precision)
        self.factor = int(checkpoint.card.factor or 1)
        tiling: Any = self.network.tiling
        self.halo = tiling.halo if tiling else MARGIN
        self._wanted = tiling.size if tiling else None
        self._cut_only = self._decided = False

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        frames = [nodes_from_cells(self._frame(frame, grid), grid, self.factor) for frame in values]
        return unify_poles(
            np.maximum(finite(np.stack(frames), self.name), 0), grid.refine(self.factor)
        )

    def tiles(self, grid: Grid) -> Tiles:
        """How a frame on ``grid`` is cut where it is: by the network's wish and the memory at hand."""
        return self._cut(grid, self._sizes(grid)[0])

    def _cut(self, grid: Grid, size: int) -> Tiles:
        rule = self.network.size_rule
        return Tiles.cut(grid, size, self.halo, rule.multiple, rule.minimum)

    def slides(self, grid: Grid) -> bool:
        """Whether a frame on ``grid`` is refined as a whole: the network can, a tile is too small, memory suffices."""
        if not self.network.slides or self._cut_only or len(self.tiles(grid)) == 1:
            return False
        rows, columns = (n + 2 * self.halo for n in grid.shape)
        needed, budget = self.network.working_bytes(rows, columns), memory_budget(self.device)
        if needed > budget and not self._decided:
            self._cut_only = True
            notice(
                f"{self.name}: a whole frame of {grid.rows} x {grid.columns} needs {needed / 1e9:.1f} GB, half of the "
                f"free memory is {budget / 1e9:.1f} GB: going on in tiles, whose results depend on where they lie"
            )
        self._decided = True  # once for all frames, whatever becomes of the memory
        return not self._cut_only

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

    def _run(self, frames: np.ndarray, work: Callable[[Tensor], Tensor]) -> np.ndarray:
        """(n, rows, columns) in ug m-3 -> (n, factor rows, factor columns), through the scaling and back."""
        scaling = self.checkpoint.scaling
        scaled = scaling.forward(torch.from_numpy(np.ascontiguousarray(frames)).to(self.device))[
            :, None
        ]
        with torch.inference_mode(), working(self.device, self.precision):
            fine = work(scaled)
        return scaling.inverse(fine[:, 0].float()).cpu().numpy()

    def _frame(self, frame: np.ndarray, grid: Grid) -> np.ndarray:
        if self.slides(grid):
            try:
                around = _Around(grid, self.device)
                return self._run(
                    frame[None], lambda scaled: self.network.refine_around(scaled, around)
                )[0]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._cut_only = True  # the next frames need not fail again
            notice(
                f"out of memory with a whole frame of {grid.rows} x {grid.columns}: going on in tiles"
            )

        def whole(size: int) -> np.ndarray:
            tiles = self._cut(grid, size)
            one = max(self.network.working_bytes(tiles.rows.size, tiles.columns.size), 1)
            batch = (
                1
                if self.device.type == "cpu"
                else max(1, min(memory_budget(self.device) // one, len(tiles)))
            )
            return tiles.apply(
                frame, lambda some: self._run(some, self.network.refine), self.factor, batch
            )

        sizes = self._sizes(grid)
        fine, used = with_less_each_time(whole, sizes, "tiles of")
        if used:
            self._wanted = sizes[used]
        return fine

    def settings(self) -> dict[str, Any]:
        """The checkpoint's hash, how it is run, and its halo."""
        return {**super().settings(), "halo": self.halo}
