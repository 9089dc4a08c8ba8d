"""Flow, refined: where, and by how much, what optical flow carries should be mended.

A network of our own. It starts from classical flow (:func:`deepcams.methods.flow.guide`): both frames carried to
the wanted time. What flow gets wrong is mostly detail that does not move with the wind (towns, coasts, mountains) and
growth on the way, so the network does not draw a frame: it decides, pixel by pixel, how much of a few named
differences to add to flow's blend, all in the logarithm. With zero weights it *is* flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.core.errors import InputError
from deepcams.networks.base import (
    SizeRule,
    TemporalNetwork,
    TemporalSample,
    Times,
    check_shape,
    require,
    times_tensor,
)
from deepcams.networks.warp import wide

_GAIN = 8.0
"""Differences of logarithms are small beside the logarithms; enlarged, bfloat16 still tells them apart."""

_LEAK = 0.1
_FREE = 0.03
"""Weight of the correction that is none of the named differences."""


@dataclass(frozen=True)
class FlowRefineOptions:
    """Options of :class:`FlowRefine`.

    Attributes:
        width: features at full resolution; 2, 3 and 4 times as many at a half, a quarter and an eighth.
        floor: added before the logarithm, in scaled units (ug m-3 with the scaling ``linear`` of unit 1): below it,
            differences count as they are, above it relatively.
        power: of the values whose absolute differences are the loss: 1 is the mean absolute error, less gives clean
            air more of a say.
    """

    width: int = 32
    floor: float = 0.2
    power: float = 0.5

    def __post_init__(self) -> None:
        where = "options of flow-refine"
        require(where, "width", 1 <= self.width <= 512, "1 to 512", self.width)
        require(where, "floor", self.floor > 0, "a positive number", self.floor)
        require(where, "power", 0 < self.power <= 1, "more than 0, at most 1", self.power)


class Pair(nn.Module):
    """Two convolutions 3x3, each with a leaky ReLU (a plain one may die in the first steps)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, features, H, W)."""
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), _LEAK)), _LEAK)


def _smooth(x: Tensor, size: int) -> Tensor:
    """Mean over size x size pixels, edges repeated."""
    return F.avg_pool2d(F.pad(x, (size // 2,) * 4, mode="replicate"), size, 1)


def _larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class FlowRefine(TemporalNetwork):
    """A small U-Net that says how much of what to add to optical flow's frame."""

    name: ClassVar[str] = "flow-refine"
    options_type: ClassVar[type] = FlowRefineOptions
    presets: ClassVar[Mapping[str, FlowRefineOptions]] = {"best": FlowRefineOptions()}
    guide: ClassVar[str | None] = "flow"
    guides: ClassVar[int] = 2
    margin: ClassVar[tuple[int, int]] = (64, 64)
    reach: ClassVar[int | None] = 64
    options: FlowRefineOptions

    def __init__(self, options: FlowRefineOptions | None = None) -> None:
        super().__init__(options or FlowRefineOptions())
        n = self.options.width
        widths = (n, 2 * n, 3 * n, 4 * n)
        self.down = nn.ModuleList(Pair(i, o) for i, o in zip((10, *widths), widths, strict=False))
        self.up = nn.ModuleList(
            Pair(low + high, high) for low, high in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(n, 8, 3, padding=1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, _LEAK, nonlinearity="leaky_relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        nn.init.zeros_(self.last.weight)  # to begin with, nothing is added to flow

    @property
    def size_rule(self) -> SizeRule:
        """Halved three times."""
        return SizeRule(8)

    def working_bytes(self, rows: int, columns: int) -> int:
        """About eight full-resolution frames of features."""
        return 4 * rows * columns * 8 * self.options.width

    def interpolate(self, frames: Tensor, t: Times, guide: Tensor | None = None) -> Tensor:
        """Frames between two known ones, from what flow carries to each t.

        Raises:
            InputError: a shape that does not fit, a t outside (0, 1), or no guide.
        """
        check_shape(frames, ("B", 2, 1, "H", "W"), self.size_rule, "flow-refine: frames")
        times = times_tensor(t, frames, "flow-refine")
        shape = (*times.shape, self.guides, *frames.shape[2:])
        if guide is None or tuple(guide.shape) != shape:
            found = "none" if guide is None else str(tuple(guide.shape))
            raise InputError(
                "flow-refine: guide", f"the frames that flow carries to each t, {shape}", found
            )
        known = wide(frames[:, :, 0])
        inner = []
        for each, carried in zip(times.unbind(1), wide(guide[:, :, :, 0]).unbind(1), strict=True):
            log = self._log_at(known, carried, each)
            if not self.training:  # the mean of both directions of time, which have equal rights
                log = (log + self._log_at(known.flip(1), carried.flip(1), 1 - each)) / 2
            inner.append(log.exp() - self.options.floor)
        return torch.stack(inner, dim=1)

    def loss(self, sample: TemporalSample) -> Tensor:
        """Mean absolute difference of powers."""
        guide = None if sample.guide is None else sample.guide[:, None]
        found = self.interpolate(sample.frames, sample.t.reshape(-1, 1), guide)[:, 0]
        power, floor = self.options.power, self.options.floor
        wanted = (wide(sample.target).clamp_min(0) + floor) ** power
        return ((found.clamp_min(0) + floor) ** power - wanted).abs().mean()

    def _log_at(self, frames: Tensor, carried: Tensor, t: Tensor) -> Tensor:
        """Both (B, 2, H, W), t (B,) -> the logarithm above the floor, (B, 1, H, W)."""
        t = t.view(-1, 1, 1, 1)
        floor = self.options.floor

        def blend(pair: Tensor) -> Tensor:
            return ((1 - t) * pair[:, :1] + t * pair[:, 1:]).clamp_min(0).add(floor).log()

        with torch.autocast(
            frames.device.type, enabled=False
        ):  # differences of logarithms need their digits
            flow, still = blend(carried), blend(frames)
            log_frames, log_carried = ((x.clamp_min(0) + floor).log() for x in (frames, carried))
            rest = still - flow
            rest_3 = _smooth(rest, 3)
            rest_7 = _smooth(rest_3, 7)
            growth = log_carried[:, 1:] - log_carried[:, :1]
            broad_growth = _smooth(growth, 5)
            detail = flow - _smooth(flow, 3)
            change = log_frames[:, 1:] - log_frames[:, :1]
            differences = torch.cat(
                # detail that stays in place, at three scales; growth along the way, at two; sharpness; change in place
                (
                    rest - rest_3,
                    rest_3 - rest_7,
                    rest_7,
                    broad_growth,
                    growth - broad_growth,
                    detail,
                    change,
                ),
                dim=1,
            )
            both = torch.cat((log_frames, log_carried), dim=1)
            seen = torch.cat(
                (
                    flow / 2,
                    _GAIN * growth,
                    _GAIN * rest,
                    _GAIN * change,
                    _GAIN * (both - _smooth(both, 7)),
                    (2 * t - 1).expand_as(flow),
                    _GAIN * detail,
                ),
                dim=1,
            )
        answer = wide(self._features(seen))
        added = (answer[:, :-1] * differences).sum(dim=1, keepdim=True) + _FREE * answer[:, -1:]
        return flow + added

    def _features(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # half the time on a CPU
        passed: list[Tensor] = []
        for part in self.down:
            x = part(F.avg_pool2d(x, 2) if passed else x)
            passed.append(x)
        for part, fine in zip(self.up, passed[-2::-1], strict=True):
            x = part(torch.cat((_larger(x), fine), dim=1))
        out: Tensor = self.last(x)
        return out
