"""Exposure of people: fields over zones with their population, and at lists of places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.exposure.fields import open_exposure_field as open_exposure_field
    from deepcams.exposure.point_list import PointList as PointList
    from deepcams.exposure.point_list import points_of as points_of
    from deepcams.exposure.point_list import read_points as read_points
    from deepcams.exposure.points import point_exposure as point_exposure
    from deepcams.exposure.polygons import Zones as Zones
    from deepcams.exposure.polygons import country_zones as country_zones
    from deepcams.exposure.polygons import read_zones as read_zones
    from deepcams.exposure.population import Population as Population
    from deepcams.exposure.population import read_population as read_population
    from deepcams.exposure.population import (
        simulated_population as simulated_population,
    )
    from deepcams.exposure.zones import ZoneExposure as ZoneExposure
    from deepcams.exposure.zones import zone_exposure as zone_exposure
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "PointList": ".point_list",
            "Population": ".population",
            "ZoneExposure": ".zones",
            "Zones": ".polygons",
            "country_zones": ".polygons",
            "open_exposure_field": ".fields",
            "point_exposure": ".points",
            "points_of": ".point_list",
            "read_points": ".point_list",
            "read_population": ".population",
            "read_zones": ".polygons",
            "simulated_population": ".population",
            "zone_exposure": ".zones",
        },
    )
