"""ABPN: attention-based back projection, one frame to three times its resolution (Liu et al. 2019, ICCV workshops).

As DeepCAMS uses it (Xiao et al. 2022): one channel, factor 3. Up- and down-projections alternate; the coarse features
of each stage attend, over all pixels of the frame, to those of the stage before. The result is added to a bicubic
enlargement, and what that does not give back when made coarse again is corrected at the end.
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
from deepcams.networks.window import Sliding, Surround

_REACH = 12
"""Coarse pixels that the convolutions between two attentions reach (eight), and some."""


@dataclass(frozen=True)
class ABPNOptions:
    """Options of :class:`ABPN`.

    Attributes:
        d: number of features (twice as many before the first and in the last attention).
        stages: number of up-projections, at least 2; there is one down-projection fewer.
        factor: fine pixels per coarse pixel.
        attention: "sdpa" (memory grows with the number of pixels) or "materialised" (with its square: the whole
            matrix is made, as a reference to test and to measure against).
        tile: edge of the tiles that large frames are cut into, in coarse pixels; the release was trained on 120.
        halo: margin of a tile that is computed and not used.
        start_at_bicubic: fresh weights correct nothing (the paper's answer with noise as large as the field).
    """

    d: int = 32
    stages: int = 10
    factor: int = 3
    attention: str = "sdpa"
    tile: int = 120
    halo: int = 12
    start_at_bicubic: bool = False

    def __post_init__(self) -> None:
        where = "options of abpn"
        require(where, "d", 1 <= self.d <= 1024, "1 to 1024", self.d)
        require(where, "stages", 2 <= self.stages <= 100, "2 to 100", self.stages)
        require(where, "factor", 2 <= self.factor <= 16, "2 to 16", self.factor)
        known = self.attention in ("sdpa", "materialised")
        require(where, "attention", known, "sdpa or materialised", repr(self.attention))
        fits = 0 <= 2 * self.halo < self.tile
        require(where, "halo", fits, f"0 to less than half of the tile ({self.tile})", self.halo)


class Block(nn.Module):
    """A convolution and a PReLU with one slope for all channels."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv, self.slope = conv, nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the convolution's shape."""
        out: Tensor = self.slope(self.conv(x))
        return out


def same(channels: int, d: int, kernel: int) -> Block:
    """Keeps the resolution."""
    return Block(nn.Conv2d(channels, d, kernel, padding=kernel // 2))


def coarser(d: int, factor: int) -> Block:
    """To 1/factor of the resolution (kernel 5, stride 3, padding 1 for factor 3)."""
    return Block(nn.Conv2d(d, d, factor + 2, stride=factor, padding=1))


def finer(d: int, factor: int) -> Block:
    """To factor times the resolution."""
    return Block(nn.ConvTranspose2d(d, d, factor + 2, stride=factor, padding=1))


class Up(nn.Module):
    """Up-projection: enlarge, make coarse again, and enlarge what came back wrong."""

    def __init__(self, d: int, factor: int) -> None:
        super().__init__()
        self.there, self.back, self.error = finer(d, factor), coarser(d, factor), finer(d, factor)
        self.of_input, self.of_there = same(d, d, 1), same(d, d, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, d, H, W) -> (N, d, factor H, factor W)."""
        fine = self.there(x)
        error = self.of_input(x) - self.back(fine)
        out: Tensor = self.of_there(fine) + self.error(error)
        return out


class Down(nn.Module):
    """Down-projection: make coarse, enlarge again, and make coarse what came back wrong."""

    def __init__(self, d: int, factor: int) -> None:
        super().__init__()
        self.there, self.back, self.error = coarser(d, factor), finer(d, factor), coarser(d, factor)
        self.of_input, self.of_there = same(d, d, 1), same(d, d, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, d, factor H, factor W) -> (N, d, H, W)."""
        coarse = self.there(x)
        error = self.of_input(x) - self.back(coarse)
        out: Tensor = self.of_there(coarse) + self.error(error)
        return out


class Attention(nn.Module):
    """Every pixel of ``value`` gathers from all pixels, by likeness of ``guide``; added to ``value``.

    softmax(K^T Q) without the usual 1/sqrt(d): the logits are large, so float16 would overflow; inside float16
    autocast the attention is computed in float32, bfloat16 is left as it is.
    """

    def __init__(self, d: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.K, self.Q, self.V, self.out = (nn.Conv2d(d, d, 1) for _ in range(4))

    def forward(self, guide: Tensor, value: Tensor, sliding: Sliding | None = None) -> Tensor:
        """Both (N, d, H, W) -> the same shape; with ``sliding`` each pixel gathers from the square around it."""
        device = guide.device.type
        if torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16:
            with torch.autocast(device, enabled=False):
                return self._attend(guide.float(), value.float(), sliding)
        return self._attend(guide, value, sliding)

    def _attend(self, guide: Tensor, value: Tensor, sliding: Sliding | None) -> Tensor:
        if sliding is not None:
            guide, value = sliding.core(guide), sliding.core(value)
            gathered = sliding.attention(self.K(guide), self.Q(guide), self.V(value))
            return sliding.whole(self.out(gathered.to(value.dtype)) + value)
        # The published softmax runs over the pixels that Q sees: K asks and Q answers. (B, 1 head, pixels, d),
        # with d the innermost: otherwise SDPA silently falls back to making the whole matrix
        query, key, gathered = (
            part.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)
            for part in (self.K(guide), self.Q(guide), self.V(value))
        )
        if query.dtype == torch.float16:  # a network cast to float16 as a whole
            query, key, gathered = query.float(), key.float(), gathered.float()
        if self.kind == "sdpa":
            gathered = F.scaled_dot_product_attention(query, key, gathered, scale=1.0)
        else:
            gathered = torch.softmax(query @ key.transpose(-2, -1), dim=-1) @ gathered
        gathered = gathered.squeeze(1).transpose(1, 2).reshape(value.shape)
        out: Tensor = self.out(gathered.to(value.dtype)) + value
        return out


class Mix(nn.Module):
    """A 1x1 convolution block over the concatenation of frames that come one by one; only their sum is kept."""

    def __init__(self, count: int, d: int) -> None:
        super().__init__()
        self.block = same(count * d, d, 1)

    def add(self, total: Tensor | None, x: Tensor, place: int) -> Tensor:
        """The sum so far (None: nothing yet) with the share of the frame at ``place``."""
        d, conv = x.shape[1], self.block.conv
        weight = conv.weight[:, place * d : (place + 1) * d]
        return F.conv2d(x, weight, conv.bias) if total is None else total + F.conv2d(x, weight)

    def end(self, total: Tensor) -> Tensor:
        """The activation."""
        out: Tensor = self.block.slope(total)
        return out


class ABPN(SpatialNetwork):
    """One frame to three times its resolution, by attention and back-projection (Liu et al. 2019)."""

    name: ClassVar[str] = "abpn"
    options_type: ClassVar[type] = ABPNOptions
    presets: ClassVar[Mapping[str, ABPNOptions]] = {"released": ABPNOptions()}
    slides: ClassVar[bool] = True
    options: ABPNOptions

    def __init__(self, options: ABPNOptions | None = None) -> None:
        super().__init__(options or ABPNOptions())
        d, stages, kind = self.options.d, self.options.stages, self.options.attention
        self.factor = factor = self.options.factor
        self.first, self.second = same(1, 2 * d, 3), same(2 * d, d, 3)
        self.first_attention = Attention(2 * d, kind)
        # stage k of the paper stands at k - 1; the skips begin with the third stage and stand at k - 3
        self.up = nn.ModuleList(Up(d, factor) for _ in range(stages))
        self.down = nn.ModuleList(Down(d, factor) for _ in range(stages - 1))
        self.attention = nn.ModuleList(Attention(d, kind) for _ in range(stages - 1))
        self.up_skip = nn.ModuleList(same(d, d, 1) for _ in range(stages - 2))
        self.down_skip = nn.ModuleList(same(d, d, 1) for _ in range(stages - 3))
        self.fine_mix, self.fine_out = Mix(stages, d), same(d, d, 3)
        self.coarse_mix, self.coarse_up = Mix(stages - 1, d), Up(d, factor)
        self.last = nn.Conv2d(d, 1, 3, padding=1)
        self.error_first, self.error_attention = same(1, 2 * d, 3), Attention(2 * d, kind)
        self.error_last = nn.Conv2d(2 * d, 1, 3, padding=1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(part.weight)
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        if self.options.start_at_bicubic:
            for part in (self.last, self.error_last):
                nn.init.zeros_(part.weight)

    @property
    def size_rule(self) -> SizeRule:
        """Any size."""
        return SizeRule()

    @property
    def tiling(self) -> Tiling:
        """Attention over all pixels costs their square, and the release knows tiles only."""
        return Tiling(self.options.tile, self.options.halo)

    def working_bytes(self, rows: int, columns: int) -> int:
        """About sixteen fine frames of d features; the materialised attention's two matrices come on top."""
        pixels = rows * columns
        fine = 16 * self.options.d * self.options.factor**2
        return 4 * pixels * (fine + (2 * pixels if self.options.attention == "materialised" else 0))

    def refine(self, coarse: Tensor) -> Tensor:
        """The fine frame, cell-like: a correction on top of bicubic enlargement; every pixel attends to all others."""
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "abpn: coarse frame")
        return self._refine(wide(coarse), None)

    def refine_around(self, coarse: Tensor, surround: Surround) -> Tensor:
        """The fine frame of one without edges: every pixel attends to those around it, as many as a tile has."""
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "abpn: coarse frame")
        sliding = Sliding(surround, _REACH, self.options.tile // 2)
        fine = self._refine(sliding.whole(wide(coarse)), sliding)
        edge = sliding.margin * self.options.factor
        return fine[..., edge:-edge, edge:-edge]

    def _refine(self, coarse: Tensor, sliding: Sliding | None) -> Tensor:
        feature = self.first(coarse)
        feature = self.second(self.first_attention(feature, feature, sliding))
        fine = self._enlarge(coarse) + wide(self._project(feature, sliding))
        # last back-projection: what the fine frame, made coarse, does not give back
        error = coarse - F.interpolate(
            fine, size=coarse.shape[-2:], mode="bicubic", align_corners=False
        )
        feature = self.error_first(error)
        error = wide(self.error_last(self.error_attention(feature, feature, sliding)))
        return fine + self._enlarge(error)

    def loss(self, sample: SpatialSample) -> Tensor:
        """L1."""
        return F.l1_loss(self.refine(sample.coarse), wide(sample.target))

    def _project(self, feature: Tensor, sliding: Sliding | None) -> Tensor:
        """The stages: coarse features (B, d, H, W) -> the correction (B, 1, factor H, factor W)."""
        ups: list[Tensor] = [
            self.up[0](feature)
        ]  # of each the last two are needed, and no more are kept
        downs: list[Tensor] = []
        fine_sum = self.fine_mix.add(None, ups[0], 0)
        coarse_sum = None
        guide = feature
        for k in range(1, self.options.stages):
            if k >= 3:
                guide = self.down_skip[k - 3](downs[-2])
            downs = [*downs[-1:], self.attention[k - 1](guide, self.down[k - 1](ups[-1]), sliding)]
            coarse_sum = self.coarse_mix.add(coarse_sum, downs[-1], k - 1)
            up = self.up[k](downs[-1])
            if k >= 2:
                up = up + self.up_skip[k - 2](ups[-2])
            ups = [ups[-1], up]
            fine_sum = self.fine_mix.add(fine_sum, up, k)
            guide = downs[-1]
        assert coarse_sum is not None
        correction = self.fine_out(self.fine_mix.end(fine_sum)) + self.coarse_up(
            self.coarse_mix.end(coarse_sum)
        )
        out: Tensor = self.last(correction)
        return out

    def _enlarge(self, coarse: Tensor) -> Tensor:
        size = coarse.shape[-2] * self.options.factor, coarse.shape[-1] * self.options.factor
        return F.interpolate(coarse, size=size, mode="bicubic", align_corners=False)
