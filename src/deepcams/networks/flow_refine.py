"""FlowRefine: a per-pixel correction of optical-flow interpolation.

A network developed for deepcams. Its initial estimate is classical flow
(:func:`deepcams.methods.temporal.flow.initial_estimate`): both frames advected to the target time. The errors of flow
are mostly detail that does not move with the wind (towns, coasts, mountains) and growth or decay in between, so the
network does not generate a frame: it determines per pixel how much of a few predefined differences to add to the flow
result, all in the logarithm. With zero weights it equals flow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.core.errors import InputError
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
    difference_of_powers,
    double_size,
    zero_bias,
)
from deepcams.networks.sizes import SizeRule
from deepcams.networks.warp import at_least_float32

_GAIN = 8.0
"""Gain of differences of logarithms, which are small compared with the logarithms, so that bfloat16 suffices."""

_LEAK = 0.1
_FREE = 0.03
"""Weight of the free correction, which is not one of the predefined differences."""


@dataclass(frozen=True)
class FlowRefineOptions:
    """Options of :class:`FlowRefine`.

    Attributes:
        width: features at full resolution; 2, 3 and 4 times as many at a half, a quarter and an eighth.
        floor: offset added before the logarithm, in scaled units (ug m-3 with the scaling ``linear`` of unit 1): below
            it differences count absolutely, above it relatively.
        power: exponent applied to values in the loss; 1 gives the mean absolute error, less gives clean air more
            weight.
    """

    width: int = 32
    floor: float = 0.2
    power: float = 0.5

    def __post_init__(self) -> None:
        where = "options of flow-refine"
        require_ranges(where, self, width=(1, 512))
        require(where, "floor", self.floor > 0, "a positive number", self.floor)
        require(
            where, "power", 0 < self.power <= 1, "more than 0, at most 1", self.power
        )


class TwoConvolutions(nn.Module):
    """Two 3x3 convolutions, each with a leaky ReLU (plain ReLUs may die in the first steps)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.first = conv3(channels, features)
        self.second = conv3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, features, H, W)."""
        x = F.leaky_relu(self.first(x), _LEAK)
        return F.leaky_relu(self.second(x), _LEAK)


def _smooth(x: Tensor, size: int) -> Tensor:
    """Return the running mean over size x size pixels, with edge values repeated."""
    return F.avg_pool2d(F.pad(x, (size // 2,) * 4, mode="replicate"), size, 1)


class FlowRefine(TemporalNetwork):
    """A small U-Net that weights the corrections to the optical-flow frame."""

    name = "flow-refine"
    options_type = FlowRefineOptions
    presets: ClassVar[Mapping[str, FlowRefineOptions]] = {"best": FlowRefineOptions()}
    estimate_method = "flow"
    estimate_frames = 2
    context = (64, 64)
    receptive_field = 64
    options: FlowRefineOptions

    def __init__(self, options: FlowRefineOptions | None = None) -> None:
        super().__init__(options)
        n = self.options.width
        widths = (10, n, 2 * n, 3 * n, 4 * n)
        self.down = nn.ModuleList(
            TwoConvolutions(fine, coarse) for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(
            TwoConvolutions(coarse + fine, fine)
            for coarse, fine in itertools.pairwise(widths[:0:-1])
        )
        self.last = conv3(n, 8)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, _LEAK, nonlinearity="leaky_relu")
                zero_bias(part)
        nn.init.zeros_(self.last.weight)  # initially the correction is zero

    @property
    def size_rule(self) -> SizeRule:
        """Return multiples of 8: frames are halved three times."""
        return SizeRule(8)

    def working_bytes(self, rows: int, columns: int) -> int:
        """Count eight full-resolution frames of features."""
        return 4 * rows * columns * 8 * self.options.width

    def interpolate(
        self, frames: Tensor, t: Times, estimate: Tensor | None = None
    ) -> Tensor:
        """Predict frames between two known ones, from those that flow advects to each t.

        See :meth:`TemporalNetwork.interpolate`.

        Raises:
            InputError: an invalid shape, a t outside (0, 1), or no estimate.
        """
        check_shape(
            frames, ("B", 2, 1, "H", "W"), self.size_rule, "flow-refine: frames"
        )
        times = times_tensor(t, frames, "flow-refine")
        shape = (*times.shape, self.estimate_frames, *frames.shape[2:])
        if estimate is None or tuple(estimate.shape) != shape:
            expected = f"the frames that flow carries to each t, {shape}"
            found = "none" if estimate is None else tuple(estimate.shape)
            raise InputError("flow-refine: estimate", expected, found)
        known = at_least_float32(frames[:, :, 0])
        carried = at_least_float32(estimate[:, :, :, 0])
        inner = []
        for i in range(times.shape[1]):
            log = self._log_at(known, carried[:, i], times[:, i])
            if not self.training:  # averaged over both directions of time, for symmetry
                backward = self._log_at(
                    known.flip(1), carried[:, i].flip(1), 1 - times[:, i]
                )
                log = (log + backward) / 2
            inner.append(log.exp() - self.options.floor)
        return torch.stack(inner, dim=1)

    def loss(self, sample: TemporalSample) -> Tensor:
        """Return the mean absolute difference of powers."""
        estimate = None if sample.estimate is None else sample.estimate[:, None]
        found = self.interpolate(sample.frames, sample.t.reshape(-1, 1), estimate)[:, 0]
        return difference_of_powers(
            found, sample.target, self.options.floor, self.options.power
        )

    def _log_at(self, frames: Tensor, carried: Tensor, t: Tensor) -> Tensor:
        """Predict the offset logarithm (B, 1, H, W) at t (B,) from frames and advected frames (B, 2, H, W)."""
        t = t.view(-1, 1, 1, 1)
        floor = self.options.floor

        def blend(pair: Tensor) -> Tensor:
            return (
                ((1 - t) * pair[:, :1] + t * pair[:, 1:]).clamp_min(0).add(floor).log()
            )

        # differences of logarithms need full precision
        with torch.autocast(frames.device.type, enabled=False):
            flow = blend(carried)
            rest = blend(frames) - flow
            log_frames = (frames.clamp_min(0) + floor).log()
            log_carried = (carried.clamp_min(0) + floor).log()
            rest_3 = _smooth(rest, 3)
            rest_7 = _smooth(rest_3, 7)
            growth = log_carried[:, 1:] - log_carried[:, :1]
            broad_growth = _smooth(growth, 5)
            detail = flow - _smooth(flow, 3)
            change = log_frames[:, 1:] - log_frames[:, :1]
            differences = (
                rest - rest_3,  # detail that stays in place, at three scales
                rest_3 - rest_7,
                rest_7,
                broad_growth,  # growth along the path, at two scales
                growth - broad_growth,
                detail,  # sharpness
                change,  # change in place
            )
            both = concat(log_frames, log_carried)
            seen = (
                flow / 2,
                _GAIN * growth,
                _GAIN * rest,
                _GAIN * change,
                _GAIN * (both - _smooth(both, 7)),
                (2 * t - 1).expand_as(flow),
                _GAIN * detail,
            )
        answer = at_least_float32(self._u_net(torch.cat(seen, dim=1)))
        weighted = answer[:, :-1] * torch.cat(differences, dim=1)
        return flow + (weighted.sum(dim=1, keepdim=True) + _FREE * answer[:, -1:])

    def _u_net(self, x: Tensor) -> Tensor:
        """Map (B, 10, H, W) to (B, 8, H, W): a weight for each difference, and a free correction."""
        x = x.contiguous(memory_format=torch.channels_last)  # halves the time on a CPU
        levels: list[Tensor] = []
        for part in self.down:
            x = part(F.avg_pool2d(x, 2) if levels else x)
            levels.append(x)
        levels.pop()
        for part in self.up:
            x = part(concat(double_size(x), levels.pop()))
        return self.last(x)
