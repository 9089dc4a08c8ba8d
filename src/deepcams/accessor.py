"""The xarray accessor ``array.deepcams``: functions of deepcams as methods of arrays.

``import deepcams.accessor`` registers it. It accepts any array that :func:`deepcams.as_field` accepts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.url import Place

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from deepcams.downscaling.job import Summary as Written
    from deepcams.export import Exported
    from deepcams.exposure import PointList, ZoneExposure, Zones
    from deepcams.means import Summary


@xr.register_dataarray_accessor("deepcams")  # type: ignore[no-untyped-call]
class Accessor:
    """Methods of a field.

    Args:
        array: any array that :func:`deepcams.as_field` accepts.

    Attributes:
        field: the array as a canonical field.

    Raises:
        InputError: the array cannot be converted to a field; see :func:`deepcams.as_field`.
    """

    def __init__(self, array: xr.DataArray) -> None:
        self.field = as_field(array)

    def downscale(
        self, temporal: str = "best", spatial: str = "best", **settings: Any
    ) -> xr.DataArray:
        """Return the downscaled field, lazily; for the arguments see :func:`deepcams.downscale`."""
        from deepcams.downscaling.plan import downscale

        return downscale(self.field, temporal, spatial, **settings)

    def downscale_to(self, out: str | Place, **settings: Any) -> Written:
        """Downscale and write, resumably; for the arguments see :func:`deepcams.downscale_to`."""
        from deepcams.downscaling.job import downscale_to

        return downscale_to(self.field, out, **settings)

    def coarsen(self, **settings: Any) -> xr.DataArray:
        """Return area means over cells; for the arguments see :func:`deepcams.coarsen`."""
        from deepcams.methods.spatial.coarsen import coarsen

        return coarsen(self.field, **settings)

    def means(self, out: str | Place, **settings: Any) -> Summary:
        """Write means of days, months, seasons or years; for the arguments see :func:`deepcams.means.means_to`."""
        from deepcams.means import means_to

        return means_to(self.field, out, **settings)

    def zones(
        self, zones: Zones | str | Path = "countries", **settings: Any
    ) -> ZoneExposure:
        """Return the exposure of zones.

        Args:
            zones: zones or their file, see :func:`deepcams.exposure.read_zones`; default: countries.
            settings: see :func:`deepcams.exposure.zone_exposure`.
        """
        from deepcams.exposure import read_zones, zone_exposure

        wanted = read_zones(zones) if isinstance(zones, str | Path) else zones
        return zone_exposure(self.field, wanted, **settings)

    def points(
        self, points: pd.DataFrame | PointList | str | Path, **settings: Any
    ) -> pd.DataFrame:
        """Return the field's values at locations.

        Args:
            points: table with latitude and longitude, or its file, see :func:`deepcams.exposure.read_points`.
            settings: see :func:`deepcams.exposure.point_exposure`.
        """
        from deepcams.exposure import PointList, point_exposure, points_of, read_points

        if isinstance(points, str | Path):
            points = read_points(points)
        elif not isinstance(points, PointList):
            points = points_of(points)
        return point_exposure(self.field, points, **settings)

    def export(self, out: str | Path, to: str, **settings: Any) -> Exported:
        """Write the field in another tool's format; for the arguments see :func:`deepcams.export.export_to`."""
        from deepcams.export import export_to

        return export_to(self.field, out, to, **settings)

    def plot(self, time: Any = None, **settings: Any) -> Figure:
        """Return a map of one time or a period's mean; for the arguments see :func:`deepcams.plotting.map_figure`."""
        import numpy as np

        from deepcams.plotting import map_figure

        when = None if time is None else np.datetime64(time)
        return map_figure(self.field, when, **settings)
