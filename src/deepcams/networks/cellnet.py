"""CellNet: divides the content of each coarse cell among its nine fine nodes.

A fast network developed for deepcams. It works at coarse resolution throughout (residual blocks of 3x3 convolutions)
and outputs nine shares per coarse pixel through a softmax: the fine values of a cell are positive and their mean equals
the coarse value for any weights. The shares are corrections to bicubic interpolation of the logarithm, so that with
zero weights the network equals the training-free method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.base import (
    SpatialNetwork,
    SpatialSample,
    check_shape,
    require,
    require_ranges,
)
from deepcams.networks.layers import (
    conv3,
    difference_of_powers,
    relu,
    resize_kernel,
    set_to_zero,
)
from deepcams.networks.sizes import Tiling
from deepcams.networks.warp import at_least_float32

_LOG_FLOOR = 0.01
"""Lower bound (ug m-3) of values before the logarithm is interpolated, as in the training-free method."""


@dataclass(frozen=True)
class CellNetOptions:
    """Options of :class:`CellNet`.

    Attributes:
        width: number of features.
        blocks: number of residual blocks of two convolutions.
        factor: fine pixels per coarse pixel.
        floor: offset added before the logarithm in the network's input, in scaled units (ug m-3 with the scaling
            ``linear`` of unit 1); differences far below it vanish.
        power: exponent applied to values in the loss; 1 gives the mean absolute error, less gives clean air more
            weight.
        tile: edge length of the tiles used when memory is short, in coarse pixels.
    """

    width: int = 64
    blocks: int = 8
    factor: int = 3
    floor: float = 0.3
    power: float = 0.5
    tile: int = 528

    def __post_init__(self) -> None:
        where = "options of cellnet"
        require_ranges(where, self, width=(1, 1024), blocks=(1, 100), factor=(2, 16))
        require(where, "floor", self.floor > 0, "a positive number", self.floor)
        require(
            where, "power", 0 < self.power <= 1, "more than 0, at most 1", self.power
        )
        halos = 4 * self.blocks + 8
        require(where, "tile", self.tile > halos, f"more than {halos}", self.tile)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))); the second convolution starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv3(width, width)
        self.second = conv3(width, width)
        set_to_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.second(relu(self.first(x)))


class CellNet(SpatialNetwork):
    """Network that outputs positive, conserving shares of each coarse pixel's content from coarse convolutions."""

    name = "cellnet"
    options_type = CellNetOptions
    presets: ClassVar[Mapping[str, CellNetOptions]] = {
        "best": CellNetOptions(),
        "small": CellNetOptions(width=32, blocks=4),
    }
    options: CellNetOptions

    def __init__(self, options: CellNetOptions | None = None) -> None:
        super().__init__(options)
        self.factor = self.options.factor
        width = self.options.width
        self.first = conv3(1, width)
        self.blocks = nn.ModuleList(
            ResidualBlock(width) for _ in range(self.options.blocks)
        )
        self.last = conv3(width, self.factor**2)
        # initially the shares are those of the training-free method
        set_to_zero(self.last)
        self.bicubic: Tensor
        self.register_buffer("bicubic", resize_kernel(self.factor), persistent=False)

    @property
    def receptive_field(self) -> int:
        """Return the receptive field in coarse pixels: one per convolution, two for the bicubic start."""
        return 2 * self.options.blocks + 2

    @property
    def tiling(self) -> Tiling:
        """Return tiles whose halo is the receptive field, so that results equal those of the whole frame."""
        return Tiling(self.options.tile, self.receptive_field)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Count five frames of features, and the fine ones."""
        return 4 * rows * columns * (5 * self.options.width + 6 * self.factor**2)

    def refine(self, coarse: Tensor) -> Tensor:
        """Return the fine frame, cell-aligned; the mean over each cell's pixels is the coarse value (at least 0).

        See :meth:`SpatialNetwork.refine`.
        """
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "cellnet: coarse frame")
        coarse = at_least_float32(coarse).clamp_min(0)
        with torch.autocast(coarse.device.type, enabled=False):
            seen = (coarse + self.options.floor).log() / 2
            start = self._enlarged_log(coarse)
        x = self.first(seen)
        for block in self.blocks:
            x = block(x)
        logits = start + at_least_float32(self.last(x))
        shares = torch.softmax(logits, dim=1)
        return F.pixel_shuffle(shares * (coarse * self.factor**2), self.factor)

    def loss(self, sample: SpatialSample) -> Tensor:
        """Return the mean absolute difference of powers."""
        found = self.refine(sample.coarse)
        return difference_of_powers(found, sample.target, 0.1, self.options.power)

    def _enlarged_log(self, coarse: Tensor) -> Tensor:
        """Interpolate the logarithm bicubically, (B, 1, H, W) -> (B, factor^2, H, W): a channel per fine pixel."""
        logs = F.pad(coarse.clamp_min(_LOG_FLOOR).log(), (2, 2, 2, 2), mode="replicate")
        return F.conv2d(logs, self.bicubic.to(logs.dtype))
