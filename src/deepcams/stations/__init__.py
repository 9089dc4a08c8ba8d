"""Station observations, and comparison of fields with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.stations.archive.openaq import open_openaq as open_openaq
    from deepcams.stations.archive.sorted_copy import StationArchive as StationArchive
    from deepcams.stations.tables.station_tables import rows as rows
    from deepcams.stations.validation import Options as Options
    from deepcams.stations.validation import Validation as Validation
    from deepcams.stations.validation import validate as validate
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Options": ".validation",
            "StationArchive": ".archive.sorted_copy",
            "Validation": ".validation",
            "open_openaq": ".archive.openaq",
            "rows": ".tables.station_tables",
            "validate": ".validation",
        },
    )
