"""Conservation of the coarse mean: the area mean of a cell's fine values equals the coarse value."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.core.grid import Grid, place
from deepcams.core.stages import staged
from deepcams.methods.arrays import NUMPY, Arrays
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.spatial.bicubic import interpolate
from deepcams.methods.spatial.coarsen import area_mean

ROUNDS = 4
"""Iterations of smooth back-projection; after four no 3 x 3 blocks are visible (docs/decisions)."""

_TINY = 1e-6
"""Mean below which the ratio is not usable, ug m-3; such cells are handled by the exact step only."""


@staged("conserve")
def conserve(
    fine: np.ndarray,
    values: np.ndarray,
    grid: Grid,
    factor: int,
    rounds: int = ROUNDS,
    arrays: Arrays = NUMPY,
) -> np.ndarray:
    """Adjust fine values so that their area mean over each coarse cell is the coarse value; the result is >= 0.

    Smooth multiplicative back-projection, ``x <- x exp(up(log(coarse / area(x))))`` with bicubic ``up``, brings the
    means close without visible cell borders; one exact rescaling per cell does the rest.

    Args:
        fine: (time, *grid.refine(factor).shape), >= 0, float32; overwritten.
        values: (time, *grid.shape), >= 0, the coarse values.
        arrays: array library and device; one frame at a time is on the device.

    Returns:
        like ``fine``; relative error of the means <= 1e-6.
    """
    for frame, wanted in zip(
        fine, values, strict=True
    ):  # one frame at a time fits into the cache
        on_device = arrays.put(frame)
        _conserve_frame(on_device, arrays.put(wanted), grid, factor, rounds, arrays)
        frame[...] = arrays.get(on_device)
        for pole in (0, -1):
            _conserve_at_pole(frame, wanted, grid, factor, pole)
    return fine


def _conserve_frame(
    frame: Any, wanted: Any, grid: Grid, factor: int, rounds: int, arrays: Arrays
) -> None:
    """Conserve the means of a frame's cells except at the poles; in place."""
    xp = arrays.xp
    for _ in range(rounds):
        mean = area_mean(frame, grid, factor, arrays)
        ratio = xp.log(xp.clip(wanted, _TINY, None) / xp.clip(mean, _TINY, None))
        ratio = xp.clip(ratio, -3, 3)
        frame *= xp.exp(interpolate(ratio, grid, "cubic", factor, arrays))
    ratio, empty = _ratio(wanted, area_mean(frame, grid, factor, arrays), xp)
    frame *= arrays.rearrange(place, ratio, grid, factor)
    if empty.any():
        flat = arrays.rearrange(place, empty, grid, factor)
        frame[flat] = arrays.rearrange(place, wanted, grid, factor)[flat]


def _ratio(wanted: Any, mean: Any, xp: Any) -> tuple[Any, Any]:
    """Return wanted / mean, 0 where the mean is 0 and cannot be rescaled, and the mask of those cells."""
    empty = mean <= np.finfo(np.float32).tiny
    ratio = wanted / xp.where(empty, 1, mean)
    return xp.where(empty, 0, ratio), empty


def _conserve_at_pole(
    frame: np.ndarray, wanted: np.ndarray, grid: Grid, factor: int, pole: int
) -> None:
    """Set a pole (row 0 or -1) to the coarse value, and rescale the other rows of its cells to that mean; in place.

    The pole is one point: rescaling each cell would give it a different value per column. With this, the cell's mean is
    the coarse value whether the pole's half row is weighted by its area or, by the cosine of latitude, not at all.
    """
    is_pole = grid.north == 0 if pole == 0 else grid.south == grid.last_row
    if not is_pole:
        return
    half = factor // 2
    turn = half if grid.periodic else 0

    def placed(row: np.ndarray) -> np.ndarray:
        return np.roll(row.repeat(factor), -turn)

    others = slice(1, 1 + half) if pole == 0 else slice(-2, -2 - half, -1)
    rows = frame[others]
    mean = np.average(rows, axis=0, weights=grid.refine(factor).row_areas[others])
    cells = np.roll(mean, turn).reshape(-1, factor).mean(axis=1)
    coarse = placed(wanted[pole])
    ratio, empty = _ratio(wanted[pole], cells, np)
    rows *= placed(ratio).astype(np.float32)
    flat = placed(empty)
    rows[:, flat] = coarse[flat]
    frame[pole] = coarse


class Conserving(SpatialDownscaler):
    """Wraps a spatial method so that it conserves the coarse means.

    Args:
        inner: method whose result is corrected.
        rounds: iterations of smooth back-projection before the exact step.
        arrays: array library and device of the correction.
    """

    def __init__(
        self,
        inner: SpatialDownscaler,
        rounds: int = ROUNDS,
        arrays: Arrays = NUMPY,
    ) -> None:
        self.inner = inner
        self.rounds = rounds
        self.arrays = arrays
        self.name = f"{inner.name} (conserving)"
        self.factor = inner.factor
        self.clip_above = inner.clip_above
        self.halo = inner.halo + 2 * rounds  # bicubic `up` reaches two cells per round

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine with the inner method and correct; see :meth:`SpatialDownscaler.refine`."""
        fine = self.inner.refine(values, grid)
        return conserve(fine, values, grid, self.factor, self.rounds, self.arrays)

    def settings(self) -> dict[str, Any]:
        """Return the inner method's settings, the number of rounds, and the array library."""
        how = {"rounds": self.rounds, "arrays": self.arrays.kind}
        return {**self.inner.settings(), "conserve": how}
