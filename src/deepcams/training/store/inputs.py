"""Inputs of a training store: the header of each file, the available hours, and reading of hours."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.box import Box
from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError, notice
from deepcams.core.field import grid_of, is_mean
from deepcams.core.grid import FACTOR, Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress
from deepcams.core.stages import staged
from deepcams.core.text import from_json
from deepcams.core.times import stamp
from deepcams.files.atomic import write_atomically
from deepcams.files.records import damaged_explained
from deepcams.methods.spatial.coarsen import METHODS, Degradation
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.frames import Frames, digest
from deepcams.readers.open import open_files
from deepcams.training.store.checks import Fault, examine
from deepcams.training.store.hour_array import Resolution

STEP = 0.25
"""Default grid step of the fine fields, degrees."""
_OPEN_FILES = 2
_MOST_NOTES = 3
_SAVE_EVERY = 200
"""Number of headers between saves; a killed scan loses at most this many."""

Offer = tuple[int, int]
"""Index of a file, and index of one of its hours."""


@dataclass(frozen=True)
class Header:
    """Description of one file without its values; JSON types only.

    Attributes:
        file: name as given by the user.
        bytes, changed: size and modification time (ns).
        name: name of the variable.
        family: kind of data that must not be mixed with others ("geos-cf v1", "simulated world, seed 7", "field").
        source: the file's own source attribute.
        mean: whether values are hourly means or instants.
        grid: step, north, west, rows, columns.
        minutes: times, in minutes since 1970.
        notes: notices given when it was opened.
        problem: reason why it cannot be used; empty if it can.
    """

    file: str
    bytes: int
    changed: int
    name: str = ""
    family: str = ""
    source: str = ""
    mean: bool = False
    grid: Sequence[Any] = (0.0, 0, 0, 0, 0)
    minutes: Sequence[int] = ()
    notes: Sequence[str] = ()
    problem: str = ""

    @property
    def times(self) -> np.ndarray:
        """Times, ``datetime64[ns]``."""
        return np.array(self.minutes, "datetime64[m]").astype("datetime64[ns]")

    def describing(self, field: xr.DataArray) -> Header:
        """Return the header completed from a canonical field."""
        source, grid = str(field.attrs.get("source", "")), grid_of(field)
        return replace(
            self,
            name=str(field.name),
            family=family_of(source),
            source=source,
            mean=is_mean(field),
            grid=astuple(grid),
            minutes=field.time.values.astype("datetime64[m]").astype(np.int64).tolist(),
        )


def family_of(source: str) -> str:
    """Return the kind of data that must not be mixed with others in one training set, from a field's ``source``."""
    version = re.fullmatch(r"NASA GEOS-CF(?: version (\d))?", source)
    if version:
        return f"geos-cf v{version[1]}" if version[1] else "geos-cf"
    simulated = re.search(r"simulated world[^:;]*", source)
    return " ".join(simulated[0].split()) if simulated else "field"


@staged("headers")
def scan_headers(
    files: Sequence[DataFile],
    variable: str | None,
    memory: Path,
    progress: Progress,
) -> list[Header]:
    """Return the header of each file; only new or changed files are opened.

    Args:
        files: the files.
        variable: variable to read; ``None``: PM2.5.
        memory: JSON file that caches headers, because opening thousands of files takes minutes.
        progress: callback, called with the stage "headers".
    """
    known: dict[str, Any] = {}
    if memory.exists():
        with damaged_explained(memory):
            known = dict(from_json(memory.read_text(encoding="utf-8")))
            for header in known.values():
                Header(**header)
    memory.parent.mkdir(parents=True, exist_ok=True)
    found: list[Header] = []
    saved = len(known)
    try:
        for file in files:
            header = _state_of(file)
            key = f"{variable or ''}|{header.file}|{header.bytes}|{header.changed}"
            key += f"|{file.source}" * bool(file.source)
            if key not in known:
                known[key] = asdict(_open_header(file, header, variable))
            found.append(Header(**known[key]))
            if len(known) == saved + _SAVE_EVERY:
                write_atomically(memory, json.dumps(known).encode())
                saved = len(known)
            progress("headers", len(found), len(files))
    finally:
        if len(known) > saved:
            write_atomically(memory, json.dumps(known).encode())
    return found


def _state_of(file: DataFile) -> Header:
    """Return a header with only name, size and modification time; for a store, those of all its files."""
    paths = [file.local]
    if file.local.is_dir():
        paths = [path for path in file.local.rglob("*") if path.is_file()]
    states = [path.stat() for path in paths]
    changed = max((state.st_mtime_ns for state in states), default=0)
    return Header(str(file), sum(state.st_size for state in states), changed)


def _open_header(file: DataFile, header: Header, variable: str | None) -> Header:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeepcamsNotice)
        try:
            field = open_files([file], variable, with_dask=False)
            header = header.describing(field)
            if file.source:
                header = replace(header, family=file.source)
        except DeepcamsError as error:
            return replace(header, problem=str(error))
    notes = [
        str(one.message) for one in caught if issubclass(one.category, DeepcamsNotice)
    ]
    return replace(header, notes=notes)


class Region:
    """The part of the input to store, in whole coarse cells.

    Args:
        grid: grid of the input.
        box: selects the whole cells that overlap it; ``None``: all.

    Attributes:
        coarse: coarse grid; the fine one is ``coarse.refine()``.

    Raises:
        InputError: there is no whole cell, or the box is invalid or outside the input.
    """

    def __init__(self, grid: Grid, box: Box | None) -> None:
        self._whole, *self._cells = grid.whole_cells()
        self.coarse = self._whole.cells_in(box, "--bbox") if box else self._whole
        self._coarse_place = self.coarse.place_in(self._whole)
        self._fine_place = self.coarse.refine().place_in(self._whole.refine())

    def fine(self, values: np.ndarray) -> np.ndarray:
        """Select the input's values (input rows, input columns) on ``coarse.refine()``."""
        return _cut(_cut(values, self._cells), self._fine_place)

    @staged("degrade")
    def coarsened(self, values: np.ndarray, degradation: Degradation) -> np.ndarray:
        """Coarsen the input's values to ``coarse``; cells at a box's edge use the input's values beyond it."""
        coarse = METHODS[degradation](_cut(values, self._cells), self._whole)
        return _cut(coarse, self._coarse_place)


def _cut(values: np.ndarray, place: Sequence[Any]) -> np.ndarray:
    return np.asarray(values[place[0]][:, place[1]])


Maps = dict[Resolution, np.ndarray]
"""Maps of a good hour by resolution: float32, ug m-3, >= 0."""


class Inputs:
    """All hours of the input.

    Args:
        headers: header of each file, or of the field.
        files: the files, in the same order; empty if the input is a field in memory.
        field: field in memory, if given.
        variable: requested variable, if any.
        period: hours to use.
        before: identity of the store to extend, which determines grid and minute.
        step: grid step of the fields, degrees.

    Attributes:
        kind: a header with the variable, family, source and kind of mean shared by all files.
        grid: grid of all hours.
        minute: minute of the hour of all timestamps.
        offers: files that have each hour.
        faults: files and hours that cannot be used.

    Raises:
        InputError: no file can be used, kinds of data are mixed, no field has the step, or there is no hour.
    """

    def __init__(
        self,
        headers: Sequence[Header],
        files: Sequence[DataFile],
        field: xr.DataArray | None,
        variable: str | None,
        period: Period | None,
        before: Mapping[str, Any] | None,
        step: float = STEP,
    ) -> None:
        self.headers = headers
        usable = [header for header in headers if not header.problem and header.minutes]
        if not usable:
            problem = next(
                (header.problem for header in headers if header.problem), "no hours"
            )
            several = (
                f"none of the {len(headers)} files can be used: " if files[1:] else ""
            )
            raise DeepcamsError(several + problem)
        _tell_notes(headers)
        _refuse_mixed("hours of one kind", usable, [header.family for header in usable])
        _refuse_mixed("one variable", usable, [header.name for header in usable])
        kinds = ["means" if header.mean else "instants" for header in usable]
        _refuse_mixed("means alone or instants alone", usable, kinds)
        self.kind = usable[0]
        self.grid = _choose_grid(usable, before, step)
        self.minute = _choose_minute(usable, before)
        self.offers: dict[np.datetime64, list[Offer]] = {}
        self.faults: list[Fault] = []
        for number, header in enumerate(headers):
            self._offer(number, header, period)
        if not self.offers:
            times = np.concatenate([header.times for header in usable])
            wanted = (
                f"hours in the period {period}" if period else "hours that can be used"
            )
            found = f"{stamp(times.min())} to {stamp(times.max())}"
            raise InputError(
                self.kind.file or "field", wanted, found, "choose another --period"
            )
        # The last two files stay open. A bound method in the cache would keep these inputs alive.
        self._open = partial(_open_frames, field, files, variable)
        self._frames = lru_cache(_OPEN_FILES)(self._open)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the open files."""
        return {name: value for name, value in vars(self).items() if name != "_frames"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._frames = lru_cache(_OPEN_FILES)(self._open)

    def _offer(self, number: int, header: Header, period: Period | None) -> None:
        files = (header.file,)
        if header.problem:
            self.faults.append(Fault("unreadable", files=files, detail=header.problem))
            return
        times = header.times
        inside = np.arange(times.size)
        if period is not None:
            inside = np.flatnonzero(period.contains(times))
        grid = Grid(*header.grid)
        if grid != self.grid and inside.size:
            first = stamp(times[inside[0]])
            self.faults.append(
                Fault("grid", first, inside.size, files, grid.describe())
            )
            return
        for place in inside.tolist():
            time = times[place]
            if header.minutes[place] % 60 == self.minute:
                self.offers.setdefault(time, []).append((number, place))
            else:
                detail = f"others have minute {self.minute}"
                self.faults.append(Fault("stamp", stamp(time), 1, files, detail))

    def keys(self, time: np.datetime64) -> list[str]:
        """Return the states of the files that have an hour (name, size, modification time, index), sorted."""
        return sorted(self._key(offer) for offer in self.offers[time])

    def _key(self, offer: Offer) -> str:
        header = self.headers[offer[0]]
        return f"{Path(header.file).name}|{header.bytes}|{header.changed}|{offer[1]}"

    def take(
        self,
        time: np.datetime64,
        region: Region,
        degradation: Degradation,
    ) -> tuple[Maps | None, dict[str, Any]]:
        """Read an hour from all files that have it.

        Returns:
            its maps, if it is fit for training, and the facts for its record: ``files``, the states of all its files,
            and ``faults``; for a good hour also ``digest`` of the values, their source ``file``, and ``negative``, the
            number of small negative values set to 0.
        """
        maps: Maps | None = None
        good: dict[str, Any] = {}
        names: list[str] = []
        faults: list[Fault] = []
        for offer in self.offers[time]:
            name = self.headers[offer[0]].file
            hour = self._read(offer, time, region, degradation)
            if isinstance(hour, Fault):
                faults.append(replace(hour, time=stamp(time), files=(name,)))
            elif not names:
                maps, good = hour
                names = [name]
            elif hour[1]["digest"] == good["digest"]:
                detail = f"also in {names[0]}"
                faults.append(Fault("duplicated", stamp(time), 1, (name,), detail))
            else:
                maps, good = None, {}
                files = tuple(dict.fromkeys([*names, name]))
                faults.append(Fault("contradictory", stamp(time), 1, files))
                break
        return maps, {
            "files": self.keys(time),
            "faults": [asdict(fault) for fault in faults],
            **good,
        }

    def _read(
        self,
        offer: Offer,
        time: np.datetime64,
        region: Region,
        degradation: Degradation,
    ) -> tuple[Maps, dict[str, Any]] | Fault:
        try:
            values = np.asarray(
                self._frames(offer[0]).read(np.array([offer[1]])).values[0]
            )
        except DeepcamsError as error:
            return Fault("unreadable", detail=str(error))
        fine = region.fine(values)
        fault = examine(fine, region.coarse.refine())
        if fault is not None:
            return fault
        # Set noise of packing and analysis, down to SMALL_NEGATIVE, to 0.
        zero = np.float32(0)
        coarse = region.coarsened(np.maximum(values, zero), degradation)
        if not np.isfinite(coarse).all():
            return Fault("undefined", detail="values outside the box, at its edge")
        facts = {
            "digest": digest(values, time),
            "file": self._key(offer),
            "negative": int(np.count_nonzero(fine < 0)),
        }
        return {"fine": np.maximum(fine, zero), "coarse": coarse}, facts


def _open_frames(
    field: xr.DataArray | None,
    files: Sequence[DataFile],
    variable: str | None,
    number: int,
) -> Frames:
    if field is None:
        with (
            warnings.catch_warnings()
        ):  # its notices were given when its header was read
            warnings.simplefilter("ignore", DeepcamsNotice)
            field = open_files([files[number]], variable, with_dask=False)
    return Frames(field)


def _tell_notes(headers: Iterable[Header]) -> None:
    notes = [note for header in headers for note in header.notes]
    for note in notes[:_MOST_NOTES]:
        notice(note)
    if len(notes) > _MOST_NOTES:
        notice(f"and {len(notes) - _MOST_NOTES} more such notes")


def _refuse_mixed(
    expected: str, headers: Sequence[Header], values: Sequence[str]
) -> None:
    first_file: dict[str, str] = {}
    for header, value in zip(headers, values, strict=True):
        first_file.setdefault(value, header.file)
    if len(first_file) > 1:
        found = " and ".join(
            f"{value} in {file}" for value, file in sorted(first_file.items())
        )
        raise InputError(
            "input", expected, found, "prepare them apart; they must not be mixed"
        )


def _choose_grid(
    headers: Sequence[Header], before: Mapping[str, Any] | None, step: float
) -> Grid:
    """Return the grid of the existing store, else the most frequent grid with this step."""
    counts: Counter[Grid] = Counter()
    for header in headers:
        counts[Grid(*header.grid)] += len(header.minutes)
    grids = [grid for grid, _ in counts.most_common()]
    if before is not None and Grid(**before["input grid"]) in grids:
        return Grid(**before["input grid"])
    for grid in grids:
        if max(abs(grid.step - step), abs(grid.row_step - step)) < 1e-6:
            return grid
    grid = grids[0]
    first = next(header.file for header in headers if Grid(*header.grid) == grid)
    do = "take hourly fields such as GEOS-CF's"
    if step == STEP and abs(grid.step - FACTOR * STEP) < 1e-6:
        do = (
            "networks learn from fine fields such as GEOS-CF's and are then applied to these (deepcams downscale); "
            f"to learn from these coarsened, --step {grid.step:g}"
        )
    raise InputError(
        first or "field", f"fields at {step:g} degrees", grid.describe(), do
    )


def _choose_minute(headers: Sequence[Header], before: Mapping[str, Any] | None) -> int:
    if before is not None:
        return int(np.datetime64(before["first hour"], "m").astype(np.int64) % 60)
    counts = Counter(minute % 60 for header in headers for minute in header.minutes)
    return counts.most_common(1)[0][0]
