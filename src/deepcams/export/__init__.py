"""Export of fields to COG, netCDF, CSV, Parquet and Zarr v2; one file per period, or one for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.export.job import Exported as Exported
    from deepcams.export.job import export_to as export_to
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__, {"Exported": ".job", "export_to": ".job"}
    )
