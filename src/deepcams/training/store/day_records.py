"""Completion records of a training store: what is known of each finished day."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import OutputError
from deepcams.files.atomic import write_atomically
from deepcams.training.store.checks import Fault, stamp

_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")


@dataclass
class Day:
    """What is known of one day.

    Attributes:
        good: slot -> ``digest`` (of the values in the file), ``file`` (its key) and ``negative`` (values set to 0).
        tried: slot of an hour that is not good -> the keys of the files that were tried.
        faults: what was left out.
    """

    good: dict[int, dict[str, Any]] = field(default_factory=dict)
    tried: dict[int, list[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def note(
        self, slot: int, at: np.datetime64, good: dict[str, Any] | None, tried: Sequence[str]
    ) -> None:
        """Take note of an hour: good, or tried with these files; what was known of it before is forgotten."""
        self.faults = [fault for fault in self.faults if fault.time != stamp(at)]
        self.tried.pop(slot, None)
        if good is None:
            self.tried[slot] = sorted(tried)
        else:
            self.good[slot] = good

    def settled(self, slot: int, keys: Sequence[str]) -> bool:
        """Whether reading these files for the hour again would tell nothing new.

        A good hour is settled but where the file that it is from was offered again in another state: same name, other
        size or time of change.
        """
        if slot not in self.good:
            return self.tried.get(slot) == sorted(keys)
        own = str(self.good[slot]["file"])
        return own in keys or own.partition("|")[0] not in {key.partition("|")[0] for key in keys}

    def to_json(self) -> str:
        """As text."""
        return (
            json.dumps(
                {"good": self.good, "tried": self.tried, "faults": [asdict(f) for f in self.faults]}
            )
            + "\n"
        )

    @classmethod
    def from_json(cls, text: str) -> Day:
        """Read :meth:`to_json`'s text."""
        found = json.loads(text)
        good, tried = (
            {int(slot): what for slot, what in found[name].items()} for name in ("good", "tried")
        )
        return cls(good, tried, [Fault.from_json(fault) for fault in found["faults"]])


class Days:
    """A folder with one JSON file per finished day.

    Args:
        folder: where the files are.
        first: time of slot 0, on the first day.
    """

    def __init__(self, folder: Path, first: np.datetime64) -> None:
        self.folder, self.first = folder, first

    def _path(self, day: np.datetime64) -> Path:
        return self.folder / f"day-{str(day).replace('-', '')}.json"

    def slot(self, time: np.datetime64) -> int:
        """An hour's place on the store's time axis."""
        return int((time - self.first) // _HOUR)

    def of(self, times: Iterable[np.datetime64]) -> dict[np.datetime64, list[np.datetime64]]:
        """The hours of each day, both in order."""
        days: dict[np.datetime64, list[np.datetime64]] = {}
        for time in sorted(times):
            days.setdefault(time.astype("datetime64[D]"), []).append(time)
        return days

    def get(self, day: np.datetime64) -> Day | None:
        """What is known of a day; ``None`` where it was not finished."""
        return self._read(self._path(day))

    def _read(self, path: Path) -> Day | None:
        try:
            return Day.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise OutputError(
                f"{path}: the completion record cannot be read; use --overwrite"
            ) from error

    def put(self, day: np.datetime64, record: Day) -> None:
        """Keep a day's record; its hours must be on disk."""
        write_atomically(self._path(day), record.to_json().encode())

    def all(self) -> Iterator[Day]:
        """All finished days, in order."""
        for path in sorted(self.folder.glob("day-*.json")):
            record = self._read(path)
            if record is not None:
                yield record

    def slots(self) -> int:
        """Slots that the finished days need on the time axis."""
        return max(
            (slot + 1 for record in self.all() for slot in (*record.good, *record.tried)), default=0
        )
