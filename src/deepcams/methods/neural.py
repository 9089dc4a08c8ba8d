"""A trained network as a method: what those in time and in space share."""

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
    clip_above: float | None

    def __init__(
        self, checkpoint: Checkpoint, device: str, precision: Precision
    ) -> None:
        self.checkpoint = checkpoint
        self.precision = precision
        self.device = choose_device(device)
        working(
            self.device, precision
        )  # refuse an unknown precision now, not in the middle of the work
        self.network: Any = checkpoint.network.to(self.device).eval()
        self.name = checkpoint.card.network
        self.clip_above = checkpoint.scaling.clip_above

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's hash, device and precision."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": self.device.type,
            "precision": self.precision,
        }
