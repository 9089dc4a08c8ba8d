"""The work of preparing one day: its hours are read, checked, written and synced to disk, then recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from deepcams.core.errors import OutputError
from deepcams.core.text import size
from deepcams.core.times import HOUR, stamp
from deepcams.files.records import FOLDER, Record, Records
from deepcams.methods.spatial.coarsen import Degradation
from deepcams.readers.frames import combine
from deepcams.training.store.hour_array import HourWriter
from deepcams.training.store.inputs import Inputs, Region
from deepcams.training.store.open import open_arrays
from deepcams.workers import Work

Day: TypeAlias = tuple[str, Sequence[np.datetime64]]
"""A day (UTC) as text, and its hours that are in the input."""


class DayWork(Work[Day, tuple[Record | None, int], int]):
    """Preparation of days, for workers; the result is the number of hours written.

    Args:
        out: the store.
        inputs: input hours.
        region: part of the input to store.
        degradation: how fine fields are coarsened.
        first: first hour of the store.
        missing: number of hours not yet in the store, to estimate the space they need.
        tell: callback after each hour, if the work is done in this process.

    Attributes:
        compare: stored hour whose values are compared with the input's; ``None``: no comparison.
    """

    def __init__(
        self,
        out: Path,
        inputs: Inputs,
        region: Region,
        degradation: Degradation,
        first: np.datetime64,
        missing: int,
        tell: Callable[[], None],
    ) -> None:
        self.out, self._inputs, self._region = out.absolute(), inputs, region
        self._degradation, self._first, self._missing = degradation, first, missing
        self._tell: Callable[[], None] | None = tell
        self.compare: np.datetime64 | None = None
        self._space_checked = False

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the callback."""
        return {**vars(self), "_tell": None}

    def compute(self, item: Day) -> tuple[Record | None, int]:
        """Read and write a day's hours; return its new record (``None`` if unchanged) and how many were written."""
        day, times = item
        name = f"day-{day}"
        record = Records(self.out / FOLDER).get(name) or Record(name)
        hours, computed = dict(record.facts), 0
        arrays = open_arrays(self.out, self._inputs.kind.name, self._region.coarse)
        with HourWriter(arrays) as writer:
            for time in times:
                computed += self._hour(time, hours, writer)
                if self._tell is not None:
                    self._tell()
            writer.settle()
        if hours == record.facts:
            return None, computed
        slots = sorted(hours, key=int)
        digests = [str(hours[slot].get("digest")) for slot in slots]
        return Record(name, digest=combine(digests), facts=hours), computed

    def _hour(
        self, time: np.datetime64, hours: dict[str, Any], writer: HourWriter
    ) -> int:
        """Update an hour's facts; return 1 if it was written, else 0."""
        slot = slot_of(time, self._first)
        before = hours.get(str(slot), {})
        compare = self.compare is not None and time == self.compare
        if not compare and _settled(before, self._inputs.keys(time)):
            return 0
        good = "digest" in before
        maps, facts = self._inputs.take(time, self._region, self._degradation)
        if good and facts.get("digest") != before["digest"]:
            raise OutputError(
                f"{self.out}: the hour {stamp(time)} was prepared from other values than the input "
                "has now; choose another name, or replace it with --overwrite"
            )
        hours[str(slot)] = facts
        if maps is None or good:
            return 0
        writer.put(slot, maps)
        if not self._space_checked:
            self._check_space(writer.size(slot) * self._missing)
            self._space_checked = True
        return 1

    def write(self, item: Day, made: tuple[Record | None, int]) -> int:
        """Write a day's record, after its hours are on disk."""
        record, computed = made
        if record is not None:
            Records(self.out / FOLDER).put(record)
        return computed

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.out).free
        if needed > free:
            raise OutputError(
                f"{self.out}: expected about {size(needed)} of free space, found {size(free)}; "
                "free some, choose another disk, a --bbox or a --period"
            )


def slot_of(time: np.datetime64, first: np.datetime64) -> int:
    """Return an hour's index on the store's time axis."""
    return int((time - first) // HOUR)


def _settled(hour: Mapping[str, Any], files: Sequence[str]) -> bool:
    """Return whether an hour need not be read again.

    Args:
        hour: facts of the hour; empty if it was never read.
        files: states of the files that have it.

    A good hour is read again only if its source file has changed: same name, but another size or modification time.
    """
    if "digest" not in hour:
        return hour.get("files") == files
    own = str(hour["file"])
    return own in files or own.partition("|")[0] not in {
        key.partition("|")[0] for key in files
    }
