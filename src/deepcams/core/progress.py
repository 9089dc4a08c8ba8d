"""The one signature of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage ("downscale", "write", ..), how much of it is done, and how much there is (0: unknown)."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report progress to nobody."""


def shifted(progress: Progress, before: int, total: int) -> Progress:
    """Report a part's progress as that of a whole of ``total`` pieces, of which ``before`` are done already."""
    return lambda stage, done, _: progress(stage, before + done, total)
