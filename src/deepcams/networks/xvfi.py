"""XVFI: a frame at any time between two frames, by flows found from coarse to fine (Sim et al. 2021, ICCV).

As DeepCAMS uses it (Xiao et al. 2022): one channel, two frames. Levels are numbered from 0, the full resolution, to
S, the lowest. Features and flows of level l lie at 1/(m 2^l) of the frames' resolution. Flows are (dx, dy) in pixels
of their level; "01" is the flow from frame 0 to frame 1. Every convolution is zero-padded, activations are only where
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.base import (
    SizeRule,
    TemporalNetwork,
    TemporalSample,
    Times,
    check_shape,
    require,
    times_tensor,
)
from deepcams.networks.warp import splat, warp, wide


@dataclass(frozen=True)
class XVFIOptions:
    """Options of :class:`XVFI`.

    Attributes:
        nf: number of features.
        module_scale: m, features and flows are found at 1/m of the resolution; a power of 2, m^2 divides 4 nf.
        depth: S in inference, at least 1; each adds a level of half the resolution, so flows twice as long.
        training_depth: S in training; the weights are shared by all levels, so it may differ.
        validity_mask: warped pixels that come from outside the frame become zero (the original, not the release).
        level_loss: "mean" (the release) or "sum" (the paper) over the levels' L1.
        smoothness: lambda_s, the weight of the flow's smoothness in the loss.
        edge: e, how soon a gradient of the target frees the flow from being smooth.
    """

    nf: int = 64
    module_scale: int = 4
    depth: int = 1
    training_depth: int = 1
    validity_mask: bool = False
    level_loss: str = "mean"
    smoothness: float = 0.5
    edge: float = 150.0

    def __post_init__(self) -> None:
        m, where = self.module_scale, "options of xvfi"
        require(where, "nf", 1 <= self.nf <= 1024, "1 to 1024", self.nf)
        require(
            where, "module_scale", 1 <= m <= 64 and m & (m - 1) == 0, "a power of 2 up to 64", m
        )
        require(
            where, "nf", 4 * self.nf % m**2 == 0, f"a number whose 4-fold {m**2} divides", self.nf
        )
        for option in ("depth", "training_depth"):
            require(
                where, option, 1 <= getattr(self, option) <= 10, "1 to 10", getattr(self, option)
            )
        require(
            where,
            "level_loss",
            self.level_loss in ("mean", "sum"),
            "mean or sum",
            repr(self.level_loss),
        )
        for option in ("smoothness", "edge"):
            require(
                where,
                option,
                getattr(self, option) >= 0,
                "a number of at least 0",
                getattr(self, option),
            )


class Features(nn.Module):
    """Level 0's features of single frames: (N, 1, H, W) -> (N, nf, H/m, W/m)."""

    def __init__(self, nf: int, halvings: int) -> None:
        super().__init__()
        self.halvings = halvings
        self.first = nn.Conv2d(1, nf, 3, padding=1)
        self.halve = nn.Conv2d(nf, nf, 3, stride=2, padding=1)  # shared by all halvings
        self.mix = nn.Conv2d(nf, nf, 3, padding=1)
        self.block1, self.block2 = Residual(nf), Residual(nf)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, nf, H/m, W/m)."""
        x = F.relu(_finely(self.first, frames), inplace=True)
        for _ in range(self.halvings):
            x = F.relu(self.halve(x), inplace=True)
        x = _finely(self.mix, x)
        out: Tensor = x + _finely(self.block2, _finely(self.block1, x))
        return out


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(nf, nf, 3, padding=1), nn.Conv2d(nf, nf, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = x + self.conv2(F.relu(self.conv1(x), inplace=True))
        return out


class FlowNet(nn.Module):
    """BiFlowNet's shape, twice down and twice up: (N, channels, h, w) -> (N, outputs, h, w)."""

    def __init__(self, channels: int, nf: int, outputs: int) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(channels, 2 * nf, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * nf, 4 * nf, 4, stride=2, padding=1)
        self.up1 = nn.Conv2d(4 * nf, 2 * nf, 3, padding=1)
        self.up2 = nn.Conv2d(2 * nf, nf, 3, padding=1)
        self.last = nn.Conv2d(nf, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, outputs, h, w)."""
        x = F.relu(self.down1(x), inplace=True)
        x = F.relu(self.down2(x), inplace=True)
        x = F.relu(self.up1(_double(x)), inplace=True)
        x = F.relu(self.up2(_double(x)), inplace=True)
        out: Tensor = self.last(x)
        return out


class FrameNet(nn.Module):
    """The refinement U-Net: (N, channels, H, W) -> (N, 2, H, W), a mask's logit and a residual."""

    def __init__(self, channels: int, nf: int) -> None:
        super().__init__()
        self.enc1 = nn.Conv2d(channels, nf, 4, stride=2, padding=1)
        self.enc2 = nn.Conv2d(nf, 2 * nf, 4, stride=2, padding=1)
        self.enc3 = nn.Conv2d(2 * nf, 4 * nf, 4, stride=2, padding=1)
        self.dec0 = nn.Conv2d(4 * nf, 4 * nf, 3, padding=1)
        self.dec1 = nn.Conv2d(6 * nf, 2 * nf, 3, padding=1)
        self.dec2 = nn.Conv2d(3 * nf, nf, 3, padding=1)
        self.dec3 = nn.Conv2d(nf, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 2, H, W)."""
        half = F.relu(self.enc1(x), inplace=True)
        quarter = F.relu(self.enc2(half), inplace=True)
        x = F.relu(self.enc3(quarter), inplace=True)
        x = F.relu(self.dec0(x), inplace=True)
        x = F.relu(self.dec1(torch.cat((_double(x), quarter), dim=1)), inplace=True)
        x = F.relu(self.dec2(torch.cat((_double(x), half), dim=1)), inplace=True)
        return _conv_of_double(x, self.dec3)


class Level(NamedTuple):
    """What a level predicts for one t.

    Attributes:
        frame: (B, 1, H/2^l, W/2^l).
        flow: (B, 4, H/(m 2^l), W/(m 2^l)), the refined flows from t to frame 0 and from t to frame 1.
        occlusion: (B, 1, H/2^l, W/2^l) in (0, 1), how much frame 0 is to be trusted.
    """

    frame: Tensor
    flow: Tensor
    occlusion: Tensor


class XVFI(TemporalNetwork):
    """Frames between two frames, by flows found from coarse to fine (Sim et al. 2021)."""

    name: ClassVar[str] = "xvfi"
    options_type: ClassVar[type] = XVFIOptions
    presets: ClassVar[Mapping[str, XVFIOptions]] = {
        # the paper's text names 32 features and S = 5 and sums over the levels; it says nothing of m and the mask
        "paper": XVFIOptions(nf=32, depth=5, training_depth=5, level_loss="sum"),
        "released": XVFIOptions(),
        "original": XVFIOptions(depth=5, training_depth=3, validity_mask=True, level_loss="sum"),
    }
    options: XVFIOptions

    def __init__(self, options: XVFIOptions | None = None) -> None:
        super().__init__(options or XVFIOptions())
        nf, m = self.options.nf, self.options.module_scale
        self.features = Features(nf, m.bit_length() - 1)
        self.next_level = nn.Conv2d(nf, nf, 3, stride=2, padding=1)  # shared by all levels
        self.lowest_flow = FlowNet(2 * nf, nf, 6)
        self.align = nn.Conv2d(2 * nf, nf, 3, padding=1)  # shared by both directions
        self.higher_flow = FlowNet(2 * nf + 4, nf, 6)
        self.flow_input = nn.Conv2d(4 * nf + 4, nf, 1)
        self.flow_refinement = FlowNet(nf, nf, 4)
        self.frame_refinement = FrameNet(4 * nf // m**2 + 8, nf)
        for name, part in self.named_modules():
            if isinstance(part, nn.Conv2d):
                feature = name.startswith(("features", "next_level"))
                (nn.init.kaiming_normal_ if feature else nn.init.xavier_normal_)(part.weight)
                assert part.bias is not None
                nn.init.zeros_(part.bias)

    @property
    def size_rule(self) -> SizeRule:
        """Multiples of 2^S max(4 m, 8): the lowest level's flows are halved twice, the frames thrice."""
        return self._size_rule(self.options.depth)

    @property
    def training_size_rule(self) -> SizeRule:
        """The same with training's S."""
        return self._size_rule(self.options.training_depth)

    def _size_rule(self, depth: int) -> SizeRule:
        return SizeRule(2**depth * max(4 * self.options.module_scale, 8))

    def working_bytes(self, rows: int, columns: int) -> int:
        """The first features, at full resolution and for both frames, are the most; then the U-Net's halves."""
        return 4 * rows * columns * (6 * self.options.nf + 40)

    def interpolate(self, frames: Tensor, t: Times, guide: Tensor | None = None) -> Tensor:
        """Frames between two known ones; features and flows are computed once for all t. No guide is used."""
        check_shape(frames, ("B", 2, 1, "H", "W"), self.size_rule, "xvfi: frames")
        times = times_tensor(t, frames, "xvfi")
        levels = self._features(frames, self.options.depth)
        flow, z = self._flows(levels)[0]
        images = frames[:, 0], frames[:, 1]
        return torch.stack(
            [self._level(images, levels[0], flow, z, each).frame for each in times.unbind(1)], dim=1
        )

    def levels(self, frames: Tensor, t: Tensor) -> list[Level]:
        """What training sees: every level's prediction, level 0 first.

        Args:
            frames: (B, 2, 1, H, W), scaled; H and W fit ``training_size_rule``.
            t: (B,), each in (0, 1).
        """
        check_shape(frames, ("B", 2, 1, "H", "W"), self.training_size_rule, "xvfi: frames")
        (t,) = times_tensor(t.reshape(-1, 1), frames, "xvfi").unbind(1)
        features = self._features(frames, self.options.training_depth)
        flows = self._flows(features)
        return [
            self._level(
                (_shrink(frames[:, 0], 2**i), _shrink(frames[:, 1], 2**i)),
                features[i],
                *flows[i],
                t,
            )
            for i in range(len(features))
        ]

    def loss(self, sample: TemporalSample) -> Tensor:
        """L1 over the levels, plus the edge-aware smoothness of level 0's refined flows (XVFI, eqs. 4-6)."""
        check_shape(sample.target, ("B", 1, "H", "W"), self.training_size_rule, "xvfi: target")
        levels = self.levels(sample.frames, sample.t)
        target = wide(sample.target)
        errors = [F.l1_loss(level.frame, _shrink(target, 2**i)) for i, level in enumerate(levels)]
        total = torch.stack(errors).sum()
        total = total / len(errors) if self.options.level_loss == "mean" else total
        return total + self.options.smoothness * self._roughness(levels[0].flow, target)

    def _roughness(self, flow: Tensor, target: Tensor) -> Tensor:
        """Mean step of the flows from pixel to pixel, where the target has no edge."""
        image = _shrink(target, self.options.module_scale)

        def along(dim: int) -> Tensor:
            freedom = torch.exp(-((self.options.edge * image.diff(dim=dim)) ** 2))
            return (flow.diff(dim=dim).abs() * freedom).mean()

        return (along(-1) + along(-2)) / 2

    def _features(self, frames: Tensor, depth: int) -> list[tuple[Tensor, Tensor]]:
        """Of both frames, per level: (B, nf, h, w) each."""
        level = self.features(frames.flatten(0, 1))
        pairs = []
        for _ in range(depth + 1):
            both = level.unflatten(0, (-1, 2))
            pairs.append((both[:, 0], both[:, 1]))
            level = _finely(self.next_level, level) if len(pairs) <= depth else level
        return pairs

    def _flows(self, levels: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Per level, level 0 first: flows 01 and 10 (B, 4, h, w), and logits of their importance (B, 2, h, w)."""
        flow, z = torch.split(
            _finely(self.lowest_flow, torch.cat(levels[-1], dim=1)), [4, 2], dim=1
        )
        flows = [(flow, z)]
        for feature0, feature1 in reversed(levels[:-1]):
            # each level learns its own correction: no gradient goes down the pyramid
            up = 2 * _enlarge(wide(flow.detach()), 2)
            warped1, warped0 = self._warp(feature1, up[:, :2]), self._warp(feature0, up[:, 2:])
            aligned0 = self.align(torch.cat((feature0, warped1), dim=1))
            aligned1 = self.align(torch.cat((feature1, warped0), dim=1))
            out = wide(self.higher_flow(torch.cat((aligned0, aligned1, up), dim=1)))
            flow, z = out[:, :4] + up, out[:, 4:]
            flows.append((flow, z))
        return flows[::-1]

    def _level(
        self,
        images: tuple[Tensor, Tensor],
        features: tuple[Tensor, Tensor],
        flow: Tensor,
        z: Tensor,
        t: Tensor,
    ) -> Level:
        """One level's frame at t (B,)."""
        t = t.view(-1, 1, 1, 1)
        m, (image0, image1), (feature0, feature1) = self.options.module_scale, images, features
        flow_t = self._reverse(flow, z, t)
        warped0, warped1 = self._warp(feature0, flow_t[:, :2]), self._warp(feature1, flow_t[:, 2:])
        known = torch.cat((feature0, warped0, warped1, feature1, flow_t), dim=1)
        flow_t = flow_t + self.flow_refinement(F.relu(self.flow_input(known), inplace=True))
        warped0, warped1 = self._warp(feature0, flow_t[:, :2]), self._warp(feature1, flow_t[:, 2:])

        fine_flow = m * _enlarge(flow_t, m)
        moved0, moved1 = self._warp(image0, fine_flow[:, :2]), self._warp(image1, fine_flow[:, 2:])
        fine_features = F.pixel_shuffle(torch.cat((feature0, feature1, warped0, warped1), dim=1), m)
        known = torch.cat((fine_features, image0, image1, moved0, moved1, fine_flow), dim=1)
        logit, residual = torch.split(wide(self.frame_refinement(known)), 1, dim=1)

        occlusion = torch.sigmoid(logit)  # eq. 3: the nearer and the less hidden frame counts more
        trust0, trust1 = (1 - t) * occlusion, t * (1 - occlusion)
        frame = (trust0 * moved0 + trust1 * moved1) / (trust0 + trust1) + residual
        return Level(frame, flow_t, occlusion)

    def _reverse(self, flow: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Complementary flow reversal (eq. 2): flows 01 and 10 -> flows from t to 0 and from t to 1."""
        flow, importance = wide(flow), torch.sigmoid(wide(z))
        forward, weight0 = splat(flow[:, :2], t * flow[:, :2], importance[:, :1])
        backward, weight1 = splat(flow[:, 2:], (1 - t) * flow[:, 2:], importance[:, 1:])
        to0 = -(1 - t) * t * forward + t**2 * backward
        to1 = (1 - t) ** 2 * forward - t * (1 - t) * backward
        weight = (1 - t) * weight0 + t * weight1
        return torch.cat((to0, to1), dim=1) / torch.where(
            weight > 0, weight, 1.0
        )  # nothing arrived: the flow is 0

    def _warp(self, image: Tensor, flow: Tensor) -> Tensor:
        return warp(image, flow, self.options.validity_mask)


def _finely(part: nn.Module, x: Tensor) -> Tensor:
    """``part(x)``, in float32 on a CPU with sums in float64.

    Where two flows meet, the reversal divides small sums: what the flows rest on is worth its digits. The parts called
    so are small; it costs 2 % of the time, and processors agree better than with each other's float32 kernels.
    """
    plain = torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling()
    if plain or x.dtype != torch.float32 or x.device.type != "cpu":
        return cast("Tensor", part(x))
    weights = {name: weight.double() for name, weight in part.named_parameters()}
    return cast("Tensor", torch.func.functional_call(part, weights, (x.double(),))).float()


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _conv_of_double(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """conv(_double(x)) for a 3x3 ``conv``, as one transposed convolution whose kernel holds the doubled pixels' sums.

    The same to rounding; the doubled features are never made, which takes a fifth of the time where outputs are few.
    """
    pixel = torch.ones(1, 1, 2, 2, dtype=conv.weight.dtype, device=conv.weight.device)
    kernel = F.conv_transpose2d(conv.weight.flatten(0, 1).unsqueeze(1), pixel).flip(-1, -2)
    kernel = kernel.view(conv.out_channels, conv.in_channels, 4, 4).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)


def _enlarge(flow: Tensor, times: int) -> Tensor:
    return F.interpolate(flow, scale_factor=times, mode="bilinear", align_corners=False)


def _shrink(image: Tensor, times: int) -> Tensor:
    """Bicubic (a = -0.75), half-pixel centres, not antialiased: as the published networks were trained."""
    size = image.shape[-2] // times, image.shape[-1] // times
    return (
        image
        if times == 1
        else F.interpolate(image, size=size, mode="bicubic", align_corners=False)
    )
