"""Methods that refine a field in space or in time, and their chains.

:func:`build` makes a chain from names; the registries :data:`SPATIAL` and :data:`TEMPORAL` hold the names.
:data:`AT_POINTS` holds temporal methods that need no grid, for stations.
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
    from deepcams.methods.interval import Interval as Interval
    from deepcams.methods.temporal.at_points import AT_POINTS as AT_POINTS
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "AT_POINTS": ".temporal.at_points",
            "Chain": ".base",
            "Downscaler": ".base",
            "Interval": ".interval",
            "Order": ".chains",
            "SPATIAL": ".chains",
            "SpatialDownscaler": ".base",
            "TEMPORAL": ".chains",
            "TemporalDownscaler": ".base",
            "build": ".chains",
        },
    )
