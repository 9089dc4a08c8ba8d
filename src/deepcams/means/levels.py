"""Levels above which hours and days are counted: those of :data:`deepcams.core.limits.LIMITS`, or numbers."""

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
    """A concentration level.

    Attributes:
        value: ug m-3; a value above it counts.
        limits: limits of daily means at this level; empty for a number given by the user.
    """

    value: float
    limits: tuple[Limit, ...] = ()

    @property
    def suffix(self) -> str:
        """Suffix of its variables' names: ``above_37p5``."""
        return f"above_{self.value:g}".replace(".", "p")

    def attributes(self) -> dict[str, Any]:
        """Return the level and the limits at it as attributes of a variable."""
        named = (
            f"{one.name} ({one.words}; {one.source}; since {one.since.isoformat()})"
            for one in self.limits
        )
        return {"level": self.value, "limits": " | ".join(named) or "none: chosen"}


def levels_of(
    species: str, texts: Iterable[str | float] | None = None
) -> tuple[Level, ...]:
    """Parse levels into an increasing sequence without duplicates.

    Args:
        species: short name (``pm2p5``).
        texts: names of daily limits (``WHO AQG``, ``EU 2030``), numbers (ug m-3), or ``none``; one text may hold
            several, separated by commas. ``None``: all daily limits of the species.

    Raises:
        InputError: a name is not a limit of the species, or a number is not a valid concentration.
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
