"""Getting data from where it is published: CAMS, GEOS-CF and OpenAQ, complete, verified, and never twice."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "Cams": "deepcams.fetch.cams",
    "CamsRequest": "deepcams.fetch.cams",
    "Endpoints": "deepcams.fetch.endpoints",
    "GeosCf": "deepcams.fetch.geos_cf",
    "GeosCfRequest": "deepcams.fetch.geos_cf",
    "Openaq": "deepcams.fetch.openaq",
    "OpenaqRequest": "deepcams.fetch.openaq",
    "RetryPolicy": "deepcams.fetch.retry",
}
__all__ = sorted(_WHERE)

if TYPE_CHECKING:
    from deepcams.fetch.cams import Cams as Cams
    from deepcams.fetch.cams import CamsRequest as CamsRequest
    from deepcams.fetch.endpoints import Endpoints as Endpoints
    from deepcams.fetch.geos_cf import GeosCf as GeosCf
    from deepcams.fetch.geos_cf import GeosCfRequest as GeosCfRequest
    from deepcams.fetch.openaq import Openaq as Openaq
    from deepcams.fetch.openaq import OpenaqRequest as OpenaqRequest
    from deepcams.fetch.retry import RetryPolicy as RetryPolicy


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'deepcams.fetch' has no attribute {name!r}")
