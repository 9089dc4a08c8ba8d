"""deepcams: hourly 0.25 degree PM2.5 for the whole globe from the 3-hourly 0.75 degree CAMS reanalysis.

After Xiao et al. 2022 (Science of the Total Environment 848, 157747). Everything in :data:`__all__` is imported when
it is first used, so that ``import deepcams`` itself is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deepcams._version import __version__ as __version__

_WHERE = {
    "Grid": "deepcams.core.grid",
    "Period": "deepcams.core.period",
    "as_field": "deepcams.core.field",
    "coarsen": "deepcams.methods.coarsen",
    "downscale": "deepcams.downscaling.plan",
    "downscale_to": "deepcams.downscaling.job",
    "open_cams": "deepcams.readers.cams",
    "open_field": "deepcams.readers.open",
    "open_geos_cf": "deepcams.readers.geos_cf",
    "open_openaq": "deepcams.stations.openaq",
    "validate": "deepcams.stations.validate",
}

__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from deepcams.core.field import as_field as as_field
    from deepcams.core.grid import Grid as Grid
    from deepcams.core.period import Period as Period
    from deepcams.downscaling.job import downscale_to as downscale_to
    from deepcams.downscaling.plan import downscale as downscale
    from deepcams.methods.coarsen import coarsen as coarsen
    from deepcams.readers.cams import open_cams as open_cams
    from deepcams.readers.geos_cf import open_geos_cf as open_geos_cf
    from deepcams.readers.open import open_field as open_field
    from deepcams.stations.openaq import open_openaq as open_openaq
    from deepcams.stations.validate import validate as validate


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'deepcams' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
