"""deepcams: hourly 0.25 degree PM2.5 for the whole globe from the 3-hourly 0.75 degree CAMS reanalysis.

After Xiao et al. 2022 (Science of the Total Environment 848, 157747). Everything in :data:`__all__` is imported when
it is first used, so that ``import deepcams`` itself is quick. What only some users need has a package of its own:
:mod:`deepcams.training`, :mod:`deepcams.networks`, :mod:`deepcams.methods`, :mod:`deepcams.evaluation`,
:mod:`deepcams.stations`, :mod:`deepcams.means`, :mod:`deepcams.exposure`, :mod:`deepcams.simulation`,
:mod:`deepcams.plotting`, :mod:`deepcams.report`, :mod:`deepcams.fetch`, :mod:`deepcams.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams._version import __version__ as __version__
from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.core.air import to_concentration as to_concentration
    from deepcams.core.field import as_field as as_field
    from deepcams.core.grid import Grid as Grid
    from deepcams.core.period import Period as Period
    from deepcams.downscaling.job import downscale_to as downscale_to
    from deepcams.downscaling.plan import downscale as downscale
    from deepcams.methods.spatial.coarsen import coarsen as coarsen
    from deepcams.readers.cams import open_cams as open_cams
    from deepcams.readers.geos_cf import open_geos_cf as open_geos_cf
    from deepcams.readers.open import open_field as open_field
    from deepcams.stations.archive.openaq import open_openaq as open_openaq
    from deepcams.stations.validation import validate as validate
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Grid": ".core.grid",
            "Period": ".core.period",
            "as_field": ".core.field",
            "coarsen": ".methods.spatial.coarsen",
            "downscale": ".downscaling.plan",
            "downscale_to": ".downscaling.job",
            "open_cams": ".readers.cams",
            "open_field": ".readers.open",
            "open_geos_cf": ".readers.geos_cf",
            "open_openaq": ".stations.archive.openaq",
            "to_concentration": ".core.air",
            "validate": ".stations.validation",
        },
    )
    __all__ = ["__version__", *__all__]
