"""Where output goes: Zarr stores and netCDF files that are laid out first, filled item by item and resumable.

:func:`open_target` chooses by the name's ending. A target knows nothing of downscaling: it takes a
:class:`Layout` (what the whole will look like), then values and a :class:`Record` per :class:`Item`.
"""

from deepcams.store.layout import Item, Layout, split_hours
from deepcams.store.records import Record, differences
from deepcams.store.rounding import BitRound
from deepcams.store.target import Target, open_target

__all__ = ["BitRound", "Item", "Layout", "Record", "Target", "differences", "open_target", "split_hours"]
