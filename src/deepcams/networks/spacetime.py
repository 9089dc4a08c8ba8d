"""SpaceTime: a joint network for space and time, which corrects the result of a chain of other methods.

A network developed for deepcams. Its input for each hour are three fine frames: the initial estimate, and the known
frames before and after, advected to that hour along the optical flow. The three sample the same air at different
positions of the coarse grid, so together they hold more information on the inside of a cell than one does. It works at
coarse resolution (residual blocks of 3x3 convolutions) and outputs nine factors per cell, and one more for the cell's
mean between two analyses. At an analysis the cell means are those of the estimate for any weights; with zero weights
the result equals the estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.base import (
    JointNetwork,
    JointSample,
    check_shape,
    require,
    require_ranges,
)
from deepcams.networks.cellnet import ResidualBlock
from deepcams.networks.input_planes import CONTEXT, FINE
from deepcams.networks.layers import conv3, difference_of_powers, set_to_zero
from deepcams.networks.sizes import SizeRule
from deepcams.networks.warp import at_least_float32

_FACTOR = 3
_CELL = _FACTOR**2
_GAIN = 3.0
"""Gain applied to differences of logarithms, which are small compared with the logarithms."""
_SMALLEST = 1e-20
_LEAST = -30.0
_MOST = 2.0
"""Largest change of the logarithm of a cell's mean between two analyses."""


@dataclass(frozen=True)
class SpaceTimeOptions:
    """Options of :class:`SpaceTime`.

    Attributes:
        width: number of features.
        blocks: number of residual blocks of two convolutions.
        estimate: spatial method of the initial estimate, a name of ``downscale --spatial``; the temporal method is
            ``self-checked``.
        context: names in :data:`deepcams.networks.input_planes.CONTEXT` of the context inputs, separated by spaces.
        floor: offset added before logarithms, in scaled units (ug m-3 with the scaling ``linear`` of unit 1).
        power: exponent applied to values in the loss; 1 gives the mean absolute error, less gives clean air more
            weight.
    """

    width: int = 32
    blocks: int = 6
    estimate: str = "log-bicubic"
    context: str = ""
    floor: float = 0.05
    power: float = 0.5

    def __post_init__(self) -> None:
        where = "options of spacetime"
        require_ranges(where, self, width=(1, 1024), blocks=(1, 100))
        require(where, "floor", self.floor > 0, "a positive number", self.floor)
        require(
            where, "power", 0 < self.power <= 1, "more than 0, at most 1", self.power
        )
        names = self.context.split()
        expected = f"different ones of {', '.join(CONTEXT)}"
        known = len(set(names)) == len(names) and set(names) <= set(CONTEXT)
        require(where, "context", known, expected, repr(self.context))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the context inputs."""
        return tuple(self.context.split())


class SpaceTime(JointNetwork):
    """Network that outputs correction factors for the fine values of an hour's estimate."""

    name = "spacetime"
    options_type = SpaceTimeOptions
    presets: ClassVar[Mapping[str, SpaceTimeOptions]] = {
        "best": SpaceTimeOptions(),
        "on-cellnet": SpaceTimeOptions(24, 4, "cellnet", "people land"),
    }
    factor = _FACTOR
    options: SpaceTimeOptions

    def __init__(self, options: SpaceTimeOptions | None = None) -> None:
        super().__init__(options)
        width, names = self.options.width, self.options.names
        self.estimate = self.options.estimate
        self.context = names
        seen = 2 + 3 * _CELL + sum(_CELL if name in FINE else 1 for name in names)
        self.first = conv3(seen, width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width) for _ in range(self.options.blocks)
        )
        self.last = conv3(width, _CELL + 1)
        set_to_zero(self.last)  # initially the estimate is unchanged

    @property
    def receptive_field(self) -> int:
        """Return the receptive field in coarse pixels: one per convolution."""
        return 2 * self.options.blocks + 2

    @property
    def size_rule(self) -> SizeRule:
        """Return whole cells."""
        return SizeRule(_FACTOR)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Count the planes, five coarse frames of features and the fine ones."""
        seen = self.first.in_channels
        return 4 * rows * columns * (self.planes + 6) + (
            4 * rows * columns // _CELL * (2 * seen + 5 * self.options.width)
        )

    def refine(self, planes: Tensor) -> Tensor:
        """Return the corrected fine frame; see :meth:`JointNetwork.refine`."""
        shape = ("B", self.planes, "H", "W")
        check_shape(planes, shape, self.size_rule, "spacetime: planes")
        planes = at_least_float32(planes)
        estimate, before, after = (
            F.pixel_unshuffle(planes[:, k : k + 1].clamp_min(0), _FACTOR)
            for k in range(3)
        )
        between = F.avg_pool2d(planes[:, 3:4], _FACTOR).clamp(0, 1)
        with torch.autocast(planes.device.type, enabled=False):
            floor = self.options.floor
            log = (estimate + floor).log()
            mean = (estimate.mean(dim=1, keepdim=True) + floor).log()
            seen = [mean / 2, _GAIN * (log - mean), between]
            seen += [_GAIN * ((each + floor).log() - log) for each in (before, after)]
        for k, name in enumerate(self.context, 4):
            plane = planes[:, k : k + 1]
            fine = name in FINE
            seen.append(
                F.pixel_unshuffle(plane, _FACTOR)
                if fine
                else F.avg_pool2d(plane, _FACTOR)
            )
        x = self.first(torch.cat(seen, dim=1))
        for block in self.blocks:
            x = block(x)
        answer = at_least_float32(self.last(x))
        changes = answer[:, :_CELL]
        changes = changes - changes.amax(dim=1, keepdim=True)
        changed = estimate * changes.clamp_min(_LEAST).exp()
        growth = (between * answer[:, _CELL:].clamp(-_MOST, _MOST)).exp()
        total = estimate.sum(dim=1, keepdim=True) * growth
        share = changed / changed.sum(dim=1, keepdim=True).clamp_min(_SMALLEST)
        return F.pixel_shuffle(share * total, _FACTOR)

    def loss(self, sample: JointSample) -> Tensor:
        """Return the mean absolute difference of powers."""
        found = self.refine(sample.planes)
        return difference_of_powers(found, sample.target, 0.1, self.options.power)
