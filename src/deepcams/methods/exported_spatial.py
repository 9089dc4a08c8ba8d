"""An exported network as a method in space; it needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.methods.engines import open_engine
from deepcams.methods.tiled_spatial import TiledSpatial
from deepcams.networks.exported import ExportedCheckpoint


class ExportedSpatial(TiledSpatial):
    """A trained spatial network that an engine runs on the CPU, in float32.

    Args:
        checkpoint: from :func:`deepcams.networks.exported.load_exported`.
        engine: in :data:`deepcams.methods.engines.ENGINES`.

    Raises:
        InputError: the engine cannot run the network.
        MissingExtraError: it is not installed.
    """

    def __init__(self, checkpoint: ExportedCheckpoint, engine: str) -> None:
        about = checkpoint.about
        super().__init__(about.size_rule, about.tiling)
        self.checkpoint = checkpoint
        self.name = checkpoint.card.network
        self.factor = int(checkpoint.card.factor or 1)
        self.clip_above = about.clip_above
        self._engine_name = engine
        self._open()

    def _open(self) -> None:
        path, graph = self.checkpoint.path, self.checkpoint.graph
        self._engine = open_engine(self._engine_name, graph, path)

    def __getstate__(self) -> dict[str, Any]:
        """Give another process the graph; it opens an engine of its own."""
        return {**vars(self), "_engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def working_bytes(self, rows: int, columns: int) -> int:
        """Return the memory that one tile needs, as the card says."""
        return self.checkpoint.about.bytes_per_pixel * rows * columns

    def refine_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Refine tiles; see :meth:`TiledSpatial.refine_tiles`."""
        return self._engine.run(np.ascontiguousarray(tiles, np.float32)[:, None])[:, 0]

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's hash, the engine, its version and precision, and the halo."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": "cpu",
            "precision": "float32",
            "engine": f"{self._engine_name} {self._engine.version}",
            "halo": self.halo,
        }
