"""Completion records: what has been written, from what, and whether a rerun may go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deepcams.core.errors import OutputError
from deepcams.core.field import ValueCounts
from deepcams.files.atomic import write_atomically


@dataclass(frozen=True)
class Record:
    """What is kept of a finished item.

    Attributes:
        fingerprint: hash of the item's input values.
        hours: number of hours by status: missing, analysis, interpolated.
        counts: what was found among the input values of the item's own frames.
        missing_cells: missing output values in hours that are not missing as a whole.
        largest: largest output value, ug m-3; ``None`` where all is missing.
    """

    fingerprint: str
    hours: tuple[int, int, int]
    counts: ValueCounts
    missing_cells: int
    largest: float | None

    @classmethod
    def merge(cls, records: Sequence[Record]) -> Record:
        """One record of many items: hours and counts add, fingerprints are hashed in order."""
        digest = hashlib.blake2b("".join(r.fingerprint for r in records).encode(), digest_size=16)
        missing, analysis, interpolated = (sum(r.hours[i] for r in records) for i in range(3))
        return cls(
            digest.hexdigest(),
            (missing, analysis, interpolated),
            sum((r.counts for r in records), ValueCounts()),
            sum(r.missing_cells for r in records),
            max((r.largest for r in records if r.largest is not None), default=None),
        )

    def to_json(self) -> str:
        """As text; the same for the same record."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read :meth:`to_json`'s text."""
        found = json.loads(text)
        return cls(
            **{**found, "hours": tuple(found["hours"]), "counts": ValueCounts(**found["counts"])}
        )


class Records:
    """A folder with one JSON file per finished item."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, index: int) -> Path:
        return self.folder / f"item-{index:06d}.json"

    def get(self, index: int) -> Record | None:
        """The record of an item, or ``None`` while it is not finished."""
        try:
            return Record.from_json(self._path(index).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{self._path(index)}: the completion record cannot be read; use --overwrite"
            ) from error

    def holds(self, index: int) -> bool:
        """Whether an item has a record, be it readable or not."""
        return self._path(index).is_file()

    def put(self, index: int, record: Record) -> None:
        """Keep a record; the item's data must be on disk."""
        write_atomically(self._path(index), record.to_json().encode())
