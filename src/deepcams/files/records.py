"""Records of finished pieces: what a piece is, what it was made from, and what was written.

All long work is made of pieces (a day of output, a downloaded file, a step of an experiment). A piece's record is one
small file that is written once, after its data are on disk, and never changed: so a killed run can at worst lose the
piece it was working on. Records need no appending, so they can be kept in an object store too.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from deepcams.core.errors import OutputError
from deepcams.files.atomic import UNFINISHED, os_errors_explained, write_atomically

FOLDER = ".deepcams"
"""Hidden folder of an output that holds its records, its identity and its lock."""
LOCK = "lock"
_IDENTITY = "identity.json"

Identity = Mapping[str, Any]
"""Everything that decides an output, as JSON types: package version, settings, inputs, hours, grid, format."""


@dataclass(frozen=True)
class Record:
    """The record of one finished piece.

    Attributes:
        item: the piece's name, unique among the records of an output.
        inputs: fingerprint of everything that the piece was made from.
        digest: fingerprint of what was written for it; empty where nothing was.
        neighbours: names of the neighbouring pieces or frames that were known when it was made.
        facts: anything else worth keeping, as JSON types.
    """

    item: str
    inputs: str = ""
    digest: str = ""
    neighbours: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as text; equal records give equal texts."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read the text of :meth:`to_json`.

        Raises:
            ValueError, TypeError, KeyError: the text is not one.
        """
        found = json.loads(text)
        return cls(**{**found, "neighbours": tuple(found["neighbours"])})


class Records:
    """The records of one output, one file a piece, with the output's identity.

    Args:
        folder: where they are; made when something is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        """Give another process an absolute path."""
        return {"folder": self.folder.absolute()}

    @property
    def lock(self) -> Path:
        """The file for :func:`deepcams.files.lock.locked`."""
        return self.folder / LOCK

    def _path(self, item: str) -> Path:
        return self.folder / f"{quote(item, safe=' ')}.record.json"

    def get(self, item: str) -> Record | None:
        """Return a piece's record; ``None`` where it is not finished.

        Raises:
            OutputError: the record is damaged.
        """
        return self._read(self._path(item))

    def _read(self, path: Path) -> Record | None:
        try:
            return Record.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{path}: the record cannot be read; use --overwrite"
            ) from error

    def put(self, record: Record) -> None:
        """Write a piece's record; the piece's data must be on disk.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._path(record.item)
        with os_errors_explained(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, record.to_json().encode())

    def forget(self, item: str) -> None:
        """Remove a piece's record, so that the piece is made again."""
        with os_errors_explained(self._path(item)):
            self._path(item).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Return the names of all finished pieces, sorted; no record is read."""
        for path in sorted(self.folder.glob("*.record.json")):
            if not path.name.endswith(UNFINISHED):
                yield unquote(path.name.removesuffix(".record.json"))

    def __iter__(self) -> Iterator[Record]:
        """Read all records, in the order of their names."""
        for name in self.names():
            record = self.get(name)
            if record is not None:
                yield record

    def identity(self) -> Identity | None:
        """Return what was given to :meth:`begin`; ``None`` where nothing, or nothing readable, is there."""
        try:
            found = json.loads((self.folder / _IDENTITY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def begin(self, identity: Identity, output: Path, do: str) -> bool:
        """Keep an output's identity, or check that it is the one that is kept.

        Args:
            identity: everything that must be the same for all pieces of the output.
            output: named in messages.
            do: what to do where it differs, for the message.

        Returns:
            whether it was there already.

        Raises:
            OutputError: the output was begun with another identity, or cannot be written.
        """
        before = self.identity()
        if before is not None:
            refuse_changes(before, identity, output, do)
            return True
        with os_errors_explained(output):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(
                self.folder / _IDENTITY,
                (json.dumps(identity, indent=1, sort_keys=True) + "\n").encode(),
            )
        return False


def refuse_changes(before: Identity, now: Identity, output: Path, do: str) -> None:
    """Refuse to go on with an output of another identity.

    Raises:
        OutputError: the identities differ; the first three differences are named.
    """
    changed = differences(before, now)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise OutputError(
            f"{output} exists with other settings or inputs: {'; '.join(changed[:3])}{more}; {do}"
        )


def fingerprint(*parts: object) -> str:
    """Return a short hash of values: arrays by type, shape and bytes, bytes as they are, anything else by its text."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"\0{part.dtype} {part.shape}\0".encode())
            digest.update(
                np.ascontiguousarray(part).data
                if part.dtype.kind not in "mMO"
                else part.tobytes()
            )
        elif isinstance(part, bytes):
            digest.update(b"\0bytes\0" + part + b"\0")
        else:
            digest.update(f"\0{part}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def file_digest(*paths: Path) -> str:
    """Return the BLAKE2b hash of the contents of some files, one after the other; absent files count as empty."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        except FileNotFoundError:
            digest.update(b"absent")
    return digest.hexdigest()


def differences(before: Identity, now: Identity) -> list[str]:
    """Name the differences between two identities, one phrase each: ``rounding was 0.001, now 0``.

    Values are named as in a settings file, ``data.stores.0.weight``, or by their own names.
    """
    changes = _changes(before, json.loads(json.dumps(now)), "")
    return [f"{path} was {_text(old)}, now {_text(new)}" for path, old, new in changes]


_ABSENT = "absent"
_SHORT = 6
"""Longest list that is named as a whole."""


def _changes(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield paths, old values and new values; empty and absent are the same."""
    nothing: list[Any] = [_ABSENT, {}, []]
    if old == new or (old in nothing and new in nothing):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        dot = "." if path and not path.endswith(" ") else ""
        for key in {**old, **new}:
            inner = f"{path}{dot}{key}"
            yield from _changes(old.get(key, _ABSENT), new.get(key, _ABSENT), inner)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(old, new, path)
    else:
        yield path, old, new


def _list_changes(
    old: list[Any], new: list[Any], path: str
) -> Iterator[tuple[str, Any, Any]]:
    short = max(len(old), len(new)) <= _SHORT
    names, new_names = _names(old), _names(new)
    if names and names == new_names:
        for name, one, other in zip(names, old, new, strict=True):
            yield from _changes(one, other, f"{path}: {name}: ")
    elif names and new_names and short:
        yield path, names, new_names
    elif names and new_names:
        yield path, _count(names, new_names), _count(new_names, names)
    elif short:
        yield path, old, new
    else:
        for i, (one, other) in enumerate(
            itertools.zip_longest(old, new, fillvalue=_ABSENT)
        ):
            yield from _changes(one, other, f"{path}.{i}")


def _names(elements: list[Any]) -> list[str]:
    """Return the elements' names if all have one, else none."""
    named = all(
        isinstance(element, Mapping) and "name" in element for element in elements
    )
    return [str(element["name"]) for element in elements] if named else []


def _count(names: list[str], others: list[str]) -> str:
    """Return how many names there are, and which of them are not among the others."""
    own = sorted(set(names) - set(others))
    shown = [*own[:3], ".."] if len(own) > 3 else own
    return f"{len(names)} with {', '.join(shown)}" if own else f"{len(names)}"


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(element, str) for element in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
