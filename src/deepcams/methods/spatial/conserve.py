"""Keep the coarse mean: the area mean of a cell's nine fine values equals the coarse value."""

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
"""Rounds of smooth back-projection; with four no 3 x 3 blocks show (docs/decisions)."""

_TINY = 1e-6
"""Means below this (ug m-3) give no usable ratio; only the exact step deals with them."""


@staged("conserve")
def conserve(
    fine: np.ndarray,
    values: np.ndarray,
    grid: Grid,
    factor: int,
    rounds: int = ROUNDS,
    arrays: Arrays = NUMPY,
) -> np.ndarray:
    """Return fine values whose area mean over each coarse cell is the coarse value, positive by construction.

    Smooth multiplicative back-projection, ``x <- x exp(up(log(coarse / area(x))))`` with bicubic ``up``, brings the
    means close without drawing the cells' borders; one exact rescaling per cell does the rest.

    Args:
        fine: (time, *grid.refine(factor).shape), >= 0, float32; overwritten.
        values: (time, *grid.shape), >= 0, the coarse values.
        arrays: the array library that does the work, and where; one frame at a time is there.

    Returns:
        like ``fine``; relative error of the means <= 1e-6.
    """
    for frame, wanted in zip(fine, values, strict=True):  # one at a time fits the cache
        on_device = arrays.put(frame)
        _conserve_frame(on_device, arrays.put(wanted), grid, factor, rounds, arrays)
        frame[...] = arrays.get(on_device)
        for pole in (0, -1):
            _conserve_at_pole(frame, wanted, grid, factor, pole)
    return fine


def _conserve_frame(
    frame: Any, wanted: Any, grid: Grid, factor: int, rounds: int, arrays: Arrays
) -> None:
    """Conserve the means of a frame's cells, but for the poles; in place."""
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
    """Return wanted / mean, 0 where the mean is 0 and nothing can be rescaled, and where that is."""
    empty = mean <= np.finfo(np.float32).tiny
    ratio = wanted / xp.where(empty, 1, mean)
    return xp.where(empty, 0, ratio), empty


def _conserve_at_pole(
    frame: np.ndarray, wanted: np.ndarray, grid: Grid, factor: int, pole: int
) -> None:
    """Give a pole (row 0 or -1) the coarse value, and the other rows of its cells that mean; in place.

    The pole is one point: rescaled cell by cell it would have as many values as columns. So the cell's mean is the
    coarse value whether the pole's half row is weighed by its area or, by the cosine of latitude, not at all.
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
    """Another method in space, made to conserve the coarse means.

    Args:
        inner: the method whose result is corrected.
        rounds: rounds of smooth back-projection before the exact step.
        arrays: the array library that corrects, and where.
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
        self.halo = inner.halo + 2 * rounds  # bicubic `up` reaches two cells a round

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """Refine by the inner method and correct; see :meth:`SpatialDownscaler.refine`."""
        fine = self.inner.refine(values, grid)
        return conserve(fine, values, grid, self.factor, self.rounds, self.arrays)

    def settings(self) -> dict[str, Any]:
        """Return the inner method's settings, the number of rounds, and the library that corrects."""
        how = {"rounds": self.rounds, "arrays": self.arrays.kind}
        return {**self.inner.settings(), "conserve": how}
