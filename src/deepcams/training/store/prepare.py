"""Hourly fine fields in, one checked and chunked store for training out: resumable, extendable, in flat memory.

Work items are days (UTC): their hours are written, forced to disk, and then a record says which of them are good.
"""

from __future__ import annotations

import shutil
import time as clock
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import DeepcamsError, InputError, OutputError, choose
from deepcams.core.field import as_field
from deepcams.core.period import Period
from deepcams.core.text import size
from deepcams.files.atomic import os_errors_explained, remove_unfinished, sync
from deepcams.files.flock import alone
from deepcams.files.records import differences
from deepcams.methods.coarsen import Degradation
from deepcams.readers.detect import DataFile, find_files
from deepcams.readers.protocols import Paths
from deepcams.training.store.checks import Report, stamp
from deepcams.training.store.day_records import Day, Days
from deepcams.training.store.file_index import Header, Headers, Progress
from deepcams.training.store.finish import Settings, finish
from deepcams.training.store.hour_array import HourWriter
from deepcams.training.store.input_hours import Inputs
from deepcams.training.store.open_store import (
    FORMAT,
    IDENTITY,
    STATE,
    Prepared,
    arrays_of,
    first_hour,
    identity_of,
)
from deepcams.training.store.region import BBox, Region

_HEADERS = "headers.jsonl"
_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        store: the finished store.
        report: what it holds and what was left out.
        computed: hours that this run read and wrote.
        seconds: how long it took.
        bytes: size on disk.
    """

    store: Prepared
    report: Report
    computed: int
    seconds: float
    bytes: int


def prepare(
    field: xr.DataArray | Paths,
    out: str | Path,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Prepared:
    """Write a store for training, go on with an unfinished one, or extend a finished one by later hours.

    Args:
        field, out, settings: see :class:`Preparation`.
        progress: called with "headers" or "hours", how many are done and how many there are.

    Returns:
        the store, opened.

    Raises:
        InputError, OutputError: see :meth:`Preparation.run`.
    """
    return Preparation(field, out, **settings).run(progress).store


class Preparation:
    """A store that is to be written; nothing is touched before :meth:`run`.

    Args:
        field: a canonical field at 0.25 degrees, or files, folders or globs of them (GEOS-CF of one version, the
            simulated world, any that follow CF).
        out: the store (a folder, by custom ``.zarr``).
        degradation: how fine becomes coarse: ``area``, ``imresize`` or ``decimate``.
        variable: another variable of the files than PM2.5.
        period: only these hours; those that are not in the input are listed as missing.
        bbox: W S E N in degrees (W > E crosses the dateline): only the coarse cells that it touches.
        overwrite: replace a store that is there.

    Raises:
        InputError: an argument is not what was expected, or there are no such files.
        OutputError: the store would lie over its input.
    """

    def __init__(
        self,
        field: xr.DataArray | Paths,
        out: str | Path,
        degradation: Degradation = "area",
        variable: str | None = None,
        period: Period | str | None = None,
        bbox: BBox | None = None,
        overwrite: bool = False,
    ) -> None:
        choose("degradation", degradation, get_args(Degradation))
        self.out, self.degradation, self.variable, self.bbox = (
            Path(out),
            degradation,
            variable,
            bbox,
        )
        self.period = Period.parse(period, "--period") if isinstance(period, str) else period
        self.overwrite = overwrite
        self.field: xr.DataArray | None = None
        self.files: list[DataFile] = []
        if isinstance(field, xr.DataArray):
            self.field = as_field(field)
        else:
            self.files = find_files(field)
        self._new = self.out.with_name(f".{self.out.name}.new")
        self._old = self.out.with_name(f".{self.out.name}.old")
        self._apart()

    def _apart(self) -> None:
        for file in self.files:
            if self.out.resolve() in (file.given.resolve(), *file.given.resolve().parents):
                raise OutputError(
                    f"{self.out}: expected a name of its own, found the input {file.given}"
                )

    def _before(self) -> dict[str, Any] | None:
        """The identity of the store to go on with; ``None`` to begin anew."""
        if not self.out.parent.is_dir():
            raise OutputError(
                f"{self.out}: the folder {self.out.parent} does not exist; create it first"
            )
        if not self.out.exists():
            return None
        found = identity_of(self.out)
        empty = self.out.is_dir() and not any(self.out.iterdir())
        if found is None and not empty:
            raise OutputError(f"{self.out} exists and is no training store; choose another name")
        if found is not None and not self.overwrite and found.get("format") != FORMAT:
            raise OutputError(
                f"{self.out}: expected a store of format {FORMAT}, found {found.get('format')}; use --overwrite"
            )
        return None if self.overwrite else found

    def run(self, progress: Progress | None = None) -> Summary:
        """Write what is missing.

        Raises:
            InputError: the input holds no hour that can be used, or what must not be mixed.
            OutputError: the store is there with other contents or settings, another process writes to it, or it
                cannot be written.
        """
        self._before()  # what is wrong with the name is told first
        with alone(self.out.with_name(f".{self.out.name}.lock"), self.out):
            return self._run(progress)

    def _run(self, progress: Progress | None) -> Summary:
        """:meth:`run`, while no other process does."""
        began = clock.perf_counter()
        before = self._before()
        place = self.out if before is not None else self._new
        with os_errors_explained(self.out):
            (place / STATE).mkdir(parents=True, exist_ok=True)
        try:
            with os_errors_explained(self.out):
                headers = self._headers(place / STATE / _HEADERS, progress)
            inputs = Inputs.gather(
                headers, self.files, self.field, self.variable, self.period, before
            )
            region = Region.of(inputs.grid, self.bbox)
            identity = self._identity(inputs, region, before)
            if before is not None and (changed := differences(before, identity)):
                raise OutputError(
                    f"{self.out} exists with other contents or settings: {'; '.join(changed[:3])}; "
                    "choose another name, or replace it with --overwrite"
                )
            with os_errors_explained(self.out):
                if before is None:
                    self._lay_out(inputs, region, identity)
        except DeepcamsError:
            if before is None:
                shutil.rmtree(self._new, ignore_errors=True)
            raise
        days = Days(self.out / STATE, first_hour(identity))
        try:
            with os_errors_explained(self.out):
                remove_unfinished(self.out)
                computed = self._fill(inputs, region, days, progress)
                report = finish(self.out, inputs, days, self._settings())
        except DeepcamsError:
            if not any(record.good for record in days.all()):
                shutil.rmtree(self.out, ignore_errors=True)
            raise
        written = sum(
            f.stat().st_size for f in self.out.rglob("*") if f.is_file() and STATE not in f.parts
        )
        return Summary(
            Prepared.open(self.out), report, computed, clock.perf_counter() - began, written
        )

    def _headers(self, memory: Path, progress: Progress | None) -> list[Header]:
        if self.field is not None:
            if self.variable not in (None, self.field.name):
                raise InputError("field", f"the variable {self.variable}", self.field.name)
            return [Header.of_field(self.field)]
        return Headers(memory, self.variable).scan(self.files, progress)

    def _identity(
        self, inputs: Inputs, region: Region, before: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Everything that decides the values of an hour, and when the store begins."""
        first = min(inputs.offers)
        start = first.astype("datetime64[D]").astype(
            "datetime64[ns]"
        ) + inputs.minute * np.timedelta64(1, "m")
        if before is not None:
            if start < first_hour(before):
                begins = str(first_hour(before))[:10]
                raise OutputError(
                    f"{self.out} begins on {begins}: expected later hours to extend it, found {str(first)[:10]}; "
                    "prepare all of them into another store"
                )
            start = first_hour(before)
        return {
            "format": FORMAT,
            "family": inputs.family,
            "variable": inputs.name,
            "degradation": self.degradation,
            "mean": inputs.mean,
            "first hour": str(start.astype("datetime64[m]")),
            "coarse": asdict(region.coarse),
            "input grid": asdict(inputs.grid),
        }

    def _lay_out(self, inputs: Inputs, region: Region, identity: dict[str, Any]) -> None:
        """Make the store beside its place, then put it there: it is never seen half laid out."""
        import zarr

        for leftover in (
            *self._new.glob("*"),
            self._old,
        ):  # of a run that was killed, but for what it knew of files
            if leftover.is_dir() and leftover.name != STATE:
                shutil.rmtree(leftover)
            elif leftover.is_file():
                leftover.unlink()
        title = f"{inputs.name} for training, {self.degradation} degradation, prepared by deepcams {__version__}"
        attributes = {"title": title, "source": inputs.source or inputs.family, IDENTITY: identity}
        zarr.create_group(self._new, zarr_format=3, attributes=attributes)
        about = {"about": "completion records of deepcams"}
        zarr.create_group(self._new / STATE, zarr_format=3, attributes=about, overwrite=False)
        methods = {"cell_methods": "time: mean" if inputs.mean else "time: point"}
        for resolution, array in arrays_of(self._new, inputs.name, region.coarse).items():
            array.lay_out(
                region.coarse.refine() if resolution == "fine" else region.coarse,
                inputs.name,
                methods,
            )
        if self.out.exists():
            self.out.replace(self._old)
        self._new.replace(self.out)
        sync(self.out.parent)
        shutil.rmtree(self._old, ignore_errors=True)

    def _fill(self, inputs: Inputs, region: Region, days: Days, progress: Progress | None) -> int:
        """Read and write what is not there yet, a day at a time; one hour is written while the next is read."""
        arrays = arrays_of(self.out, inputs.name, region.coarse)
        slots = max(days.slots(), days.slot(max(inputs.offers)) + 1)
        for array in arrays.values():
            array.extend(days.first + np.arange(slots) * _HOUR)
        todo = self._todo(inputs, days)
        total = len(inputs.offers)
        done, computed = total - sum(map(len, todo.values())), 0
        if progress is not None:
            progress("hours", done, total)
        with HourWriter(arrays) as writer:
            for day, times in todo.items():
                record = days.get(day) or Day()
                for time in times:
                    slot, keys = (
                        days.slot(time),
                        [inputs.key(offer) for offer in inputs.offers[time]],
                    )
                    hour, faults = inputs.take(time, region, self.degradation)
                    known = record.good.get(slot)
                    if known is not None and (hour is None or hour.digest != known["digest"]):
                        raise OutputError(
                            f"{self.out}: the hour {stamp(time)} was prepared from other values than the input "
                            "has now; choose another name, or replace it with --overwrite"
                        )
                    good = (
                        {"digest": hour.digest, "file": hour.key, "negative": hour.negative}
                        if hour
                        else None
                    )
                    record.note(slot, time, good, keys)
                    record.faults += faults
                    if hour is not None and known is None:
                        writer.put(slot, {"fine": hour.fine, "coarse": hour.coarse})
                        computed += 1
                        if computed == 1:
                            self._check_space(writer.size(slot) * (total - done))
                    done += 1
                    if progress is not None:
                        progress("hours", done, total)
                writer.settle()
                days.put(day, record)
        return computed

    def _todo(self, inputs: Inputs, days: Days) -> dict[np.datetime64, list[np.datetime64]]:
        """The hours of each day that must be read."""
        todo: dict[np.datetime64, list[np.datetime64]] = {}
        check = (
            self.field is not None
        )  # a field in memory has no size or time of change: one hour tells
        for day, times in days.of(inputs.offers).items():
            record = days.get(day)
            if record is None:
                todo[day] = times
                continue
            chosen = []
            for time in times:
                slot = days.slot(time)
                again = check and slot in record.good
                if again or not record.settled(
                    slot, [inputs.key(offer) for offer in inputs.offers[time]]
                ):
                    chosen.append(time)
                    check = check and not again
            if chosen:
                todo[day] = chosen
        return todo

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.out).free
        if needed > free:
            raise OutputError(
                f"{self.out}: expected about {size(needed)} of free space, found {size(free)}; "
                "free some, choose another disk, a --bbox or a --period"
            )

    def _settings(self) -> Settings:
        return Settings(self.degradation, self.variable, self.bbox, self.period)
