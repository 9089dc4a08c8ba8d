"""Cache of the flow's initial estimates and motions on whole frames, in the folder of a training.

Flow on each crop costs more than a training step on a CPU. Where a store has few hours, as with a handful of real ones,
each pair of frames is drawn thousands of times: then its flow is computed once, on the whole frame (as ``downscale``
does), and cached on disk.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from deepcams.core.grid import cells_from_nodes, nodes_from_cells
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.files.records import fingerprint
from deepcams.methods.flow import initial_estimates, motion_of
from deepcams.methods.motion import SETTINGS
from deepcams.training.split import FACTORS
from deepcams.training.store.open import Prepared

if TYPE_CHECKING:
    from deepcams.training.samples import Draw

Kind = Literal["carried", "motion"]


class FlowCache:
    """Initial estimates and motions of whole frames in a folder, each made when it is first asked for.

    Args:
        folder: where they are: 4 MB for an hour of the fine globe between two frames.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, store: Prepared, draw: Draw, size: int) -> np.ndarray:
        """Return the initial estimate of a sample.

        Args:
            store: where the frames are.
            draw: what the sample is made of.
            size: edge of its crop, in pixels.

        Returns:
            (2, size, size), float32, ug m-3; columns continue round a periodic grid.
        """
        whole = self._whole(store, draw, "carried")[draw.inner - 1]
        return np.square(_cut(whole, draw, size))

    def motion(self, store: Prepared, draw: Draw, size: int) -> np.ndarray:
        """Return the motion of a sample, (2, size, size), float32, pixels; see :meth:`read`."""
        return _cut(self._whole(store, draw, "motion"), draw, size)

    def _whole(self, store: Prepared, draw: Draw, kind: Kind) -> np.ndarray:
        """Return a whole frame's, float16, mapped from the disk.

        "carried" are square roots, (span - 1, 2, rows, columns); "motion" is (2, rows, columns).
        """
        time = store.times[draw.hour]
        what = (store.fingerprint, time, draw.span, draw.resolution)
        key = fingerprint(*what, SETTINGS)
        path = self.folder / f"{key}-{kind}.npy"
        if not path.exists():
            self._make(store, draw, kind, path)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

    def _make(self, store: Prepared, draw: Draw, kind: Kind, path: Path) -> None:
        grid, fine = store.coarse, draw.resolution == "fine"
        hours = (draw.hour, draw.hour + draw.span)
        before, after = (
            store.read(k, 0, 0, *grid.shape, draw.resolution) for k in hours
        )
        if fine:
            before, after = (nodes_from_cells(one, grid) for one in (before, after))
            grid = grid.refine()
        if kind == "motion":
            found = motion_of(before, after, grid)
        else:
            fractions = [k / draw.span for k in range(1, draw.span)]
            found = np.sqrt(initial_estimates(before, after, fractions, grid))
        if fine:
            found = cells_from_nodes(found, store.coarse)
        buffer = io.BytesIO()
        # Roots of up to 4e9 fit into float16, and no prepared hour has more than 1e5 ug m-3.
        np.save(buffer, found.astype(np.float16), allow_pickle=False)
        with os_errors_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())


def _cut(whole: np.ndarray, draw: Draw, size: int) -> np.ndarray:
    """Return the sample's part of a whole frame, float32; columns continue round a periodic grid."""
    factor = FACTORS[draw.resolution]
    row = factor * draw.row
    columns = (factor * draw.column + np.arange(size)) % whole.shape[-1]
    return np.asarray(whole[:, row : row + size][..., columns], np.float32)
