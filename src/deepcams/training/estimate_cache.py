"""Cache of what networks in space and time correct: a chain's hours of whole frames, in the folder of a training."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from deepcams.core.field import field_like
from deepcams.core.grid import cells_from_nodes
from deepcams.core.times import HOUR
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.files.records import fingerprint
from deepcams.methods.chains import build
from deepcams.methods.context import context_planes
from deepcams.methods.joint import Estimates
from deepcams.training.store.open import Prepared

if TYPE_CHECKING:
    from deepcams.training.samples import Draw


@lru_cache(maxsize=1)
def _estimates(method: str) -> Estimates:
    return Estimates(build("self-checked", method))


class EstimateCache:
    """Estimates of whole frames in a folder, each interval's made when it is first asked for.

    Args:
        folder: where they are: 6 MB for an hour of the fine globe.
        method: in space, as of ``downscale --spatial``.
        context: names of the context that the network sees.
    """

    def __init__(self, folder: Path, method: str, context: tuple[str, ...]) -> None:
        self.folder, self.method, self.context = folder, method, context

    def read(self, store: Prepared, draw: Draw) -> np.ndarray:
        """Return the planes of a sample, ug m-3; see :meth:`deepcams.networks.JointNetwork.refine`.

        Returns:
            (planes, 3 cells, 3 cells), float32; columns continue round a periodic grid.
        """
        t = draw.inner / draw.span
        hour = store.times[draw.hour] + draw.inner * HOUR
        rows = slice(3 * draw.row, 3 * (draw.row + draw.cells))
        whole = self._whole(store, draw)[draw.inner]
        columns = np.arange(3 * draw.column, 3 * (draw.column + draw.cells))
        columns %= whole.shape[-1]
        estimates = np.asarray(whole[:, rows][..., columns], np.float32) ** 2
        if draw.alone:
            estimates[1:] = estimates[0]
        context = cells_from_nodes(
            context_planes(self.context, store.fine, hour), store.coarse
        )
        between = np.full((1, *estimates.shape[1:]), 4 * t * (1 - t), np.float32)
        return np.concatenate([estimates, between, context[:, rows][..., columns]])

    def _whole(self, store: Prepared, draw: Draw) -> np.ndarray:
        """Return (hours, 3, rows, columns), cell-like: square roots, float16, mapped from the disk."""
        known = [draw.hour + k * draw.span for k in draw.around]
        what = (store.fingerprint, store.times[known], draw.hour)
        key = fingerprint(*what, repr(_estimates(self.method).chain.settings()))
        path = self.folder / f"{key}.npy"
        if not path.exists():
            self._make(store, draw, known, path)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

    def _make(self, store: Prepared, draw: Draw, known: list[int], path: Path) -> None:
        count = draw.span if 1 in draw.around else 1
        hours = store.times[draw.hour] + np.arange(count) * HOUR
        frames = np.stack([store.frame(k, "coarse") for k in known])
        like = xr.DataArray(0.0, name=store.variable, attrs={"units": "ug m-3"})
        field = field_like(like, frames, store.coarse, store.times[known])
        made = _estimates(self.method).at(field, hours)
        cells = cells_from_nodes(made, store.coarse)
        buffer = io.BytesIO()
        # Roots of up to 4e9 fit into float16, and no prepared hour has more than 1e5 ug m-3.
        np.save(buffer, np.sqrt(cells).astype(np.float16), allow_pickle=False)
        with os_errors_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())
