"""Overlapping tiles of a large frame, blended to avoid visible borders.

Along each axis the tiles are evenly spaced, as few as their size allows, and no larger than necessary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from deepcams.core.grid import Grid, pad


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis of a frame, in coarse nodes.

    Attributes:
        length: length of the frame.
        starts: first node of each tile, including its halo; negative before the frame's edge.
        size: size of each tile, including its halo.
        halo: nodes at each end that belong to the neighbour's core (or lie beyond the edge).
    """

    length: int
    starts: tuple[int, ...]
    size: int
    halo: int

    @classmethod
    def cut(
        cls, length: int, size: int, halo: int, multiple: int = 1, minimum: int = 1
    ) -> Axis:
        """Cut into as few tiles as possible, of a size <= ``size``, a multiple of ``multiple``, >= ``minimum``."""
        core = max(size // multiple * multiple - 2 * halo, 1)
        count = -(-length // core)
        needed = max(-(-length // count) + 2 * halo, minimum)
        starts = tuple(i * length // count - halo for i in range(count))
        return cls(length, starts, -(-needed // multiple) * multiple, halo)

    @property
    def before(self) -> int:
        """Return the number of nodes that the tiles need before the frame's first node."""
        return -self.starts[0]

    @property
    def after(self) -> int:
        """Return the number of nodes that the tiles need after the frame's last node."""
        return max(self.starts[-1] + self.size - self.length, 0)

    def window(self, factor: int) -> np.ndarray:
        """Return the weight of each fine node of a tile: 0 in the outer half of the halo, then a sin^2 ramp to 1.

        The ramps of two neighbours add up to 1.
        """
        ramp_from = self.halo // 2 * factor
        ramp = 2 * (self.halo - self.halo // 2) * factor
        place = np.arange(self.size * factor) + 0.5
        rise = np.clip((place - ramp_from) / max(ramp, 1), 0, 1)
        fall = np.clip((self.size * factor - ramp_from - place) / max(ramp, 1), 0, 1)
        weights = np.sin(rise * np.pi / 2) ** 2 * np.sin(fall * np.pi / 2) ** 2
        return np.maximum(weights, 1e-12).astype(np.float32)


@dataclass(frozen=True)
class Tiles:
    """The tiles of a frame along both axes."""

    grid: Grid
    rows: Axis
    columns: Axis

    @classmethod
    def cut(
        cls, grid: Grid, size: int, halo: int, multiple: int = 1, minimum: int = 1
    ) -> Tiles:
        """Return the tiles for one grid (see :meth:`Axis.cut`)."""
        rows = Axis.cut(grid.rows, size, halo, multiple, minimum)
        columns = Axis.cut(grid.columns, size, halo, multiple, minimum)
        return cls(grid, rows, columns)

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the first row and column of each tile within the padded frame."""
        for row in self.rows.starts:
            for column in self.columns.starts:
                yield row + self.rows.before, column + self.columns.before

    def apply(
        self,
        values: np.ndarray,
        refine: Callable[[np.ndarray], np.ndarray],
        factor: int,
        batch: int = 1,
    ) -> np.ndarray:
        """Refine a frame tile by tile and blend the results.

        Args:
            values: (grid.rows, grid.columns).
            refine: (n, size, size) -> (n, factor size, factor size), cell-like.
            factor: fine nodes per coarse node.
            batch: number of tiles per call of ``refine``.

        Returns:
            (factor grid.rows, factor grid.columns), cell-like (see :func:`deepcams.core.grid.nodes_from_cells`).
        """
        rows, columns = self.rows, self.columns
        above = max(rows.before, rows.after)
        beside = max(columns.before, columns.after)
        padded = pad(values, self.grid, above, beside)
        padded = padded[above - rows.before : above + rows.length + rows.after]
        padded = padded[
            :, beside - columns.before : beside + columns.length + columns.after
        ]
        window = rows.window(factor)[:, None] * columns.window(factor)
        total = np.zeros(
            (padded.shape[0] * factor, padded.shape[1] * factor), np.float32
        )
        weight = np.zeros_like(total)

        def tile(row: int, column: int, scale: int) -> tuple[slice, slice]:
            """Return the tile's slices in an array of ``scale`` nodes per coarse node."""
            return (
                slice(row * scale, (row + rows.size) * scale),
                slice(column * scale, (column + columns.size) * scale),
            )

        places = list(self)
        for first in range(0, len(places), batch):
            some = places[first : first + batch]
            tiles = np.stack([padded[tile(*place, 1)] for place in some])
            for place, fine in zip(some, refine(tiles), strict=True):
                inside = tile(*place, factor)
                total[inside] += window * fine
                weight[inside] += window
        keep = slice(rows.before * factor, (rows.before + rows.length) * factor)
        return self._crop(total[keep], factor) / self._crop(weight[keep], factor)

    def _crop(self, canvas: np.ndarray, factor: int) -> np.ndarray:
        """Crop to the frame's columns; on the globe, sums beyond one edge are added at the other."""
        left, length = self.columns.before * factor, self.columns.length * factor
        frame = canvas[:, left : left + length].copy()
        if self.grid.periodic:
            right = canvas.shape[1] - left - length
            frame[:, length - left :] += canvas[:, :left]
            frame[:, :right] += canvas[:, left + length :]
        return frame
