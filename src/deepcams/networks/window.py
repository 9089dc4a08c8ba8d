"""Sliding-window attention, for frames too large for attention over all pixels.

With tiles, seams appear, because pixels on the two sides of a border attend to different pixels. Here each pixel
attends to the square around itself, as large as a tile, so that shifting the frame only shifts the result. The cost is
that of tiles without overlap: pixels x window.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BLOCK = 24
"""Edge length of the square blocks of pixels processed together; it affects speed, never the result."""


class Pad(Protocol):
    """A function that extends a frame by its surroundings (around the globe, across the poles, or mirrored)."""

    def __call__(self, frame: Tensor, width: int) -> Tensor:
        """(B, C, H, W) -> (B, C, H + 2 width, W + 2 width)."""
        ...


@dataclass(frozen=True)
class SlidingWindow:
    """Sliding-window processing of a whole frame.

    The frame has a halo for the convolutions; zero padding spoils it, so it is refilled from the surroundings at every
    attention, and edges never affect the inside.

    Attributes:
        pad: extends a frame by its surroundings.
        halo: pixels beyond each edge; at least the receptive field of all convolutions between two attentions.
        radius: radius of the window in pixels.
    """

    pad: Pad
    halo: int
    radius: int

    def crop(self, x: Tensor) -> Tensor:
        """Cut off the halo: (B, C, H + 2 halo, W + 2 halo) -> (B, C, H, W)."""
        return x[..., self.halo : -self.halo, self.halo : -self.halo]

    def extend(self, x: Tensor) -> Tensor:
        """Add the halo: (B, C, H, W) -> (B, C, H + 2 halo, W + 2 halo)."""
        return self.pad(x, self.halo)

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Compute the attention of each pixel to the square around it; all (B, d, H, W)."""
        return windowed_attention(query, key, value, self.pad, self.radius)


@functools.lru_cache(maxsize=4)
def _mask(radius: int, block: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the additive mask of the logits: 0 where a pixel of a block attends to a surrounding one, else -inf.

    (block^2, (block + 2 radius)^2); floats take a third less time on a CPU than booleans.
    """
    inner = torch.arange(block, device=device)
    outer = torch.arange(block + 2 * radius, device=device)
    near = (outer[None] - radius - inner[:, None]).abs() <= radius
    seen = (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)
    return torch.zeros(seen.shape, device=device, dtype=dtype).masked_fill(
        ~seen, -torch.inf
    )


def windowed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    pad: Pad,
    radius: int,
) -> Tensor:
    """Return the attention (without 1/sqrt(d)) of each pixel to the (2 radius + 1)^2 pixels around it.

    Args:
        query, key, value: (B, d, H, W), of one floating type.
        pad: provides the pixels beyond the frame's edges.
        radius: radius of the window in pixels.

    Returns:
        (B, d, H, W).
    """
    block = BLOCK
    width = block + 2 * radius
    batch, d, rows, columns = query.shape
    down = -(-rows // block)
    across = -(-columns // block)
    # Pad to whole blocks. The padding is masked or cropped later, so its values do not matter.
    fill = (0, across * block - columns, 0, down * block - rows)
    query = F.pad(query, fill)
    key = F.pad(pad(key, radius), fill)
    value = F.pad(pad(value, radius), fill)
    mask = _mask(radius, block, query.device, query.dtype)

    def blocks(strip: Tensor, size: int) -> Tensor:
        """Map (B, d, size, columns) to (B across, 1 head, size^2, d)."""
        cut = strip.unfold(3, size, block)  # (B, d, size, across, size)
        return cut.permute(0, 3, 2, 4, 1).reshape(batch * across, 1, size * size, d)

    strips = []
    for first in range(0, down * block, block):
        gathered = F.scaled_dot_product_attention(
            blocks(query[:, :, first : first + block], block),
            blocks(key[:, :, first : first + width], width),
            blocks(value[:, :, first : first + width], width),
            attn_mask=mask,
            scale=1.0,
        )
        gathered = gathered.reshape(batch, across, block, block, d).permute(
            0, 4, 2, 1, 3
        )
        strips.append(gathered.reshape(batch, d, block, across * block))
    return torch.cat(strips, dim=2)[:, :, :rows, :columns]
