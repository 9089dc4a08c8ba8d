"""Which hours the input offers, in which file each lies, and reading them."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError, notice
from deepcams.core.grid import FACTOR, Grid
from deepcams.core.period import Period
from deepcams.methods.coarsen import Degradation
from deepcams.readers.detect import DataFile
from deepcams.readers.frames import Frames, digest
from deepcams.readers.open import open_files
from deepcams.training.store.checks import Fault, examine, stamp
from deepcams.training.store.file_index import Header
from deepcams.training.store.region import Region

STEP = 0.25
"""Degrees; what fine means."""
_OPEN_FILES = 2
_MOST_NOTES = 3


@dataclass
class Inputs:
    """All hours that the input offers.

    Attributes:
        headers: of each file.
        files: the files themselves, or none where a field in memory is the input.
        array: that field.
        variable: the one that was asked for, if any.
        family, name, mean, source: what all of them are.
        grid: the grid of all of them.
        minute: at which minute of the hour all of them are stamped.
        offers: for each hour, which headers have it, and at which place in the file.
        faults: files and hours that cannot be offered.
    """

    headers: Sequence[Header]
    files: Sequence[DataFile]
    array: xr.DataArray | None
    variable: str | None
    family: str
    name: str
    mean: bool
    source: str
    grid: Grid
    minute: int
    offers: dict[np.datetime64, list[tuple[int, int]]]
    faults: list[Fault]
    _opened: OrderedDict[int, Frames] = dataclasses.field(default_factory=OrderedDict)

    @classmethod
    def gather(
        cls,
        headers: Sequence[Header],
        files: Sequence[DataFile],
        array: xr.DataArray | None,
        variable: str | None,
        period: Period | None,
        before: dict[str, Any] | None,
    ) -> Inputs:
        """Put the headers together.

        Args:
            headers: of each file.
            files: the files, in the same order.
            array: the field, where there are no files.
            variable: the one that was asked for, if any.
            period: only these hours.
            before: the identity of the store that is gone on with; grid and minute are then its own.

        Raises:
            InputError: nothing can be used; what must not be mixed is; no field at 0.25 degrees; no hour.
        """
        usable = [k for k, header in enumerate(headers) if not header.problem and header.minutes]
        if not usable:
            problem = next((header.problem for header in headers if header.problem), "no hours")
            raise DeepcamsError(
                f"none of the {len(headers)} files can be used: {problem}" if files[1:] else problem
            )
        _tell_notes(headers)
        for words, values in (
            ("hours of one kind", [headers[k].family for k in usable]),
            ("one variable", [headers[k].name for k in usable]),
            (
                "means alone or instants alone",
                ["means" if headers[k].mean else "instants" for k in usable],
            ),
        ):
            _of_one_kind(words, values, [headers[k].file for k in usable])
        grid = _choose_grid([headers[k] for k in usable], before)
        minute = _choose_minute([headers[k] for k in usable], before)
        first = headers[usable[0]]
        found = cls(
            headers,
            files,
            array,
            variable,
            first.family,
            first.name,
            first.mean,
            first.source,
            grid,
            minute,
            {},
            [],
        )
        for k, header in enumerate(headers):
            found._offer(k, header, period)
        if not found.offers:
            times = np.concatenate([headers[k].times for k in usable])
            held = f"{stamp(times.min())} to {stamp(times.max())}"
            wanted = (
                f"hours in the period {period}" if period is not None else "hours that can be used"
            )
            raise InputError(
                headers[usable[0]].file or "field", wanted, held, "choose another --period"
            )
        return found

    def _offer(self, k: int, header: Header, period: Period | None) -> None:
        if header.problem:
            self.faults.append(Fault("unreadable", files=(header.file,), detail=header.problem))
            return
        times = header.times
        inside = np.ones(times.size, bool) if period is None else period.contains(times)
        if header.on() != self.grid and inside.any():
            where = stamp(times[inside][0])
            detail = header.on().describe()
            self.faults.append(Fault("grid", where, int(inside.sum()), (header.file,), detail))
            return
        for place in np.flatnonzero(inside).tolist():
            time = times[place]
            if header.minutes[place] % 60 != self.minute:
                self.faults.append(
                    Fault(
                        "stamp", stamp(time), 1, (header.file,), f"others have minute {self.minute}"
                    )
                )
            else:
                self.offers.setdefault(time, []).append((k, place))

    def key(self, offer: tuple[int, int]) -> str:
        """By which one file's hour is known again: name, size, time of change, place."""
        header = self.headers[offer[0]]
        return "|".join(map(str, (Path(header.file).name, header.bytes, header.changed, offer[1])))

    def read(self, offer: tuple[int, int]) -> np.ndarray:
        """One hour's values as the file has them: (rows, columns) of :attr:`grid`, float32, missing ones NaN.

        Raises:
            InputError: the file cannot be read.
        """
        k, place = offer
        frames = self._opened.get(k)
        if frames is None:
            while len(self._opened) >= _OPEN_FILES:
                self._opened.popitem(last=False)
            field = self.array if self.array is not None else _quietly(self.files[k], self.variable)
            frames = Frames(field)
            self._opened[k] = frames
        self._opened.move_to_end(k)
        return np.asarray(frames.read(np.array([place])).values[0])

    def take(
        self, time: np.datetime64, region: Region, degradation: Degradation
    ) -> tuple[Hour | None, list[Fault]]:
        """The hour, if it is fit for training, and what was found unfit or superfluous."""
        taken: Hour | None = None
        owner = ""
        faults: list[Fault] = []
        for offer in self.offers[time]:
            name = self.headers[offer[0]].file
            hour = self._read_hour(time, offer, region, degradation)
            if isinstance(hour, Fault):
                faults.append(hour)
            elif taken is None:
                taken, owner = hour, name
            elif hour.digest == taken.digest:
                faults.append(Fault("duplicated", stamp(time), 1, (name,), f"also in {owner}"))
            else:
                files = tuple(dict.fromkeys([owner, name]))
                return None, [*faults, Fault("contradictory", stamp(time), 1, files)]
        return taken, faults

    def _read_hour(
        self, time: np.datetime64, offer: tuple[int, int], region: Region, degradation: Degradation
    ) -> Hour | Fault:
        name = self.headers[offer[0]].file
        try:
            values = self.read(offer)
        except DeepcamsError as error:
            return Fault("unreadable", stamp(time), 1, (name,), str(error))
        fine = region.fine(values)
        wrong = examine(fine, region.coarse.refine())
        if wrong is not None:
            return Fault(wrong[0], stamp(time), 1, (name,), wrong[1])
        negative = int(
            np.count_nonzero(fine < 0)
        )  # noise of packing and analysis: down to SMALL_NEGATIVE
        coarse = region.coarsened(np.maximum(values, np.float32(0)), degradation)
        if not np.isfinite(coarse).all():
            return Fault("undefined", stamp(time), 1, (name,), "values beside the box")
        return Hour(
            np.maximum(fine, np.float32(0)), coarse, digest(values, time), self.key(offer), negative
        )


@dataclass(frozen=True)
class Hour:
    """A good hour.

    Attributes:
        fine, coarse: what is kept of it, float32, ug m-3, never negative.
        digest: fingerprint of the values as they are in the file.
        key: which file they are from.
        negative: how many small negatives became 0.
    """

    fine: np.ndarray
    coarse: np.ndarray
    digest: str
    key: str
    negative: int


def _quietly(file: DataFile, variable: str | None) -> xr.DataArray:
    with warnings.catch_warnings():  # what it has to tell was told when its header was read
        warnings.simplefilter("ignore", DeepcamsNotice)
        return open_files([file], variable)


def _tell_notes(headers: Sequence[Header]) -> None:
    notes = [note for header in headers for note in header.notes]
    for note in notes[:_MOST_NOTES]:
        notice(note)
    if len(notes) > _MOST_NOTES:
        notice(f"and {len(notes) - _MOST_NOTES} more such notes")


def _of_one_kind(words: str, values: Sequence[str], files: Sequence[str]) -> None:
    kinds = dict(zip(reversed(values), reversed(files), strict=True))  # each kind's first file
    if len(kinds) > 1:
        found = " and ".join(f"{kind} in {file}" for kind, file in sorted(kinds.items()))
        raise InputError("input", words, found, "prepare them apart; they must not be mixed")


def _choose_grid(headers: Sequence[Header], before: dict[str, Any] | None) -> Grid:
    """The store's own grid, else that of most hours at 0.25 degrees."""
    counts: Counter[Grid] = Counter()
    for header in headers:
        counts[header.on()] += len(header.minutes)
    if before is not None and (own := Grid(**before["input grid"])) in counts:
        return own
    fine = [grid for grid, _ in counts.most_common() if abs(grid.step - STEP) < 1e-6]
    if fine:
        return fine[0]
    grid = counts.most_common(1)[0][0]
    first = next(header.file for header in headers if header.on() == grid)
    do = "take hourly fields such as GEOS-CF's"
    if abs(grid.step - FACTOR * STEP) < 1e-6:
        do = "networks learn from fine fields such as GEOS-CF's and are then applied to these (deepcams downscale)"
    raise InputError(first or "field", f"fields at {STEP:g} degrees", grid.describe(), do)


def _choose_minute(headers: Sequence[Header], before: dict[str, Any] | None) -> int:
    if before is not None:
        return int((np.datetime64(before["first hour"], "m").astype(np.int64)) % 60)
    counts: Counter[int] = Counter()
    for header in headers:
        counts.update(minute % 60 for minute in header.minutes)
    return counts.most_common(1)[0][0]
