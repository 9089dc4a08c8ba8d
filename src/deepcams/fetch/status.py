"""Status of a folder of fetched data: contents, and whether they are unchanged since their verification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError
from deepcams.core.text import size
from deepcams.fetch.base import COMPLETE, STATE, first_few, is_complete
from deepcams.files.lock import locked
from deepcams.files.records import Record, Records, file_digest, inside

_STATES = {
    COMPLETE: "complete and verified",
    "requested": "requested, not yet downloaded",
    "absent": "not on the server",
    "outside": "locations outside the box or country",
}


@dataclass
class Status:
    """The status according to a folder's records.

    Attributes:
        folder: folder of the data.
        identity: the provider, and the settings common to all items.
        counts: number of items by state.
        bytes: size of the files.
        first, last: names of the first and last complete item.
        gone: complete items whose file is missing or has another size.
        damaged: items whose content has changed (only if checked).
        checked: whether the content was checked.
    """

    folder: str
    identity: Mapping[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    first: str = ""
    last: str = ""
    gone: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    checked: bool = False

    @property
    def sound(self) -> bool:
        """Whether all complete items are present and unchanged."""
        return not self.gone and not self.damaged

    def text(self) -> str:
        """Return a few lines for people."""
        shared = [
            f"{key} {value}"
            for key, value in self.identity.items()
            if value is not None
        ]
        lines = [f"{self.folder}: {', '.join(shared)}"]
        for state, count in self.counts.items():
            amount = f", {size(self.bytes)}" if state == COMPLETE else ""
            lines.append(f"  {count:,} {_STATES.get(state, state)}{amount}")
        if self.first:
            lines.append(f"  {self.first} to {self.last}")
        for words, names in (
            ("no longer there in their full length", self.gone),
            ("changed since", self.damaged),
        ):
            if names:
                lines.append(
                    f"  {len(names):,} {words}: {first_few(names)}; fetch again to mend them"
                )
        if self.checked and self.sound:
            lines.append("  digests: all as they were")
        return "\n".join(lines)


def was_fetched(folder: Path) -> bool:
    """Return whether a folder has records of a fetch."""
    return "provider" in (Records(folder / STATE).identity() or {})


def status(
    folder: str | Path,
    *,
    check: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Status:
    """Read a folder's records.

    Args:
        folder: folder of the data.
        check: read every file and compare its digest. Records of missing or changed files are removed, so that the
            next fetch repairs them.
        progress: called with the number of items checked.

    Raises:
        InputError: nothing was fetched into the folder.
    """
    folder = Path(folder)
    if not was_fetched(folder):
        found = "none" if folder.exists() else "no such folder"
        raise InputError(folder, "a folder that deepcams fetch wrote", found)
    records = Records(folder / STATE)
    seen = Status(str(folder), records.identity() or {}, checked=check)
    for done, record in enumerate(records, 1):
        _look(record, folder, seen)
        progress(done)
    if not seen.sound and check:
        with locked(records.lock, folder):
            for name in [*seen.gone, *seen.damaged]:
                records.forget(name)
    return seen


def _look(record: Record, folder: Path, seen: Status) -> None:
    """Count one record."""
    state = str(record.facts.get("state", COMPLETE))
    seen.counts[state] += 1
    if state != COMPLETE:
        return
    if "location" not in record.facts:
        seen.first, seen.last = seen.first or record.item, record.item
    if not is_complete(record, folder):
        seen.gone.append(record.item)
    elif "file" in record.facts:
        seen.bytes += record.facts["bytes"]
        path = inside(folder, record.facts["file"])
        if seen.checked and file_digest(path) != record.digest:
            seen.damaged.append(record.item)
            path.unlink(missing_ok=True)
