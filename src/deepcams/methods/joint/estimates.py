"""A joint network as a downscaler: it corrects, hour by hour, the result of a chain of other methods."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import xarray as xr

from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid, nodes_from_cells, pad, place, unify_poles
from deepcams.core.stages import staged
from deepcams.methods.base import (
    Chain,
    SpatialDownscaler,
    _Method,
    fill_missing,
    hours_between,
)
from deepcams.methods.fit_memory import checked_finite, first_that_fits
from deepcams.methods.interval import Interval
from deepcams.methods.joint.input_planes import Auxiliary, context_planes
from deepcams.methods.spatial.conserve import conserve
from deepcams.methods.temporal.self_checked import SelfChecked


class Estimates:
    """Makes the fine hourly frames that a joint network corrects.

    Args:
        chain: a spatial method, then ``self-checked``.
    """

    def __init__(self, chain: Chain) -> None:
        space, time = chain.parts
        assert isinstance(space, SpatialDownscaler)
        assert isinstance(time, SelfChecked)
        self.chain, self.space, self.time = chain, space, time

    def at(self, field: xr.DataArray, hours: np.ndarray) -> np.ndarray:
        """Return the estimates for hours from one frame (included) to the next (excluded).

        Args:
            field: coarse frames around the hours, complete.
            hours: increasing.

        Returns:
            (hours, 3, rows, columns) on the fine grid, ug m-3: the chain's result, and the frames before and after,
            carried to the hour (the chain's result again if no frame is within reach). NaN for hours without a result.
        """
        times = field.time.values
        made = self.chain.downscale(field, hours).values
        found = np.repeat(made[:, None], 3, axis=1)
        for hour, planes in zip(hours, found, strict=True):
            at = int(np.searchsorted(times, hour))
            if at < times.size and times[at] == hour:
                before = self._carried(field, at - 1, 1.0)
                after = self._carried(field, at, 0.0)
            elif 0 < at < times.size:
                fraction = float((hour - times[at - 1]) / (times[at] - times[at - 1]))
                before = after = self._carried(field, at - 1, fraction)
            else:
                continue
            if before is not None:
                planes[1] = before[0]
            if after is not None:
                planes[2] = after[1]
        return found

    def _carried(
        self, field: xr.DataArray, first: int, t: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a fine frame and the next, carried to t between them; None if one is missing or the gap too long."""
        pair = field.isel(time=slice(max(first, 0), first + 2))
        if first < 0 or pair.sizes["time"] < 2:
            return None
        step = pair.time.values[1] - pair.time.values[0]
        if step > self.time.max_gap:
            return None
        fine = self.chain.refined(self.space, pair)
        before, after = fine.values
        interval = Interval.on_grid(before, after, grid_of(fine), step=step)
        return self.time.carried(interval, t)


class Runner(Protocol):
    """Interface of the engines that run a joint network.

    Attributes:
        name, clip_above: as in :class:`deepcams.methods.base.Downscaler`.
        context: names of the planes after the first four.
        halo: radius of the receptive field, coarse pixels.
    """

    name: str
    clip_above: float | None
    context: tuple[str, ...]
    halo: int

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Map (1, P, H, W) to (1, 1, H, W), ug m-3; see :meth:`deepcams.networks.JointNetwork.refine`."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return all settings that affect the result."""
        ...


class Joint(_Method):
    """A joint network that corrects the hours of a chain.

    At an analysis each coarse cell keeps its mean (relative error <= 1e-6); between analyses it may change.

    Args:
        runner: runs the network.
        estimates: makes the frames to correct.
        auxiliary: weather files, for a network that uses them.
    """

    hourly = True
    reach = 1

    def __init__(
        self, runner: Runner, estimates: Estimates, auxiliary: Auxiliary | None = None
    ) -> None:
        self.runner, self.estimates, self.auxiliary = runner, estimates, auxiliary
        self.name = runner.name
        self.clip_above = runner.clip_above
        self.factor = estimates.chain.factor
        self.halo = estimates.chain.halo + runner.halo

    def downscale(
        self, field: xr.DataArray, hours: np.ndarray | None = None
    ) -> xr.DataArray:
        """Return the hourly fine field; see :meth:`deepcams.methods.base.Downscaler.downscale`."""
        coarse = grid_of(field)
        every = hours_between(field.time.values)
        wanted = every if hours is None else hours
        fine = np.full((wanted.size, *coarse.refine(self.factor).shape), np.nan)
        fine = fine.astype(np.float32)
        raw = np.asarray(field.data)
        present = ~np.isnan(raw).all(axis=(1, 2))
        times = field.time.values[present]
        values, missing = fill_missing(raw[present], coarse)
        whole = field_like(field, values, coarse, times)
        begin = np.searchsorted(times, wanted, side="right") - 1
        for i in np.unique(begin[begin >= 0]):
            some = np.flatnonzero(begin == i)
            around = slice(max(i - 1, 0), i + 3)
            made = self.estimates.at(whole.isel(time=around), wanted[some])
            for k, planes in zip(some, made, strict=True):
                if np.isnan(planes).any():
                    continue
                ends = i if wanted[k] == times[i] else i + 1
                step = times[ends] - times[i]
                t = (wanted[k] - times[i]) / step if step else 0.0
                fine[k] = self._corrected(planes, float(t), wanted[k], coarse)
                if ends == i:
                    conserve(fine[k : k + 1], values[i : i + 1], coarse, self.factor, 0)
                if missing is not None:
                    gone = missing[i] | missing[ends]
                    fine[k][place(gone, coarse, self.factor)] = np.nan
        return field_like(field, fine, coarse.refine(self.factor), wanted)

    def check_input(self, field: xr.DataArray) -> None:
        """Raise InputError if the auxiliary files do not cover a field."""
        if self.auxiliary is not None:
            self.auxiliary.check_input(field)

    @staged("network")
    def _corrected(
        self, estimates: np.ndarray, t: float, hour: np.datetime64, coarse: Grid
    ) -> np.ndarray:
        """Correct one hour, (3, rows, columns) -> (rows, columns), on the fine grid."""
        grid = coarse.refine(self.factor)
        between = np.full((1, *grid.shape), 4 * t * (1 - t), np.float32)
        context = context_planes(self.runner.context, grid, hour, self.auxiliary)
        nodes = np.concatenate([estimates, between, context])
        margin = self.factor * self.runner.halo
        planes = surrounded(nodes, coarse, self.factor, margin)
        height = self.factor * coarse.rows

        def bands(rows: int) -> np.ndarray:
            """Process the frame in bands of ``rows`` cell-like rows, each with its receptive field around it."""
            made = [
                self.runner.run(planes[None, :, first : first + rows + 2 * margin])
                for first in range(0, height, rows)
            ]
            inside = slice(margin, -margin or None)
            return np.concatenate([each[0, 0, inside, inside] for each in made])

        sizes = [height]
        while sizes[-1] > 64 * self.factor:
            sizes.append(-(-sizes[-1] // 2 // self.factor) * self.factor)
        cells, _ = first_that_fits(bands, sizes, "rows at once:")
        fine = nodes_from_cells(cells, coarse, self.factor)
        fine = checked_finite(np.maximum(fine, 0)[None], self.name)[0]
        return unify_poles(fine, grid)

    def settings(self) -> dict[str, Any]:
        """Return the settings of the network and of the chain that it corrects."""
        found = {**self.runner.settings(), "estimate": self.estimates.chain.settings()}
        if self.auxiliary is not None:
            found["auxiliary"] = self.auxiliary.settings()
        return found


def surrounded(nodes: np.ndarray, coarse: Grid, factor: int, margin: int) -> np.ndarray:
    """Arrange fine nodes as the network's input: cell-like, with a margin taken from the globe around them.

    Args:
        nodes: (.., *coarse.refine(factor).shape).
        coarse: grid of the cells.
        factor: fine nodes per cell edge.
        margin: fine nodes to add on each side, a multiple of the factor.

    Returns:
        (.., factor coarse.rows + 2 margin, factor coarse.columns + 2 margin).
    """
    half = factor // 2
    grid = coarse.refine(factor)
    wide = pad(nodes, grid, margin + half, margin + half)
    # a cell at a pole, or the first one of the globe, begins before the first node
    top = 0 if coarse.north == 0 else half
    left = 0 if coarse.periodic else half
    rows = factor * coarse.rows + 2 * margin
    columns = factor * coarse.columns + 2 * margin
    return np.ascontiguousarray(
        wide[..., top : top + rows, left : left + columns], np.float32
    )
