"""Prepare a training store from hourly fine fields: checked, chunked, resumable, extendable, with constant memory.

Work items are days (UTC): their hours are written and synced to disk, then a record lists the good ones.
"""

from __future__ import annotations

import json
import shutil
import time as clock
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.box import Box
from deepcams.core.errors import DeepcamsError, InputError, OutputError, choose
from deepcams.core.field import as_field
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import from_json
from deepcams.core.times import HOUR, MINUTE
from deepcams.files.atomic import (
    os_errors_explained,
    remove_unfinished,
    sync,
    write_atomically,
)
from deepcams.files.lock import locked
from deepcams.files.records import (
    FOLDER,
    Records,
    damaged_explained,
    refuse_changes,
)
from deepcams.methods.spatial.coarsen import Degradation
from deepcams.readers.formats.detect import DataFile
from deepcams.readers.frames import combine
from deepcams.readers.open import find_field_files
from deepcams.readers.protocols import Paths
from deepcams.training.store.checks import Fault, Report, find_gaps
from deepcams.training.store.days import DayWork, slot_of
from deepcams.training.store.inputs import (
    STEP,
    Header,
    Inputs,
    Region,
    scan_headers,
)
from deepcams.training.store.open import (
    FORMAT,
    HOURS,
    IDENTITY,
    MOST_HOURS,
    REPORT,
    Prepared,
    existing,
    first_hour,
    open_arrays,
    refuse_earlier,
)
from deepcams.workers import ThisProcess, Workers

_HEADERS = "headers.json"


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        store: the finished store.
        report: good hours, and everything left out.
        computed: number of hours read and written by this run.
        seconds: duration.
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
    progress: Progress = no_progress,
    **settings: Any,
) -> Prepared:
    """Write a training store, resume an unfinished one, or extend a finished one by later hours.

    Args:
        field, out, settings: see :class:`Preparation`.
        progress: callback, called with the stage "headers" or "hours".

    Returns:
        the opened store.

    Raises:
        InputError, OutputError: see :meth:`Preparation.run`.
    """
    return Preparation(field, out, **settings).run(progress).store


class Preparation:
    """The preparation of a store; nothing is written before :meth:`run`.

    Args:
        field: a canonical field, or files, folders or globs (GEOS-CF of one version, the simulated world, or other
            files that follow CF).
        out: the store (a folder, usually named ``.zarr``).
        degradation: how fine fields are coarsened: ``area``, ``imresize`` or ``decimate``.
        variable: variable to read; ``None``: PM2.5.
        period: hours to store; those that are not in the input are listed as missing.
        bbox: W S E N in degrees (W > E crosses the dateline); selects the coarse cells that overlap it.
        overwrite: replace an existing store.
        step: grid step of the fields, degrees, if not 0.25. A spatial network can be trained on fields of any step,
            coarsened by three.

    Raises:
        InputError: an argument is invalid, or files do not exist.
        OutputError: the store would contain its input.
    """

    def __init__(
        self,
        field: xr.DataArray | Paths,
        out: str | Path,
        degradation: Degradation = "area",
        variable: str | None = None,
        period: Period | str | None = None,
        bbox: Sequence[float] | None = None,
        overwrite: bool = False,
        step: float = STEP,
    ) -> None:
        if not step > 0:
            raise InputError("--step", "degrees above 0", step)
        choose("degradation", degradation, get_args(Degradation))
        self.out, self.degradation, self.variable = Path(out), degradation, variable
        self.box = Box.checked(bbox, "--bbox") if bbox else None
        self.period = (
            Period.parse(period, "--period") if isinstance(period, str) else period
        )
        self.overwrite, self.step = overwrite, step
        self.field: xr.DataArray | None = None
        self.files: list[DataFile] = []
        if isinstance(field, xr.DataArray):
            self.field = as_field(field)
        else:
            self.files = find_field_files(field, urls=False)
        self._new = self.out.with_name(f".{self.out.name}.new")
        self._old = self.out.with_name(f".{self.out.name}.old")
        self._records = Records(self.out / FOLDER)
        for file in self.files:
            given = Path(str(file.given)).resolve()
            if self.out.resolve() in (given, *given.parents):
                raise OutputError(
                    f"{self.out}: expected a name of its own, found the input {file.given}"
                )

    def run(
        self, progress: Progress = no_progress, workers: Workers | None = None
    ) -> Summary:
        """Write the missing hours.

        Args:
            progress: callback, called with the stage "headers" or "hours".
            workers: workers that read and write the hours, day by day; ``None``: this process.

        Raises:
            InputError: the input has no usable hour, or kinds of data that must not be mixed.
            OutputError: the store exists with other contents or settings, another process writes to it, or it
                cannot be written.
        """
        existing(
            self.out, self.overwrite
        )  # check the name before creating a lock for it
        with locked(self.out.with_name(f".{self.out.name}.lock"), self.out):
            began = clock.perf_counter()
            with os_errors_explained(self.out):
                self._begin(progress)
                try:
                    computed = self._fill(progress, workers or ThisProcess())
                    remove_unfinished(self.out)  # left by killed workers
                    report = self._finish()
                except (DeepcamsError, OSError):
                    if not any("digest" in hour for hour in self._hours().values()):
                        shutil.rmtree(self.out, ignore_errors=True)
                    raise
                files = [
                    f
                    for f in self.out.rglob("*")
                    if f.is_file() and FOLDER not in f.parts
                ]
                written = sum(file.stat().st_size for file in files)
            seconds = clock.perf_counter() - began
            return Summary(Prepared.open(self.out), report, computed, seconds, written)

    def _begin(self, progress: Progress) -> None:
        """Scan all input, and create a new store or check that the existing one can be extended."""
        before = existing(self.out, self.overwrite)
        folder = self._new if before is None else self.out
        try:
            headers = self._headers(folder / FOLDER / _HEADERS, progress)
            self._inputs = Inputs(
                headers,
                self.files,
                self.field,
                self.variable,
                self.period,
                before,
                self.step,
            )
            self._region = Region(self._inputs.grid, self.box)
            identity = self._identity(before)
            self._first = first_hour(identity)
            if before is None:
                self._lay_out(identity)
            else:
                do = "choose another name, or replace it with --overwrite"
                refuse_changes(before, identity, self.out, do)
        except (DeepcamsError, OSError):
            if before is None:
                shutil.rmtree(self._new, ignore_errors=True)
            raise

    def _headers(self, memory: Path, progress: Progress) -> list[Header]:
        if self.field is None:
            return scan_headers(self.files, self.variable, memory, progress)
        if self.variable not in (None, self.field.name):
            raise InputError("field", f"the variable {self.variable}", self.field.name)
        return [Header("", 0, 0).describing(self.field)]

    def _identity(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return all settings that affect the values of an hour, and the store's first hour."""
        first, kind = min(self._inputs.offers), self._inputs.kind
        start = first.astype("datetime64[D]").astype("datetime64[ns]")
        start += self._inputs.minute * MINUTE
        if before is not None:
            refuse_earlier(self.out, before, first)
            start = first_hour(before)
        return {
            "format": FORMAT,
            "family": kind.family,
            "variable": kind.name,
            "degradation": self.degradation,
            "mean": kind.mean,
            "first hour": str(start.astype("datetime64[m]")),
            "coarse": asdict(self._region.coarse),
            "input grid": asdict(self._inputs.grid),
        }

    def _lay_out(self, identity: dict[str, Any]) -> None:
        """Create the store under a hidden name, then rename it, so that it is never visible incomplete."""
        import zarr

        for leftover in (
            *self._new.glob("*"),
            self._old,
        ):  # left by a killed run, except its headers
            if leftover.is_dir() and leftover.name != FOLDER:
                shutil.rmtree(leftover)
            elif leftover.is_file():
                leftover.unlink()
        kind, coarse = self._inputs.kind, self._region.coarse
        title = f"{kind.name} for training, {self.degradation} degradation, prepared by deepcams {__version__}"
        attributes = {
            "title": title,
            "source": kind.source or kind.family,
            IDENTITY: identity,
        }
        zarr.create_group(self._new, zarr_format=3, attributes=attributes)
        about = {"about": "completion records of deepcams"}
        zarr.create_group(
            self._new / FOLDER, zarr_format=3, attributes=about, overwrite=False
        )
        cell_methods = {"cell_methods": "time: mean" if kind.mean else "time: point"}
        arrays = open_arrays(self._new, kind.name, coarse)
        arrays["fine"].lay_out(coarse.refine(), cell_methods)
        arrays["coarse"].lay_out(coarse, cell_methods)
        if self.out.exists():
            self.out.replace(self._old)
        self._new.replace(self.out)
        sync(self.out.parent)
        shutil.rmtree(self._old, ignore_errors=True)

    def _hours(self) -> dict[int, Mapping[str, Any]]:
        """Return the facts of all hours of the finished days, by slot.

        Facts are ``files``, the states of the files that were tried, and ``faults``; for a good hour also ``digest`` of
        its values, their source ``file``, and ``negative``, the number of values set to 0.
        """
        hours: dict[int, Mapping[str, Any]] = {}
        for day in self._records:
            with damaged_explained(self.out / FOLDER / day.item):
                hours |= {int(slot): check(hour) for slot, hour in day.facts.items()}
                if not all(0 <= slot < MOST_HOURS for slot in hours):
                    raise ValueError(f"an hour beyond {MOST_HOURS:,}")
        return hours

    def _fill(self, progress: Progress, workers: Workers) -> int:
        """Read and write the missing hours day by day; return the number written."""
        offers, first = self._inputs.offers, self._first
        known = self._hours()
        last = max([slot_of(max(offers), first), *known])
        arrays = open_arrays(self.out, self._inputs.kind.name, self._region.coarse)
        for array in arrays.values():
            array.extend(first + np.arange(last + 1) * HOUR)
        done = computed = 0

        def tell() -> None:
            nonlocal done
            done += 1
            progress("hours", done, len(offers))

        missing = len(offers) - sum("digest" in hour for hour in known.values())
        work = DayWork(
            self.out, self._inputs, self._region, self.degradation, first, missing, tell
        )
        if self.field is not None:
            # A field in memory has no size or modification time, so its first stored hour is compared.
            good = (
                t
                for t in sorted(offers)
                if "digest" in known.get(slot_of(t, first), {})
            )
            work.compare = next(good, None)
        days = groupby(sorted(offers), lambda time: time.astype("datetime64[D]"))
        items = [(str(day), list(times)) for day, times in days]
        done_before = 0
        with closing(workers.map(work, items)) as results:
            for (_, times), hours in results:
                computed += hours
                done_before += len(times)
                if (
                    done < done_before
                ):  # done by a worker, which does not report progress
                    done = done_before
                    progress("hours", done, len(offers))
        return computed

    def _finish(self) -> Report:
        """Write the index of the store: its good hours, their sources, and the report."""
        import zarr

        known, headers = self._hours(), self._inputs.headers
        good = {slot: known[slot] for slot in sorted(known) if "digest" in known[slot]}
        faults = [
            Fault.from_json(fault)
            for hour in known.values()
            for fault in hour["faults"]
        ]
        if not good:
            found = "none"
            if faults:
                found = f"none in {len(known):,}: {faults[0].kind}, {faults[0].detail}"
            raise InputError(
                headers[0].file or "field", "an hour fit for training", found
            )
        earlier: dict[str, Any] = {}
        again = {header.file for header in headers}
        times = self._first + np.array(sorted(known)) * HOUR
        with damaged_explained(self.out / HOURS):
            if (self.out / HOURS).exists():
                earlier = from_json((self.out / HOURS).read_text(encoding="utf-8"))
            of_files = [Fault.from_json(one) for one in earlier.get("file faults", [])]
            of_files = [one for one in of_files if one.files[0] not in again]
            begin, end = self._span(times, earlier.get("span"))
            if not 0 <= slot_of(end, begin) < MOST_HOURS:
                raise ValueError(f"more than {MOST_HOURS:,} hours")
        of_files += self._inputs.faults
        present = np.zeros(slot_of(end, begin) + 1, bool)
        present[(times - begin) // HOUR] = True
        faults += [*of_files, *find_gaps(present, begin)]
        report = Report.make(self._first + np.array(list(good)) * HOUR, faults)
        text = json.dumps(report.to_json(), indent=1) + "\n"
        write_atomically(self.out / REPORT, text.encode())
        with damaged_explained(self.out), warnings.catch_warnings():
            # warnings that records are not arrays, and that Zarr 3 has no consolidated metadata yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self.out)
        hours = {
            "slots": list(good),
            "sources": self._sources(list(good.values())),
            "span": [str(time.astype("datetime64[m]")) for time in (begin, end)],
            "file faults": [asdict(fault) for fault in of_files],
        }
        write_atomically(self.out / HOURS, json.dumps(hours).encode())
        return report

    def _span(
        self,
        times: np.ndarray,
        earlier: Sequence[str] | None,
    ) -> tuple[np.datetime64, np.datetime64]:
        """Return first and last expected hour: of the period, else of all input; including earlier runs."""
        first, last = times[0], times[-1]
        if self.period is not None:
            first -= (first - self.period.start) // HOUR * HOUR
            last += (self.period.end - np.timedelta64(1, "ns") - last) // HOUR * HOUR
        if earlier is not None:
            first = min(first, np.datetime64(earlier[0], "ns"))
            last = max(last, np.datetime64(earlier[1], "ns"))
        return first, last

    def _sources(self, hours: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the provenance of the values, for the store and for networks trained on it."""
        files = sorted({tuple(str(hour["file"]).split("|")[:2]) for hour in hours})
        return {
            "family": self._inputs.kind.family,
            "source": self._inputs.kind.source,
            "inputs": {
                "files": len(files) if self.files else 0,
                "bytes": sum(int(count) for _, count in files),
                "fingerprint": combine([name + count for name, count in files]),
            },
            "values": combine([str(hour["digest"]) for hour in hours]),
            "negatives set to 0": sum(int(hour["negative"]) for hour in hours),
            "settings": {
                "degradation": self.degradation,
                "variable": self.variable,
                "bbox": list(self.box) if self.box else None,
                "period": str(self.period) if self.period else None,
            },
            "deepcams": __version__,
        }


def check(hour: Any) -> Mapping[str, Any]:
    """Return an hour's facts if they are valid.

    Raises:
        ValueError, TypeError, KeyError: the facts are invalid.
    """
    for fault in hour["faults"]:
        Fault.from_json(fault)
    if "digest" in hour:
        _, count = str(hour["file"]).split("|")[:2]
        int(count), int(hour["negative"])
    return dict(hour)
