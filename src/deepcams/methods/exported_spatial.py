"""An exported network as a method in space; it needs no torch."""

from __future__ import annotations

import numpy as np

from deepcams.methods.exported import Exported
from deepcams.methods.tiled_spatial import TiledSpatial
from deepcams.networks.exported import ExportedCheckpoint


class ExportedSpatial(Exported, TiledSpatial):
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
        TiledSpatial.__init__(self, about.size_rule, about.tiling)
        Exported.__init__(self, checkpoint, engine)
        self.factor = int(checkpoint.card.factor or 1)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Return the memory that one tile needs, as the card says."""
        return self.checkpoint.about.bytes_per_pixel * rows * columns

    def refine_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Refine tiles; see :meth:`TiledSpatial.refine_tiles`."""
        return self._engine.run(np.ascontiguousarray(tiles, np.float32)[:, None])[:, 0]
