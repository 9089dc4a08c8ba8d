"""What a folder of fetched data holds, and whether it is still as it was when it was verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError
from deepcams.core.text import size
from deepcams.fetch.manifest import MANIFEST, Manifest, checksum

_STATES = {
    "complete": "complete and verified",
    "fetched": "fetched, not yet in the store",
    "requested": "requested, not yet downloaded",
    "absent": "not on the server",
    "outside": "locations outside the box or country",
}


@dataclass
class Status:
    """What a manifest says.

    Attributes:
        folder: of the data.
        provider: whose they are.
        settings: what all items share.
        counts: items by state.
        bytes: of the files.
        first, last: names of the first and last complete item.
        gone: complete items whose file is not there in its full length.
        damaged: items whose content has changed since (only where it was checked).
        checked: whether it was.
    """

    folder: str
    provider: str
    settings: dict[str, Any]
    counts: dict[str, int]
    bytes: int
    first: str = ""
    last: str = ""
    gone: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    checked: bool = False

    @property
    def sound(self) -> bool:
        """Whether all that is complete is there as it was."""
        return not self.gone and not self.damaged

    def text(self) -> str:
        """A few lines for people."""
        about = ", ".join(
            f"{key} {value}" for key, value in self.settings.items() if value is not None
        )
        lines = [f"{self.folder}: {self.provider}" + (f" ({about})" if about else "")]
        for state, count in self.counts.items():
            amount = f", {size(self.bytes)}" if state == "complete" else ""
            lines.append(f"  {count:,} {_STATES.get(state, state)}{amount}")
        if self.first:
            lines.append(f"  {self.first} to {self.last}")
        for words, names in (
            ("no longer there in their full length", self.gone),
            ("changed since", self.damaged),
        ):
            if names:
                more = ", .." if len(names) > 3 else ""
                lines.append(
                    f"  {len(names):,} {words}: {', '.join(names[:3])}{more}; fetch again to mend them"
                )
        if self.checked and self.sound:
            lines.append("  check sums: all as they were")
        return "\n".join(lines)


def folder_of(out: Path) -> Path:
    """Where the manifest of a folder or store lies."""
    beside = out.with_name(f".{out.name}.fetch")
    return beside if out.suffix == ".zarr" or (beside / MANIFEST).exists() else out


def status(
    out: str | Path, *, check: bool = False, tell: Callable[[int, int], None] = lambda n, of: None
) -> Status:
    """Read a folder's manifest.

    Args:
        out: the folder, or the store that was filled.
        check: read every file again and compare its check sum. What is gone or has changed is noted in the manifest,
            so that the next fetch mends it.
        tell: told the number of items checked, and of all.

    Raises:
        InputError: nothing was fetched there.
    """
    out = Path(out)
    manifest = Manifest(folder_of(out))
    if manifest.identity is None:
        found = "none" if out.exists() else "no such folder"
        raise InputError(out, "a folder that deepcams fetch wrote", found)
    settings = {
        key: value
        for key, value in manifest.identity.items()
        if key not in ("format", "provider", "store")
    }
    items = list(manifest.items())
    complete = [(name, about) for name, about in items if about["state"] == "complete"]
    names = sorted(name for name, about in complete if "location" not in about)
    size = sum(about["bytes"] for _, about in complete if about.get("file"))
    counts = Counter(about["state"] for _, about in items)
    seen = Status(
        str(out),
        manifest.identity["provider"],
        settings,
        dict(counts),
        size,
        *((names[0], names[-1]) if names else ()),
    )
    seen.gone = [name for name, _ in complete if manifest.complete(name) is None]
    seen.gone += _not_stored(out, complete) if out.suffix == ".zarr" else []
    if check:
        _check(manifest, complete, seen, tell)
    return seen


def _check(
    manifest: Manifest,
    complete: list[tuple[str, dict[str, Any]]],
    seen: Status,
    tell: Callable[[int, int], None],
) -> None:
    gone = set(seen.gone)
    for done, (name, about) in enumerate(complete):
        if (
            about.get("file")
            and name not in gone
            and checksum(manifest.folder / about["file"]) != about["sha256"]
        ):
            seen.damaged.append(name)
        tell(done + 1, len(complete))
    seen.checked = True
    if not seen.sound:
        manifest.begin(
            {key: value for key, value in (manifest.identity or {}).items() if key != "format"}
        )
        for name in [*seen.gone, *seen.damaged]:
            about = manifest.get(name) or {}
            if name in seen.damaged:
                (manifest.folder / about["file"]).unlink(missing_ok=True)
            manifest.put(name, "forgotten")
        manifest.close()


def _not_stored(out: Path, complete: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Hours that went into a store which no longer knows them (hours that it found unfit are listed there)."""
    from deepcams.training.store.open import Prepared

    if not out.exists():
        return [name for name, _ in complete]
    known = {str(time.astype("datetime64[m]")) for time in Prepared.open(out).times}
    last = max(known, default="")
    unfit = {name for name, _ in complete} - known
    return (
        sorted(name for name in unfit if np.datetime64(name) > np.datetime64(last))
        if last
        else sorted(unfit)
    )
