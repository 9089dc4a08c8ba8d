"""Keep the coarse mean: the area mean of a cell's nine fine values equals the coarse value."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.core.grid import Grid, place
from deepcams.methods.base import SpatialDownscaler
from deepcams.methods.bicubic import interpolate
from deepcams.methods.coarsen import area_mean

ROUNDS = 4
"""Rounds of smooth back-projection; with four no 3 x 3 blocks show (docs/decisions)."""

_TINY = np.float32(1e-6)
"""Means below this (ug m-3) say nothing about a ratio; the exact step alone deals with them."""


def conserve(
    fine: np.ndarray, values: np.ndarray, grid: Grid, factor: int, rounds: int = ROUNDS
) -> np.ndarray:
    """Fine values whose area mean over each coarse cell is the coarse value, positive by construction.

    Smooth multiplicative back-projection, ``x <- x exp(up(log(coarse / area(x))))`` with bicubic ``up``, brings the
    means close without drawing the cells' borders; one exact rescaling per cell does the rest.

    Args:
        fine: (time, *grid.refine(factor).shape), >= 0, float32; overwritten.
        values: (time, *grid.shape), >= 0, the coarse values.

    Returns:
        like ``fine``; relative error of the means <= 1e-6.
    """
    for frame, wanted in zip(
        fine, values, strict=True
    ):  # one at a time: what is in the cache is quick
        for _ in range(rounds):
            mean = area_mean(frame, grid, factor)
            ratio = np.log(np.maximum(wanted, _TINY) / np.maximum(mean, _TINY))
            frame *= np.exp(interpolate(np.clip(ratio, -3, 3), grid, "cubic", factor))
        mean = area_mean(frame, grid, factor)
        empty = mean <= np.finfo(np.float32).tiny  # nothing to rescale: the cell becomes flat
        frame *= place(
            np.divide(wanted, mean, out=np.zeros_like(wanted), where=~empty), grid, factor
        )
        if empty.any():
            flat = place(empty, grid, factor)
            frame[flat] = place(wanted, grid, factor)[flat]
        _settle_poles(frame, wanted, grid, factor)
    return fine


def _settle_poles(frame: np.ndarray, wanted: np.ndarray, grid: Grid, factor: int) -> None:
    """Give the pole the coarse value, and the other rows of its cells that mean; in place.

    The pole is one point: rescaled cell by cell it would have as many values as columns. So the cell's mean is the
    coarse value whether the pole's half row is weighed by its area or, by the cosine of latitude, not at all.
    """
    half = factor // 2

    def placed(row: np.ndarray) -> np.ndarray:
        return np.roll(row.repeat(factor), -half) if grid.periodic else row.repeat(factor)

    for there, pole, inward in ((grid.north == 0, 0, 1), (grid.south == grid.last_row, -1, -1)):
        if not there:
            continue
        coarse = wanted[pole]
        areas = grid.refine(factor).row_areas[pole + inward :: inward][:half]
        rows = frame[pole + inward :: inward][:half]
        around = np.average(rows, axis=0, weights=areas)
        cells = (
            (np.roll(around, half) if grid.periodic else around).reshape(-1, factor).mean(axis=1)
        )
        empty = cells <= np.finfo(np.float32).tiny
        rows *= placed(np.divide(coarse, cells, out=np.zeros_like(cells), where=~empty)).astype(
            np.float32
        )
        rows[:, placed(empty)] = placed(coarse)[placed(empty)]
        frame[pole] = placed(coarse)


class Conserving(SpatialDownscaler):
    """Another method in space, made to conserve the coarse means.

    Args:
        inner: the method whose result is corrected.
        rounds: rounds of smooth back-projection before the exact step.
    """

    def __init__(self, inner: SpatialDownscaler, rounds: int = ROUNDS) -> None:
        self.inner, self.rounds = inner, rounds
        self.name = f"{inner.name} (conserving)"
        self.factor = inner.factor
        self.clips = inner.clips
        self.halo = inner.halo + 2 * rounds  # bicubic `up` reaches two cells a round

    def refine(self, values: np.ndarray, grid: Grid) -> np.ndarray:
        """See :meth:`SpatialDownscaler.refine`."""
        return conserve(self.inner.refine(values, grid), values, grid, self.factor, self.rounds)

    def settings(self) -> dict[str, Any]:
        """The inner method's settings and the number of rounds."""
        return {**self.inner.settings(), "conserve": {"rounds": self.rounds}}
