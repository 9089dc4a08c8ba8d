"""Building blocks shared by several networks; all operate on tensors (N, channels, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from deepcams.networks.warp import at_least_float32


def conv3(channels: int, features: int) -> nn.Conv2d:
    """Return a zero-padded 3x3 convolution."""
    return nn.Conv2d(channels, features, 3, padding=1)


def halving(channels: int, features: int) -> nn.Conv2d:
    """Return a zero-padded 4x4 convolution to half the resolution."""
    return nn.Conv2d(channels, features, 4, stride=2, padding=1)


def set_to_zero(conv: nn.Conv2d) -> None:
    """Set weights and bias to zero, so that the initial output of the convolution is zero."""
    nn.init.zeros_(conv.weight)
    zero_bias(conv)


def zero_bias(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Set the bias to zero."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


def relu(x: Tensor) -> Tensor:
    """Return max(x, 0), in place."""
    return F.relu(x, inplace=True)


def concat(*tensors: Tensor) -> Tensor:
    """Concatenate tensors along the channels."""
    return torch.cat(tensors, dim=1)


def double_size(x: Tensor) -> Tensor:
    """Double the resolution by repeating each pixel four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def resize(x: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate bicubically (a = -0.75) with half-pixel centres, not antialiased."""
    return F.interpolate(x, size=(rows, columns), mode="bicubic", align_corners=False)


def resize_kernel(factor: int) -> Tensor:
    """Return convolution weights equivalent to :func:`resize` by ``factor``, (factor^2, 1, 5, 5), float64.

    Each output channel is one fine pixel of every coarse one. Unlike :func:`resize`, whose float32 coordinates lose
    precision far from the corner, the convolution is equally accurate everywhere.
    """
    # Elsewhere (a network is first made without memory) eye would import PyTorch's compiler.
    impulses = torch.eye(25, dtype=torch.float64, device="cpu").reshape(25, 1, 5, 5)
    answers = resize(impulses, 5 * factor, 5 * factor)
    cell = slice(2 * factor, 3 * factor)
    return answers[..., cell, cell].reshape(25, -1).T.reshape(-1, 1, 5, 5).contiguous()


def difference_of_powers(
    found: Tensor, wanted: Tensor, floor: float, power: float
) -> Tensor:
    """Return the mean absolute difference of (values + floor)^power, with negative values set to 0."""
    found = (found.clamp_min(0) + floor) ** power
    wanted = (at_least_float32(wanted).clamp_min(0) + floor) ** power
    return (found - wanted).abs().mean()
