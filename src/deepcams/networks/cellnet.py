"""CellNet: how each coarse cell's content is divided among its nine fine nodes.

A fast network of our own. It works at coarse resolution throughout (residual blocks of 3x3 convolutions) and ends in
nine shares per coarse pixel, a softmax: the fine values of a cell are positive and their mean *is* the coarse value,
whatever the weights. The shares start from bicubic interpolation of the logarithm, so that with zero weights the
network is the training-free method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.base import (
    SizeRule,
    SpatialNetwork,
    SpatialSample,
    Tiling,
    check_shape,
    require,
)
from deepcams.networks.warp import wide

_LOG_FLOOR = 0.01
"""Below this (ug m-3) the interpolated logarithm is flat, as in the training-free method."""


@dataclass(frozen=True)
class CellNetOptions:
    """Options of :class:`CellNet`.

    Attributes:
        width: number of features.
        blocks: number of residual blocks of two convolutions.
        factor: fine pixels per coarse pixel.
        floor: added before the logarithm that the network sees, in scaled units (ug m-3 with the scaling ``linear``
            of unit 1): cleaner air looks alike.
        power: of the values whose absolute differences are the loss: 1 is the mean absolute error, less gives clean
            air more of a say.
        tile: edge of the tiles that frames are cut into where memory is short, in coarse pixels.
    """

    width: int = 64
    blocks: int = 8
    factor: int = 3
    floor: float = 0.3
    power: float = 0.5
    tile: int = 512

    def __post_init__(self) -> None:
        where = "options of cellnet"
        require(where, "width", 1 <= self.width <= 1024, "1 to 1024", self.width)
        require(where, "blocks", 1 <= self.blocks <= 100, "1 to 100", self.blocks)
        require(where, "factor", 2 <= self.factor <= 16, "2 to 16", self.factor)
        require(where, "floor", self.floor > 0, "a positive number", self.floor)
        require(where, "power", 0 < self.power <= 1, "more than 0, at most 1", self.power)
        require(
            where,
            "tile",
            self.tile > 4 * self.blocks + 8,
            f"more than {4 * self.blocks + 8}",
            self.tile,
        )


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))); the second convolution starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


class CellNet(SpatialNetwork):
    """Shares of each coarse pixel's content: positive, conserving, at the cost of coarse convolutions."""

    name: ClassVar[str] = "cellnet"
    options_type: ClassVar[type] = CellNetOptions
    presets: ClassVar[Mapping[str, CellNetOptions]] = {"best": CellNetOptions()}
    options: CellNetOptions

    def __init__(self, options: CellNetOptions | None = None) -> None:
        super().__init__(options or CellNetOptions())
        width, self.factor = self.options.width, self.options.factor
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(self.options.blocks))
        self.last = nn.Conv2d(width, self.factor**2, 3, padding=1)
        assert self.last.bias is not None
        nn.init.zeros_(
            self.last.weight
        )  # to begin with, the shares are those of the training-free method
        nn.init.zeros_(self.last.bias)

    @property
    def size_rule(self) -> SizeRule:
        """Any size."""
        return SizeRule()

    @property
    def reach(self) -> int:
        """How far a coarse pixel's answer sees: one pixel a convolution, two for the bicubic start."""
        return 2 * self.options.blocks + 2

    @property
    def tiling(self) -> Tiling:
        """Tiles whose halo holds all that a pixel sees: their results are those of the whole frame."""
        return Tiling(self.options.tile, self.reach)

    def working_bytes(self, rows: int, columns: int) -> int:
        """About five frames of features, and the fine ones."""
        return 4 * rows * columns * (5 * self.options.width + 6 * self.factor**2)

    def refine(self, coarse: Tensor) -> Tensor:
        """The fine frame, cell-like; the plain mean over each cell's pixels is the coarse value (0 where negative)."""
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "cellnet: coarse frame")
        coarse = wide(coarse).clamp_min(0)
        with torch.autocast(coarse.device.type, enabled=False):
            seen = (coarse + self.options.floor).log() / 2
            start = self._enlarged_log(coarse)
        x = self.first(seen)
        for block in self.blocks:
            x = block(x)
        shares = torch.softmax(F.pixel_unshuffle(start, self.factor) + wide(self.last(x)), dim=1)
        return F.pixel_shuffle(shares * (coarse * self.factor**2), self.factor)

    def loss(self, sample: SpatialSample) -> Tensor:
        """Mean absolute difference of powers."""
        found, wanted = (
            x.clamp_min(0) + 0.1 for x in (self.refine(sample.coarse), wide(sample.target))
        )
        return (found**self.options.power - wanted**self.options.power).abs().mean()

    def _enlarged_log(self, coarse: Tensor) -> Tensor:
        edge, factor = 2, self.factor
        logs = F.pad(coarse.clamp_min(_LOG_FLOOR).log(), (edge,) * 4, mode="replicate")
        size = [n * factor for n in logs.shape[-2:]]
        fine = F.interpolate(logs, size=size, mode="bicubic", align_corners=False)
        return fine[..., edge * factor : -edge * factor, edge * factor : -edge * factor]
