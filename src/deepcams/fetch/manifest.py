"""What a folder of fetched data holds: one line an item, added when the item is complete and on disk.

The file is only ever added to, so a kill can at worst cut its last line off, which is then as if it had not been
written. Of several lines for one item the last one holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError, OutputError
from deepcams.files.atomic import os_errors_explained, sync
from deepcams.files.flock import taken
from deepcams.files.records import differences

MANIFEST = ".deepcams-fetch.jsonl"
FORMAT = 1
_IDENTITY = "identity"


class Manifest:
    """The manifest of one folder; safe to use from several threads.

    Args:
        folder: where the data go.

    Raises:
        InputError: what lies there is no manifest that this version reads.
        OutputError: the folder may not be looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / MANIFEST
        self.identity: dict[str, Any] | None = None
        self._items: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._file: Any = None
        with os_errors_explained(self.path):  # a folder that may not be looked into
            there = self.path.exists()
        if there:
            self._read()

    def _read(self) -> None:
        try:
            with self.path.open(encoding="utf-8") as file:
                for line in file:
                    try:
                        found = json.loads(line)
                    except ValueError:
                        continue  # cut off by a kill
                    if not isinstance(found, dict):
                        continue
                    if _IDENTITY in found:
                        self.identity = found[_IDENTITY]
                    elif "item" in found:
                        self._keep(found)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(self.path, "the manifest of a fetch", str(error)) from error
        if self.identity is not None and self.identity.get("format") != FORMAT:
            raise InputError(
                self.path, f"a manifest of format {FORMAT}", f"format {self.identity.get('format')}"
            )

    def _keep(self, line: dict[str, Any]) -> None:
        name = str(line.pop("item"))
        if line.get("state") == "forgotten":
            self._items.pop(name, None)
        else:
            self._items[name] = line

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Make the folder, or check that what lies there is of the same kind.

        Args:
            identity: everything that must be the same for all of a folder's items, as JSON types.

        Raises:
            OutputError: the folder holds something else, cannot be written to, or another process writes to it.
        """
        self.refuse(identity)
        identity = {"format": FORMAT, **identity}
        with os_errors_explained(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        if not taken(self._file.fileno()):
            self.close()
            raise OutputError(
                f"{self.folder}: another deepcams fetches into it now; wait for it, or name another one"
            )
        with os_errors_explained(self.path):
            if self.path.stat().st_size:
                self._file.write(b"\n")  # ends a line that a kill cut off
        self._items.clear()  # another process may have come to its end since they were read
        self._read()
        self._refuse_another(identity)
        if self.identity is None:
            self.identity = identity
            self._write({_IDENTITY: identity})

    def refuse(self, identity: Mapping[str, Any]) -> None:
        """Find out what :meth:`begin` would refuse; nothing is written.

        Raises:
            OutputError: see there.
        """
        for place in (self.folder, *self.folder.parents):
            if place.exists() and not place.is_dir():
                raise OutputError(
                    f"{place}: a folder is needed, and a file of that name is there; name another one"
                )
        self._refuse_another({"format": FORMAT, **identity})

    def _refuse_another(self, identity: Mapping[str, Any]) -> None:
        changed = [] if self.identity is None else differences(self.identity, identity)
        if changed:
            self.close()
            raise OutputError(
                f"{self.folder} holds a fetch with other settings: {'; '.join(changed[:3])}; name another folder"
            )

    def put(self, item: str, state: str = "complete", *, sure: bool = True, **about: Any) -> None:
        """Add a line.

        Args:
            item: the item's name.
            state: ``complete``; ``requested`` (a request that runs at the service); ``absent`` (the service does not
                have it); ``forgotten`` (as if it had never been there).
            sure: force the line to disk.
            about: anything else worth keeping, as JSON types.
        """
        line = {"item": item, "state": state, **about}
        if state == "complete":
            line["at"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._write(line, sure)
        with self._lock:
            self._keep(dict(line))

    def _write(self, line: dict[str, Any], sure: bool = True) -> None:
        assert self._file is not None, "begin() comes first"
        with self._lock, os_errors_explained(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            if sure:
                os.fsync(self._file.fileno())

    def sync(self) -> None:
        """Force lines that were put with ``sure=False`` to disk."""
        with self._lock, os_errors_explained(self.path):
            os.fsync(self._file.fileno())

    def get(self, item: str) -> dict[str, Any] | None:
        """What is known of an item; ``None`` where nothing is."""
        with self._lock:
            return self._items.get(item)

    def complete(self, item: str) -> dict[str, Any] | None:
        """What is known of an item that is complete and whose file (if it has one) is there in full length."""
        found = self.get(item)
        if found is None or found["state"] != "complete":
            return None
        if name := found.get("file"):
            try:
                if (self.folder / name).stat().st_size != found["bytes"]:
                    return None
            except OSError:
                return None
        return found

    def items(self, state: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """All items (of one state), in the order in which they came."""
        with self._lock:
            known = list(self._items.items())
        for name, about in known:
            if state is None or about["state"] == state:
                yield name, about

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def checksum(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settle(partial: Path, final: Path) -> None:
    """Give a whole file its name, for good.

    The folder's entry is not forced to disk: should a crash lose it, :meth:`Manifest.complete` finds no file.
    """
    with os_errors_explained(final):
        sync(partial)
        partial.replace(final)
