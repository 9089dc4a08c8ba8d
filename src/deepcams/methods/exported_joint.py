"""An exported network in space and time; it needs no torch (see :class:`deepcams.methods.joint.Runner`)."""

from __future__ import annotations

import numpy as np

from deepcams.methods.exported import Exported
from deepcams.networks.exported import ExportedCheckpoint


class ExportedJoint(Exported):
    """A trained network in space and time that an engine runs on the CPU, in float32.

    Args:
        checkpoint: from :func:`deepcams.networks.exported.load_exported`.
        engine: in :data:`deepcams.methods.engines.ENGINES`.
    """

    def __init__(self, checkpoint: ExportedCheckpoint, engine: str) -> None:
        super().__init__(checkpoint, engine)
        self.context = tuple(checkpoint.card.options["context"].split())
        self.halo = checkpoint.about.halo

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Run the network; see :meth:`deepcams.methods.joint.Runner.run`."""
        return self._engine.run(np.ascontiguousarray(planes, np.float32))
