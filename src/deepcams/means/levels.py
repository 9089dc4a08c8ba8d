"""Levels that hours and days are counted above: those of :data:`deepcams.core.limits.LIMITS`, or numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deepcams.core.errors import InputError, choose
from deepcams.core.limits import Limit, limits_of

NONE = "none"


@dataclass(frozen=True)
class Level:
    """A level.

    Attributes:
        value: ug m-3; a value above it counts.
        limits: the limits of daily means that have this level; none for a number of the user's own.
    """

    value: float
    limits: tuple[Limit, ...] = ()

    @property
    def suffix(self) -> str:
        """The end of its variables' names: ``above_37p5``."""
        return f"above_{self.value:g}".replace(".", "p")

    def attributes(self) -> dict[str, Any]:
        """Return the level, and whose limit it is, as attributes of a variable."""
        named = (
            f"{one.name} ({one.words}; {one.source}; since {one.since.isoformat()})"
            for one in self.limits
        )
        return {"level": self.value, "limits": " | ".join(named) or "none: chosen"}


def levels_of(
    species: str, texts: Iterable[str | float] | None = None
) -> tuple[Level, ...]:
    """Return the levels that texts ask for, increasing, each once.

    Args:
        species: short name (``pm2p5``).
        texts: names of daily limits (``WHO AQG``, ``EU 2030``), numbers (ug m-3), or ``none``; several in one text are
            separated by commas. ``None``: all daily limits of the species.

    Raises:
        InputError: a name that no limit of the species has, or a number that is no concentration.
    """
    known: dict[float, tuple[Limit, ...]] = {}
    for limit in limits_of(species, "day"):
        known[limit.level] = (*known.get(limit.level, ()), limit)
    by_name = {one.name: level for level, those in known.items() for one in those}
    if texts is None:
        wanted = set(known)
    else:
        parts = [part.strip() for text in texts for part in str(text).split(",")]
        wanted = {_level(part, by_name) for part in parts if part != NONE}
    return tuple(Level(value, known.get(value, ())) for value in sorted(wanted))


def _level(text: str, by_name: dict[str, float]) -> float:
    try:
        value = float(text)
    except ValueError:
        lowered = {name.lower(): name for name in by_name}
        name = lowered.get(text.lower(), text)
        known = [*by_name, NONE, "a number of ug m-3"]
        return by_name[choose("--level", name, known)]
    if not (math.isfinite(value) and value > 0):
        raise InputError("--level", "a concentration above 0 ug m-3", text)
    return value
