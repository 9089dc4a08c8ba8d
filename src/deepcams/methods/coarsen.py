"""From fine to coarse, by a named degradation.

``area`` is what a coarse model cell means (and nearest to CAMS's spectrum, see docs/decisions); ``imresize`` and
``decimate`` are what the paper and its release used, kept for comparison. All three are registered to the node.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import choose
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import FACTOR, Grid, cell_row_areas, cells_from_nodes, pad, trim_to_cells

Degradation = Literal["area", "imresize", "decimate"]


def area_mean(fine: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Area-weighted mean of each coarse cell: (..., fine shape) -> (..., coarse.shape), same dtype.

    A cell with a missing node is missing. Sums are taken in float64.
    """
    cells = cells_from_nodes(fine, coarse, factor)
    across = cells[..., 0::factor].astype(np.float64)
    for offset in range(1, factor):
        across += cells[..., offset::factor]
    weights = cell_row_areas(coarse, factor) / factor
    for row in (0, -1):  # a row beyond a pole weighs nothing, also where it is missing
        if weights[row, row] == 0:
            across[..., row, :] = 0
    mean = across[..., 0::factor, :] * weights[:, :1]
    for offset in range(1, factor):
        mean += across[..., offset::factor, :] * weights[:, offset : offset + 1]
    return mean.astype(fine.dtype)


def cubic_kernel(x: np.ndarray, a: float) -> np.ndarray:
    """Keys's cubic convolution kernel (Keys 1981, eq. 4 with free parameter a)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def imresize_mean(fine: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """MATLAB's ``imresize(fine, 1/factor)``: bicubic, a = -0.5, antialiased by stretching the kernel.

    The kernel stands on the coarse node (MATLAB's own result of 721 x 1440 nodes is shifted by a fine node);
    borders continue round the globe and across the poles instead of MATLAB's mirror.
    """
    reach = 2 * factor - 1
    offsets = np.arange(-reach, reach + 1)
    kernel = cubic_kernel(offsets / factor, -0.5)
    kernel /= kernel.sum()
    grid = coarse.refine(factor)
    half = (
        0 if coarse.periodic else factor // 2
    )  # the first coarse column's place among the fine columns
    top = factor * coarse.north - grid.north
    padded = pad(fine.astype(np.float64), grid, reach, reach)
    rows = sum(
        weight * padded[..., top + k : top + k + factor * (coarse.rows - 1) + 1 : factor, :]
        for k, weight in enumerate(kernel)
    )
    columns = sum(
        weight * rows[..., half + k : half + k + factor * (coarse.columns - 1) + 1 : factor]
        for k, weight in enumerate(kernel)
    )
    return np.asarray(columns).astype(fine.dtype)


def decimate(fine: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Every ``factor``-th node, the coarse ones themselves (what the released training pairs use)."""
    half = factor // 2
    return cells_from_nodes(fine, coarse, factor)[..., half::factor, half::factor]


METHODS = {"area": area_mean, "imresize": imresize_mean, "decimate": decimate}


def coarsen(
    field: xr.DataArray, method: Degradation = "area", factor: int = FACTOR
) -> xr.DataArray:
    """The field on the grid that is ``factor`` times coarser, by the named degradation; lazy if ``field`` is.

    Nodes at a region's edges that make no whole cell are left out, with a notice.

    Args:
        field: canonical field (time, latitude, longitude).
        method: ``area``, ``imresize`` or ``decimate``.

    Raises:
        InputError: unknown method, or no whole cell.
    """
    function = METHODS[choose("degradation", method, get_args(Degradation))]
    coarse, rows, columns = trim_to_cells(grid_of(field), factor)
    inner = field.isel(latitude=rows, longitude=columns)

    def block(values: np.ndarray) -> np.ndarray:
        return function(values, coarse, factor)

    data = inner.data
    if isinstance(data, np.ndarray):
        return field_like(field, block(data), coarse)
    data = data.rechunk({1: -1, 2: -1})
    return field_like(
        field,
        data.map_blocks(block, dtype=data.dtype, chunks=(data.chunks[0], *coarse.shape)),
        coarse,
    )
