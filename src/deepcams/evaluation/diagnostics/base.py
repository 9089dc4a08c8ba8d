"""What all diagnostics share: the frames they are computed from, and the form of what they add up."""

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
"""Of so many hours one is kept in tasks in time, unless another number is asked for."""
THRESHOLDS = (15.0, 35.0, 75.0, 150.0)
"""ug m-3: an event is a value of at least so much."""
SEASONS = ("DJF", "MAM", "JJA", "SON")
"""Quarters of the calendar year, the same in both hemispheres."""


@lru_cache(maxsize=4)
def _land(grid: Grid) -> np.ndarray:
    """Which nodes of a grid are land; looked up once, however many blocks there are."""
    rows = np.rint((90 - grid.latitudes) * 4).astype(int)
    columns = np.rint(grid.longitudes * 4).astype(int) % 1440
    return np.asarray(land_fraction()[np.ix_(rows, columns)] >= 0.5)


@dataclass(frozen=True)
class Setting:
    """What is the same for all frames and methods of an evaluation.

    Attributes:
        grid: of the nodes that are scored.
        in_time: whether the methods were given one of each ``span`` frames, and made those between.
        weights: of the nodes, (rows, 1); ``None``: all alike.
        thresholds: of events, ug m-3, increasing.
        span: frames from one that was given to the next.
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
        """Which nodes are land (at least half of their cell), (rows, columns)."""
        return _land(self.grid)

    @cached_property
    def node_weights(self) -> np.ndarray:
        """The weight of each node, (rows, columns)."""
        weights = 1.0 if self.weights is None else self.weights
        return np.broadcast_to(weights, self.grid.shape).astype(np.float64)


@dataclass(frozen=True)
class Block:
    """Consecutive frames of the truth, which every method's frames are compared with.

    Attributes:
        setting: see :class:`Setting`; in tasks in time the block begins and ends with a frame that was given.
        truth: (time, rows, columns), ug m-3; NaN is missing.
        times: (time,), ``datetime64[ns]``: instants, or the middles of means.
    """

    setting: Setting
    truth: np.ndarray
    times: np.ndarray
    _made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def scored(self) -> list[int]:
        """The frames that are scored: in tasks in time those between the frames that were given."""
        in_time, span = self.setting.in_time, self.setting.span
        return [i for i in range(len(self.times)) if not in_time or i % span]

    def once(self, key: object, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returns; it is called once a block, however many methods are compared."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def local_hours(self, frame: int) -> np.ndarray:
        """Return the hour of the day at each column in local mean solar time, (columns,), 0..23."""
        hours = mean_solar_hours(self.times[frame], self.setting.grid.longitudes)
        # Less than a second is added, so that a float's 05:59:59.99 is 6.
        return np.asarray(np.floor((hours + 1e-6) % 24).astype(int))

    def season(self, frame: int) -> int:
        """Return the place of a frame's quarter in :data:`SEASONS`."""
        return int(season_of(self.times[frame].astype("datetime64[M]").astype(int)))


@dataclass(frozen=True, eq=False)
class Sums:
    """Arrays, or records with ``+``, by name; they add, and are equal where all of them are."""

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
    """A comparison of whole frames: its sums over a block, and the figures that follow from the sums of all blocks.

    Sums add, so that any split of the work gives the same figures.

    Args:
        setting: of the evaluation.

    Attributes:
        name: of its table.
        scores: those of its figures that are columns of the rows of ``deepcams evaluate``.
        only_in_time: whether it needs consecutive hours, and is made in tasks in time alone.
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
            made: a method's values in the same form; NaN is missing.
        """

    @abstractmethod
    def figures(self, sums: Sums) -> dict[str, float]:
        """Return the :attr:`scores` by key; NaN where undefined."""

    @abstractmethod
    def table(self, sums: Sums) -> list[Row]:
        """Return the details as rows; NaN where undefined."""

    def gap(self, sums: Sums) -> str:
        """Return one phrase about what the figures leave out, or why there are none; empty where nothing is."""
        return ""


def ratio(above: Any, below: Any) -> Any:
    """Return a quotient; NaN where it is undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.equal(below, 0), np.nan, np.divide(above, below))
