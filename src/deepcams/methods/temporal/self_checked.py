"""A mixture of temporal methods, weighted by how well each reconstructs known frames.

Every frame with neighbours on both sides can be hidden and reconstructed from them. Where motion reconstructs it
better, interpolation along motion gets more weight; elsewhere interpolation in place does. Nothing is fitted to data.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from deepcams.core.grid import Grid, pad, unify_poles
from deepcams.core.machine import threads
from deepcams.core.stages import stage
from deepcams.methods.arrays import NUMPY, Arrays, arrays_for
from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.interval import Interval
from deepcams.methods.result_cache import ResultCache
from deepcams.methods.temporal import flow
from deepcams.methods.temporal.four_frames import curve
from deepcams.methods.temporal.motion import smoothed

_SMALLEST = 1e-3
"""Added to errors, ug m-3, so that candidates without error get equal weights."""

_ROUND = 16
"""Margin around the frame before errors are smoothed, nodes, to avoid a seam."""


class Carried(NamedTuple):
    """Two frames and their residuals, carried to the same time; each (rows, columns)."""

    before: Any
    after: Any
    residual_before: Any
    residual_after: Any


class Candidate(Protocol):
    """A way to relate two frames; the whole interface of a new one."""

    def __init__(
        self, before: np.ndarray, after: np.ndarray, grid: Grid, arrays: Arrays
    ) -> None:
        """Relate two frames, (rows, columns) of ``grid``, float32, ug m-3, >= 0."""

    def at(self, t: float, residual_before: Any, residual_after: Any) -> Carried:
        """Carry both frames, and fields of any sign (or None) at their times, to time t in [0, 1]."""
        ...


class InPlace:
    """Relates frames at fixed locations; see :class:`Candidate`."""

    def __init__(
        self, before: np.ndarray, after: np.ndarray, grid: Grid, arrays: Arrays
    ) -> None:
        self._frames = arrays.put(before), arrays.put(after)

    def at(self, t: float, residual_before: Any, residual_after: Any) -> Carried:
        """Return all fields unchanged."""
        return Carried(*self._frames, residual_before, residual_after)


class AlongMotion:
    """Relates frames along their optical flow; see :class:`Candidate`."""

    def __init__(
        self, before: np.ndarray, after: np.ndarray, grid: Grid, arrays: Arrays
    ) -> None:
        self._carry = flow.carrier(before, after, grid, arrays)

    def at(self, t: float, residual_before: Any, residual_after: Any) -> Carried:
        """Return all fields carried along the motion."""
        if residual_before is None:
            first, last = self._carry(t)
            return Carried(first, last, None, None)
        return Carried(*self._carry(t, (residual_before, residual_after)))


class Check(NamedTuple):
    """The candidates' reconstructions of one hidden frame, compared with it.

    Attributes:
        residuals: frame minus reconstruction, per candidate, ug m-3.
        shares: weight of each candidate, 0 to 1, with sum 1.
    """

    residuals: list[Any]
    shares: list[Any]


class SelfChecked(TemporalDownscaler):
    """Candidates weighted, at each location, by their errors in reconstructing the two frames from four known ones.

    A candidate's weight at a frame is the inverse square of its absolute error there, smoothed over some nodes; between
    two frames weights are linear in time. The residuals also give the curvature: with two carried frames they determine
    the frames beyond, and the curve through all four is that of :class:`deepcams.methods.temporal.four_frames.Cubic`.
    If one of the outer frames is unknown, the other is used for both; if both are unknown, the first candidate's two
    frames are blended as in :class:`deepcams.methods.temporal.flow.Flow`.

    Args:
        arrays: array library and device.
        candidates: classes of :class:`Candidate`.
    """

    name = "self-checked"
    reach = 1
    halo = flow.Flow.halo + _ROUND

    def __init__(
        self,
        arrays: Arrays = NUMPY,
        candidates: Sequence[type[Candidate]] = (AlongMotion, InPlace),
    ) -> None:
        self.arrays = arrays
        self.candidates = tuple(candidates)
        self._recent, self._latest, self._pairs = (
            ResultCache(2),
            ResultCache(2),
            ResultCache(4),
        )

    @classmethod
    def on_device(cls, device: str) -> Self:
        """Create the method for a device: ``auto``, ``cpu`` or ``cuda``; see :func:`arrays_for`."""
        return cls(arrays_for(device))

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Mix the candidates; see :meth:`TemporalDownscaler.between`."""
        before, after, grid = interval.before, interval.after, interval.on
        first = self._check(interval.earlier, before, after, grid)
        last = self._check(before, after, interval.later, grid)
        begins, ends = first or last, last or first
        if begins is None or ends is None:
            return self._straight(interval, fractions)
        unknown = self.arrays.put(np.zeros_like(before))
        nothing = [unknown] * len(self.candidates)
        bends = zip(
            first.residuals if first else nothing,
            last.residuals if last else nothing,
            strict=True,
        )
        key, candidates = self._related(interval)
        related = [
            (candidate, *residuals)
            for candidate, residuals in zip(candidates, bends, strict=True)
        ]

        def mixed(t: float) -> np.ndarray:
            total = unknown
            carried = [candidate.at(t, *bend) for candidate, *bend in related]
            self._pairs.keep(f"{key} {t}", carried[0][:2])
            for each, at_first, at_last in zip(
                carried, begins.shares, ends.shares, strict=True
            ):
                share = (1 - t) * at_first + t * at_last
                total = total + share * self._bent(each, t)
            return self.arrays.get(total)

        # the libraries release the GIL
        with stage("carry"), ThreadPoolExecutor(min(threads(), 2)) as pool:
            frames = list(pool.map(mixed, map(float, fractions)))
        return unify_poles(np.stack(frames), grid)

    def carried(self, interval: Interval, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Carry both frames of an interval to time t in [0, 1] with the first candidate."""
        first, last = self._pair(interval, t)
        return self.arrays.get(first), self.arrays.get(last)

    def _pair(self, interval: Interval, t: float) -> tuple[Any, Any]:
        key, candidates = self._related(interval)
        found: tuple[Any, Any] | None = self._pairs.get(f"{key} {t}")
        return found or candidates[0].at(t, None, None)[:2]

    def _straight(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Blend the carried frames of the first candidate linearly in time."""

        def blended(t: float) -> np.ndarray:
            first, last = self._pair(interval, t)
            return self.arrays.get((1 - t) * first + t * last)

        self._related(interval)
        with stage("carry"), ThreadPoolExecutor(min(threads(), 2)) as pool:
            frames = list(pool.map(blended, map(float, fractions)))
        return unify_poles(np.stack(frames), interval.on)

    def _related(self, interval: Interval) -> tuple[str, list[Candidate]]:
        """Return the key of an interval and its candidates; the latest two intervals are cached."""
        key = self._latest.key(interval.before, interval.after, repr(interval.on))
        found: list[Candidate] | None = self._latest.get(key)
        if found is None:
            found = [
                candidate(interval.before, interval.after, interval.on, self.arrays)
                for candidate in self.candidates
            ]
            self._latest.keep(key, found)
        return key, found

    def _bent(self, carried: Carried, t: float) -> Any:
        """Evaluate the curve through two carried frames; the residuals give the frames beyond them."""
        xp = self.arrays.xp
        middle = carried.after - carried.before
        # the frames beyond are >= 0
        first = xp.minimum(middle + 2 * carried.residual_before, carried.before)
        last = xp.maximum(middle - 2 * carried.residual_after, -carried.after)
        return curve((first, middle, last), carried.before, t, xp=xp)

    def _check(
        self,
        earlier: np.ndarray | None,
        hidden: np.ndarray,
        later: np.ndarray | None,
        grid: Grid,
    ) -> Check | None:
        """Reconstruct a frame from its neighbours and compare; ``None`` if a neighbour is unknown."""
        if earlier is None or later is None:
            return None
        # the check at the end of an interval is the one at the start of the next
        key = self._recent.key(earlier, hidden, later, repr(grid))
        found: Check | None = self._recent.get(key)
        if found is None:
            found = self._checked(earlier, hidden, later, grid)
            self._recent.keep(key, found)
        return found

    def _checked(
        self, earlier: np.ndarray, hidden: np.ndarray, later: np.ndarray, grid: Grid
    ) -> Check:
        truth = self.arrays.put(hidden)
        nothing = self.arrays.put(np.zeros_like(hidden))
        residuals, trust = [], []
        for candidate in self.candidates:
            carried = candidate(earlier, later, grid, self.arrays).at(
                0.5, nothing, nothing
            )
            residual = truth - (carried.before + carried.after) / 2
            error = self._smoothed(abs(residual), grid)
            residuals.append(residual)
            trust.append(1 / (error + _SMALLEST) ** 2)
        total = sum(trust)
        return Check(residuals, [each / total for each in trust])

    def _smoothed(self, error: Any, grid: Grid) -> Any:
        rows, columns = min(_ROUND, grid.rows - 1), min(_ROUND, grid.columns - 1)
        wide = self.arrays.rearrange(pad, error, grid, rows, columns)
        smooth = smoothed(self.arrays.contiguous(wide), self.arrays)
        return smooth[rows : rows + grid.rows, columns : columns + grid.columns]

    def settings(self) -> dict[str, Any]:
        """Return the method's name, its candidates, and the settings of flow."""
        names = [candidate.__name__ for candidate in self.candidates]
        return {
            **flow.Flow(self.arrays).settings(),
            "name": self.name,
            "candidates": names,
        }
