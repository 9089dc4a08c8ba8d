"""Checks of single hours, and the report of all hours left out of a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.times import HOUR, stamp
from deepcams.core.units import UNITS
from deepcams.core.values import SMALL_NEGATIVE

LARGEST = 1e5
"""Largest plausible value, ug m-3; an hour with a larger one has another unit or is corrupt; fires reach about 1e4."""
SMALLEST = 1e-3
"""Smallest plausible maximum, ug m-3; an hour with a smaller one has another unit (kg m-3) or is empty."""
CONSTANT = 0.5
"""Fraction of nodes equal to their western neighbour above which an hour is corrupt; GEOS-CF has 0.06."""

FAULT_KINDS = {
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
"""Descriptions of the kinds of faults; all but the last cause the hour to be left out."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Fault:
    """A fault of an hour or a file.

    Attributes:
        kind: one of :data:`FAULT_KINDS`.
        time: the hour, or the first of several missing hours, as text; empty for a file that cannot be opened.
        hours: number of hours.
        files: names of the files with the fault.
        detail: what was found.
    """

    kind: str
    time: str = ""
    hours: int = 1
    files: tuple[str, ...] = ()
    detail: str = ""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Fault:
        """Create a fault from the result of ``asdict``, read from JSON.

        Raises:
            ValueError, TypeError, KeyError: the data are not a valid fault.
        """
        fault = cls(**{**found, "files": tuple(found["files"])})
        texts = (fault.kind, fault.time, fault.detail, *fault.files)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a fault whose words are no texts")
        if fault.kind not in FAULT_KINDS or not isinstance(fault.hours, int):
            raise ValueError("a fault of another kind")
        return fault

    @property
    def place(self) -> str:
        """Location of the fault as text: time and number of hours, or files."""
        if not self.time:
            return ", ".join(self.files)
        return f"{self.time} ({self.hours})" if self.hours > 1 else self.time


def examine(values: np.ndarray, grid: Grid) -> Fault | None:
    """Return the fault of an hour's values, without time and file; ``None`` if the values are good.

    Args:
        values: (rows, columns), float32, ug m-3, as in the file.
        grid: grid of the values.
    """
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite(lowest + highest):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        return Fault("undefined", detail=f"{bad:,} of {values.size:,} values")
    if lowest == highest:
        return Fault("constant", detail=f"{lowest:g}")
    repeated = float(np.mean(values[:, 1:] == values[:, :-1]))
    if repeated > CONSTANT:
        return Fault(
            "constant", detail=f"{repeated:.0%} of the nodes repeat their neighbour"
        )
    limits = [
        ("negative", lowest < SMALL_NEGATIVE, lowest),
        ("too large", highest > LARGEST, highest),
        ("too small", highest < SMALLEST, highest),
    ]
    for kind, wrong, value in limits:
        if wrong:
            row, column = np.unravel_index(
                int(np.argmax(values == value)), values.shape
            )
            place = f"{grid.latitudes[row]:g} N {grid.longitudes[column]:g} E"
            return Fault(kind, detail=f"{value:.3g} {UNITS} at {place}")
    return None


def find_gaps(present: np.ndarray, first: np.datetime64) -> list[Fault]:
    """Return a fault for each run of missing hours.

    Args:
        present: for each hour from ``first`` on, whether a file has it (good or not).
        first: time of the first hour.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[1], present.astype(np.int8), [1]])))
    gaps = []
    for begin, end in edges.reshape(-1, 2).tolist():
        detail = f"until {stamp(first + (end - 1) * HOUR)}"
        gaps.append(
            Fault("missing", stamp(first + begin * HOUR), end - begin, (), detail)
        )
    return gaps


@dataclass(frozen=True)
class Report:
    """Good hours of a store, and faults of all others.

    Attributes:
        good: number of hours in the store.
        first, last: first and last of them, as text.
        faults: faults, sorted by kind and time.
    """

    good: int
    first: str
    last: str
    faults: tuple[Fault, ...]

    @classmethod
    def make(cls, times: np.ndarray, faults: Iterable[Fault]) -> Report:
        """Create a report with sorted faults; ``times`` are the times of the good hours."""
        order = list(FAULT_KINDS)
        ordered = sorted(
            set(faults), key=lambda one: (order.index(one.kind), one.time, one.files)
        )
        return cls(int(times.size), stamp(times[0]), stamp(times[-1]), tuple(ordered))

    def _by_kind(self) -> dict[str, list[Fault]]:
        found: dict[str, list[Fault]] = {}
        for fault in self.faults:
            found.setdefault(fault.kind, []).append(fault)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "good": self.good,
            "first": self.first,
            "last": self.last,
            "left out": {
                kind: _hours(faults) for kind, faults in self._by_kind().items()
            },
            "faults": [asdict(fault) for fault in self.faults],
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the rows of a table: kind, hours, meaning, and locations of the first three faults."""
        rows = []
        for kind, faults in self._by_kind().items():
            examples = ", ".join(fault.place for fault in faults[:_EXAMPLES])
            more = ", .." if len(faults) > _EXAMPLES else ""
            rows.append(
                (kind, f"{_hours(faults):,}", FAULT_KINDS[kind], examples + more)
            )
        return rows


def _hours(faults: Sequence[Fault]) -> int:
    return sum(fault.hours for fault in faults)
