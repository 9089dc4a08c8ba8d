"""``deepcams means``: plan, check, lay out and fill the output item by item; resume after an interruption."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, choose
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.url import Place, place_of
from deepcams.downscaling.output_identity import (
    check_existing,
    check_folder,
    describe_inputs,
    keep_apart,
)
from deepcams.files.atomic import os_errors_explained
from deepcams.files.lock import locked
from deepcams.means.bias import UNCALIBRATED, StationBias
from deepcams.means.cells import DAY_WORDS, Days
from deepcams.means.periods import Over
from deepcams.means.plan import Run, Settings, layout_of, plan_daily, plan_longer
from deepcams.means.source import chosen, daily_of, hourly
from deepcams.means.store import DailyStore, identity_of
from deepcams.means.work import Computing
from deepcams.readers.protocols import Paths
from deepcams.workers import Workers, open_workers
from deepcams.writers import Contents, Item, open_target, split_hours
from deepcams.writers.layout import MEANS

PERCENTILES = (50.0, 90.0, 98.0, 99.0)
"""Default percentiles of daily means."""
COMPLETE = 75.0
"""Default percentage of values required."""

_OVERS = ("day", "month", "season", "year")


@dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        path: path of the output.
        over: averaging period.
        status: number of missing, complete and incomplete times.
        largest: largest mean, ug m-3; ``None`` if all are missing.
        computed: number of times computed by this run; the others were finished before.
        seconds: duration of the run.
        bytes: size on disk.
        bias: note that the model is uncalibrated, with its bias at stations if known.
        daily: intermediate store of daily means, made or reused; ``None`` if the input or the output is one.
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
    """Write daily, monthly, seasonal or annual means; an interrupted run is resumed.

    Args:
        source: hourly (or 3-hourly) fields: a canonical field, or paths that :func:`deepcams.open_field` opens; or, for
            longer periods, the path of a store of daily means that this function wrote.
        out: a name ending in ``.zarr`` or ``.nc``, or the URL of a Zarr store.
        over: ``day``, ``month``, ``season`` or ``year``. Longer periods are made from daily means, which are written
            beside the output (``NAME_days.zarr``) if ``source`` is hourly.
        days: ``utc`` (the default), ``nautical`` (whole hours by longitude) or ``zones`` (real time zones, standard
            time; extra ``timezones``). A value belongs to the local date of its time; a mean, to that of its middle.
        complete: required percentage of a day's values and of a period's days.
        levels: levels above which hours and days are counted: names of daily limits, numbers (ug m-3), ``none``;
            ``None``: all daily limits of the species.
        percentiles: percentiles of daily means, for longer periods.
        variable: which variable of the files; ``None`` is PM2.5.
        bbox: (west, south, east, north): only the nodes in this box.
        period: only these hours, UTC (a :class:`deepcams.Period` or its text, ``2019-03``).
        rounding: largest relative error of bit-rounding of concentrations; 0 turns it off.
        validated: output folder of ``deepcams validate`` for these fields; the bias at its stations is written with
            the means.
        overwrite: replace an existing output that has other contents.
        progress: callback, called with the stages ``day``, ``month``, ``season``, ``year`` and ``write``.
        workers: number of processes on this machine, or the workers to use.
        command: command recorded in the history.

    Returns:
        a summary of the output.

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
        raise InputError(
            f"output {place}",
            "a name ending in .zarr or .nc",
            place.name,
            "deepcams export makes GeoTIFF, CSV and Parquet of either",
        )
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
        store = None if isinstance(source, xr.DataArray) else daily_of(source)
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
                plan_longer(store, settings), place, settings, [store.path], team
            )
        field, inputs = hourly(source, variable)
        field = chosen(field, bbox, period)
        if over == "day":
            return run(
                plan_daily(field, settings, inputs), place, settings, inputs, team
            )
        beside = place.parent / f"{place.name.removesuffix(place.suffix)}_days.zarr"
        daily = replace(settings, over="day")
        run(plan_daily(field, daily, inputs), beside, daily, inputs, team)
        identity = identity_of(beside)
        assert identity is not None
        store = DailyStore(beside, identity)
        summary = run(plan_longer(store, settings), place, settings, [beside], team)
        return replace(summary, daily=beside)


@contextmanager
def _team(workers: int | Workers | None) -> Iterator[Workers]:
    if workers is None or isinstance(workers, int):
        with open_workers(workers) as team:
            yield team
    else:
        yield workers


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
    """Write the missing parts of an output."""
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
        "times": run.plan.span,
    }
    layout = layout_of(run, identity, settings, command)
    variables = zip(layout.names, layout.dtypes, strict=True)
    about["variables"] = [f"{name} {dtype}" for name, dtype in variables]
    items = split_hours(layout.times, size=layout.item_times)
    with locked(target.lock, target.path) as lock:
        target.guard = lock.check
        resumed = check_existing(target, identity, overwrite)
        work = Computing(run.plan, target, layout)
        if not resumed:
            work.check_space()
        with os_errors_explained(target.path):
            if resumed:
                target.resume(layout, items)
            else:
                target.create(layout, items, identity)
        try:
            computed = _fill(work, items, team, progress)
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


def _fill(
    work: Computing, items: tuple[Item, ...], team: Workers, progress: Progress
) -> int:
    """Compute and write the unfinished items; return the number of their times."""
    todo = work.unfinished(items)
    total, left = (sum(item.hours for item in each) for each in (items, todo))
    done = total - left
    progress(work.plan.over, done, total)
    with closing(team.map(work, todo)) as written:
        for item, _ in written:
            done += item.hours
            progress(work.plan.over, done, total)
    return left
