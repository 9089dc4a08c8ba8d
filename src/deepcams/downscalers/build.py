"""From names to a chain."""

from __future__ import annotations

from typing import Literal, get_args

from deepcams.downscalers.base import Chain, Downscaler, SpatialDownscaler
from deepcams.errors import choose
from deepcams.registry import Registry

TEMPORAL = Registry(
    "temporal downscaler",
    "deepcams.temporal",
    {
        "flow": "deepcams.downscalers.flow:Flow",
        "linear": "deepcams.downscalers.linear:Linear",
        "linear-eq9": "deepcams.downscalers.linear:LinearEq9",
    },
)
SPATIAL = Registry(
    "spatial downscaler",
    "deepcams.spatial",
    {
        "bicubic": "deepcams.downscalers.bicubic:Bicubic",
        "bilinear": "deepcams.downscalers.bicubic:Bilinear",
        "log-bicubic": "deepcams.downscalers.bicubic:LogBicubic",
    },
)
NONE = "none"
"""The name that leaves a field's cadence or its grid as it is."""

Order = Literal["spatial-first", "temporal-first"]

DEFAULT_TEMPORAL, DEFAULT_SPATIAL = "flow", "log-bicubic"


def build(
    temporal: str = DEFAULT_TEMPORAL,
    spatial: str = DEFAULT_SPATIAL,
    *,
    conserve: bool = True,
    order: Order = "spatial-first",
) -> Chain:
    """The chain that the names describe.

    Args:
        temporal: a name in :data:`TEMPORAL`, or ``none`` to keep the cadence.
        spatial: a name in :data:`SPATIAL`, or ``none`` to keep the grid.
        conserve: make the method in space keep the coarse means.
        order: ``spatial-first`` (default: the better one for training-free methods) or the paper's ``temporal-first``.

    Raises:
        InputError: an unknown name.
    """
    choose("order", order, get_args(Order))
    in_time: list[Downscaler] = [] if temporal == NONE else [TEMPORAL.get(temporal)()]
    in_space: list[Downscaler] = []
    if spatial != NONE:
        method: SpatialDownscaler = SPATIAL.get(spatial)()
        if conserve:
            from deepcams.downscalers.conserve import Conserving

            method = Conserving(method)
        in_space = [method]
    return Chain([*in_space, *in_time] if order == "spatial-first" else [*in_time, *in_space])
