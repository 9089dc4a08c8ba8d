"""Methods that take a field to a finer grid or a finer cadence, and their chains.

:func:`build` makes the chain that a person names in words; the registries hold the names.
"""

from deepcams.methods.base import Chain, Downscaler, SpatialDownscaler, TemporalDownscaler
from deepcams.methods.chains import SPATIAL, TEMPORAL, Order, build

__all__ = [
    "SPATIAL",
    "TEMPORAL",
    "Chain",
    "Downscaler",
    "Order",
    "SpatialDownscaler",
    "TemporalDownscaler",
    "build",
]
