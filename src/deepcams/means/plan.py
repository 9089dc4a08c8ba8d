"""Planning of a run of means: what is computed, and the layout and attributes of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.species import AIR_DENSITY, label
from deepcams.core.times import MEAN_STAMP
from deepcams.core.url import Place, place_of
from deepcams.downscaling.output_identity import provenance
from deepcams.means.bias import UNCALIBRATED, StationBias
from deepcams.means.cells import DAY_WORDS, Cells, Days, offsets
from deepcams.means.daily import DailyPlan, plan_days
from deepcams.means.levels import levels_of
from deepcams.means.output import daily_layout, maps_of, period_layout
from deepcams.means.periods import Over, PeriodPlan, plan_periods
from deepcams.means.store import DailyStore
from deepcams.readers import SOURCE
from deepcams.writers import BitRound, Layout


@dataclass(frozen=True)
class Settings:
    """Settings that the values depend on, besides the input.

    Attributes:
        over, days, complete, levels, percentiles, rounding: see :func:`deepcams.means.means_to`.
        bias: bias at stations.
    """

    over: Over
    days: Days | None
    complete: float
    levels: tuple[str, ...] | None
    percentiles: tuple[float, ...]
    rounding: float
    bias: StationBias | None


@dataclass
class Run:
    """A planned run.

    Attributes:
        plan: days or longer periods to compute.
        days: definition of the day.
        local: whether days are in local time.
        minutes: UTC offset of each cell's days; ``None`` for UTC days.
        about: settings, for the identity.
        source, history: attributes of the input.
        grid: grid of the output.
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


def plan_daily(
    field: xr.DataArray, settings: Settings, inputs: Sequence[str | Place]
) -> Run:
    """Plan daily means of a field (canonical, lazy); ``inputs`` are its files.

    Raises:
        InputError: see :func:`plan_days` and :func:`levels_of`.
        MissingExtraError: ``zones``, and tzfpy is not installed.
    """
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
    if (source := SOURCE.get()) is not None:
        about["source"] = source
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


def plan_longer(store: DailyStore, settings: Settings) -> Run:
    """Plan longer periods of a store of daily means.

    Raises:
        InputError: the store has another definition of the day; or see :func:`plan_periods` and :func:`levels_of`.
    """
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


def layout_of(
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
