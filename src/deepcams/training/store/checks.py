"""What makes an hour unfit for training, and the list of all such hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepcams.core.field import SMALL_NEGATIVE, UNITS
from deepcams.core.grid import Grid

LARGEST = 1e5
"""An hour with a value above this (ug m-3) has another unit or is corrupt; fires reach some 1e4."""
SMALLEST = 1e-3
"""An hour whose largest value is below this (ug m-3) has another unit (kg m-3) or is empty."""
CONSTANT = 0.5
"""An hour in which more than this share of the nodes repeats its western neighbour is corrupt; GEOS-CF has 0.06."""

KINDS = {
    "missing": "no file has the hour",
    "unreadable": "the file cannot be read",
    "stamp": "stamped at another minute than the others",
    "grid": "on another grid than the others",
    "undefined": "values missing or infinite",
    "constant": "values repeat over most of the map",
    "negative": f"values below {SMALL_NEGATIVE:g} {UNITS}",
    "too large": f"values above {LARGEST:g} {UNITS}",
    "too small": f"no value above {SMALLEST:g} {UNITS}",
    "contradictory": "files have different values for the hour",
    "duplicated": "a file repeats an hour that another has (one is taken)",
}
"""Kinds of faults in people's words; with all but the last the hour is left out."""


@dataclass(frozen=True)
class Fault:
    """One thing that was left out.

    Attributes:
        kind: one of :data:`KINDS`.
        time: the hour, as text; of missing hours the first; empty where a file could not tell.
        hours: how many hours it concerns.
        files: the files it lies in.
        detail: what was found.
    """

    kind: str
    time: str = ""
    hours: int = 1
    files: tuple[str, ...] = ()
    detail: str = ""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Fault:
        """Read what ``asdict`` gave."""
        return cls(**{**found, "files": tuple(found["files"])})


def stamp(time: np.datetime64) -> str:
    """A time for people and for JSON, to the minute."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def examine(values: np.ndarray, grid: Grid) -> tuple[str, str] | None:
    """What is wrong with an hour's values; ``None`` where nothing is.

    Args:
        values: (rows, columns), float32, ug m-3, as the file has them.
        grid: where they lie.

    Returns:
        the kind of fault and what was found.
    """
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite(lowest + highest):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        return "undefined", f"{bad:,} of {values.size:,} values"
    repeated = float(np.mean(values[:, 1:] == values[:, :-1]))
    if lowest == highest or repeated > CONSTANT:
        return (
            "constant",
            f"{repeated:.0%} of the nodes repeat their neighbour"
            if lowest < highest
            else f"{lowest:g}",
        )
    for kind, wrong, value in (
        ("negative", lowest < SMALL_NEGATIVE, lowest),
        ("too large", highest > LARGEST, highest),
        ("too small", highest < SMALLEST, highest),
    ):
        if wrong:
            row, column = np.unravel_index(int(np.argmax(values == value)), values.shape)
            place = f"{grid.latitudes[row]:g} N {grid.longitudes[column]:g} E"
            return kind, f"{value:.3g} {UNITS} at {place}"
    return None


def gaps(present: np.ndarray, first: np.datetime64) -> list[Fault]:
    """The hours that nothing was found for.

    Args:
        present: for each hour from ``first``, whether there was something (good or not).
        first: time of the first.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[1], present.astype(np.int8), [1]])))
    hour = np.timedelta64(1, "h")
    return [
        Fault(
            "missing",
            stamp(first + begin * hour),
            int(end - begin),
            (),
            f"until {stamp(first + (end - 1) * hour)}",
        )
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
    ]


@dataclass(frozen=True)
class Report:
    """What a store holds and what was left out, for people and as JSON.

    Attributes:
        good: hours in the store.
        first, last: the first and last of them, as text.
        faults: everything else, in order of kind and time.
    """

    good: int
    first: str
    last: str
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, times: np.ndarray, faults: Iterable[Fault]) -> Report:
        """Collect."""
        order = list(KINDS)
        ordered = sorted(
            set(faults), key=lambda fault: (order.index(fault.kind), fault.time, fault.files)
        )
        return cls(int(times.size), stamp(times[0]), stamp(times[-1]), tuple(ordered))

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        counts = Counter(
            {kind: sum(f.hours for f in self.faults if f.kind == kind) for kind in KINDS}
        )
        return {
            "good": self.good,
            "first": self.first,
            "last": self.last,
            "left out": {kind: count for kind, count in counts.items() if count},
            "faults": [asdict(fault) for fault in self.faults],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Report:
        """Read what :meth:`to_json` gave."""
        return cls(
            found["good"],
            found["first"],
            found["last"],
            tuple(map(Fault.from_json, found["faults"])),
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table's rows: kind, hours, meaning, where (the first three)."""
        rows = []
        for kind, meaning in KINDS.items():
            found = [fault for fault in self.faults if fault.kind == kind]
            if found:
                count = f"{sum(fault.hours for fault in found):,}"
                rows.append((kind, count, meaning, _examples(found)))
        return rows


def _examples(faults: Sequence[Fault]) -> str:
    shown = [
        f"{fault.time or '?'}{f' ({fault.hours})' if fault.hours > 1 else ''}"
        if fault.time
        else ", ".join(fault.files)
        for fault in faults[:3]
    ]
    return ", ".join(shown) + (", .." if len(faults) > 3 else "")
