"""A method in space that is no network: each cell is a plane that follows its neighbours."""

from __future__ import annotations

import numpy as np

from deepcams import Grid
from deepcams.core.grid import nodes_from_cells, pad
from deepcams.methods import SpatialDownscaler


class Slopes(SpatialDownscaler):
    """Tilt each cell by half the difference of its neighbours, never below zero; the cell's mean stays."""

    name = "slopes"
    halo = 1

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Return fine values (time, *grid.refine().shape) of coarse ones (time, *grid.shape), float32, ug m-3."""
        around = pad(values, grid, 1, 1)
        down = (around[:, 2:, 1:-1] - around[:, :-2, 1:-1]) / 6
        right = (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]) / 6
        # What a cell can give to its corner without falling below zero:
        steep = np.abs(down) + np.abs(right)
        gentle = np.minimum(1, values / np.maximum(steep, 1e-30))
        across = np.tile(np.float32([-1, 0, 1]), grid.columns)
        along = np.tile(np.float32([-1, 0, 1]), grid.rows)[:, None]
        fine = (
            _thrice(values)
            + _thrice(down * gentle) * along
            + _thrice(right * gentle) * across
        )
        return nodes_from_cells(np.maximum(fine, 0), grid)


def _thrice(values: np.ndarray) -> np.ndarray:
    return values.repeat(3, axis=-2).repeat(3, axis=-1)
