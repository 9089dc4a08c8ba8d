"""Coarsening of fields (called degradation in options, as in the paper).

``area`` is the mean over a coarse model cell (closest to CAMS's spectrum, see docs/decisions); ``imresize`` and
``decimate`` are those of the paper and of its release, for comparison. All three are node-registered.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import choose
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import (
    FACTOR,
    Grid,
    cell_row_areas,
    cells_from_nodes,
    pad,
    trim_to_cells,
)
from deepcams.core.stages import staged
from deepcams.methods.arrays import NUMPY, Arrays

Degradation = Literal["area", "imresize", "decimate"]


def area_mean(
    fine: Any, coarse: Grid, factor: int = FACTOR, arrays: Arrays = NUMPY
) -> Any:
    """Compute the area-weighted mean of each coarse cell: (..., fine shape) -> (..., coarse.shape), same dtype.

    A cell with a missing node is missing. Sums are in float64.

    Args:
        fine: array of the library ``arrays``.
    """
    cells = arrays.rearrange(cells_from_nodes, fine, coarse, factor)
    across = arrays.cast(cells[..., 0::factor], "float64")
    for offset in range(1, factor):
        across += cells[..., offset::factor]
    weights = cell_row_areas(coarse, factor) / factor
    for row in (0, -1):  # a row beyond a pole has weight 0, even where it is NaN
        if weights[row, row] == 0:
            across[..., row, :] = 0
    shares = arrays.put(weights)
    mean = across[..., 0::factor, :] * shares[:, :1]
    for offset in range(1, factor):
        mean += across[..., offset::factor, :] * shares[:, offset : offset + 1]
    return arrays.cast(mean, str(fine.dtype).removeprefix("torch."))


def cubic_kernel(x: np.ndarray, a: float) -> np.ndarray:
    """Return Keys's cubic convolution kernel at ``x`` (Keys 1981, eq. 4 with free parameter a)."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.select([x <= 1, x < 2], [near, far], 0.0)


def imresize_mean(fine: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Reduce as MATLAB's ``imresize(fine, 1/factor)``: bicubic, a = -0.5, antialiased by stretching the kernel.

    The kernel is centred on the coarse node (MATLAB's own result for 721 x 1440 nodes is shifted by a fine node);
    borders wrap around the globe and across the poles instead of being mirrored as in MATLAB.
    """
    radius = 2 * factor - 1
    kernel = cubic_kernel(np.arange(-radius, radius + 1) / factor, -0.5)
    kernel /= kernel.sum()
    grid = coarse.refine(factor)
    # fine row and column of the first coarse node
    top = factor * coarse.north - grid.north
    left = 0 if coarse.periodic else factor // 2
    padded = pad(fine.astype(np.float64), grid, radius, radius)

    def nodes(first: int, count: int) -> slice:
        return slice(first, first + factor * (count - 1) + 1, factor)

    rows = sum(
        w * padded[..., nodes(top + k, coarse.rows), :] for k, w in enumerate(kernel)
    )
    mean = sum(
        w * rows[..., nodes(left + k, coarse.columns)] for k, w in enumerate(kernel)
    )
    return np.asarray(mean).astype(fine.dtype)


def decimate(fine: np.ndarray, coarse: Grid, factor: int = FACTOR) -> np.ndarray:
    """Return every ``factor``-th node, i.e. the coarse nodes themselves (as in the released training pairs)."""
    half = factor // 2
    return cells_from_nodes(fine, coarse, factor)[..., half::factor, half::factor]


METHODS = {"area": area_mean, "imresize": imresize_mean, "decimate": decimate}


@staged("degrade")
def coarsen(
    field: xr.DataArray, method: Degradation = "area", factor: int = FACTOR
) -> xr.DataArray:
    """Coarsen a field by ``factor``; the result is lazy if ``field`` is.

    Nodes at a region's edges that do not fill a whole cell are left out, with a notice.

    Args:
        field: canonical field (time, latitude, longitude).
        method: ``area`` (mean over each cell), ``imresize`` (the paper's) or ``decimate`` (its release's).
        factor: fine nodes per coarse node.

    Returns:
        canonical field on the coarse grid, ug m-3.

    Raises:
        InputError: the method is unknown, or the field contains no whole cell.
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
    chunks = (data.chunks[0], *coarse.shape)
    return field_like(
        field, data.map_blocks(block, dtype=data.dtype, chunks=chunks), coarse
    )
