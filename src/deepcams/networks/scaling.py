"""Scalings: conversion between ug m-3 and the scaled values used by networks.

A scaling is saved in the checkpoint with the weights; nothing else depends on a network's value range. All are odd or
linear near zero (the analyses hold values slightly below zero) and the inverse is exact to rounding; only a scaling
with ``clip_above`` clips extremes.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from deepcams.core.errors import InputError
from deepcams.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scaling(ABC):
    """A pair of functions on tensors of any shape; its fields are its options (positive numbers)."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for option, value in dataclasses.asdict(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                where = f"scaling {self.name}: {option}"
                raise InputError(where, "a positive number", repr(value))

    @property
    def clip_above(self) -> float | None:
        """Return the value (ug m-3) above which ``forward`` clips; None: no clipping."""
        return None

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """Scale ``values`` (ug m-3)."""

    @abstractmethod
    def inverse(self, scaled: Tensor) -> Tensor:
        """Convert scaled values to ug m-3."""


@dataclass(frozen=True)
class LinearClip(Scaling):
    """Scaling clip(PM, 0, limit) / limit, as used to train the published DeepCAMS networks (800 ug m-3)."""

    name = "linear-clip"
    limit: float = 800.0

    @property
    def clip_above(self) -> float | None:
        """Return the limit."""
        return self.limit

    def forward(self, values: Tensor) -> Tensor:
        """Map values below 0 to 0, those above the limit to 1."""
        return values.clamp(0.0, self.limit) / self.limit

    def inverse(self, scaled: Tensor) -> Tensor:
        """Multiply by the limit, without clipping: a network may return more than the limit, or less than 0."""
        return scaled * self.limit


@dataclass(frozen=True)
class Linear(Scaling):
    """Scaling PM / unit, without clipping."""

    name = "linear"
    unit: float = 100.0

    def forward(self, values: Tensor) -> Tensor:
        """Divide by the unit."""
        return values / self.unit

    def inverse(self, scaled: Tensor) -> Tensor:
        """Multiply by the unit."""
        return scaled * self.unit


@dataclass(frozen=True)
class Asinh(Scaling):
    """Scaling asinh(PM / knee) / norm: linear well below the knee, logarithmic above; 3,700 ug m-3 map to about 1."""

    name = "asinh"
    knee: float = 2.0
    norm: float = 8.0

    def forward(self, values: Tensor) -> Tensor:
        """Apply the inverse hyperbolic sine: odd, increasing."""
        return (values / self.knee).asinh() / self.norm

    def inverse(self, scaled: Tensor) -> Tensor:
        """Apply the hyperbolic sine."""
        return (scaled * self.norm).sinh() * self.knee


@dataclass(frozen=True)
class Log(Scaling):
    """Scaling sign(PM) log(1 + |PM| / floor) / norm: nearly logarithmic above the floor, defined at and below zero."""

    name = "log"
    floor: float = 0.1
    norm: float = 10.0

    def forward(self, values: Tensor) -> Tensor:
        """Apply the logarithm of 1 + |PM| / floor with the sign of PM: odd, increasing."""
        return values.sign() * (values.abs() / self.floor).log1p() / self.norm

    def inverse(self, scaled: Tensor) -> Tensor:
        """Apply the exponential minus one, with the sign of ``scaled``."""
        return scaled.sign() * (scaled.abs() * self.norm).expm1() * self.floor


SCALINGS = Registry(
    "scaling",
    "deepcams.scalings",
    {
        "linear-clip": "deepcams.networks.scaling:LinearClip",
        "linear": "deepcams.networks.scaling:Linear",
        "asinh": "deepcams.networks.scaling:Asinh",
        "log": "deepcams.networks.scaling:Log",
    },
)


def make_scaling(name: str, options: Mapping[str, Any] | None = None) -> Scaling:
    """Return the scaling registered as ``name``.

    Args:
        name: "linear", "linear-clip", "asinh", "log", or one that another package registered.
        options: options of the scaling; omitted ones have their defaults.

    Raises:
        InputError: an unknown name or option, or an option that is not a positive number.
    """
    scaling_type: type[Scaling] = SCALINGS.get(name)
    known = [field.name for field in dataclasses.fields(scaling_type)]
    options = options or {}
    for option in options:
        if option not in known:
            raise InputError(
                f"scaling {name}", "the options " + ", ".join(known), repr(option)
            )
    return scaling_type(**options)
