"""Input frames of a run, and their fingerprints, with which a rerun detects changed files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.stages import staged
from deepcams.core.values import ValueCounts, load_values
from deepcams.downscaling.plan import Plan
from deepcams.files.records import Record, fingerprint
from deepcams.readers.frames import Frames
from deepcams.writers import Item, Target

SCAN_BYTES = 1 << 30
"""Largest input, bytes, that is read once before writing, so that bad values leave no output behind."""


class Inputs:
    """Input frames and their fingerprints.

    Args:
        plan: plan of the run.
        where: name of the input in messages.
    """

    def __init__(self, plan: Plan, where: str) -> None:
        self._plan, self._where = plan, where
        self._frames = Frames(plan.field)
        self._fingerprints: list[str] = []

    @staged("read")
    def read(self, frames: np.ndarray) -> xr.DataArray:
        """Return the frames with these indices."""
        return self._frames.read(frames)

    @staged("read")
    def scan(self) -> None:
        """Read an input of at most :data:`SCAN_BYTES` once before writing, and keep each frame's fingerprint.

        Raises:
            InputError: a value is infinite, or all are missing.
        """
        if self._fingerprints or self._plan.field.nbytes > SCAN_BYTES:
            return
        counts, size = ValueCounts(), self._plan.field.time.size
        fingerprints: list[str] = []
        for start in range(0, size, 24):
            piece = self.read(np.arange(start, min(start + 24, size)))
            counts += load_values(piece, self._where)[1]
            fingerprints += _fingerprints(piece)
        if counts.missing + counts.implausible == counts.total:
            raise InputError(
                self._where,
                "values",
                f"{counts.total:,} missing ones and no other",
            )
        self._fingerprints = fingerprints

    @staged("read")
    def fingerprint(self, frames: np.ndarray, piece: xr.DataArray | None = None) -> str:
        """Return the fingerprint of frames; scanned frames are not read again.

        Args:
            frames: indices of the frames.
            piece: values of the frames, if already read.
        """
        if self._fingerprints:
            return fingerprint(*(self._fingerprints[frame] for frame in frames))
        return fingerprint(
            *_fingerprints(self.read(frames) if piece is None else piece)
        )

    def unfinished(self, target: Target, wanted: Sequence[Item]) -> list[Item]:
        """Return those of the wanted items that are not finished.

        Raises:
            OutputError: a finished item was computed from other values than the input has now.
        """
        plan = self._plan

        def check(record: Record, now: str, name: str) -> None:
            if record.inputs != now:
                raise OutputError(
                    f"{target.path}: {name} was computed from other input values than the files hold now; "
                    "choose another name, or replace it with --overwrite"
                )

        total = target.total(plan.items)
        if total is not None:
            items = [self.fingerprint(plan.frames(item)) for item in plan.items]
            check(total, fingerprint(*items), "the output")
            return []
        todo = []
        for item in wanted:
            record = target.record(item)
            if record is None:
                todo.append(item)
            else:
                now = self.fingerprint(plan.frames(item))
                check(record, now, f"the item from {str(plan.times[item.start])[:16]}")
        return todo


def _fingerprints(piece: xr.DataArray) -> list[str]:
    frames = zip(piece.time.values, piece.values, strict=True)
    return [fingerprint(time, values) for time, values in frames]
