"""XVFI: a frame at any time between two frames, from flows estimated coarse to fine (Sim et al. 2021, ICCV).

As DeepCAMS uses it (Xiao et al. 2022): one channel, two frames. Levels are numbered from 0, the full resolution, to
S, the lowest. Features and flows of level l lie at 1/(m 2^l) of the frames' resolution. Flows are (dx, dy) in pixels
of their level; "01" is the flow from frame 0 to frame 1. Every convolution is zero-padded; activations are explicit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.base import (
    TemporalNetwork,
    TemporalSample,
    Times,
    check_shape,
    require,
    require_ranges,
    times_tensor,
)
from deepcams.networks.layers import (
    concat,
    conv3,
    double_size,
    halving,
    relu,
    resize,
    zero_bias,
)
from deepcams.networks.sizes import SizeRule
from deepcams.networks.warp import at_least_float32, splat, warp

_FAINT = 0.02
"""Spread of scaled values below which the contrast normalisation is damped."""

Pair = tuple[Tensor, Tensor]
"""Tensors that belong to frame 0 and frame 1."""


@dataclass(frozen=True)
class XVFIOptions:
    """Options of :class:`XVFI`.

    Attributes:
        nf: number of features.
        module_scale: m; features and flows are computed at 1/m of the resolution; a power of 2, m^2 divides 4 nf.
        depth: S in inference, at least 1; each level halves the resolution, so that flows may be twice as long.
        training_depth: S in training; the weights are shared by all levels, so it may differ.
        validity_mask: set warped pixels from outside the frame to zero (the original, not the release).
        level_loss: "mean" (the release) or "sum" (the paper) over the levels' L1.
        smoothness: lambda_s, the weight of the flow's smoothness in the loss.
        edge: e, the rate at which gradients of the target reduce the smoothness penalty.
        contrast: edge length (odd, pixels) of the square over which the input of the features is standardised (minus
            mean, divided by spread); 0: not standardised (published). In smooth frames the moving part is a hundredth
            of the values, and without this no flow is learnt within hours.
    """

    nf: int = 64
    module_scale: int = 4
    depth: int = 1
    training_depth: int = 1
    validity_mask: bool = False
    level_loss: str = "mean"
    smoothness: float = 0.5
    edge: float = 150.0
    contrast: int = 0

    def __post_init__(self) -> None:
        where = "options of xvfi"
        m = self.module_scale
        require_ranges(where, self, nf=(1, 1024), depth=(1, 10), training_depth=(1, 10))
        power_of_2 = 1 <= m <= 64 and m & (m - 1) == 0
        require(where, "module_scale", power_of_2, "a power of 2 up to 64", m)
        divides = 4 * self.nf % m**2 == 0
        require(where, "nf", divides, f"a number whose 4-fold {m**2} divides", self.nf)
        known = self.level_loss in ("mean", "sum")
        require(where, "level_loss", known, "mean or sum", repr(self.level_loss))
        odd = self.contrast == 0 or (self.contrast % 2 == 1 and self.contrast > 1)
        require(where, "contrast", odd, "0 or an odd number from 3 on", self.contrast)
        for option in ("smoothness", "edge"):
            value = getattr(self, option)
            require(where, option, value >= 0, "a number of at least 0", value)


class Features(nn.Module):
    """Extract the features of single frames at level 0: (N, 1, H, W) -> (N, nf, H/m, W/m)."""

    def __init__(self, nf: int, halvings: int) -> None:
        super().__init__()
        self.halvings = halvings
        self.first = conv3(1, nf)
        self.halve = nn.Conv2d(nf, nf, 3, stride=2, padding=1)  # shared by all halvings
        self.mix = conv3(nf, nf)
        self.block1 = Residual(nf)
        self.block2 = Residual(nf)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, nf, H/m, W/m)."""
        x = relu(_summed_in_float64(self.first, frames))
        for _ in range(self.halvings):
            x = relu(self.halve(x))
        x = _summed_in_float64(self.mix, x)
        out = _summed_in_float64(self.block1, x)
        out = _summed_in_float64(self.block2, out)
        return x + out


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1 = conv3(nf, nf)
        self.conv2 = conv3(nf, nf)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, nf, h, w) to the same shape."""
        return x + self.conv2(relu(self.conv1(x)))


class FlowNet(nn.Module):
    """A network shaped like BiFlowNet, twice down and twice up: (N, channels, h, w) -> (N, outputs, h, w)."""

    def __init__(self, channels: int, nf: int, outputs: int) -> None:
        super().__init__()
        self.down1 = halving(channels, 2 * nf)
        self.down2 = halving(2 * nf, 4 * nf)
        self.up1 = conv3(4 * nf, 2 * nf)
        self.up2 = conv3(2 * nf, nf)
        self.last = conv3(nf, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, outputs, h, w)."""
        x = relu(self.down1(x))
        x = relu(self.down2(x))
        x = relu(self.up1(double_size(x)))
        x = relu(self.up2(double_size(x)))
        return self.last(x)


class FrameNet(nn.Module):
    """The refinement U-Net: (N, channels, H, W) -> (N, 2, H, W), a mask's logit and a residual."""

    def __init__(self, channels: int, nf: int) -> None:
        super().__init__()
        self.enc1 = halving(channels, nf)
        self.enc2 = halving(nf, 2 * nf)
        self.enc3 = halving(2 * nf, 4 * nf)
        self.dec0 = conv3(4 * nf, 4 * nf)
        self.dec1 = conv3(6 * nf, 2 * nf)
        self.dec2 = conv3(3 * nf, nf)
        self.dec3 = conv3(nf, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, 2, H, W)."""
        half = relu(self.enc1(x))
        quarter = relu(self.enc2(half))
        x = relu(self.enc3(quarter))
        x = relu(self.dec0(x))
        x = relu(self.dec1(concat(double_size(x), quarter)))
        x = relu(self.dec2(concat(double_size(x), half)))
        return _conv_of_enlarged(x, self.dec3)


class Level(NamedTuple):
    """One level's prediction for one t.

    Attributes:
        frame: (B, 1, H/2^l, W/2^l).
        flow: (B, 4, H/(m 2^l), W/(m 2^l)), the refined flows from t to frame 0 and from t to frame 1.
        occlusion: (B, 1, H/2^l, W/2^l) in (0, 1), the weight of frame 0.
        between: (B, 4, H/(m 2^l), W/(m 2^l)), the flows 01 and 10.
    """

    frame: Tensor
    flow: Tensor
    occlusion: Tensor
    between: Tensor


class XVFI(TemporalNetwork):
    """Network for frames between two frames, from flows estimated coarse to fine (Sim et al. 2021)."""

    name = "xvfi"
    options_type = XVFIOptions
    presets: ClassVar[Mapping[str, XVFIOptions]] = {
        # the paper has 32 features, S = 5 and sums over the levels; it does not give m and the mask
        "paper": XVFIOptions(nf=32, depth=5, training_depth=5, level_loss="sum"),
        "released": XVFIOptions(),
        "original": XVFIOptions(
            depth=5, training_depth=3, validity_mask=True, level_loss="sum"
        ),
    }
    teachable = True
    options: XVFIOptions

    def __init__(self, options: XVFIOptions | None = None) -> None:
        super().__init__(options)
        nf = self.options.nf
        m = self.options.module_scale
        self.features = Features(nf, m.bit_length() - 1)
        self.next_level = nn.Conv2d(
            nf, nf, 3, stride=2, padding=1
        )  # shared by all levels
        self.lowest_flow = FlowNet(2 * nf, nf, 6)
        self.align = conv3(2 * nf, nf)  # shared by both directions
        self.higher_flow = FlowNet(2 * nf + 4, nf, 6)
        self.flow_input = nn.Conv2d(4 * nf + 4, nf, 1)
        self.flow_refinement = FlowNet(nf, nf, 4)
        self.frame_refinement = FrameNet(4 * nf // m**2 + 8, nf)
        for name, part in self.named_modules():
            if not isinstance(part, nn.Conv2d):
                continue
            if name.startswith(("features", "next_level")):
                nn.init.kaiming_normal_(part.weight)
            else:
                # Initialise with very small flow and residual: if they are large, training removes them by driving
                # the features to 0 for any input, and does not recover.
                first = 0.01 if name.endswith(("last", "dec3")) else 1.0
                nn.init.xavier_normal_(part.weight, first)
            zero_bias(part)

    @property
    def size_rule(self) -> SizeRule:
        """Return multiples of 2^S max(4 m, 8): the lowest level's flows are halved twice, the frames three times."""
        return self._size_rule(self.options.depth)

    @property
    def training_size_rule(self) -> SizeRule:
        """Return the same for the S of training."""
        return self._size_rule(self.options.training_depth)

    def _size_rule(self, depth: int) -> SizeRule:
        return SizeRule(2**depth * max(4 * self.options.module_scale, 8))

    def working_bytes(self, rows: int, columns: int) -> int:
        """Count the first features, at full resolution and for both frames, and the U-Net's halves."""
        return 4 * rows * columns * (6 * self.options.nf + 40)

    def interpolate(
        self, frames: Tensor, t: Times, estimate: Tensor | None = None
    ) -> Tensor:
        """Predict frames between two known ones; features and flows are computed once for all t.

        See :meth:`TemporalNetwork.interpolate`; no initial estimate is used.
        """
        check_shape(frames, ("B", 2, 1, "H", "W"), self.size_rule, "xvfi: frames")
        times = times_tensor(t, frames, "xvfi")
        features = self._features(frames, self.options.depth)
        flow, z = self._flows(features)[0]
        images = (frames[:, 0], frames[:, 1])
        predicted = [
            self._level(images, features[0], flow, z, each) for each in times.unbind(1)
        ]
        return torch.stack([level.frame for level in predicted], dim=1)

    def levels(self, frames: Tensor, t: Tensor) -> list[Level]:
        """Return the predictions of every level, level 0 first, for training.

        Args:
            frames: (B, 2, 1, H, W), scaled; H and W fit ``training_size_rule``.
            t: (B,), each in (0, 1).
        """
        check_shape(
            frames, ("B", 2, 1, "H", "W"), self.training_size_rule, "xvfi: frames"
        )
        t = times_tensor(t.reshape(-1, 1), frames, "xvfi")[:, 0]
        features = self._features(frames, self.options.training_depth)
        levels = []
        for i, (flow, z) in enumerate(self._flows(features)):
            images = (_reduce(frames[:, 0], 2**i), _reduce(frames[:, 1], 2**i))
            levels.append(self._level(images, features[i], flow, z, t))
        return levels

    def loss(self, sample: TemporalSample) -> Tensor:
        """Return L1 over the levels, plus the edge-aware smoothness of level 0's refined flows (XVFI, eqs. 4-6)."""
        return self._loss_of(self.levels(sample.frames, sample.t), sample)

    def taught_loss(self, sample: TemporalSample, weight: float) -> Tensor:
        """Add the error of all levels' flows, between the frames and from t, against ``sample.motion``."""
        levels = self.levels(sample.frames, sample.t)
        assert sample.motion is not None
        motion, t = sample.motion, sample.t.view(-1, 1, 1, 1)
        # The motion is smooth, so its value midway represents the whole interval.
        taught = concat(motion, -motion, -t * motion, (1 - t) * motion)
        errors = []
        for level in levels:
            found = at_least_float32(concat(level.between, level.flow))
            pixels = motion.shape[-1] // found.shape[-1]
            errors.append(F.l1_loss(pixels * found, F.avg_pool2d(taught, pixels)))
        return self._loss_of(levels, sample) + weight * torch.stack(errors).mean()

    def _loss_of(self, levels: list[Level], sample: TemporalSample) -> Tensor:
        check_shape(
            sample.target, ("B", 1, "H", "W"), self.training_size_rule, "xvfi: target"
        )
        target = at_least_float32(sample.target)
        errors = [
            F.l1_loss(level.frame, _reduce(target, 2**i))
            for i, level in enumerate(levels)
        ]
        total = torch.stack(errors).sum()
        if self.options.level_loss == "mean":
            total = total / len(errors)
        return total + self.options.smoothness * self._roughness(levels[0].flow, target)

    def _roughness(self, flow: Tensor, target: Tensor) -> Tensor:
        """Return the mean difference of flows between neighbouring pixels, weighted down at edges of the target."""
        image = _reduce(target, self.options.module_scale)

        def along(dim: int) -> Tensor:
            freedom = torch.exp(-((self.options.edge * image.diff(dim=dim)) ** 2))
            return (flow.diff(dim=dim).abs() * freedom).mean()

        return (along(-1) + along(-2)) / 2

    def _features(self, frames: Tensor, depth: int) -> list[Pair]:
        """Return the features of both frames (B, nf, h, w), per level, level 0 first."""
        if self.options.contrast:
            frames = _standardised(frames, self.options.contrast)
        level = self.features(frames.flatten(0, 1))
        levels = [level]
        for _ in range(depth):
            level = _summed_in_float64(self.next_level, level)
            levels.append(level)
        return [(both[0::2], both[1::2]) for both in levels]

    def _flows(self, features: list[Pair]) -> list[Pair]:
        """Return flows 01 and 10 (B, 4, h, w) and logits of their importance (B, 2, h, w), per level, level 0 first."""
        out = _summed_in_float64(self.lowest_flow, torch.cat(features[-1], dim=1))
        flow, z = torch.split(out, [4, 2], dim=1)
        flows = [(flow, z)]
        for feature0, feature1 in reversed(features[:-1]):
            # each level learns its own correction: no gradient passes between levels
            up = 2 * _enlarge(at_least_float32(flow.detach()), 2)
            warped1, warped0 = self._warp_both(feature1, feature0, up)
            aligned0 = self.align(concat(feature0, warped1))
            aligned1 = self.align(concat(feature1, warped0))
            out = self.higher_flow(concat(aligned0, aligned1, up))
            correction, z = torch.split(at_least_float32(out), [4, 2], dim=1)
            flow = correction + up
            flows.append((flow, z))
        return flows[::-1]

    def _level(
        self, images: Pair, features: Pair, flow: Tensor, z: Tensor, t: Tensor
    ) -> Level:
        """Predict one level's frame at t (B,)."""
        t = t.view(-1, 1, 1, 1)
        m = self.options.module_scale
        image0, image1 = images
        feature0, feature1 = features
        flow_t = self._reverse(flow, z, t)
        warped0, warped1 = self._warp_both(feature0, feature1, flow_t)
        known = concat(feature0, warped0, warped1, feature1, flow_t)
        flow_t = flow_t + self.flow_refinement(relu(self.flow_input(known)))
        warped0, warped1 = self._warp_both(feature0, feature1, flow_t)

        fine_flow = m * _enlarge(flow_t, m)
        moved0, moved1 = self._warp_both(image0, image1, fine_flow)
        fine_features = F.pixel_shuffle(concat(feature0, feature1, warped0, warped1), m)
        known = concat(fine_features, image0, image1, moved0, moved1, fine_flow)
        refined = at_least_float32(self.frame_refinement(known))
        logit, residual = torch.split(refined, 1, dim=1)

        occlusion = torch.sigmoid(
            logit
        )  # eq. 3: the nearer, less occluded frame has more weight
        trust0 = (1 - t) * occlusion
        trust1 = t * (1 - occlusion)
        frame = (trust0 * moved0 + trust1 * moved1) / (trust0 + trust1) + residual
        return Level(frame, flow_t, occlusion, flow)

    def _reverse(self, flow: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Reverse the flows (complementary flow reversal, eq. 2): 01 and 10 -> from t to 0 and from t to 1."""
        flow = at_least_float32(flow)
        importance = torch.sigmoid(at_least_float32(z))
        forward, weight0 = splat(flow[:, :2], t * flow[:, :2], importance[:, :1])
        backward, weight1 = splat(flow[:, 2:], (1 - t) * flow[:, 2:], importance[:, 1:])
        to0 = -(1 - t) * t * forward + t**2 * backward
        to1 = (1 - t) ** 2 * forward - t * (1 - t) * backward
        weight = (1 - t) * weight0 + t * weight1
        weight = torch.where(weight > 0, weight, 1.0)  # no contribution: flow 0
        return concat(to0, to1) / weight

    def _warp_both(self, first: Tensor, second: Tensor, flow: Tensor) -> Pair:
        """Warp ``first`` along flow channels 0 and 1, ``second`` along 2 and 3."""
        mask = self.options.validity_mask
        return warp(first, flow[:, :2], mask), warp(second, flow[:, 2:], mask)


def _standardised(frames: Tensor, size: int) -> Tensor:
    """Standardise frames (B, 2, 1, H, W) by the local mean and spread of both, over a square around each pixel."""

    def local(x: Tensor) -> Tensor:
        for kernel in ((size, 1), (1, size)):
            edge = (kernel[0] // 2, kernel[1] // 2)
            x = F.avg_pool2d(x, kernel, 1, edge, count_include_pad=False)
        return x

    frames = at_least_float32(frames)
    frames = frames - local(frames.mean(1)).unsqueeze(1)
    spread = local(frames.square().mean(1)).unsqueeze(1)
    return frames / (spread + _FAINT**2).sqrt()


def _summed_in_float64(part: nn.Module, x: Tensor) -> Tensor:
    """Return ``part(x)``, with float64 accumulation for float32 inference on a CPU.

    Where flows converge, the reversal divides by small sums, so the flows need full precision. The affected parts are
    small; this takes 2 % of the time, and results of different processors agree better than with float32 kernels. In
    training it would take a quarter to a half of the time.
    """
    plain = torch.is_autocast_enabled(x.device.type) or torch.compiler.is_compiling()
    plain = plain or (part.training and torch.is_grad_enabled())
    if plain or x.dtype != torch.float32 or x.device.type != "cpu":
        return cast("Tensor", part(x))
    weights = {name: weight.double() for name, weight in part.named_parameters()}
    return cast(
        "Tensor", torch.func.functional_call(part, weights, (x.double(),))
    ).float()


def _conv_of_enlarged(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Return conv(double_size(x)) for a 3x3 ``conv``, computed as one transposed convolution.

    Its kernel holds the sums of the weights of repeated pixels. The result is equal up to rounding; the enlarged
    features are never stored, which takes a fifth of the time for few output channels.
    """
    pixel = torch.ones(1, 1, 2, 2, dtype=conv.weight.dtype, device=conv.weight.device)
    kernel = F.conv_transpose2d(conv.weight.flatten(0, 1).unsqueeze(1), pixel).flip(
        -1, -2
    )
    kernel = kernel.view(conv.out_channels, conv.in_channels, 4, 4).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)


def _enlarge(flow: Tensor, times: int) -> Tensor:
    return F.interpolate(flow, scale_factor=times, mode="bilinear", align_corners=False)


def _reduce(image: Tensor, times: int) -> Tensor:
    """Downsample bicubically (a = -0.75), half-pixel centres, no antialiasing, as for the published networks."""
    if times == 1:
        return image
    return resize(image, image.shape[-2] // times, image.shape[-1] // times)
