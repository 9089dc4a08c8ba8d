"""The input of temporal methods: two frames to interpolate between, and the frames around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.times import HOUR


@dataclass(frozen=True)
class Interval:
    """Two frames one step apart, and the frames one step before and after them, on a grid or at points.

    Attributes:
        before, after: values, ug m-3, >= 0, nothing missing; (rows, columns) of ``grid`` or (n,) at points.
        earlier, later: frames one step before ``before`` and after ``after``; ``None`` if unknown.
        latitude, longitude: coordinates, degrees, broadcastable to the values' shape.
        start: time of ``before``, UTC (for means the centre of the bounds), ``datetime64``; (n,) at points. NaT if
            unknown.
        step: time between frames.
        grid: grid of the values; ``None`` at points.
        variable: short name of the species (``pm2p5``); empty if unknown.
    """

    before: np.ndarray
    after: np.ndarray
    earlier: np.ndarray | None
    later: np.ndarray | None
    latitude: np.ndarray
    longitude: np.ndarray
    start: np.ndarray | np.datetime64
    step: np.timedelta64
    grid: Grid | None = None
    variable: str = ""

    @classmethod
    def on_grid(
        cls,
        before: np.ndarray,
        after: np.ndarray,
        grid: Grid,
        *,
        earlier: np.ndarray | None = None,
        later: np.ndarray | None = None,
        start: np.datetime64 | None = None,
        step: np.timedelta64 = 3 * HOUR,
        variable: str = "",
    ) -> Interval:
        """Return the interval between two frames of a grid."""
        latitude, longitude = grid.latitudes[:, None], grid.longitudes[None]
        begin = np.datetime64("NaT", "ns") if start is None else start
        return cls(
            before,
            after,
            earlier,
            later,
            latitude,
            longitude,
            begin,
            step,
            grid,
            variable,
        )

    @property
    def on(self) -> Grid:
        """Grid of the values.

        Raises:
            TypeError: the interval is at points, and the method needs a grid.
        """
        if self.grid is None:
            raise TypeError("this method needs frames of a grid, not points")
        return self.grid

    def time(self, fraction: float) -> np.ndarray:
        """Return the time at a fraction of the step after ``before``, ``datetime64[ns]``, of the shape of ``start``."""
        step = self.step.astype("timedelta64[ns]")
        return np.asarray(self.start, "datetime64[ns]") + fraction * step
