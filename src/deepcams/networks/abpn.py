"""ABPN: attention-based back-projection, one frame to three times its resolution (Liu et al. 2019, ICCV workshops).

As DeepCAMS uses it (Xiao et al. 2022): one channel, factor 3. Up- and down-projections alternate; the coarse features
of each stage attend, over all pixels of the frame, to those of the previous stage. The result is added to a bicubic
enlargement; a last back-projection corrects the residual between its coarsened version and the input.
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
from deepcams.networks.layers import conv3, resize, zero_bias
from deepcams.networks.sizes import Tiling
from deepcams.networks.warp import at_least_float32
from deepcams.networks.window import Pad, SlidingWindow

_RECEPTIVE_FIELD = 12
"""Receptive field of the convolutions between two attentions (eight), plus a margin, in coarse pixels."""


@dataclass(frozen=True)
class ABPNOptions:
    """Options of :class:`ABPN`.

    Attributes:
        d: number of features (twice as many before the first and in the last attention).
        stages: number of up-projections, at least 2; there is one down-projection fewer.
        factor: fine pixels per coarse pixel.
        attention: "sdpa" (memory proportional to the number of pixels) or "materialised" (to its square: the full
            matrix is computed, as a reference for tests and measurements).
        tile: edge length of the tiles for large frames, in coarse pixels; the release was trained on 120.
        halo: pixels at each edge of a tile that are computed and discarded.
        start_at_bicubic: initialise so that the correction is zero (the paper's starts with noise as large as the
            field).
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
        require_ranges(where, self, d=(1, 1024), stages=(2, 100), factor=(2, 16))
        known = self.attention in ("sdpa", "materialised")
        require(where, "attention", known, "sdpa or materialised", repr(self.attention))
        fits = 0 <= 2 * self.halo < self.tile
        require(
            where,
            "halo",
            fits,
            f"0 to less than half of the tile ({self.tile})",
            self.halo,
        )


class Block(nn.Module):
    """A convolution and a PReLU with one slope for all channels."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = conv
        self.slope = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the output shape of the convolution."""
        return self.slope(self.conv(x))


def same(channels: int, d: int, kernel: int) -> Block:
    """Return a block that keeps the resolution."""
    return Block(nn.Conv2d(channels, d, kernel, padding=kernel // 2))


def coarser(d: int, factor: int) -> Block:
    """Return a block to 1/factor of the resolution (kernel 5, stride 3, padding 1 for factor 3)."""
    return Block(nn.Conv2d(d, d, factor + 2, stride=factor, padding=1))


def finer(d: int, factor: int) -> Block:
    """Return a block to factor times the resolution."""
    return Block(nn.ConvTranspose2d(d, d, factor + 2, stride=factor, padding=1))


class Projection(nn.Module):
    """Change the resolution up or down by ``factor`` and back, and correct by the residual (back-projection)."""

    def __init__(self, d: int, factor: int, up: bool) -> None:
        super().__init__()
        there, back = (finer, coarser) if up else (coarser, finer)
        self.there = there(d, factor)
        self.back = back(d, factor)
        self.error = there(d, factor)
        self.of_input = same(d, d, 1)
        self.of_there = same(d, d, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, d, H, W) to (N, d, factor H, factor W), or to 1/factor of both."""
        there = self.there(x)
        error = self.of_input(x) - self.back(there)
        return self.of_there(there) + self.error(error)


class Attention(nn.Module):
    """Attention of all pixels to all pixels by similarity of ``features``; the result is added to ``value``.

    It uses softmax(K^T Q) without the usual 1/sqrt(d): the logits are large, so float16 would overflow; inside float16
    autocast the attention is computed in float32, while bfloat16 is kept.
    """

    def __init__(self, d: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.K = nn.Conv2d(d, d, 1)
        self.Q = nn.Conv2d(d, d, 1)
        self.V = nn.Conv2d(d, d, 1)
        self.out = nn.Conv2d(d, d, 1)

    def forward(
        self, features: Tensor, value: Tensor, window: SlidingWindow | None = None
    ) -> Tensor:
        """Map both (N, d, H, W) to the same shape; with ``window`` each pixel attends to the square around it."""
        device = value.device.type
        if (
            torch.is_autocast_enabled(device)
            and torch.get_autocast_dtype(device) == torch.float16
        ):
            with torch.autocast(device, enabled=False):
                return self._attend(features.float(), value.float(), window)
        return self._attend(features, value, window)

    def _attend(
        self, features: Tensor, value: Tensor, window: SlidingWindow | None
    ) -> Tensor:
        if window is not None:
            features = window.crop(features)
            value = window.crop(value)
        # the published softmax is over the pixels of Q, so K takes the role of the query
        query = self.K(features)
        key = self.Q(features)
        gathered = self.V(value)
        if window is not None:
            gathered = window.attention(query, key, gathered)
            return window.extend(self.out(gathered.to(value.dtype)) + value)
        gathered = self._attend_to_all(_tokens(query), _tokens(key), _tokens(gathered))
        gathered = gathered.squeeze(1).transpose(1, 2).reshape(value.shape)
        return self.out(gathered.to(value.dtype)) + value

    def _attend_to_all(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.kind == "sdpa":
            return F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return torch.softmax(query @ key.transpose(-2, -1), dim=-1) @ value


def _tokens(x: Tensor) -> Tensor:
    """Map (B, d, H, W) to (B, 1 head, pixels, d), in float32 if the whole network was cast to float16.

    d is innermost in memory: otherwise SDPA silently falls back to computing the full matrix.
    """
    x = x.flatten(2).transpose(1, 2).contiguous().unsqueeze(1)
    return x.float() if x.dtype == torch.float16 else x


class Mix(nn.Module):
    """A 1x1 convolution block over concatenated frames, computed frame by frame so that only the sum is stored."""

    def __init__(self, count: int, d: int) -> None:
        super().__init__()
        self.block = same(count * d, d, 1)

    def add(self, total: Tensor | None, x: Tensor, place: int) -> Tensor:
        """Add the contribution of the frame at ``place`` to the sum (None: empty) and return it."""
        d = x.shape[1]
        conv = self.block.conv
        weight = conv.weight[:, place * d : (place + 1) * d]
        if total is None:
            return F.conv2d(x, weight, conv.bias)
        return total + F.conv2d(x, weight)

    def activate(self, total: Tensor) -> Tensor:
        """Return the activation of the whole sum."""
        return self.block.slope(total)


class ABPN(SpatialNetwork):
    """One frame to three times its resolution, by attention and back-projection (Liu et al. 2019)."""

    name = "abpn"
    options_type = ABPNOptions
    presets: ClassVar[Mapping[str, ABPNOptions]] = {"released": ABPNOptions()}
    sliding_window = True
    options: ABPNOptions

    def __init__(self, options: ABPNOptions | None = None) -> None:
        super().__init__(options)
        d = self.options.d
        stages = self.options.stages
        kind = self.options.attention
        factor = self.options.factor
        self.factor = factor
        self.first = same(1, 2 * d, 3)
        self.second = same(2 * d, d, 3)
        self.first_attention = Attention(2 * d, kind)
        # stage k of the paper has index k - 1; skips begin with the third stage and have index k - 3
        self.up = nn.ModuleList(Projection(d, factor, up=True) for _ in range(stages))
        self.down = nn.ModuleList(
            Projection(d, factor, up=False) for _ in range(stages - 1)
        )
        self.attention = nn.ModuleList(Attention(d, kind) for _ in range(stages - 1))
        self.up_skip = nn.ModuleList(same(d, d, 1) for _ in range(stages - 2))
        self.down_skip = nn.ModuleList(same(d, d, 1) for _ in range(stages - 3))
        self.fine_mix = Mix(stages, d)
        self.fine_out = same(d, d, 3)
        self.coarse_mix = Mix(stages - 1, d)
        self.coarse_up = Projection(d, factor, up=True)
        self.last = conv3(d, 1)
        self.error_first = same(1, 2 * d, 3)
        self.error_attention = Attention(2 * d, kind)
        self.error_last = conv3(2 * d, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(part.weight)
                zero_bias(part)
        if self.options.start_at_bicubic:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.error_last.weight)

    @property
    def tiling(self) -> Tiling:
        """Return tiles: attention scales with the square of the number of pixels, and the release uses tiles only."""
        return Tiling(self.options.tile, self.options.halo)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Count sixteen fine frames of d features, and the materialised attention's two matrices."""
        pixels = rows * columns
        per_pixel = 16 * self.options.d * self.factor**2
        if self.options.attention == "materialised":
            per_pixel += 2 * pixels
        return 4 * pixels * per_pixel

    def refine(self, coarse: Tensor) -> Tensor:
        """Return the fine frame, cell-aligned: bicubic enlargement plus correction; all pixels attend to all others.

        See :meth:`SpatialNetwork.refine`.
        """
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "abpn: coarse frame")
        return self._refine(at_least_float32(coarse), None)

    def refine_sliding(self, coarse: Tensor, pad: Pad) -> Tensor:
        """Return the fine frame without edge effects: each pixel attends to a surrounding window as large as a tile.

        See :meth:`SpatialNetwork.refine_sliding`.
        """
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "abpn: coarse frame")
        window = SlidingWindow(pad, _RECEPTIVE_FIELD, self.options.tile // 2)
        fine = self._refine(window.extend(at_least_float32(coarse)), window)
        edge = window.halo * self.factor
        return fine[..., edge:-edge, edge:-edge]

    def loss(self, sample: SpatialSample) -> Tensor:
        """Return L1."""
        return F.l1_loss(self.refine(sample.coarse), at_least_float32(sample.target))

    def _refine(self, coarse: Tensor, window: SlidingWindow | None) -> Tensor:
        feature = self.first(coarse)
        feature = self.second(self.first_attention(feature, feature, window))
        fine = self._enlarge(coarse) + at_least_float32(
            self._correction(feature, window)
        )
        # last back-projection: the residual of the coarsened fine frame
        error = coarse - resize(fine, *coarse.shape[-2:])
        feature = self.error_first(error)
        error = self.error_last(self.error_attention(feature, feature, window))
        return fine + self._enlarge(at_least_float32(error))

    def _correction(self, feature: Tensor, window: SlidingWindow | None) -> Tensor:
        """Run the stages: map coarse features (B, d, H, W) to the correction (B, 1, factor H, factor W)."""
        # only the last two fine and coarse features are needed: older ones are freed
        up = self.up[0](feature)
        older_up = up
        down = feature
        older_down = feature
        fine_sum = self.fine_mix.add(None, up, 0)
        coarse_sum = None
        for k in range(1, self.options.stages):
            source = self.down_skip[k - 3](older_down) if k >= 3 else down
            older_down = down
            down = self.attention[k - 1](source, self.down[k - 1](up), window)
            coarse_sum = self.coarse_mix.add(coarse_sum, down, k - 1)
            finer_up = self.up[k](down)
            if k >= 2:
                finer_up = finer_up + self.up_skip[k - 2](older_up)
            older_up = up
            up = finer_up
            fine_sum = self.fine_mix.add(fine_sum, up, k)
        assert coarse_sum is not None
        fine = self.fine_out(self.fine_mix.activate(fine_sum))
        coarse = self.coarse_up(self.coarse_mix.activate(coarse_sum))
        return self.last(fine + coarse)

    def _enlarge(self, coarse: Tensor) -> Tensor:
        rows, columns = coarse.shape[-2:]
        return resize(coarse, rows * self.factor, columns * self.factor)
