"""Methods that take a field to a finer grid or a finer cadence, and their chains.

:func:`build` makes a chain from names; the registries :data:`SPATIAL` and :data:`TEMPORAL` hold the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.methods.base import Chain as Chain
    from deepcams.methods.base import Downscaler as Downscaler
    from deepcams.methods.base import SpatialDownscaler as SpatialDownscaler
    from deepcams.methods.base import TemporalDownscaler as TemporalDownscaler
    from deepcams.methods.chains import SPATIAL as SPATIAL
    from deepcams.methods.chains import TEMPORAL as TEMPORAL
    from deepcams.methods.chains import Order as Order
    from deepcams.methods.chains import build as build
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Chain": ".base",
            "Downscaler": ".base",
            "Order": ".chains",
            "SPATIAL": ".chains",
            "SpatialDownscaler": ".base",
            "TEMPORAL": ".chains",
            "TemporalDownscaler": ".base",
            "build": ".chains",
        },
    )
