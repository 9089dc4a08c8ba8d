"""How simulated files come to be: under their name only when complete, and never mixed with another world's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from deepcams.core.errors import OutputError
from deepcams.files.atomic import atomic_path

WORLD_VERSION = 2
"""Counts up when the world's values change; files of different versions are not put into one folder."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of files done and the number of all."""

_RECORD = ".deepcams-simulation.json"


@dataclass
class Written:
    """What a writer did.

    Attributes:
        files: written now.
        kept: complete before, and left as they were.
        bytes: size of the files written now.
        paths: of all of them, in order.
    """

    files: int = 0
    kept: int = 0
    bytes: int = 0
    paths: list[Path] = field(default_factory=list)

    def add(self, path: Path, new: bool) -> None:
        """Count one file."""
        self.paths.append(path)
        if new:
            self.files += 1
            self.bytes += path.stat().st_size
        else:
            self.kept += 1


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def shifted(progress: Progress, before: int, total: int) -> Progress:
    """A part's progress as that of the whole: ``before`` are done already, of ``total``."""
    return lambda done, _: progress(before + done, total)


def claim(folder: Path, layout: str, settings: dict[str, Any], overwrite: bool) -> None:
    """Make ``folder`` belong to one simulated world, so that a rerun may keep what is complete there.

    Args:
        folder: where files of ``layout`` go; made if it is not there.
        layout: of the files; each has its own settings.
        settings: everything but the period that the files' values depend on.
        overwrite: take the folder over from other settings.

    Raises:
        OutputError: files with other settings are there, or the folder cannot be written to.
    """
    settings = {"world": WORLD_VERSION, **settings}
    record = folder / _RECORD
    known: dict[str, Any] = {}
    try:
        known = json.loads(record.read_text())
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{record}: unreadable ({error}); remove it or name another folder"
        ) from error
    before = known.get(layout, settings)
    differ = [
        f"{key} {before.get(key)} there, {settings[key]} now"
        for key in settings
        if before.get(key) != settings[key]
    ]
    if differ and not overwrite:
        raise OutputError(
            f"{folder} holds {layout} files simulated with other settings ({'; '.join(differ)}); "
            "name another folder or add --overwrite"
        )
    with atomic_path(record) as temporary:
        temporary.write_text(json.dumps({**known, layout: settings}, indent=1) + "\n")
