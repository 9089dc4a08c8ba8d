"""Output targets: Zarr stores and netCDF files that are laid out first, filled item by item, and resumable.

:func:`open_target` chooses by the suffix of the name. A target does not depend on downscaling: it takes a
:class:`Layout` (the structure of the whole output), then values and a record per :class:`Item`.
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
