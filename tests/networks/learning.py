"""Learning one sample by heart: whether a network's loss leads its weights anywhere."""

from __future__ import annotations

from typing import Any

import torch

from deepcams.networks.base import Network


def learned(network: Network, sample: Any, *, steps: int, rate: float) -> float:
    """What is left of the first step's loss, as a share, at the last step."""
    network.train()
    score: Any = network  # its kind's loss takes its kind's sample
    optimizer = torch.optim.Adam(network.parameters(), rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = score.loss(sample)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(losses[-1] / losses[0])
