"""Completion records: what has been written, from what, and whether a rerun may go on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepcams.errors import OutputError
from deepcams.field import ValueCounts
from deepcams.writing import write_atomically

Identity = Mapping[str, Any]
"""Everything that decides an output, as JSON types: package version, settings, inputs, hours, grid, format."""


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
        return cls(**{**found, "hours": tuple(found["hours"]), "counts": ValueCounts(**found["counts"])})


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
            raise OutputError(f"{self._path(index)}: the completion record cannot be read; use --overwrite") from error

    def put(self, index: int, record: Record) -> None:
        """Keep a record; the item's data must be on disk."""
        write_atomically(self._path(index), record.to_json().encode())


def differences(before: Identity, now: Identity) -> list[str]:
    """What differs between two identities, one phrase each: ``rounding was 0.001, now 0``.

    Values are named as in a settings' file, ``data.stores.0.weight``; what has a name is called by it.
    """
    changes = _changes(before, json.loads(json.dumps(now)), "")
    return [f"{path} was {_told(old)}, now {_told(new)}" for path, old, new in changes]


_ABSENT = "absent"
_SHORT = 6
"""Elements of a list that are told one by one."""


def _changes(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Paths, old values and new values; what is empty and what is absent are the same."""
    if old == new or (old in (_ABSENT, {}, []) and new in (_ABSENT, {}, [])):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}{'' if not path or path.endswith(' ') else '.'}{key}"
            yield from _changes(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
    elif isinstance(old, list) and isinstance(new, list) and (old_names := _names(old)) and (new_names := _names(new)):
        if old_names == new_names:
            for name, one, other in zip(old_names, old, new, strict=True):
                yield from _changes(one, other, f"{path}: {name}: ")
        elif max(len(old), len(new)) <= _SHORT:
            yield path, old_names, new_names
        else:
            yield path, _counted(old_names, new_names), _counted(new_names, old_names)
    elif isinstance(old, list) and isinstance(new, list) and max(len(old), len(new)) > _SHORT:
        for i, (one, other) in enumerate(itertools.zip_longest(old, new, fillvalue=_ABSENT)):
            yield from _changes(one, other, f"{path}.{i}")
    else:
        yield path, old, new


def _names(elements: list[Any]) -> list[str]:
    """The elements' names, where all have one; else none."""
    named = all(isinstance(element, Mapping) and "name" in element for element in elements)
    return [str(element["name"]) for element in elements] if named else []


def _counted(names: list[str], others: list[str]) -> str:
    """How many there are, and which of them are not among the others."""
    own = sorted(set(names) - set(others))
    return f"{len(names)}" + (f" with {', '.join(own[:3])}{', ..' if len(own) > 3 else ''}" if own else "")


def _told(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(element, str) for element in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
