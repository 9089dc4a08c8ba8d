"""A spatial network as a spatial method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepcams.core.errors import notice
from deepcams.core.grid import Grid, pad
from deepcams.methods.arrays import TorchArrays
from deepcams.methods.device import Precision, memory_budget, working
from deepcams.methods.fit_memory import out_of_memory
from deepcams.methods.neural import Neural
from deepcams.methods.spatial.tiled_spatial import TiledSpatial
from deepcams.methods.spatial.tiling import Tiles
from deepcams.networks.checkpoint import Checkpoint


class NeuralSpatial(Neural, TiledSpatial):
    """A trained spatial network as a spatial method.

    Large frames are refined as a whole if the network has a sliding window, else in tiles.

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
        Neural.__init__(self, checkpoint, device, precision)
        TiledSpatial.__init__(self, self.network.size_rule, self.network.tiling)
        self.factor = int(checkpoint.card.factor or 1)
        self._sliding: bool | None = None  # set at the first frame larger than a tile

    def slides(self, grid: Grid) -> bool:
        """Return whether a frame on ``grid`` is refined as a whole, through a sliding window.

        This requires that the network supports it, the frame is larger than a tile, and memory suffices. Memory is
        checked once, so that all frames are refined in the same way.
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

    def _run(self, frames: np.ndarray, work: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Run ``work`` on scaled frames: (n, rows, columns) -> (n, factor rows, factor columns), both in ug m-3."""
        scaling = self.checkpoint.scaling
        values = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        with torch.inference_mode(), working(self.device, self.precision):
            fine = work(scaling.forward(values)[:, None])
        return scaling.inverse(fine[:, 0].float()).cpu().numpy()

    def cells(self, frame: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine one frame, with a sliding window if possible; see :meth:`TiledSpatial.cells`."""
        if self.slides(grid):
            arrays = TorchArrays(str(self.device))

            def padding(some: Tensor, width: int) -> Tensor:
                return arrays.rearrange(pad, some, grid, width, width)

            try:
                return self._run(
                    frame[None], lambda x: self.network.refine_sliding(x, padding)
                )[0]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._sliding = False  # do not retry with the next frames
            notice(
                f"out of memory with a whole frame of {grid.rows} x {grid.columns}: going on in tiles"
            )
        return super().cells(frame, grid)

    def refine_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Refine tiles; see :meth:`TiledSpatial.refine_tiles`."""
        return self._run(tiles, self.network.refine)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Return the network's estimate of the memory for one tile, bytes."""
        return int(self.network.working_bytes(rows, columns))

    def budget(self) -> int:
        """Return the device memory that may be used now, bytes."""
        return memory_budget(self.device)

    def at_once(self, tiles: Tiles) -> int:
        """Return the batch size in tiles: on a GPU as many as fit into memory."""
        if self.device.type == "cpu":
            return 1
        one = max(self.working_bytes(tiles.rows.size, tiles.columns.size), 1)
        return max(1, min(self.budget() // one, len(tiles)))

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's hash, device and precision, and the halo."""
        return {**super().settings(), "halo": self.halo}
