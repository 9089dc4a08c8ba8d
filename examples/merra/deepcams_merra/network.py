"""A network in space: two convolutions that correct the coarse value of each fine node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from deepcams.networks import SpatialNetwork, SpatialSample
from deepcams.networks.base import check_shape


@dataclass(frozen=True)
class TwoLayersOptions:
    """Options: JSON values with defaults."""

    width: int = 16


class TwoLayers(SpatialNetwork):
    """Two convolutions and a pixel shuffle."""

    name = "two-layers"
    options_type: ClassVar[type] = TwoLayersOptions
    presets: ClassVar[Mapping[str, Any]] = {}
    factor = 3

    def __init__(self, options: TwoLayersOptions | None = None) -> None:
        super().__init__(options)
        width = self.options.width
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, 9, 3, padding=1),
            nn.PixelShuffle(3),
        )

    def working_bytes(self, rows: int, columns: int) -> int:
        """Estimate the memory of a frame: the features, twice, and the fine frame."""
        return 4 * rows * columns * (2 * self.options.width + 18)

    def refine(self, coarse: Tensor) -> Tensor:
        """Return (B, 1, 3 H, 3 W) of (B, 1, H, W), scaled."""
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, self.name)
        nearest = coarse.repeat_interleave(3, -1).repeat_interleave(3, -2)
        return (nearest + self.layers(coarse)).to(coarse.dtype)

    def loss(self, sample: SpatialSample) -> Tensor:
        """Return the mean absolute error."""
        return (self.refine(sample.coarse) - sample.target).abs().mean()
