"""Exported networks as methods, run by an engine on the CPU in float32, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.methods.engines import open_engine
from deepcams.methods.spatial.tiled_spatial import TiledSpatial
from deepcams.networks.onnx_file import ExportedCheckpoint


class Exported:
    """An exported network that an engine runs on the CPU, in float32.

    Args:
        checkpoint: from :func:`deepcams.networks.onnx_file.load_exported`.
        engine: name in :data:`deepcams.methods.engines.ENGINES`.

    Raises:
        InputError: the engine cannot run the network.
        MissingExtraError: the engine is not installed.
    """

    name: str
    clip_above: float | None
    halo: int

    def __init__(self, checkpoint: ExportedCheckpoint, engine: str) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.card.network
        self.clip_above = checkpoint.about.clip_above
        self._engine_name = engine
        self._open()

    def _open(self) -> None:
        path, graph = self.checkpoint.path, self.checkpoint.graph
        self._engine = open_engine(self._engine_name, graph, path)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the engine; the graph is loaded again when unpickled."""
        return {**vars(self), "_engine": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

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


class ExportedSpatial(Exported, TiledSpatial):
    """An exported spatial network as a spatial method."""

    def __init__(self, checkpoint: ExportedCheckpoint, engine: str) -> None:
        about = checkpoint.about
        TiledSpatial.__init__(self, about.size_rule, about.tiling)
        Exported.__init__(self, checkpoint, engine)
        self.factor = int(checkpoint.card.factor or 1)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Return the memory that one tile needs according to the card, bytes."""
        return self.checkpoint.about.bytes_per_pixel * rows * columns

    def refine_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Refine tiles; see :meth:`TiledSpatial.refine_tiles`."""
        return self._engine.run(np.ascontiguousarray(tiles, np.float32)[:, None])[:, 0]


class ExportedJoint(Exported):
    """An exported joint network; see :class:`deepcams.methods.joint.estimates.Runner`."""

    def __init__(self, checkpoint: ExportedCheckpoint, engine: str) -> None:
        super().__init__(checkpoint, engine)
        self.context = tuple(checkpoint.card.options["context"].split())
        self.halo = checkpoint.about.halo

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Run the network; see :meth:`deepcams.methods.joint.estimates.Runner.run`."""
        return self._engine.run(np.ascontiguousarray(planes, np.float32))
