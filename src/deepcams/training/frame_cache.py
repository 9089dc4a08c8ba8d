"""Disk caches, in the run folder of a training, of network inputs computed on whole frames.

Computing the flow of a crop costs more than a training step on a CPU. If a store has few hours, each pair of frames is
drawn thousands of times; then flow is computed once, on the whole frame (as in ``downscale``), and cached on disk.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from deepcams.core.field import field_like
from deepcams.core.grid import cells_from_nodes, nodes_from_cells
from deepcams.core.times import HOUR
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.files.records import fingerprint
from deepcams.methods.chains import build
from deepcams.methods.joint.estimates import Estimates
from deepcams.methods.joint.input_planes import context_planes
from deepcams.methods.temporal.flow import initial_estimates, motion_of
from deepcams.methods.temporal.motion import SETTINGS
from deepcams.training.split import FACTORS
from deepcams.training.store.open import Prepared

if TYPE_CHECKING:
    from deepcams.training.samples import Draw

Kind = Literal["carried", "motion"]


class FrameCache:
    """Cached arrays of whole frames, float16, each computed on first request.

    Args:
        folder: cache folder; created with the first array.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array as a memory map. Its values must be at most 65,504."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            buffer = io.BytesIO()
            np.save(buffer, make().astype(np.float16), allow_pickle=False)
            with os_errors_explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, buffer.getvalue())
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


class FlowCache(FrameCache):
    """Initial estimates and motions of optical flow: 4 MB per global fine hour between two frames."""

    def read(self, store: Prepared, draw: Draw, size: int) -> np.ndarray:
        """Return the initial estimate of a sample.

        Args:
            store: store with the frames.
            draw: random choices of the sample.
            size: edge of its crop, pixels.

        Returns:
            (2, size, size), float32, ug m-3; columns wrap around a periodic grid.
        """
        whole = self._whole(store, draw, "carried")[draw.inner - 1]
        return np.square(_cut(whole, draw, FACTORS[draw.resolution], size))

    def motion(self, store: Prepared, draw: Draw, size: int) -> np.ndarray:
        """Return the motion of a sample, (2, size, size), float32, pixels; see :meth:`read`."""
        whole = self._whole(store, draw, "motion")
        return _cut(whole, draw, FACTORS[draw.resolution], size)

    def _whole(self, store: Prepared, draw: Draw, kind: Kind) -> np.ndarray:
        """Return a whole frame: "carried" (span - 1, 2, rows, columns), square roots; "motion" (2, rows, columns)."""
        time = store.times[draw.hour]
        what = (store.fingerprint, time, draw.span, draw.resolution)
        name = f"{fingerprint(*what, SETTINGS)}-{kind}"
        return self.get(name, lambda: _flow(store, draw, kind))


class EstimateCache(FrameCache):
    """Results of a chain that joint networks correct: 6 MB per global fine hour.

    Args:
        folder: cache folder.
        method: spatial method, as in ``downscale --spatial``.
        context: names of the network's context planes.
    """

    def __init__(self, folder: Path, method: str, context: tuple[str, ...]) -> None:
        super().__init__(folder)
        self.method, self.context = method, context

    def read(self, store: Prepared, draw: Draw) -> np.ndarray:
        """Return the planes of a sample, ug m-3; see :meth:`deepcams.networks.JointNetwork.refine`.

        Returns:
            (planes, 3 cells, 3 cells), float32; columns wrap around a periodic grid.
        """
        t = draw.inner / draw.span
        hour = store.times[draw.hour] + draw.inner * HOUR
        size = 3 * draw.cells
        estimates = _cut(self._whole(store, draw)[draw.inner], draw, 3, size) ** 2
        if draw.alone:
            estimates[1:] = estimates[0]
        context = cells_from_nodes(
            context_planes(self.context, store.fine, hour), store.coarse
        )
        between = np.full((1, size, size), 4 * t * (1 - t), np.float32)
        return np.concatenate([estimates, between, _cut(context, draw, 3, size)])

    def _whole(self, store: Prepared, draw: Draw) -> np.ndarray:
        """Return square roots, (hours, 3, rows, columns), cell-like."""
        known = [draw.hour + k * draw.span for k in draw.around]
        what = (store.fingerprint, store.times[known], draw.hour)
        estimates = _estimates(self.method)
        name = fingerprint(*what, repr(estimates.chain.settings()))
        return self.get(name, lambda: _hours(store, draw, known, estimates))


@lru_cache(maxsize=1)
def _estimates(method: str) -> Estimates:
    return Estimates(build("self-checked", method))


# Square roots of values up to 4e9 fit into float16, and prepared hours have at most 1e5 ug m-3.


def _flow(store: Prepared, draw: Draw, kind: Kind) -> np.ndarray:
    grid, fine = store.coarse, draw.resolution == "fine"
    hours = (draw.hour, draw.hour + draw.span)
    before, after = (store.read(k, 0, 0, *grid.shape, draw.resolution) for k in hours)
    if fine:
        before, after = (nodes_from_cells(one, grid) for one in (before, after))
        grid = grid.refine()
    if kind == "motion":
        found = motion_of(before, after, grid)
    else:
        fractions = [k / draw.span for k in range(1, draw.span)]
        found = np.sqrt(initial_estimates(before, after, fractions, grid))
    return cells_from_nodes(found, store.coarse) if fine else found


def _hours(
    store: Prepared, draw: Draw, known: list[int], estimates: Estimates
) -> np.ndarray:
    count = draw.span if 1 in draw.around else 1
    hours = store.times[draw.hour] + np.arange(count) * HOUR
    frames = np.stack([store.frame(k, "coarse") for k in known])
    like = xr.DataArray(0.0, name=store.variable, attrs={"units": "ug m-3"})
    field = field_like(like, frames, store.coarse, store.times[known])
    return np.sqrt(cells_from_nodes(estimates.at(field, hours), store.coarse))


def _cut(whole: np.ndarray, draw: Draw, factor: int, size: int) -> np.ndarray:
    """Return the sample's part of a whole frame, float32; columns wrap around a periodic grid."""
    row = factor * draw.row
    columns = (factor * draw.column + np.arange(size)) % whole.shape[-1]
    return np.asarray(whole[:, row : row + size][..., columns], np.float32)
