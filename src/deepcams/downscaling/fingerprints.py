"""What tells whether the parts of an output that are there were computed from the values that the input has now."""

from __future__ import annotations

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import ValueCounts, load_values
from deepcams.downscaling.plan import Plan
from deepcams.readers.frames import Frames, combine, digest
from deepcams.writers import Item, Target

SCAN_BYTES = 1 << 30
"""Inputs up to this size are read once before anything is written, so that bad values leave nothing behind."""


class Fingerprints:
    """The fingerprints of a planned run's input frames.

    Args:
        plan: the run.
        frames: its input.
    """

    def __init__(self, plan: Plan, frames: Frames) -> None:
        self._plan, self._frames = plan, frames
        self._digests: dict[int, str] = {}

    def scan(self, where: str) -> None:
        """Read an input of moderate size once, before anything is written, and keep each frame's fingerprint.

        Args:
            where: the input in the user's words.

        Raises:
            InputError: an infinite value, or no value at all.
        """
        if self._plan.field.nbytes > SCAN_BYTES:
            return
        digests: dict[int, str] = {}
        counts, size = ValueCounts(), self._plan.field.time.size
        for start in range(0, size, 24):
            frames = np.arange(start, min(start + 24, size))
            piece = self._frames.read(frames)
            counts += load_values(piece, where)[1]
            for i, time, frame in zip(frames, piece.time.values, piece.values, strict=True):
                digests[int(i)] = digest(frame, time)
        if counts.missing + counts.implausible == counts.total:
            raise InputError(where, "values", f"{counts.total:,} missing ones and no other")
        self._digests = digests

    def of(self, frames: np.ndarray, piece: xr.DataArray | None = None) -> str:
        """The fingerprint of frames; those that were scanned are neither read nor hashed again.

        Args:
            frames: their indices.
            piece: their values as read, where they are at hand.
        """
        if self._digests or not frames.size:
            return combine([self._digests[int(i)] for i in frames])
        piece = self._frames.read(frames) if piece is None else piece
        return combine(
            [digest(frame, t) for frame, t in zip(piece.values, piece.time.values, strict=True)]
        )

    def unfinished(self, target: Target) -> list[Item]:
        """The items still to do.

        Raises:
            OutputError: a finished one was computed from other values than the input has now.
        """
        plan = self._plan

        def refuse(what: str) -> OutputError:
            return OutputError(
                f"{target.path}: {what} was computed from other input values than the files hold now; "
                "choose another name, or replace it with --overwrite"
            )

        total = target.total(plan.items)
        if total is not None:
            if combine([self.of(plan.frames(item)) for item in plan.items]) != total.fingerprint:
                raise refuse("the output")
            return []
        todo = []
        for item in plan.items:
            record = target.record(item)
            if record is None:
                todo.append(item)
            elif record.fingerprint != self.of(plan.frames(item)):
                raise refuse(f"the item from {str(plan.times[item.start])[:16]}")
        return todo
