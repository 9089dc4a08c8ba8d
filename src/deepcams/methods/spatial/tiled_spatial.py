"""Base of spatial networks: frames are cut into tiles as large as the network and the free memory allow."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from deepcams.core.grid import Grid, nodes_from_cells, unify_poles
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.fit_memory import checked_finite, first_that_fits, usable_memory
from deepcams.methods.spatial.tiling import Tiles
from deepcams.networks.sizes import SizeRule, Tiling

_HALO = 16
"""Padding around whole frames, nodes, so that their edges are computed like the interior."""

_SMALLEST = 32
"""Smallest core of a tile; halving it further would save little memory."""


class TiledSpatial(SpatialDownscaler):
    """Base of spatial networks, for any engine.

    Args:
        size_rule: frame sizes that the network takes.
        tiling: how to cut large frames; None: the network takes whole frames.
    """

    def __init__(self, size_rule: SizeRule, tiling: Tiling | None) -> None:
        self.size_rule = size_rule
        self.halo = tiling.halo if tiling else _HALO
        self._tile_size = tiling.size if tiling else None

    @abstractmethod
    def refine_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Refine (n, rows, columns) in ug m-3 -> (n, factor rows, factor columns), cell-like, float32."""

    @abstractmethod
    def working_bytes(self, rows: int, columns: int) -> int:
        """Return the memory that one tile needs, bytes."""

    def budget(self) -> int:
        """Return the memory that may be used now, bytes."""
        return usable_memory()

    def at_once(self, tiles: Tiles) -> int:
        """Return the batch size in tiles."""
        return 1

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine each frame; see :meth:`SpatialDownscaler.refine`."""
        frames = [
            nodes_from_cells(self.cells(frame, grid), grid, self.factor)
            for frame in values
        ]
        fine = checked_finite(np.stack(frames), self.name)
        return unify_poles(np.maximum(fine, 0, out=fine), grid.refine(self.factor))

    def tiles(self, grid: Grid, size: int | None = None) -> Tiles:
        """Return the tiles of a frame on ``grid``; default size: as large as network and free memory allow."""
        rule = self.size_rule
        size = size or self._sizes(grid)[0]
        return Tiles.cut(grid, size, self.halo, rule.multiple, rule.minimum)

    def cells(self, frame: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine one frame: (rows, columns) -> (factor rows, factor columns), cell-like."""
        sizes = self._sizes(grid)
        fine, used = first_that_fits(
            lambda size: self._in_tiles(frame, grid, size), sizes, "tiles of"
        )
        if used:  # do not retry with the next frames
            self._tile_size = sizes[used]
        return fine

    def _in_tiles(self, frame: np.ndarray, grid: Grid, size: int) -> np.ndarray:
        tiles = self.tiles(grid, size)
        return tiles.apply(frame, self.refine_tiles, self.factor, self.at_once(tiles))

    def _sizes(self, grid: Grid) -> list[int]:
        """Return the tile sizes to try, largest first."""
        rule = self.size_rule
        least = max(rule.minimum, 2 * self.halo + _SMALLEST)
        size = self._tile_size or max(grid.shape) + 2 * self.halo + rule.multiple - 1
        budget = self.budget()
        while size > least and self.working_bytes(size, size) > budget:
            size = max(size // 2, least)
        sizes = [size]
        while sizes[-1] > least:
            sizes.append(max(sizes[-1] // 2, least))
        return sizes
