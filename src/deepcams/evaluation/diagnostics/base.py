"""Base of all diagnostics: the frames they are computed from, and their additive sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from deepcams.core.grid import FACTOR, Grid
from deepcams.core.sun import mean_solar_hours
from deepcams.core.times import season_of
from deepcams.evaluation.scores import Score
from deepcams.evaluation.tables import Row
from deepcams.files.land_mask import land_fraction

SPAN = 3
"""Default number of frames from one kept frame to the next in temporal tasks."""
THRESHOLDS = (15.0, 35.0, 75.0, 150.0)
"""Default event thresholds, ug m-3; an event is a value >= threshold."""
SEASONS = ("DJF", "MAM", "JJA", "SON")
"""Quarters of the calendar year, the same in both hemispheres."""


@lru_cache(maxsize=4)
def _land(grid: Grid) -> np.ndarray:
    """Return the land mask of a grid, cached across blocks."""
    rows = np.rint((90 - grid.latitudes) * 4).astype(int)
    columns = np.rint(grid.longitudes * 4).astype(int) % 1440
    return np.asarray(land_fraction()[np.ix_(rows, columns)] >= 0.5)


@dataclass(frozen=True)
class Setting:
    """Settings shared by all frames and methods of an evaluation.

    Attributes:
        grid: grid of the scored nodes.
        in_time: whether methods get every ``span``-th frame and predict the others.
        weights: weights of the nodes, (rows, 1); ``None``: equal weights.
        thresholds: event thresholds, ug m-3, increasing.
        span: number of frames from one given frame to the next.
        factor: fine nodes per coarse node.
    """

    grid: Grid
    in_time: bool
    weights: np.ndarray | None = None
    thresholds: tuple[float, ...] = THRESHOLDS
    span: int = SPAN
    factor: int = FACTOR

    @property
    def land(self) -> np.ndarray:
        """Land mask (at least half of the cell is land), (rows, columns)."""
        return _land(self.grid)

    @cached_property
    def node_weights(self) -> np.ndarray:
        """Weight of each node, (rows, columns)."""
        weights = 1.0 if self.weights is None else self.weights
        return np.broadcast_to(weights, self.grid.shape).astype(np.float64)


@dataclass(frozen=True)
class Block:
    """Consecutive frames of the truth, to compare with each method's frames.

    Attributes:
        setting: see :class:`Setting`; in temporal tasks the block begins and ends with a given frame.
        truth: (time, rows, columns), ug m-3; NaN is missing.
        times: (time,), ``datetime64[ns]``: instants, or the middles of means.
    """

    setting: Setting
    truth: np.ndarray
    times: np.ndarray
    _made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def scored(self) -> list[int]:
        """Indices of the scored frames: in temporal tasks those between the given frames."""
        in_time, span = self.setting.in_time, self.setting.span
        return [i for i in range(len(self.times)) if not in_time or i % span]

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """Return the result of ``make``, cached per block under ``key``."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def local_hours(self, frame: int) -> np.ndarray:
        """Return the hour of the day at each column in local mean solar time, (columns,), 0..23."""
        hours = mean_solar_hours(self.times[frame], self.setting.grid.longitudes)
        # Add less than a second, so that rounding to 05:59:59.99 still gives hour 6.
        return np.asarray(np.floor((hours + 1e-6) % 24).astype(int))

    def season(self, frame: int) -> int:
        """Return the index of a frame's season in :data:`SEASONS`."""
        return int(season_of(self.times[frame].astype("datetime64[M]").astype(int)))


@dataclass(frozen=True, eq=False)
class Sums:
    """Named arrays, or other values with ``+``; adding or comparing two of these does so part by part."""

    parts: Mapping[str, Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sums) or self.parts.keys() != other.parts.keys():
            return False
        return all(
            bool(np.all(part == other[name])) for name, part in self.parts.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Sums) -> Sums:
        return Sums({name: part + other[name] for name, part in self.parts.items()})

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]


class Diagnostic(ABC):
    """A comparison of whole frames: sums over each block, and figures computed from the sums of all blocks.

    Because sums are additive, any split of the work gives the same figures.

    Args:
        setting: settings of the evaluation.

    Attributes:
        name: name of its table.
        scores: figures that are columns in ``deepcams evaluate``.
        only_in_time: whether it needs consecutive hours and so is computed only in temporal tasks.
    """

    name: ClassVar[str]
    scores: ClassVar[tuple[Score, ...]] = ()
    only_in_time: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def sums(self, block: Block, made: np.ndarray) -> Sums:
        """Return the sums over a block.

        Args:
            block: the truth.
            made: values of a method, of the same shape; NaN is missing.
        """

    @abstractmethod
    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the :attr:`scores` by key; NaN where undefined."""

    @abstractmethod
    def table(self, sums: Sums) -> list[Row]:
        """Return the details as rows; NaN where undefined."""

    def gap(self, sums: Sums) -> str:
        """Return one phrase on what the figures leave out, or why they are undefined; empty if neither applies."""
        return ""


def ratio(above: Any, below: Any) -> Any:
    """Return the quotient; NaN where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.equal(below, 0), np.nan, np.divide(above, below))
