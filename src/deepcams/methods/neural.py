"""What a trained network needs to work as a method, in time or in space."""

from __future__ import annotations

from typing import Any

from deepcams.methods.device import Precision, choose_device, working
from deepcams.networks.checkpoint import Checkpoint


class Neural:
    """A network on its device.

    Args:
        checkpoint: a loaded checkpoint.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.

    Raises:
        InputError: no such device or precision.
    """

    name: str
    clips: float | None

    def __init__(self, checkpoint: Checkpoint, device: str, precision: Precision) -> None:
        self.checkpoint, self.precision = checkpoint, precision
        self.device = choose_device(device)
        working(
            self.device, precision
        )  # refuses an unknown precision now, not in the middle of the work
        self.network: Any = checkpoint.network.to(self.device).eval()
        self.name = checkpoint.card.network
        self.clips = checkpoint.scaling.clips

    def settings(self) -> dict[str, Any]:
        """The checkpoint's hash and how it is run."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": self.device.type,
            "precision": self.precision,
        }
