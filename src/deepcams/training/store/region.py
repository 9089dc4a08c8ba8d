"""Which part of the globe is kept for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepcams.core.grid import FACTOR, Grid
from deepcams.methods.coarsen import METHODS, Degradation

BBox = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east crosses the dateline."""


@dataclass(frozen=True)
class Region:
    """The part of the input that is kept, in whole coarse cells.

    Attributes:
        rows, columns: of the input, those that make whole cells.
        whole: their coarse grid.
        coarse: the coarse grid that is kept: the cells of it that the box touches.
        coarse_rows, coarse_columns: where they lie in ``whole``.
        fine_rows, fine_columns: where their nodes lie in ``whole.refine()``.
    """

    rows: slice
    columns: slice
    whole: Grid
    coarse: Grid
    coarse_rows: slice
    coarse_columns: np.ndarray
    fine_rows: slice
    fine_columns: np.ndarray

    @classmethod
    def of(cls, grid: Grid, bbox: BBox | None) -> Region:
        """The whole cells of ``grid`` that ``bbox`` (W S E N in degrees) touches; all of them without one.

        Raises:
            InputError: no whole cell, no box, or one outside the input.
        """
        whole, rows, columns = grid.whole_cells()
        fine, half = whole.refine(), FACTOR // 2
        north, south, west, width = whole.north, whole.south, whole.west, whole.columns
        if bbox is not None:
            _, chosen, across = fine.select(bbox, "--bbox")
            north, south = (
                (fine.north + row + half) // FACTOR for row in (chosen.start, chosen.stop - 1)
            )
            west, east = (
                (fine.west + int(across[0]) + n + half) // FACTOR for n in (0, across.size - 1)
            )
            width = min(east - west + 1, whole.columns)
        coarse = Grid(whole.step, north, west, south - north + 1, width).canonical()
        inner = coarse.refine()

        def along(part: Grid, all_of: Grid) -> np.ndarray:
            first = (part.west - all_of.west) % all_of.around
            return np.asarray((first + np.arange(part.columns)) % all_of.columns)

        return cls(
            rows,
            columns,
            whole,
            coarse,
            slice(north - whole.north, south - whole.north + 1),
            along(coarse, whole),
            slice(inner.north - fine.north, inner.north - fine.north + inner.rows),
            along(inner, fine),
        )

    def fine(self, values: np.ndarray) -> np.ndarray:
        """What is kept of the input's values (input rows, input columns), on ``coarse.refine()``."""
        return values[self.rows, self.columns][self.fine_rows][:, self.fine_columns]

    def coarsened(self, values: np.ndarray, degradation: Degradation) -> np.ndarray:
        """The same at the coarse resolution; what lies beyond a box, but in the input, counts as far as it reaches."""
        coarse = METHODS[degradation](values[self.rows, self.columns], self.whole)
        return coarse[self.coarse_rows][:, self.coarse_columns]
