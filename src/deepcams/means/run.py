"""``deepcams means``: planned, checked, laid out, filled item by item, and resumed after any interruption."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, choose
from deepcams.core.field import ValueCounts, as_field, field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import AIR_DENSITY, label
from deepcams.core.times import MEAN_STAMP
from deepcams.core.url import Place, Url, place_of
from deepcams.downscaling.memory import keep_memory
from deepcams.downscaling.output_identity import (
    check_existing,
    check_folder,
    describe_inputs,
    keep_apart,
    provenance,
)
from deepcams.files.atomic import os_errors_explained
from deepcams.files.lock import locked
from deepcams.files.records import Record
from deepcams.means.bias import UNCALIBRATED, StationBias
from deepcams.means.cells import DAY_WORDS, Cells, Days, offsets
from deepcams.means.daily import Daily, DailyPlan, DayMaps, needed_of, plan_days
from deepcams.means.levels import levels_of
from deepcams.means.output import daily_layout, maps_of, period_layout
from deepcams.means.periods import Over, PeriodPlan, names_of, plan_periods, statistics
from deepcams.means.store import DailyStore, identity_of
from deepcams.readers.datasets import opened, unfinished
from deepcams.readers.detect import find_files
from deepcams.readers.open import open_files
from deepcams.readers.protocols import Paths
from deepcams.workers import Work, Workers, open_workers
from deepcams.writers import (
    BitRound,
    Contents,
    Item,
    Layout,
    Target,
    open_target,
    split_hours,
)
from deepcams.writers.layout import MEANS
from deepcams.writers.target import absent_files

PERCENTILES = (50.0, 90.0, 98.0, 99.0)
"""Percentiles of days by default."""
COMPLETE = 75.0
"""Percent of values that must be there by default."""

_OVERS = ("day", "month", "season", "year")
_MADE = tuple[list[np.ndarray], np.ndarray, Record]


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        path: where the output is.
        over: what its means are over.
        status: how many of its times are missing, complete and incomplete.
        largest: the largest mean, ug m-3; ``None``: all are missing.
        computed: times that this run computed (the others were finished before).
        seconds: how long it took.
        bytes: size on disk.
        bias: in words, that the model is uncalibrated, and its bias at stations if that is known.
        daily: the daily store that was made or used on the way; ``None`` where the input was one, or the output is.
    """

    path: Place
    over: Over
    status: tuple[int, int, int]
    largest: float | None
    computed: int
    seconds: float
    bytes: int
    bias: str
    daily: Place | None = None


@dataclass(frozen=True)
class Settings:
    """What the values depend on besides the input.

    Attributes:
        over, days, complete, levels, percentiles, rounding: see :func:`means_to`.
        bias: of stations.
    """

    over: Over
    days: Days | None
    complete: float
    levels: tuple[str, ...] | None
    percentiles: tuple[float, ...]
    rounding: float
    bias: StationBias | None


def means_to(
    source: xr.DataArray | Paths,
    out: str | Place,
    *,
    over: Over = "day",
    days: Days | None = None,
    complete: float = COMPLETE,
    levels: Sequence[str | float] | None = None,
    percentiles: Sequence[float] = PERCENTILES,
    variable: str | None = None,
    bbox: Sequence[float] | None = None,
    period: Period | str | None = None,
    rounding: float = 0.001,
    validated: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    workers: int | Workers | None = None,
    command: str = "deepcams.means.means_to",
) -> Summary:
    """Write means of days, months, seasons or years; finished work of an earlier, interrupted run is not done again.

    Args:
        source: hourly (or 3-hourly) fields: a canonical field, or paths that :func:`deepcams.open_field` opens; or, for
            longer periods, the path of a store of daily means that this function wrote.
        out: a name ending in ``.zarr`` or ``.nc``, or the URL of a Zarr store.
        over: ``day``, ``month``, ``season`` or ``year``. Longer periods are made from daily means, which are written
            beside the output (``NAME_days.zarr``) where ``source`` is hourly.
        days: ``utc`` (the default), ``nautical`` (whole hours by longitude) or ``zones`` (real time zones, standard
            time; extra ``timezones``). A value belongs to the date that its time has there; of means the middle counts.
        complete: percent of a day's values, and of a period's days, that must be there.
        levels: that hours and days are counted above: names of daily limits, numbers (ug m-3), ``none``; ``None``: all
            daily limits of the species.
        percentiles: of days, for longer periods.
        variable: which variable of the files; ``None`` is PM2.5.
        bbox: (west, south, east, north): only the nodes in this box.
        period: only these hours, UTC (a :class:`deepcams.Period` or its text, ``2019-03``).
        rounding: bound on the relative error of bit-rounding of concentrations; 0 turns it off.
        validated: folder of a ``deepcams validate`` of these fields, whose stations' bias is put beside the means.
        overwrite: replace an output with other contents.
        progress: told of the stages ``day``, ``month``, ``season``, ``year`` and ``write``.
        workers: number of processes on this machine, or whoever does the work.
        command: the command, for the history.

    Returns:
        what was written.

    Raises:
        InputError: an argument or the input is not what was expected.
        OutputError: the output exists with other contents or settings, another process writes to it, or it cannot be
            written.
        MissingExtraError: ``zones``, and tzfpy is not installed.
    """
    choose("--over", over, _OVERS)
    if days is not None:
        choose("--days", days, DAY_WORDS)
    if not 0 < complete <= 100:
        raise InputError(
            "--complete", "a percentage above 0, up to 100", f"{complete:g}"
        )
    place = place_of(out)
    if place.suffix.lower() not in {".zarr", ".nc"}:
        raise InputError(f"output {place}", "a name ending in .zarr or .nc", place.name)
    settings = Settings(
        over,
        days,
        complete,
        None if levels is None else tuple(map(str, levels)),
        tuple(map(float, percentiles)),
        rounding,
        None if validated is None else StationBias.read(validated),
    )
    run = partial(_run, overwrite=overwrite, progress=progress, command=command)
    with _team(workers) as team:
        store = None if isinstance(source, xr.DataArray) else _daily_of(source)
        if store is not None:
            if over == "day":
                found = "daily means"
                raise InputError(store.path, "hourly fields for --over day", found)
            for option, given in (("--bbox", bbox), ("--period", period)):
                if given is not None:
                    raise InputError(
                        option,
                        "hourly fields to choose from",
                        f"daily means ({store.path})",
                    )
            return run(
                _plan_periods(store, settings), place, settings, [store.path], team
            )
        field, inputs = _opened(source, variable)
        field = _chosen(field, bbox, period)
        if over == "day":
            return run(
                _plan_daily(field, settings, inputs), place, settings, inputs, team
            )
        beside = place.parent / f"{place.name.removesuffix(place.suffix)}_days.zarr"
        daily = replace(settings, over="day")
        run(_plan_daily(field, daily, inputs), beside, daily, inputs, team)
        identity = identity_of(beside)
        assert identity is not None
        store = DailyStore(beside, identity)
        summary = run(_plan_periods(store, settings), place, settings, [beside], team)
        return replace(summary, daily=beside)


@contextmanager
def _team(workers: int | Workers | None) -> Iterator[Workers]:
    if workers is None or isinstance(workers, int):
        with open_workers(workers) as team:
            yield team
    else:
        yield workers


def _daily_of(source: Paths) -> DailyStore | None:
    """Return the daily store that a path is, if it is one."""
    paths = [source] if isinstance(source, str | Path | Url) else list(source)
    if len(paths) != 1:
        return None
    identity = identity_of(paths[0])
    return None if identity is None else DailyStore(paths[0], identity)


def _opened(
    source: xr.DataArray | Paths, variable: str | None
) -> tuple[xr.DataArray, list[str | Place]]:
    """Return the field, lazy, and its files.

    Raises:
        InputError: there is none, or it is an unfinished output.
    """
    if isinstance(source, xr.DataArray):
        return as_field(source), []
    files = find_files(source)
    for folder in sorted({file.folder for file in files if file.folder}, key=str):
        if words := absent_files(folder):
            raise InputError(folder, "a finished output", words)
    files = [opened(file) if file.kind == "zarr" else file for file in files]
    for file in files:
        part = unfinished(file, file.datasets[0]) if file.kind == "zarr" else None
        if part is not None:
            raise InputError(
                file,
                "a finished store",
                f"{int(part.items.sum())} of {part.items.size} parts of it",
                "give the command that began it again",
            )
    field = open_files(files, variable, with_dask=False)
    return field, [file.given for file in files]


def _chosen(
    field: xr.DataArray, bbox: Sequence[float] | None, period: Period | str | None
) -> xr.DataArray:
    """Return the part of a field in a box and a period."""
    if isinstance(period, str):
        period = Period.parse(period, "--period")
    if period is not None:
        inside = period.contains(field.time.values)
        if not inside.any():
            first, last = (str(each)[:16] for each in field.time.values[[0, -1]])
            expected = f"a period that holds hours of the data, not {period}"
            raise InputError("--period", expected, f"data from {first} to {last}")
        at = np.flatnonzero(inside)
        field = field.isel(time=slice(int(at[0]), int(at[-1]) + 1))
    if bbox is not None:
        grid, rows, columns = grid_of(field).select(bbox)
        part = field.isel(latitude=rows, longitude=columns)
        field = field_like(field, part.data, grid)
    return field


@dataclass
class Run:
    """A planned run.

    Attributes:
        plan: of days or of longer periods.
        days: whose days.
        local: whether they are dates of the cells' own clocks.
        minutes: how far each cell's days are ahead of UTC; ``None`` for days of UTC.
        about: settings, for the identity.
        source, history: of the input.
        grid: of the output.
        species: short name.
    """

    plan: DailyPlan | PeriodPlan
    days: Days
    minutes: np.ndarray | None
    about: dict[str, Any]
    source: str
    history: str | None
    grid: Grid
    species: str


def _plan_daily(
    field: xr.DataArray, settings: Settings, inputs: Sequence[str | Place]
) -> Run:
    days = settings.days or "utc"
    grid, species = grid_of(field), str(field.name)
    year = int(str(field.time.values[0])[:4])
    minutes = offsets(grid, days, year)
    levels = levels_of(species, settings.levels)
    names = [place_of(path).name for path in inputs]
    where = ", ".join(names[:2]) + (", .." if len(names) > 2 else "") or "field"
    plan = plan_days(field, Cells(minutes), levels, settings.complete, where)
    about = {
        "over": "day",
        "species": species,
        "days": days,
        "complete": settings.complete,
        "values a day": plan.possible,
        "levels": [level.value for level in levels],
        "mean_stamp": MEAN_STAMP.get(),
        "air_density": AIR_DENSITY.get(),
    }
    if days == "zones":
        from deepcams.files.time_zones import version

        about["zones"] = f"{version()}, standard time of {year}"
    return Run(
        plan,
        days,
        None if days == "utc" else minutes,
        about,
        str(field.attrs.get("source", "hourly fields")),
        field.attrs.get("history"),
        grid,
        species,
    )


def _plan_periods(store: DailyStore, settings: Settings) -> Run:
    days = store.settings["days"]
    if settings.days not in (None, days):
        expected = f"{days}, as the daily means have them"
        raise InputError(
            "--days", expected, settings.days, "make other daily means first"
        )
    levels = levels_of(store.species, settings.levels)
    plan = plan_periods(
        store, settings.over, settings.complete, levels, settings.percentiles
    )
    about = {
        **store.settings,
        "over": settings.over,
        "complete": settings.complete,
        "complete_of_days": store.settings["complete"],
        "levels": [level.value for level in levels],
        "percentiles": list(plan.percentiles),
    }
    attributes = store.attributes
    return Run(
        plan,
        days,
        store.offsets,
        about,
        str(attributes.get("source", "daily means")),
        attributes.get("history"),
        store.grid,
        store.species,
    )


def _layout(
    run: Run, identity: dict[str, Any], settings: Settings, command: str
) -> Layout:
    """Return the layout of a run's output."""
    bias = settings.bias
    maps = maps_of(run.minutes, run.days, bias, run.grid)
    rounding = BitRound(settings.rounding)
    about = {
        "title": f"{label(run.species)} by {settings.over} at {run.grid.spacing} degrees",
        "summary": _summary(run, settings),
        "processing_level": f"means over {settings.over}s",
        "comment": UNCALIBRATED if bias is None else bias.words(run.grid),
    }
    local = run.days != "utc"
    if isinstance(run.plan, DailyPlan):
        times = run.plan.dates
        make: Any = partial(daily_layout, grid=run.grid)
    else:
        times = np.array([one.start for one in run.plan.stretches])
        make = period_layout
    about |= provenance(
        identity, command, label(run.species), run.source, times, run.history
    )
    if run.days == "zones":
        from deepcams.files.time_zones import LICENCE

        about["license"] += f"; {LICENCE}"
    return make(run.plan, local, maps, rounding, about)


def _summary(run: Run, settings: Settings) -> str:
    words = f"Means over {settings.over}s of {DAY_WORDS[run.days]}, of {run.source}."
    if isinstance(run.plan, DailyPlan):
        plan = run.plan
        rule = f" A day counts where {plan.needed} of its {plan.possible} values are there."
    else:
        rule = f" A {settings.over} counts where {settings.complete:g} % of its days do; its mean is that of its days."
    return words + rule + " Counts are beside the means."


class Computing(Work[Item, _MADE, None]):
    """The work of a run, for its workers.

    Args:
        run: what is computed.
        target: where it is written.
        layout: of the output.
    """

    def __init__(self, run: Run, target: Target, layout: Layout) -> None:
        self.run, self.target, self.layout = run, target, layout
        self._daily = Daily(run.plan) if isinstance(run.plan, DailyPlan) else None

    def start(self) -> None:
        """Set how the process of a worker keeps memory."""
        keep_memory()

    def compute(self, item: Item) -> _MADE:
        """Return an item's values, one array a variable, its status and its record."""
        arrays = [
            np.empty((item.hours, *self.layout.grid.shape), dtype)
            for dtype in self.layout.dtypes
        ]
        status = np.empty(item.hours, np.int8)
        maps = self._maps(item)
        for place, (values, count, needed, possible) in enumerate(maps):
            for array, value in zip(arrays, values, strict=True):
                array[place] = value
            status[place] = _status(count, needed, possible)
        for array in arrays:
            if array.dtype == np.float32:
                self.layout.rounding(array)
        with np.errstate(invalid="ignore"):
            largest = np.fmax.reduce(arrays[0], axis=None)
        hours = np.bincount(status, minlength=3).tolist()
        missing = int(np.isnan(arrays[0][status > 0]).sum())
        contents = Contents(
            (hours[0], hours[1], hours[2]),
            ValueCounts(),
            missing,
            float(largest) if np.isfinite(largest) else None,
        )
        record = Record(item.name, facts=asdict(contents))
        return arrays, status, record

    def _maps(
        self, item: Item
    ) -> Iterator[tuple[list[np.ndarray], np.ndarray, int, int]]:
        """Yield for each of an item's times the maps in order, the counts, and how many are needed and possible."""
        plan = self.run.plan
        if isinstance(plan, DailyPlan):
            assert self._daily is not None
            for maps in self._daily.compute(plan.dates[item.start : item.stop]):
                yield _in_order(maps), maps.count, plan.needed, plan.possible
            return
        for one in plan.stretches[item.start : item.stop]:
            found = statistics(plan, one)
            values = [found[name] for name, _ in names_of(plan)]
            yield values, found["days"], needed_of(one.days, plan.percent), one.days

    def write(self, item: Item, made: _MADE) -> None:
        """Write an item and its record."""
        (values, *others), status, record = made
        with os_errors_explained(self.target.path):
            self.target.write(item, values, status, record, others)


def _in_order(maps: DayMaps) -> list[np.ndarray]:
    return [maps.mean, maps.largest, maps.count, *maps.above]


def _status(count: np.ndarray, needed: int, possible: int) -> int:
    """Return 0 where no cell has enough values, 1 where each has all, else 2."""
    if int(count.max()) < needed:
        return 0
    return 1 if int(count.min()) == possible else 2


def _run(
    run: Run,
    place: Place,
    settings: Settings,
    inputs: Sequence[str | Place],
    team: Workers,
    *,
    overwrite: bool,
    progress: Progress,
    command: str,
) -> Summary:
    """Write what is missing of an output."""
    began = time.perf_counter()
    keep_apart(place, [place_of(path) for path in inputs])
    target = open_target(place)
    check_folder(target.path)
    bias = settings.bias
    about = {**run.about, "bias": None if bias is None else bias.fingerprint}
    identity: dict[str, Any] = {
        "deepcams": __version__,
        "variable": f"{run.species}_mean",
        MEANS: about,
        "rounding": settings.rounding,
        "grid": run.grid.describe(),
        "format": target.path.suffix.lstrip("."),
        "inputs": describe_inputs(inputs),
        "times": _times(run),
    }
    layout = _layout(run, identity, settings, command)
    variables = zip(layout.names, layout.dtypes, strict=True)
    about["variables"] = [f"{name} {dtype}" for name, dtype in variables]
    items = split_hours(layout.times, size=layout.item_times)
    with locked(target.lock, target.path) as lock:
        target.guard = lock.check
        resumed = check_existing(target, identity, overwrite)
        with os_errors_explained(target.path):
            if resumed:
                target.resume(layout, items)
            else:
                target.create(layout, items, identity)
        try:
            computed = _fill(run, target, layout, items, team, progress)
            with os_errors_explained(target.path):
                target.finish(progress)
        except Exception:
            if not resumed and not any(target.record(item) for item in items):
                target.discard()
            raise
        record = target.total(items)
    assert record is not None
    total = Contents.of(record)
    words = UNCALIBRATED if bias is None else bias.words(run.grid)
    return Summary(
        target.path,
        settings.over,
        total.hours,
        total.largest,
        computed,
        time.perf_counter() - began,
        target.size(),
        words,
    )


def _times(run: Run) -> str:
    if isinstance(run.plan, DailyPlan):
        hours = run.plan.times
        first, last = (str(each.astype("datetime64[m]")) for each in hours[[0, -1]])
        return f"{first}Z to {last}Z ({hours.size})"
    dates = run.plan.store.dates
    return f"{dates[0]} to {dates[-1]} ({dates.size} days)"


def _fill(
    run: Run,
    target: Target,
    layout: Layout,
    items: tuple[Item, ...],
    team: Workers,
    progress: Progress,
) -> int:
    """Compute and write the unfinished items; return their times."""
    if target.total(items) is not None:
        return 0
    todo = [item for item in items if target.record(item) is None]
    total, left = (sum(item.hours for item in each) for each in (items, todo))
    done = total - left
    stage = "day" if isinstance(run.plan, DailyPlan) else run.plan.over
    progress(stage, done, total)
    with closing(team.map(Computing(run, target, layout), todo)) as written:
        for item, _ in written:
            done += item.hours
            progress(stage, done, total)
    return left
