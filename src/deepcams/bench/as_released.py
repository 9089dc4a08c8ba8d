"""The chain at the cost that its published form has, to measure what has been gained.

First XVFI, one pass for each time, then ABPN in twelve tiles of 120 x 120 a global frame, with attention that makes its
whole matrix; both in the released sizes. The weights are random: the cost does not depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from deepcams.methods.base import Chain
from deepcams.methods.interval import Interval
from deepcams.methods.spatial.neural_spatial import NeuralSpatial
from deepcams.methods.temporal.neural_temporal import NeuralTemporal
from deepcams.networks.abpn import ABPN, ABPNOptions
from deepcams.networks.base import Network
from deepcams.networks.checkpoint import Card, Checkpoint
from deepcams.networks.scaling import LinearClip
from deepcams.networks.sizes import SizeRule
from deepcams.networks.xvfi import XVFI, XVFIOptions

_TILE = 120


class _TiledABPN(ABPN):
    """ABPN in tiles of one size, never as a whole."""

    sliding_window = False
    presets: ClassVar[Mapping[str, ABPNOptions]] = {}

    @property
    def size_rule(self) -> SizeRule:
        """Return the one size of its tiles, as the smallest one."""
        return SizeRule(minimum=self.options.tile)


class _OneTimeAPass(NeuralTemporal):
    """A network in time that is given one time after the other."""

    def between(self, interval: Interval, fractions: Sequence[float]) -> np.ndarray:
        """Predict, features and flows anew for each time; see :meth:`TemporalDownscaler.between`."""
        passes = [super(_OneTimeAPass, self).between(interval, [t]) for t in fractions]
        return np.concatenate(passes)


def as_released(
    spatial: ABPNOptions | None = None, temporal: XVFIOptions | None = None
) -> Chain:
    """Return XVFI, then ABPN, on the CPU.

    Args:
        spatial, temporal: sizes of the networks; default: the released ones.
    """
    torch.manual_seed(0)
    spatial = spatial or ABPNOptions(
        attention="materialised", tile=_TILE, halo=0, start_at_bicubic=True
    )
    in_time = _OneTimeAPass(checkpoint(XVFI(temporal)), "cpu")
    in_space = NeuralSpatial(checkpoint(_TiledABPN(spatial)), "cpu")
    for part in (in_time, in_space):
        part.network.to(memory_format=torch.contiguous_format)
    return Chain([in_time, in_space])


def checkpoint(network: Network) -> Checkpoint:
    """Return a network with fresh weights as if it had been loaded."""
    card = Card(
        network=network.name,
        kind=network.kind,
        factor=network.factor,
        options={},
        scaling=LinearClip.name,
        scaling_options={},
        variable="pm2p5",
        provenance={},
        package_version="",
        stored="float32",
        tensors_sha256="",
    )
    return Checkpoint(network.eval(), LinearClip(), card, sha256="")
