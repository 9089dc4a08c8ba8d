"""Extrapolate from a measured run to the whole: work items, hours, size, memory, and wall time with many workers."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import AIR_DENSITY
from deepcams.core.times import DAY, HOUR, HOUR_SECONDS, MEAN_STAMP, MINUTE
from deepcams.core.url import without_secrets
from deepcams.downscaling.job import Job, plan_job
from deepcams.planning.measure import Measured, check_processors, measure
from deepcams.planning.schedule import Conditions, draw_seconds, play
from deepcams.readers import SOURCE
from deepcams.readers.open import find_field_files, open_coarse
from deepcams.simulation.world import SimulatedWorld
from deepcams.simulation.write_cams import write_cams

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
"""Numbers of workers for which the wall time is forecast."""

CADENCE = 3 * HOUR
"""Interval between frames of CAMS EAC4."""


@dataclass(frozen=True)
class Forecast:
    """The needs of a long run.

    Attributes:
        hours: number of output hours.
        items: number of work items; each is one shard of a Zarr store.
        shape: rows and columns of the output.
        bytes: size of the output.
        work_hours: hours that a single worker needs for all items, without start-up.
        cpus: processors per worker.
        gpu: whether a worker uses a GPU.
        input: description of what was measured.
        measured: the measured run.
        conditions: conditions of the schedules, start-up included.
        schedules: one row for each number of workers: ``workers``, and for ``parts`` and ``dynamic`` the ``seconds``
            (wall time), ``efficiency``, ``lost_hours`` and ``failures``.
    """

    hours: int
    items: int
    shape: tuple[int, int]
    bytes: int
    work_hours: float
    cpus: int
    gpu: bool
    input: str
    measured: Measured
    conditions: Conditions
    schedules: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON types."""
        return {
            **asdict(self),
            "processor_hours": self.work_hours * self.cpus,
            "gpu_hours": self.work_hours * self.gpu,
        }


def forecast(
    years: Period,
    inputs: Sequence[str],
    settings: Mapping[str, Any],
    conditions: Conditions,
    *,
    workers: Sequence[int] = WORKERS,
    days: int = 2,
    cpus: int = 1,
    seed: int = 0,
    grid: Grid | None = None,
    progress: Progress = no_progress,
) -> Forecast:
    """Measure a run of a few days and forecast the whole.

    Args:
        years: period of the whole output.
        inputs: CAMS files, of which the first days are measured; if empty, days of the simulated world are.
        settings: arguments of :func:`deepcams.downscaling.job.plan_job`.
        conditions: conditions on the cluster; ``startup`` is added to the measured one.
        workers: numbers of workers; those above the number of items are left out.
        days: number of days to measure, at least 1.
        cpus: processors per worker, at least 1.
        seed: seed of the schedules.
        grid: grid of the simulated world (default: the 0.75 degree globe).
        progress: called with the stages ``simulate`` (frames) and ``measure`` (items).

    Raises:
        InputError: an argument is invalid.
        DeepcamsError: the measured run failed.
    """
    check_processors(cpus)
    with tempfile.TemporaryDirectory(prefix="deepcams-plan-") as name:
        folder = Path(name)
        given = bool(inputs)
        if given:
            field = open_coarse(find_field_files(inputs))
            words = (
                f"the first {days} days of {', '.join(map(without_secrets, inputs))}"
            )
        else:
            field = _lazy(grid or Grid.globe(0.75), years.start, days * DAY + HOUR)
            words = f"{days} days of the simulated world"
        period = _first_days(field, days)
        job = plan_job(field, folder / "measured.zarr", period=period, **settings)
        # Planned before measuring, so that invalid arguments are refused at once.
        began = time.perf_counter()
        whole = _plan_whole(field, years, folder, settings)
        planning = time.perf_counter() - began
        if not given:
            simulated = folder / "simulated.nc"
            write_cams(field, simulated, progress=progress)
            inputs = [str(simulated)]
        options = [*options_of(settings), "--period", _text(period)]
        found = measure(
            inputs,
            options,
            job.plan.items,
            folder,
            cpus,
            progress,
            before=options_of_all() if given else (),
        )
    items = whole.plan.items
    conditions = replace(
        conditions, startup=conditions.startup + found.startup + planning
    )
    seconds = draw_seconds(found.seconds, len(items), seed)
    hours = whole.plan.times.size
    out = whole.plan.crop.grid
    return Forecast(
        hours=hours,
        items=len(items),
        shape=(out.rows, out.columns),
        bytes=round(found.bytes / found.hours * hours),
        work_hours=float(np.mean(found.seconds)) * hours / 24 / HOUR_SECONDS,
        cpus=cpus,
        gpu=uses_gpu(job, settings),
        input=words,
        measured=found,
        conditions=conditions,
        schedules=tuple(
            schedule_row(seconds, number, conditions, seed)
            for number in workers
            if number <= len(items)
        ),
    )


def schedule_row(
    seconds: Sequence[float], workers: int, conditions: Conditions, seed: int
) -> dict[str, Any]:
    """Simulate both ways of sharing with a number of workers; return a row of :attr:`Forecast.schedules`."""
    row: dict[str, Any] = {"workers": workers}
    for sharing in ("parts", "dynamic"):
        outcome = play(seconds, workers, sharing, conditions, seed)
        row[sharing] = {
            "seconds": outcome.makespan,
            "efficiency": outcome.efficiency,
            "lost_hours": outcome.lost / HOUR_SECONDS,
            "failures": outcome.failures,
        }
    return row


def options_of(settings: Mapping[str, Any]) -> list[str]:
    """Convert settings to options of ``deepcams downscale``; those that are ``None`` are left out."""
    options: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            options.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, tuple):
            options += [f"--{name}", *(f"{number:g}" for number in value)]
        elif value is not None:
            options += [f"--{name}", str(value)]
    return options


def options_of_all() -> list[str]:
    """Return the current global options, which precede the verb (``deepcams --source NAME downscale``)."""
    given = {
        "--mean-stamp": MEAN_STAMP.get(),
        "--density": AIR_DENSITY.get(),
        "--source": SOURCE.get(),
    }
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (name, str(value))
    ]


def time_limit(forecast: Forecast, workers: int) -> float:
    """Return the time limit, seconds, for one of ``workers`` parts: 1.5 times the expected time.

    The expected time is that of a slow worker with the longest measured time for every item, plus one start.
    """
    conditions, longest = forecast.conditions, max(forecast.measured.seconds)
    slowness = conditions.slowness if conditions.stragglers else 1.0
    items = math.ceil(forecast.items / workers)
    return 1.5 * (conditions.startup + items * longest * slowness)


def uses_gpu(job: Job, settings: Mapping[str, Any]) -> bool:
    """Return whether a run uses a GPU on this machine."""
    if not job.plan.chain.weights:
        return False
    from deepcams.methods import device

    return device.uses_gpu(settings.get("device") or "auto")


def _lazy(grid: Grid, start: np.datetime64, length: np.timedelta64) -> xr.DataArray:
    """Return a lazy 3-hourly field of the simulated world."""
    return SimulatedWorld(0).field(grid, np.arange(start, start + length, CADENCE))


def _first_days(field: xr.DataArray, days: int) -> Period:
    start = field.time.values[0]
    return Period(start, start + days * DAY)


def _plan_whole(
    field: xr.DataArray, years: Period, folder: Path, settings: Mapping[str, Any]
) -> Job:
    """Plan the whole run on the grid of the measured one."""
    whole = _lazy(grid_of(field), years.start, years.end - years.start)
    return plan_job(whole, folder / "whole.zarr", **settings)


def _text(period: Period) -> str:
    """Format a period as an option value, in which the end is included."""
    first, last = (
        str(moment.astype("datetime64[m]"))
        for moment in (period.start, period.end - MINUTE)
    )
    return f"{first}..{last}"
