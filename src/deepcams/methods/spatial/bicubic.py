"""Spatial interpolation with a fixed kernel: bilinear, bicubic, and bicubic of the logarithm.

The fine nodes 3k-1, 3k, 3k+1 lie at -1/3, 0 and 1/3 of a coarse step from node k, so there are only three sets of
weights; with plain multiplications and additions the result does not depend on a node's position in the array, so
rolling the input rolls the output bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from deepcams.core.grid import FACTOR, FACTORS, Grid, nodes_from_cells, pad
from deepcams.methods.arrays import NUMPY, Arrays
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.spatial.coarsen import cubic_kernel

KEYS_A = -0.75
"""Free parameter of the cubic kernel, as in PyTorch's and ABPN's bicubic."""

LOG_FLOOR = 0.01
"""Lower bound of values before the logarithm, ug m-3; lower values are noise of analysis and packing."""


def cubic_weights(offset: float, a: float = KEYS_A) -> np.ndarray:
    """Return the weights of the nodes -1, 0, 1, 2 for a point at ``offset`` in [0, 1) after node 0 (Keys 1981)."""
    return cubic_kernel(offset - np.arange(-1, 3), a)


def linear_weights(offset: float) -> np.ndarray:
    """Return the weights of the nodes -1, 0, 1, 2 for a point at ``offset`` in [0, 1) after node 0."""
    return np.array([0, 1 - offset, offset, 0])


def _phases(kind: str, factor: int) -> list[tuple[int, list[np.float32]]]:
    """Return, for each fine node of a cell, the offset of the first coarse node and the weights from there."""
    weights_at = cubic_weights if kind == "cubic" else linear_weights
    phases = []
    for position in range(factor):
        offset = (position - factor // 2) / factor
        node = math.floor(offset)  # the coarse node before the point
        weights = weights_at(offset - node)
        used = np.flatnonzero(weights)
        first = int(used[0])
        some = [np.float32(w) for w in weights[first : used[-1] + 1]]
        phases.append((node - 1 + first, some))
    return phases


def _along_rows(values: Any, size: int, kind: str, factor: int, arrays: Arrays) -> Any:
    """Interpolate along the last axis but one: (.., size + 4, c), padded by 2 on each side -> (.., factor size, c)."""
    totals = []
    for first, weights in _phases(kind, factor):
        start = 2 + first
        total = values[..., start : start + size, :] * weights[0]
        for k, weight in enumerate(weights[1:], start + 1):
            total += values[..., k : k + size, :] * weight
        totals.append(total)
    shape = (*values.shape[:-2], factor * size, values.shape[-1])
    return arrays.xp.stack(totals, -2).reshape(shape)


def interpolate(
    values: Any,
    grid: Grid,
    kind: str = "cubic",
    factor: int = FACTOR,
    arrays: Arrays = NUMPY,
) -> Any:
    """Interpolate node values to the fine nodes, around the globe and across the poles.

    Args:
        values: (..., grid.rows, grid.columns), float32, of ``arrays``.
        kind: ``cubic`` or ``linear``.

    Returns:
        (..., *grid.refine(factor).shape), float32; fine node 3k has coarse node k's value.
    """
    padded = arrays.rearrange(pad, values, grid, 2, 2)
    # Columns first, while rows are few: only a third of the result is transposed, and the result is in C order.
    columns = _along_rows(
        padded.swapaxes(-1, -2), grid.columns, kind, factor, arrays
    ).swapaxes(-1, -2)
    cells = _along_rows(arrays.contiguous(columns), grid.rows, kind, factor, arrays)
    return arrays.rearrange(nodes_from_cells, cells, grid, factor)


class Bilinear(SpatialDownscaler):
    """Bilinear interpolation."""

    name = "bilinear"
    factors = FACTORS
    halo = 1

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Interpolate; see :meth:`SpatialDownscaler.refine`."""
        return interpolate(values, grid, "linear", self.factor)


class Bicubic(SpatialDownscaler):
    """Bicubic interpolation (a = -0.75), the paper's baseline; negative results are set to 0."""

    name = "bicubic"
    factors = FACTORS

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Interpolate; see :meth:`SpatialDownscaler.refine`."""
        return np.maximum(interpolate(values, grid, factor=self.factor), 0)


class LogBicubic(SpatialDownscaler):
    """Bicubic interpolation of the logarithm: positive, and without undershoot next to a plume."""

    name = "log-bicubic"
    factors = FACTORS

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Interpolate; see :meth:`SpatialDownscaler.refine`."""
        logarithms = np.log(np.maximum(values, LOG_FLOOR))
        return np.exp(interpolate(logarithms, grid, factor=self.factor))
