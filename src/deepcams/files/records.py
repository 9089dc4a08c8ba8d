"""Records of finished pieces: name, inputs and written data of each.

All long work is divided into pieces (a day of output, a downloaded file, a step of an experiment). A piece's record is
a small file or object, written once, after the data are stored, and never changed, so a killed run loses at most the
piece in progress.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from deepcams.core.errors import DeepcamsError, OutputError
from deepcams.core.text import from_json
from deepcams.files.atomic import os_errors_explained
from deepcams.files.storage import LocalStorage, Storage

FOLDER = ".deepcams"
"""Hidden folder of an output that holds its records, its identity and its lock."""
LOCK = "lock"
_IDENTITY = "identity.json"
_CHECKSUM = "checksum"

Identity = Mapping[str, Any]
"""Everything that decides an output, as JSON types: package version, settings, inputs, hours, grid, format."""


@dataclass(frozen=True)
class Record:
    """The record of one finished piece.

    Attributes:
        item: the piece's name, unique among the records of an output.
        inputs: fingerprint of all inputs of the piece.
        digest: fingerprint of the data written for it; empty if none were.
        neighbours: names of the neighbouring pieces or frames available when it was made.
        facts: anything else worth keeping, as JSON types.
    """

    item: str
    inputs: str = ""
    digest: str = ""
    neighbours: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Serialise the record with a checksum; equal records give equal texts."""
        plain = json.loads(_as_text(asdict(self)))
        return _as_text({**plain, _CHECKSUM: fingerprint(_as_text(plain))}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Parse the text of :meth:`to_json`.

        Raises:
            ValueError, TypeError, KeyError: the text is invalid or was changed.
        """
        found = from_json(text)
        if not isinstance(found, dict):
            raise TypeError("no mapping")
        checksum = found.pop(_CHECKSUM)
        if checksum != fingerprint(_as_text(found)):
            raise ValueError("the record does not have its checksum")
        record = cls(**{**found, "neighbours": tuple(found["neighbours"])})
        texts = (record.item, record.inputs, record.digest, *record.neighbours)
        if not all(isinstance(one, str) for one in texts):
            raise TypeError("names and fingerprints that are no texts")
        if not isinstance(record.facts, dict):
            raise TypeError("facts that are no mapping")
        return record


def inside(folder: Path, name: object) -> Path:
    """Return the path of a file named in a record, after checking that it lies in the folder.

    Raises:
        OutputError: the name is invalid, or leads out of the folder.
    """
    if (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and Path(name).name == name
    ):
        return folder / name
    raise OutputError(f"{folder}: a record names {name!r}, which is no file in it")


@contextmanager
def damaged_explained(path: object) -> Iterator[None]:
    """Convert any library's error about a damaged file of deepcams to one line.

    Raises:
        OutputError: the file at the path, or a file in the store at the path, cannot be read.
    """
    try:
        yield
    except (DeepcamsError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise  # a disk error
        reason = f"{type(error).__name__}: {str(error)[:120]}"
        raise OutputError(
            f"{path}: it is damaged ({reason}); use --overwrite"
        ) from error


_END = ".record.json"


def _as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False)


class Records:
    """The records of one output, one file or object per piece, and the output's identity.

    Args:
        place: folder or storage of the records; created on the first write.
    """

    def __init__(self, place: Path | Storage) -> None:
        self.storage = LocalStorage(place) if isinstance(place, Path) else place

    @property
    def folder(self) -> Path:
        """The folder of records on this machine."""
        assert isinstance(self.storage, LocalStorage)
        return self.storage.folder

    @property
    def lock(self) -> Path:
        """The file for :func:`deepcams.files.lock.locked`, on this machine."""
        return self.folder / LOCK

    def key(self, item: str) -> str:
        """Return the key of a piece's record in :attr:`storage`."""
        return f"{quote(item, safe=' ')}{_END}"

    def get(self, item: str) -> Record | None:
        """Return a piece's record, or ``None`` if the piece is not finished.

        Raises:
            OutputError: the record is damaged.
        """
        data = self.storage.get(self.key(item))
        if data is None:
            return None
        try:
            return Record.from_json(data.decode("utf-8"))
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{self._named(item)}: the record cannot be read; use --overwrite"
            ) from error

    def _named(self, item: str) -> str:
        return f"{self.storage}/{self.key(item)}"

    def put(self, record: Record) -> None:
        """Write or replace a piece's record; the piece's data must already be stored.

        Raises:
            OutputError: the record cannot be written.
        """
        with os_errors_explained(self._named(record.item)):
            self.storage.put(self.key(record.item), record.to_json().encode())

    def create(self, record: Record) -> None:
        """Write a piece's record if there is none; the piece's data must already be stored.

        Raises:
            OutputError: the record cannot be written, or another process has recorded different data meanwhile.
        """
        with os_errors_explained(self._named(record.item)):
            made = self.storage.create(self.key(record.item), record.to_json().encode())
        if not made:
            before = self.get(record.item)
            if before is not None and before.digest != record.digest:
                raise OutputError(
                    f"{self._named(record.item)}: another process has finished this piece with other values; "
                    "let one process at a time write to the output"
                )

    def forget(self, item: str) -> None:
        """Remove a piece's record, so that the piece is made again."""
        with os_errors_explained(self._named(item)):
            self.storage.delete(self.key(item))

    def names(self) -> Iterator[str]:
        """Return the names of all finished pieces, sorted; no record is read."""
        for key in self.storage.list():
            if key.endswith(_END) and "/" not in key:
                yield unquote(key.removesuffix(_END))

    def __iter__(self) -> Iterator[Record]:
        """Read all records, in the order of their names."""
        for name in self.names():
            record = self.get(name)
            if record is not None:
                yield record

    def identity(self) -> Identity | None:
        """Return the identity stored by :meth:`begin`, or ``None`` if it is absent or unreadable."""
        try:
            found = from_json(self.storage.get(_IDENTITY) or b"")
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def begin(self, identity: Identity, output: object, do: str) -> bool:
        """Store an output's identity, or check that it equals the stored one.

        Args:
            identity: everything that must be the same for all pieces of the output.
            output: output named in messages.
            do: advice in the message if the identity differs.

        Returns:
            whether an identity was already stored.

        Raises:
            OutputError: the output was begun with another identity, or cannot be written.
        """
        before = self.identity()
        if before is not None:
            refuse_changes(before, identity, output, do)
            return True
        with os_errors_explained(output):
            text = json.dumps(identity, indent=1, sort_keys=True) + "\n"
            self.storage.put(_IDENTITY, text.encode())
        return False


def refuse_changes(before: Identity, now: Identity, output: object, do: str) -> None:
    """Refuse to resume an output whose identity differs.

    Raises:
        OutputError: the identities differ; the message names the first three differences.
    """
    changed = differences(before, now)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise OutputError(
            f"{output} exists with other settings or inputs: {'; '.join(changed[:3])}{more}; {do}"
        )


def fingerprint(*parts: object) -> str:
    """Return a short hash of values: arrays by type, shape and bytes, bytes directly, anything else by its text."""
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
    """Return the BLAKE2b hash of the concatenated contents of some files; absent files count as empty."""
    parts: list[bytes | None] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                parts.append(hashlib.file_digest(file, "blake2b").digest())
        except FileNotFoundError:
            parts.append(None)
    return _together(parts)


def data_digest(*contents: bytes | None) -> str:
    """Return the :func:`file_digest` of files with these contents; ``None`` stands for an absent file."""
    return _together(
        [
            None if content is None else hashlib.blake2b(content).digest()
            for content in contents
        ]
    )


def _together(parts: list[bytes | None]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(b"absent" if part is None else part)
    return digest.hexdigest()


def differences(before: Identity, now: Identity) -> list[str]:
    """Return the differences between two identities, one phrase each: ``rounding was 0.001, now 0``.

    Values are named by their path in a settings file, ``data.stores.0.weight``, or by their own names.
    """
    changes = _changes(before, json.loads(json.dumps(now)), "")
    return [f"{path} was {_text(old)}, now {_text(new)}" for path, old, new in changes]


_ABSENT = "absent"
_SHORT = 6
"""Maximum length of a list that is written in full."""


def _changes(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield paths, old and new values; absent, empty and null (a newer option's default) are equal."""
    empty: list[Any] = [_ABSENT, {}, []]
    unset: list[Any] = [_ABSENT, None]
    if old == new or any(old in one and new in one for one in (empty, unset)):
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
    """Return the elements' names if all have one, else an empty list."""
    named = all(
        isinstance(element, Mapping) and "name" in element for element in elements
    )
    return [str(element["name"]) for element in elements] if named else []


def _count(names: list[str], others: list[str]) -> str:
    """Return the number of names and those that are not among the others, as text."""
    own = sorted(set(names) - set(others))
    shown = [*own[:3], ".."] if len(own) > 3 else own
    return f"{len(names)} with {', '.join(shown)}" if own else f"{len(names)}"


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(element, str) for element in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
