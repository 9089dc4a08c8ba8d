"""Where fields come from: opened from files or simulated; nothing here uses the network."""

from deepcams.core.registry import Registry

SOURCES = Registry(
    "source",
    "deepcams.sources",
    {
        "cams": "deepcams.readers.cams:open_cams",
        "geos-cf": "deepcams.readers.geos_cf:open_geos_cf",
        "simulated": "deepcams.simulation.world:open_simulated",
    },
)
