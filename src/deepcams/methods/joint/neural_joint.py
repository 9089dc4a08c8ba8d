"""A joint network run by PyTorch; see :class:`deepcams.methods.joint.estimates.Runner`."""

from __future__ import annotations

import numpy as np
import torch

from deepcams.methods.device import Precision, working
from deepcams.methods.neural import Neural
from deepcams.networks.checkpoint import Checkpoint
from deepcams.networks.scaling import Scaling


class NeuralJoint(Neural):
    """A trained joint network, in space and time.

    Args:
        checkpoint: a loaded checkpoint of kind "joint".
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        super().__init__(checkpoint, device, precision)
        self.context = self.network.context
        self.halo = self.network.receptive_field

    def run(self, planes: np.ndarray) -> np.ndarray:
        """Run the network; see :meth:`deepcams.methods.joint.estimates.Runner.run`."""
        scaling = self.checkpoint.scaling
        values = torch.from_numpy(np.ascontiguousarray(planes)).to(self.device)
        with torch.inference_mode(), working(self.device, self.precision):
            fine = self.network.refine(scaled_planes(values, scaling))
        return scaling.inverse(fine.float()).cpu().numpy()


def scaled_planes(planes: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    """Scale the first three planes, the concentrations; (B, P, H, W)."""
    return torch.cat([scaling.forward(planes[:, :3]), planes[:, 3:]], dim=1)
