"""Frame sizes and tilings of networks; without torch, so that exported networks do not need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepcams.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SizeRule:
    """Rule for frame sizes: height and width are multiples of ``multiple`` and at least ``minimum``."""

    multiple: int = 1
    minimum: int = 1

    def fits(self, rows: int, columns: int) -> bool:
        """Return whether the network accepts a frame of this size."""
        return (rows, columns) == self.enlarge(rows, columns)

    def enlarge(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the smallest accepted size of at least rows x columns, to pad to."""
        return self._round_up(rows), self._round_up(columns)

    def check(self, tensor: Tensor, where: str) -> None:
        """Raise InputError unless the last two dimensions of ``tensor`` fit."""
        rows, columns = tensor.shape[-2:]
        if self.fits(rows, columns):
            return
        expected = f"height and width that are multiples of {self.multiple}"
        if self.minimum > self.multiple:
            expected += f" and at least {self.minimum}"
        larger = "x".join(map(str, self.enlarge(rows, columns)))
        raise InputError(where, expected, f"{rows}x{columns}", f"pad to {larger}")

    def _round_up(self, n: int) -> int:
        return -(-max(n, self.minimum) // self.multiple) * self.multiple


@dataclass(frozen=True)
class Tiling:
    """The tiles into which a large frame is divided for a spatial network, in coarse pixels.

    Attributes:
        size: edge length of a tile, halo included.
        halo: pixels at each edge of a tile whose output is discarded; neighbouring tiles overlap by at least two halos.
    """

    size: int
    halo: int
