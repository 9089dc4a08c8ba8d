"""Downloads of CAMS, GEOS-CF and OpenAQ data: complete, verified, and never repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.fetch.cams import Cams as Cams
    from deepcams.fetch.cams_request import CamsRequest as CamsRequest
    from deepcams.fetch.endpoints import Endpoints as Endpoints
    from deepcams.fetch.geos_cf import GeosCf as GeosCf
    from deepcams.fetch.geos_cf import GeosCfRequest as GeosCfRequest
    from deepcams.fetch.openaq import Openaq as Openaq
    from deepcams.fetch.openaq import OpenaqRequest as OpenaqRequest
    from deepcams.fetch.retry import RetryPolicy as RetryPolicy
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Cams": ".cams",
            "CamsRequest": ".cams_request",
            "Endpoints": ".endpoints",
            "GeosCf": ".geos_cf",
            "GeosCfRequest": ".geos_cf",
            "Openaq": ".openaq",
            "OpenaqRequest": ".openaq",
            "RetryPolicy": ".retry",
        },
    )
