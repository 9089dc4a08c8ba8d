"""Transport of pixels along flows: backward warping and forward splatting.

Flows are (B, 2, H, W) in pixels, (dx, dy): dx eastward along the columns, dy along the rows. Everything is computed
at least in float32, even inside autocast: bfloat16 coordinates cannot distinguish column 256 from column 257.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

EPSILON = 1e-5
"""Offset added to the importance of a splatted pixel, so that no weight is zero (XVFI)."""


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def _pixels(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column (1, 1, W) and row (1, H, 1) numbers of the pixels of ``flow``."""
    rows, columns = flow.shape[-2:]
    x = torch.arange(columns, device=flow.device, dtype=flow.dtype)
    y = torch.arange(rows, device=flow.device, dtype=flow.dtype)
    return x.view(1, 1, -1), y.view(1, -1, 1)


def warp(image: Tensor, flow: Tensor, mask: bool = False) -> Tensor:
    """Sample ``image`` at x + flow: bilinear, zero outside.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W), pixels.
        mask: set pixels to zero that were not sampled entirely inside the image (original XVFI; discontinuous there).

    Returns:
        (B, C, H, W) in float32.
    """
    with torch.autocast(image.device.type, enabled=False):
        image = at_least_float32(image)
        flow = at_least_float32(flow)
        rows, columns = flow.shape[-2:]
        x, y = _pixels(flow)
        # normalised: the centres of the first and last pixel are -1 and 1 (align_corners=True)
        at_x = 2 * (x + flow[:, 0]) / max(columns - 1, 1) - 1
        at_y = 2 * (y + flow[:, 1]) / max(rows - 1, 1) - 1
        at = torch.stack((at_x, at_y), dim=-1)
        warped = F.grid_sample(image, at, align_corners=True)
        if mask:
            inside = F.grid_sample(
                torch.ones_like(image[:, :1]), at, align_corners=True
            )
            warped = warped * (inside >= 0.999)
        return warped


def splat(values: Tensor, flow: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Move every pixel along its flow, and accumulate its value at the four pixels around its target.

    A pixel contributes to each neighbour with weight (importance + 1e-5) exp(-(dx^2 + dy^2)), where dx and dy are its
    distance from that neighbour; targets outside the image are dropped (Sim et al. 2021, complementary flow reversal).

    Args:
        values: (B, C, H, W).
        flow: (B, 2, H, W), pixels.
        importance: (B, 1, H, W), at least 0.

    Returns:
        the sums of weighted values (B, C, H, W) and of weights (B, 1, H, W), in float32; zero where nothing arrives.
    """
    with torch.autocast(values.device.type, enabled=False):
        values = at_least_float32(values)
        flow = at_least_float32(flow)
        importance = at_least_float32(importance)
        batch, channels, rows, columns = values.shape
        x, y = _pixels(flow)
        # integer and fractional part of the flow, not of the target: 255.999 + 0.001 would lose precision
        left, top = flow.detach().floor().unbind(1)
        sums = values.new_zeros(batch, channels + 1, rows * columns)
        payload = torch.cat((values, torch.ones_like(importance)), dim=1)
        corners = ((left, top), (left, top + 1), (left + 1, top), (left + 1, top + 1))
        for step_x, step_y in corners:
            column = x + step_x
            row = y + step_y
            inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            inside = inside.unsqueeze(1)
            distance = (flow[:, 0] - step_x) ** 2 + (flow[:, 1] - step_y) ** 2
            weight = (importance + EPSILON) * torch.exp(-distance).unsqueeze(1)
            # a dropped pixel contributes zero to pixel 0 (a NaN flow is not a valid index)
            sent = torch.where(inside, payload * weight, 0.0).flatten(2)
            target = torch.where(inside, torch.stack((row, column), dim=1), 0.0).long()
            index = (target[:, :1] * columns + target[:, 1:]).flatten(2)
            sums = sums.scatter_add(2, index.expand_as(sent), sent)
        sums = sums.view(batch, channels + 1, rows, columns)
        return sums[:, :-1], sums[:, -1:]
