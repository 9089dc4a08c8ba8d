"""Bit-rounding: discard mantissa bits without information, so that values compress several times better.

Round to nearest, half to even, on the mantissa (Klöwer et al. 2021, Nature Computational Science 1, 713-724).
Keeping k bits of the mantissa bounds the relative error by ``2 ** -(k + 1)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.stages import staged

MANTISSA = 23
"""Number of explicit mantissa bits of a float32."""

_BLOCK = 1 << 16
"""Number of values rounded at a time: they fit into the cache of a core."""


@dataclass(frozen=True)
class BitRound:
    """Rounding of float32 values to the fewest bits that keep a bound on the relative error.

    Attributes:
        bound: largest relative error allowed; 0 keeps every bit.
    """

    bound: float

    def __post_init__(self) -> None:
        if not 0 <= self.bound <= 0.25:
            raise InputError(
                "rounding",
                "a relative error from 0 (off) to 0.25",
                f"{self.bound:g}",
            )

    @property
    def bits(self) -> int:
        """Kept bits of the mantissa: the smallest k with ``2 ** -(k + 1) <= bound``."""
        if self.bound == 0:
            return MANTISSA
        return min(max(math.ceil(-math.log2(self.bound)) - 1, 1), MANTISSA)

    @staged("round")
    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Round ``values`` (float32, C-contiguous) in place and return them; NaN and infinities stay as they are."""
        drop = MANTISSA - self.bits
        if drop == 0:
            return values
        half = np.uint32((1 << (drop - 1)) - 1)
        keep = np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
        flat = values.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            missing = np.isnan(block)
            bits = block.view(np.uint32)
            odd = (bits >> np.uint32(drop)) & np.uint32(1)
            bits += odd + half
            bits &= keep
            # A carry could turn a NaN into an infinity or a number.
            block[missing] = np.nan
        return values

    def attributes(self) -> dict[str, Any]:
        """Return the attributes for the data variable (CF 1.12, section 8.4); empty when rounding is off."""
        if self.bits == MANTISSA:
            return {}
        return {
            "quantization": "quantization_info",
            "quantization_nsb": np.int32(self.bits),
            "quantization_maximum_relative_error": self.bound,
        }
