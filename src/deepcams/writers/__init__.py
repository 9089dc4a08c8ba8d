"""Where output goes: Zarr stores and netCDF files that are laid out first, filled item by item and resumable.

:func:`open_target` chooses by the name's ending. A target knows nothing of downscaling: it takes a
:class:`Layout` (what the whole will look like), then values and a record per :class:`Item`.
"""

from deepcams.writers.bitround import BitRound
from deepcams.writers.layout import Item, Layout, Map, Other, Split, split_hours
from deepcams.writers.target import Contents, Target, open_target

__all__ = [
    "BitRound",
    "Contents",
    "Item",
    "Layout",
    "Map",
    "Other",
    "Split",
    "Target",
    "open_target",
    "split_hours",
]
