"""Attention through a window that slides with the pixel, for frames too large to attend to as a whole.

Cut into tiles, a frame shows where the cuts were: pixels on the two sides of a border attend to different pixels. Here
each pixel attends to the square around itself, as a tile centred on it would hold, so that moving the frame moves the
result and nothing else. The work is that of tiles without waste: pixels x window.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

BLOCK = 24
"""Edge of the squares of pixels that are worked on at once; it costs time, and never changes the result."""


class Surround(Protocol):
    """What lies around a frame (round the globe, across the poles, or a region's mirror image)."""

    def __call__(self, frame: Tensor, margin: int) -> Tensor:
        """(B, C, H, W) -> (B, C, H + 2 margin, W + 2 margin)."""
        ...


@dataclass(frozen=True)
class Sliding:
    """How a network works on a whole frame, seen through windows.

    Its convolutions see a margin; what they spoil there is filled anew from across the frame's edges at every
    attention, so that no edge is ever felt inside.

    Attributes:
        surround: what lies around the frame.
        margin: pixels beyond each edge; at least the reach of all convolutions between two attentions.
        radius: how far a pixel's attention reaches.
    """

    surround: Surround
    margin: int
    radius: int

    def core(self, x: Tensor) -> Tensor:
        """(B, C, H + 2 margin, W + 2 margin) -> (B, C, H, W)."""
        return x[..., self.margin : -self.margin, self.margin : -self.margin]

    def whole(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H + 2 margin, W + 2 margin)."""
        return self.surround(x, self.margin)

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of each pixel to the square around it, all (B, d, H, W)."""
        return windowed_attention(query, key, value, self.surround, self.radius)


@functools.lru_cache(maxsize=4)
def _mask(radius: int, block: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What is added to the logits: 0 where a pixel of a block sees one of its surroundings, -inf where it does not.

    (block^2, (block + 2 radius)^2); as numbers rather than booleans it takes a third less time on a CPU.
    """
    inner, outer = (
        torch.arange(block, device=device),
        torch.arange(block + 2 * radius, device=device),
    )
    near = (outer[None] - radius - inner[:, None]).abs() <= radius
    seen = (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)
    return torch.zeros(seen.shape, device=device, dtype=dtype).masked_fill(~seen, -torch.inf)


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, surround: Surround, radius: int
) -> Tensor:
    """Attention (without 1/sqrt(d)) of each pixel to the (2 radius + 1)^2 pixels around it.

    Args:
        query, key, value: (B, d, H, W), of one floating type.
        surround: gives the pixels beyond the frame's edges.
        radius: how far a pixel sees.

    Returns:
        (B, d, H, W).
    """
    block = BLOCK
    batch, d, rows, columns = query.shape
    down, across = -(-rows // block), -(-columns // block)
    spare = (
        0,
        across * block - columns,
        0,
        down * block - rows,
    )  # pixels that fill the last blocks; cut off again
    query = F.pad(query, spare)
    # the last blocks reach further: what they see there is masked or cut off, so its values do not matter
    key, value = (F.pad(surround(part, radius), spare) for part in (key, value))
    mask = _mask(radius, block, query.device, query.dtype)
    width = block + 2 * radius

    def blocks(strip: Tensor, size: int) -> Tensor:
        """(B, d, size, columns) -> (B across, 1 head, size^2, d)."""
        cut = strip.unfold(3, size, block)  # (B, d, size, across, size)
        return cut.permute(0, 3, 2, 4, 1).reshape(batch * across, 1, size * size, d)

    strips = []
    for first in range(0, down * block, block):
        found = F.scaled_dot_product_attention(
            blocks(query[:, :, first : first + block], block),
            blocks(key[:, :, first : first + width], width),
            blocks(value[:, :, first : first + width], width),
            attn_mask=mask,
            scale=1.0,
        )
        found = found.reshape(batch, across, block, block, d).permute(0, 4, 2, 1, 3)
        strips.append(found.reshape(batch, d, block, across * block))
    return torch.cat(strips, dim=2)[:, :, :rows, :columns]
