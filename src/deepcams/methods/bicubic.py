"""Interpolation in space by a fixed kernel: bilinear, bicubic, and bicubic of the logarithm.

The fine nodes 3k-1, 3k, 3k+1 lie at -1/3, 0 and 1/3 of a coarse step from node k, so there are only three sets of
weights; with plain multiplications and additions the result does not depend on where in the array a node stands,
and rolling the input rolls the output to the bit.
"""

from __future__ import annotations

import numpy as np

from deepcams.core.grid import FACTOR, Grid, nodes_from_cells, pad
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.coarsen import cubic_kernel

KEYS_A = -0.75
"""Free parameter of the cubic kernel, as in PyTorch's and ABPN's bicubic."""

LOG_FLOOR = 0.01
"""Values below this (ug m-3) count as this in the logarithm: what is cleaner is noise of analysis and packing."""


def cubic_weights(offset: float, a: float = KEYS_A) -> np.ndarray:
    """Weights of the nodes -1, 0, 1, 2 for a point at ``offset`` in [0, 1) after node 0 (Keys 1981)."""
    return cubic_kernel(offset - np.arange(-1, 3), a)


def linear_weights(offset: float) -> np.ndarray:
    """Weights of the nodes -1, 0, 1, 2 for a point at ``offset`` in [0, 1) after node 0."""
    return np.array([0, 1 - offset, offset, 0])


def _phases(kind: str, factor: int) -> list[tuple[int, list[np.float32]]]:
    """For each fine node of a cell: the first coarse offset and the weights from there on."""
    phases = []
    for position in range(factor):
        offset = (position - factor // 2) / factor
        first, rest = (-1, offset) if offset >= 0 else (-2, offset + 1)
        weights = cubic_weights(rest) if kind == "cubic" else linear_weights(rest)
        used = np.flatnonzero(weights)
        phases.append(
            (first + int(used[0]), [np.float32(w) for w in weights[used[0] : used[-1] + 1]])
        )
    return phases


def _along_rows(values: np.ndarray, size: int, kind: str, factor: int) -> np.ndarray:
    """Interpolate along the last axis but one: (.., size + 4, c), padded by 2 on each side -> (.., factor size, c)."""
    out = np.empty((*values.shape[:-2], factor * size, values.shape[-1]), np.float32)
    for position, (first, weights) in enumerate(_phases(kind, factor)):
        start = 2 + first
        total = values[..., start : start + size, :] * weights[0]
        for k, weight in enumerate(weights[1:], start + 1):
            total += values[..., k : k + size, :] * weight
        out[..., position::factor, :] = total
    return out


def interpolate(
    values: np.ndarray, grid: Grid, kind: str = "cubic", factor: int = FACTOR
) -> np.ndarray:
    """Interpolate node values to the fine nodes, round the globe and across the poles.

    Args:
        values: (..., grid.rows, grid.columns), float32.
        kind: ``cubic`` or ``linear``.

    Returns:
        (..., *grid.refine(factor).shape), float32; fine node 3k has coarse node k's value.
    """
    padded = pad(values, grid, 2, 2)
    # Columns first, while the rows are few: only a third of the result is turned, and the result is in C order.
    columns = _along_rows(padded.swapaxes(-1, -2), grid.columns, kind, factor).swapaxes(-1, -2)
    return nodes_from_cells(
        _along_rows(np.ascontiguousarray(columns), grid.rows, kind, factor), grid, factor
    )


class Bilinear(SpatialDownscaler):
    """Bilinear interpolation."""

    name = "bilinear"
    halo = 1

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        return interpolate(values, grid, "linear")


class Bicubic(SpatialDownscaler):
    """Bicubic interpolation (a = -0.75), the paper's baseline; what it undershoots below 0 becomes 0."""

    name = "bicubic"

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        return np.maximum(interpolate(values, grid), 0)


class LogBicubic(SpatialDownscaler):
    """Bicubic interpolation of the logarithm: positive, and fair to clean air beside a plume."""

    name = "log-bicubic"

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        return np.exp(interpolate(np.log(np.maximum(values, LOG_FLOOR)), grid))
