"""Where fields come from: opened from files or simulated; nothing here uses the network."""

from deepcams.registry import Registry

SOURCES = Registry(
    "source",
    "deepcams.sources",
    {
        "cams": "deepcams.sources.cams:open_cams",
        "geos-cf": "deepcams.sources.geos_cf:open_geos_cf",
        "simulated": "deepcams.sources.simulated:open_simulated",
    },
)
