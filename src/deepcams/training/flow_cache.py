"""What a network's training-free start makes of whole frames, computed once and kept beside the training.

Flow on each crop costs more than a training step on a CPU. Where a store has few hours, as with a handful of real ones,
each pair of frames is drawn thousands of times: then its flow is better sought once, on the whole frame (as
``downscale`` does), and kept on the disk.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.grid import cells_from_nodes, nodes_from_cells
from deepcams.files.atomic import os_errors_explained, write_atomically
from deepcams.methods.flow import initial_estimates
from deepcams.training.split import Resolution
from deepcams.training.store.open_store import Prepared, fingerprint

_LARGEST_ROOT = 65504.0
"""Of float16: square roots of up to 4e9 ug m-3 fit."""


class WholeGuides:
    """Guides of whole frames in a folder, each made when it is first asked for.

    Args:
        folder: where they are kept: 4 MB for an hour of the fine globe between two frames.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[Path, np.ndarray] = {}
        self._fingerprints: dict[int, tuple[Prepared, str]] = {}

    def read(
        self,
        store: Prepared,
        hour: int,
        span: int,
        inner: int,
        resolution: Resolution,
        row: int,
        column: int,
        size: int,
    ) -> np.ndarray:
        """The guide's crop of ``size`` x ``size`` pixels from the coarse cell (row, column) on.

        Args:
            store: where the frames are.
            hour: number of the frame before.
            span: hours to the frame after.
            inner: hours to the wanted time.
            resolution: coarse or fine (cell-like).

        Returns:
            (2, size, size), float32, ug m-3; columns go on round a periodic grid.
        """
        whole = self._whole(store, hour, span, resolution)[inner - 1]
        factor = 3 if resolution == "fine" else 1
        rows = factor * row + np.arange(size)
        columns = (factor * column + np.arange(size)) % whole.shape[-1]
        roots = np.asarray(whole[:, rows[0] : rows[-1] + 1][..., columns], np.float32)
        return np.square(roots)

    def _whole(self, store: Prepared, hour: int, span: int, resolution: Resolution) -> np.ndarray:
        """(span - 1, 2, rows, columns): square roots, float16, mapped from the disk."""
        if (
            id(store) not in self._fingerprints
        ):  # with the store, whose number no other one has while it lives
            self._fingerprints[id(store)] = store, fingerprint(store)
        values = self._fingerprints[id(store)][
            1
        ]  # a store that was prepared again has other frames at its path
        key = f"{store.path.resolve()} {values} {store.times[hour]} {span} {resolution}"
        name = hashlib.sha256(key.encode()).hexdigest()
        path = self.folder / f"{name[:24]}.npy"
        if path not in self._open:
            if not path.exists():
                self._make(store, hour, span, resolution, path)
            self._open[path] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._open[path]

    def _make(
        self, store: Prepared, hour: int, span: int, resolution: Resolution, path: Path
    ) -> None:
        coarse = store.coarse
        before, after = (
            store.read(k, 0, 0, coarse.rows, coarse.columns, resolution)
            for k in (hour, hour + span)
        )
        fractions = [k / span for k in range(1, span)]
        if resolution == "fine":
            before, after = nodes_from_cells(before, coarse), nodes_from_cells(after, coarse)
            carried = cells_from_nodes(
                initial_estimates(before, after, fractions, coarse.refine()), coarse
            )
        else:
            carried = initial_estimates(before, after, fractions, coarse)
        roots = np.sqrt(carried)
        if not roots.max() <= _LARGEST_ROOT:
            raise InputError(
                store.path, "values that float16 roots can hold", f"{carried.max():.3g} ug m-3"
            )
        buffer = io.BytesIO()
        np.save(buffer, roots.astype(np.float16), allow_pickle=False)
        with os_errors_explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, buffer.getvalue())
