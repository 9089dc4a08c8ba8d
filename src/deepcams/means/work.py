"""The work of a run of means, for its workers: compute and write items, and check finished ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from deepcams.core.errors import OutputError
from deepcams.core.values import ValueCounts
from deepcams.downscaling.memory import keep_memory
from deepcams.downscaling.output_identity import check_space
from deepcams.files.atomic import os_errors_explained
from deepcams.files.records import Record, fingerprint
from deepcams.means.daily import DailyPlan
from deepcams.means.periods import PeriodPlan
from deepcams.workers import Work
from deepcams.writers import Contents, Item, Layout, Target

Made = tuple[list[np.ndarray], np.ndarray, Record]


class Computing(Work[Item, Made, None]):
    """The work of a run.

    Args:
        plan: days or periods to compute.
        target: output.
        layout: layout of the output.
    """

    def __init__(
        self, plan: DailyPlan | PeriodPlan, target: Target, layout: Layout
    ) -> None:
        self.plan, self.target, self.layout = plan, target, layout
        self._computer = plan.computer()

    def start(self) -> None:
        """Configure memory allocation in a worker process."""
        keep_memory()

    def _fingerprint(self, item: Item) -> str:
        """Return the fingerprint of a sample of an item's input; hashing all of it would take as long as computing."""
        return fingerprint(self.plan.sample(item.start, item.stop))

    def check_space(self) -> None:
        """Check that the disk can hold the output, whose size is estimated from a sample.

        Raises:
            OutputError: the disk is too small.
        """
        layout = self.layout
        sample = layout.rounding(self.plan.sample(0, layout.times.size - 1))
        values = layout.dtypes.count("float32") * layout.times.size  # counts are small
        check_space(self.target.path, values * self.target.measure(layout, sample))

    def unfinished(self, items: Sequence[Item]) -> list[Item]:
        """Return the unfinished items.

        Raises:
            OutputError: a finished item was computed from other input values.
        """
        todo = []
        for item in items:
            record = self.target.record(item)
            if record is None:
                todo.append(item)
            elif record.inputs != self._fingerprint(item):
                first = str(self.layout.times[item.start])[:10]
                raise OutputError(
                    f"{self.target.path}: what begins at {first} was computed from other input values than the input "
                    "holds now; choose another name, or replace it with --overwrite"
                )
        return todo

    def compute(self, item: Item) -> Made:
        """Return an item's values (one array per variable), its status and its record."""
        arrays = self._arrays(item.hours)
        status = np.empty(item.hours, np.int8)
        for at in range(item.hours):
            maps = [array[at] for array in arrays]
            status[at] = self._computer.compute(item.start + at, maps)
        for array in arrays:
            if array.dtype == np.float32:
                self.layout.rounding(array)
        largest = np.fmax.reduce(arrays[0], axis=None)
        missing, complete, incomplete = np.bincount(status, minlength=3).tolist()
        contents = Contents(
            (missing, complete, incomplete),
            ValueCounts(),
            int(np.isnan(arrays[0][status > 0]).sum()),
            float(largest) if np.isfinite(largest) else None,
        )
        inputs = self._fingerprint(item)
        return arrays, status, Record(item.name, inputs, facts=asdict(contents))

    def _arrays(self, times: int) -> list[np.ndarray]:
        """Return one array per variable; those of a dtype share a buffer, so large that its memory can be released."""
        dtypes = self.layout.dtypes
        shape = (times, *self.layout.grid.shape)
        parts = {
            dtype: iter(np.empty((dtypes.count(dtype), *shape), dtype))
            for dtype in dict.fromkeys(dtypes)
        }
        return [next(parts[dtype]) for dtype in dtypes]

    def write(self, item: Item, made: Made) -> None:
        """Write an item and its record."""
        (values, *others), status, record = made
        with os_errors_explained(self.target.path):
            self.target.write(item, values, status, record, others)
