"""Sources of fields: opened from files or simulated, without downloading anything."""

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
"""Name of the source that opens fields (``deepcams --source``); ``None``: chosen by the content of the files."""


def check_source(name: str) -> str:
    """Return the name if it is that of a source that opens files.

    Raises:
        InputError: the name is unknown; the message suggests the closest match.
    """
    return choose("--source", name, set(SOURCES.names()) - {"simulated"})
