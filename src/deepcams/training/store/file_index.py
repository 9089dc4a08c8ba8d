"""What each input file holds, told by its header; remembered, because opening thousands of files takes minutes."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, DeepcamsNotice
from deepcams.core.field import grid_of, is_mean
from deepcams.core.grid import Grid
from deepcams.readers.detect import DataFile
from deepcams.readers.open import open_files

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done ("headers", "hours"), how much of it is done and how much there is."""

_MINUTE = np.timedelta64(1, "m")


@dataclass(frozen=True)
class Header:
    """What one file holds.

    Attributes:
        file: its name as the user gave it.
        bytes, changed: its size and its time of change (ns), by which it is known again.
        name: the variable.
        family: what must not be mixed ("geos-cf v1", "simulated world, seed 7", "field").
        source: who made it, in its own words.
        mean: hourly means or instants.
        grid: step, north, west, rows, columns.
        minutes: its times, in minutes since 1970.
        notes: what was told while it was opened.
        problem: why it cannot be used, where it cannot.
    """

    file: str
    bytes: int
    changed: int
    name: str = ""
    family: str = ""
    source: str = ""
    mean: bool = False
    grid: tuple[float, int, int, int, int] = (0.0, 0, 0, 0, 0)
    minutes: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def times(self) -> np.ndarray:
        """Its times, ``datetime64[ns]``."""
        return np.array(self.minutes, "datetime64[m]").astype("datetime64[ns]")

    @property
    def key(self) -> str:
        """By which the same file in the same state is known again."""
        return f"{self.file}|{self.bytes}|{self.changed}"

    @classmethod
    def of_field(
        cls, field: xr.DataArray, file: str = "", size: int = 0, changed: int = 0
    ) -> Header:
        """What a canonical field holds."""
        source = str(field.attrs.get("source", ""))
        grid = grid_of(field)
        minutes = tuple(int(m) for m in field.time.values.astype("datetime64[m]").astype(np.int64))
        return cls(
            file,
            size,
            changed,
            str(field.name),
            family_of(source),
            source,
            is_mean(field),
            (grid.step, grid.north, grid.west, grid.rows, grid.columns),
            minutes,
        )

    def on(self) -> Grid:
        """Its grid."""
        return Grid(*self.grid)


def family_of(source: str) -> str:
    """What must not be mixed with anything else in one training set, from a field's ``source``."""
    version = re.fullmatch(r"NASA GEOS-CF(?: version (\d))?", source)
    if version:
        return f"geos-cf v{version[1]}" if version[1] else "geos-cf"
    simulated = re.search(r"simulated world[^:;]*", source)
    return " ".join(simulated[0].split()) if simulated else "field"


def state_of(file: DataFile) -> tuple[int, int]:
    """A file's size and time of change; of a store, those of all its files."""
    path = file.path
    stats = [p.stat() for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path.stat()]
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


class Headers:
    """Headers that are remembered in a file, one a line, as they are read.

    Args:
        path: the file; what a killed process wrote into it last may be cut off.
        variable: which variable is wanted; headers of another one are not taken from the file.
    """

    def __init__(self, path: Path, variable: str | None) -> None:
        self.path, self.variable = path, variable or ""
        self._known: dict[str, Header] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                found = json.loads(line)
                if found.pop("wanted") == self.variable:
                    header = _from_json(found)
                    self._known[header.key] = header
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # cut off by a kill, or of another version: the file is opened again

    def scan(self, files: Sequence[DataFile], progress: Progress | None = None) -> list[Header]:
        """The header of each file, in the same order; only files that are not known are opened."""
        found = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as memory:
            memory.write("\n")  # ends a line that a kill cut off
            for done, file in enumerate(files):
                header = Header(str(file), *state_of(file))
                if header.key in self._known:
                    header = self._known[header.key]
                else:
                    header = self._open(file, header)
                    memory.write(json.dumps({"wanted": self.variable, **asdict(header)}) + "\n")
                    memory.flush()
                found.append(header)
                if progress is not None:
                    progress("headers", done + 1, len(files))
        return found

    def _open(self, file: DataFile, known: Header) -> Header:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DeepcamsNotice)
            try:
                field = open_files([file], self.variable or None)
                header = Header.of_field(field, known.file, known.bytes, known.changed)
            except DeepcamsError as error:
                return Header(known.file, known.bytes, known.changed, problem=str(error))
        notes = tuple(
            str(one.message) for one in caught if issubclass(one.category, DeepcamsNotice)
        )
        return Header(**{**_values(header), "notes": notes})


def _values(header: Header) -> dict[str, Any]:
    return {name: getattr(header, name) for name in Header.__dataclass_fields__}


def _from_json(found: dict[str, Any]) -> Header:
    for name in ("grid", "minutes", "notes"):
        found[name] = tuple(found[name])
    return Header(**found)
