"""A prepared store in memory: the same contract, of any fine field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.grid import Grid, cells_from_nodes
from deepcams.methods.spatial.coarsen import METHODS
from deepcams.training.store.open import Prepared


@dataclass(eq=False)
class StandIn:
    path: Path
    coarse: Grid
    times: np.ndarray
    fine_values: np.ndarray  # (n, *coarse.refine(3).shape)
    variable: str = "pm2p5"
    degradation: str = "area"
    mean: bool = True
    sources: dict[str, Any] = field(default_factory=lambda: {"family": "stand-in"})

    @property
    def fingerprint(self) -> str:
        """Of what it holds now."""
        found: Any = Prepared.fingerprint
        return str(found.func(self))

    @property
    def fine(self) -> Grid:
        return self.coarse.refine()

    def frame(self, hour: int, resolution: str) -> np.ndarray:
        fine = self.fine_values[hour]
        if resolution == "fine":
            return fine
        return METHODS[self.degradation](fine, self.coarse).astype(np.float32)

    def read(
        self, hour: int, row: int, column: int, rows: int, columns: int, resolution: str
    ) -> np.ndarray:
        assert row >= 0
        assert row + rows <= self.coarse.rows
        assert self.coarse.periodic or (
            column >= 0 and column + columns <= self.coarse.columns
        )
        fine = self.fine_values[hour]
        if resolution == "coarse":
            values, factor = METHODS[self.degradation](fine, self.coarse), 1
        else:
            values, factor = cells_from_nodes(fine, self.coarse), 3
        at = np.arange(factor * column, factor * (column + columns))
        return (
            values[factor * row : factor * (row + rows)]
            .take(at, axis=1, mode="wrap")
            .astype(np.float32)
        )


def world(
    *,
    path: str = "stand-in.zarr",
    hours: int = 24,
    coarse: Grid | None = None,
    start: str = "2019-12-01T00:30",
    degradation: str = "area",
    without: tuple[int, ...] = (),
) -> StandIn:
    """Plumes that drift eastward round a coarse globe (31 x 60 cells of 6 degrees), some hours left out."""
    coarse = coarse or Grid.globe(6.0)
    fine = coarse.refine()
    kept = np.setdiff1d(np.arange(hours), without)
    rng = np.random.default_rng(5)
    latitudes, longitudes = fine.latitudes[:, None], fine.longitudes[None]
    texture = np.exp(0.3 * rng.standard_normal(fine.shape))
    values = np.empty((kept.size, *fine.shape), np.float32)
    for k, hour in enumerate(kept):
        total = np.full(fine.shape, 2.0)
        for plume in range(30):
            at = np.random.default_rng(plume)
            north, east, speed = (
                at.uniform(-80, 80),
                at.uniform(0, 360),
                at.uniform(1, 3),
            )
            away = (longitudes - east - speed * hour + 180) % 360 - 180
            total += at.uniform(10, 60) * np.exp(
                -((latitudes - north) ** 2 + away**2) / at.uniform(20, 200)
            )
        values[k] = total * texture
    for row, there in ((0, fine.north == 0), (-1, fine.south == fine.last_row)):
        if there:
            values[:, row] = values[:, row].mean(axis=-1, keepdims=True)
    times = np.datetime64(start, "ns") + kept * np.timedelta64(1, "h")
    return StandIn(
        Path(path),
        coarse,
        times.astype("datetime64[ns]"),
        values,
        degradation=degradation,
    )
