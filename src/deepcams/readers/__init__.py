"""Where fields come from: opened from files or simulated; nothing here uses the network."""

from contextvars import ContextVar

from deepcams.core.errors import choose
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
SOURCE: ContextVar[str | None] = ContextVar("source", default=None)
"""The source that opens fields (``deepcams --source``); ``None``: whichever recognises the files."""


def check_source(name: str) -> str:
    """Return the name of a source that opens files.

    Raises:
        InputError: there is none of this name; the nearest one is named.
    """
    return choose("--source", name, set(SOURCES.names()) - {"simulated"})
