"""Which parts of a Zarr output are written: a run that was killed leaves hours that hold nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepcams.core.errors import OutputError
from deepcams.writers.item_records import Records
from deepcams.writers.layout import ITEM_HOURS, RUN

STATE = ".deepcams"
"""Folder of the completion records in a store."""


@dataclass(frozen=True)
class Written:
    """What of a store is written.

    Attributes:
        path: the store.
        items: for each work item, whether it is finished.
        times: for each time, whether it belongs to a finished item.
    """

    path: Path
    items: np.ndarray
    times: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.items.all())

    def words(self) -> str:
        """Return what is missing, and what to do, in one line."""
        return (
            f"{self.path.name} is not finished: {int(self.items.sum())} of {self.items.size} parts are written; the "
            "hours of the others are missing. Give the command that began it again to go on"
        )


def written(path: Path, name: str, times: int) -> Written | None:
    """Tell which parts of a store are written: those with a completion record whose shard has not gone missing.

    Args:
        path: a Zarr store.
        name: of its variable.
        times: length of its time axis.

    Returns:
        ``None`` where the store is not an output of deepcams.
    """
    try:
        if RUN not in json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    records = Records(path / STATE)
    recorded = (
        records.folder.is_dir()
    )  # a copy may be without hidden folders: then the shards alone tell
    count = -(-times // ITEM_HOURS)
    items = np.zeros(count, bool)
    for index in range(count):
        shard = (path / name / "c" / str(index) / "0" / "0").is_file()
        items[index] = shard if not recorded else _finished(records, index, shard)
    return Written(path, items, np.repeat(items, ITEM_HOURS)[:times])


def _finished(records: Records, index: int, shard: bool) -> bool:
    """Whether an item has a record; one of missing hours alone needs no shard."""
    if shard:
        return records.holds(index)
    try:
        record = records.get(index)
    except OutputError:
        return False
    return record is not None and not any(record.hours[1:])
