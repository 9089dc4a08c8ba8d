"""Where output goes: Zarr stores and netCDF files that are laid out first, filled item by item and resumable.

:func:`open_target` chooses by the name's ending. A target knows nothing of downscaling: it takes a
:class:`Layout` (what the whole will look like), then values and a :class:`Record` per :class:`Item`.
"""

from deepcams.files.records import differences
from deepcams.writers.bitround import BitRound
from deepcams.writers.item_records import Record
from deepcams.writers.layout import Item, Layout, split_hours
from deepcams.writers.target import Target, open_target

__all__ = [
    "BitRound",
    "Item",
    "Layout",
    "Record",
    "Target",
    "differences",
    "open_target",
    "split_hours",
]
