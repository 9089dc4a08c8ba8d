"""Base of trained networks used as methods."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch

from deepcams.methods.device import Precision, choose_device, working
from deepcams.methods.engines import TORCH
from deepcams.networks.checkpoint import Checkpoint


class Neural:
    """A network on its device.

    Args:
        checkpoint: a loaded checkpoint.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.

    Raises:
        InputError: the device or precision is unknown or not available.
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
        )  # raise for an unknown precision before the work
        network = checkpoint.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Any = network.eval()
        self.name = checkpoint.card.network
        self.clip_above = checkpoint.scaling.clip_above

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the network on the CPU; the process that loads it moves it to its own device."""
        network = self.network
        if self.device.type != "cpu":
            network = copy.deepcopy(network).cpu()
        checkpoint = replace(self.checkpoint, network=network)
        return {**vars(self), "checkpoint": checkpoint, "network": network}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.device = choose_device(self.device.type)
        self.network.to(self.device)

    def settings(self) -> dict[str, Any]:
        """Return the checkpoint's hash, device, precision and engine."""
        return {
            "name": self.name,
            "sha256": self.checkpoint.sha256,
            "device": self.device.type,
            "precision": self.precision,
            "engine": f"{TORCH} {version(TORCH)}",
        }
