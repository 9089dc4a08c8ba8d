"""deepcams: hourly 0.25 degree PM2.5 for the whole globe from the 3-hourly 0.75 degree CAMS reanalysis.

After Xiao et al. 2022 (Science of the Total Environment 848, 157747). Everything in :data:`__all__` is imported when
it is first used, so that ``import deepcams`` itself is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Grid": "deepcams.grid",
    "Period": "deepcams.period",
    "as_field": "deepcams.field",
    "coarsen": "deepcams.degrade",
    "downscale": "deepcams.production.downscale",
    "downscale_to": "deepcams.production.job",
    "open_cams": "deepcams.sources.cams",
    "open_field": "deepcams.sources.open",
    "open_geos_cf": "deepcams.sources.geos_cf",
    "open_openaq": "deepcams.sources.openaq",
    "validate": "deepcams.evaluation.in_situ",
}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from deepcams.degrade import coarsen as coarsen
    from deepcams.evaluation.in_situ import validate as validate
    from deepcams.field import as_field as as_field
    from deepcams.grid import Grid as Grid
    from deepcams.period import Period as Period
    from deepcams.production.downscale import downscale as downscale
    from deepcams.production.job import downscale_to as downscale_to
    from deepcams.sources.cams import open_cams as open_cams
    from deepcams.sources.geos_cf import open_geos_cf as open_geos_cf
    from deepcams.sources.open import open_field as open_field
    from deepcams.sources.openaq import open_openaq as open_openaq


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'deepcams' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
