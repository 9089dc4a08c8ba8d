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
    checked_finite,
    first_that_fits,
    memory_budget,
    out_of_memory,
    working,
)
from deepcams.methods.neural import Neural
from deepcams.methods.tiling import Tiles
from deepcams.networks.checkpoint import Checkpoint

_HALO = 16
"""Halo of a network that takes whole frames: nodes beyond the frame's edges, so that they are like its inside."""

_SMALLEST = 32
"""Core of a tile below which halving it saves no memory worth the loss."""


class _PadOnGrid:
    """:func:`deepcams.core.grid.pad` for tensors on ``grid``."""

    def __init__(self, grid: Grid, device: torch.device) -> None:
        self.grid = grid
        self.device = device
        self._sources: dict[int, Tensor] = {}

    def __call__(self, frame: Tensor, width: int) -> Tensor:
        """(B, C, rows, columns) -> (B, C, rows + 2 width, columns + 2 width)."""
        if width not in self._sources:
            numbers = np.arange(self.grid.rows * self.grid.columns).reshape(
                self.grid.shape
            )
            padded = pad(numbers, self.grid, width, width)
            self._sources[width] = torch.from_numpy(padded).to(self.device)
        return frame.flatten(-2)[..., self._sources[width]]


class NeuralSpatial(Neural, SpatialDownscaler):
    """A trained spatial network, as a method in space.

    Large frames are refined as a whole where the network has a sliding window, else in tiles.

    Args:
        checkpoint: a loaded checkpoint of kind "spatial".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        super().__init__(checkpoint, device, precision)
        self.factor = int(checkpoint.card.factor or 1)
        tiling: Any = self.network.tiling
        self.halo = tiling.halo if tiling else _HALO
        self._tile_size: int | None = tiling.size if tiling else None
        self._sliding: bool | None = (
            None  # decided with the first frame that is larger than a tile
        )

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine each frame; see :meth:`SpatialDownscaler.refine`."""
        frames = [
            nodes_from_cells(self._cells(frame, grid), grid, self.factor)
            for frame in values
        ]
        fine = checked_finite(np.stack(frames), self.name)
        return unify_poles(np.maximum(fine, 0), grid.refine(self.factor))

    def tiles(self, grid: Grid, size: int | None = None) -> Tiles:
        """Return the tiles of a frame on ``grid``; of the size that the network and the free memory allow."""
        rule = self.network.size_rule
        size = size or self._sizes(grid)[0]
        return Tiles.cut(grid, size, self.halo, rule.multiple, rule.minimum)

    def slides(self, grid: Grid) -> bool:
        """Return whether a frame on ``grid`` is refined as a whole, through a sliding window.

        It is, if the network can, the frame is larger than a tile, and the memory suffices. The memory is looked at
        once, so that all frames are refined alike.
        """
        if not self.network.sliding_window or len(self.tiles(grid)) == 1:
            return False
        if self._sliding is None:
            rows, columns = (n + 2 * self.halo for n in grid.shape)
            needed = self.network.working_bytes(rows, columns)
            budget = memory_budget(self.device)
            self._sliding = needed <= budget
            if not self._sliding:
                notice(
                    f"{self.name}: a whole frame of {grid.rows} x {grid.columns} needs {needed / 1e9:.1f} GB, half of "
                    f"the free memory is {budget / 1e9:.1f} GB: going on in tiles, whose results depend on where they "
                    "lie"
                )
        return self._sliding

    def _sizes(self, grid: Grid) -> list[int]:
        """Return the tile sizes to try, largest first."""
        rule = self.network.size_rule
        least = max(rule.minimum, 2 * self.halo + _SMALLEST)
        size = self._tile_size or max(grid.shape) + 2 * self.halo + rule.multiple - 1
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
        values = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        with torch.inference_mode(), working(self.device, self.precision):
            fine = work(scaling.forward(values)[:, None])
        return scaling.inverse(fine[:, 0].float()).cpu().numpy()

    def _cells(self, frame: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine one frame: (rows, columns) -> (factor rows, factor columns), cell-like."""
        if self.slides(grid):
            padding = _PadOnGrid(grid, self.device)
            try:
                return self._run(
                    frame[None], lambda x: self.network.refine_sliding(x, padding)
                )[0]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._sliding = False  # the next frames need not fail again
            notice(
                f"out of memory with a whole frame of {grid.rows} x {grid.columns}: going on in tiles"
            )
        sizes = self._sizes(grid)
        fine, used = first_that_fits(
            lambda size: self._tiled(frame, grid, size), sizes, "tiles of"
        )
        if used:
            self._tile_size = sizes[used]
        return fine

    def _tiled(self, frame: np.ndarray, grid: Grid, size: int) -> np.ndarray:
        """Refine one frame in tiles of that size; on a GPU as many at once as fit into memory."""
        tiles = self.tiles(grid, size)
        batch = 1
        if self.device.type != "cpu":
            one = max(
                self.network.working_bytes(tiles.rows.size, tiles.columns.size), 1
            )
            batch = max(1, min(memory_budget(self.device) // one, len(tiles)))
        return tiles.apply(
            frame, lambda some: self._run(some, self.network.refine), self.factor, batch
        )

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's hash, device and precision, and the halo."""
        return {**super().settings(), "halo": self.halo}
