"""The one signature of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Callback with the stage ("downscale", "write", ..), the amount done and the total (0: unknown)."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def shifted(progress: Progress, before: int, total: int) -> Progress:
    """Return a callback that reports a part's progress within ``total`` pieces, of which ``before`` are done."""
    return lambda stage, done, _: progress(stage, before + done, total)
