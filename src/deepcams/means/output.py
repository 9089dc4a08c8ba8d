"""Layout of the outputs of means: variables and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.limits import limits_of
from deepcams.core.species import label, species_of
from deepcams.core.times import DAY
from deepcams.core.units import UNITS
from deepcams.means.bias import NEAR_KM, UNCALIBRATED, StationBias
from deepcams.means.cells import DAY_WORDS, Days
from deepcams.means.daily import DailyPlan
from deepcams.means.levels import Level
from deepcams.means.periods import PeriodPlan, half_widths, names_of
from deepcams.writers import BitRound, Layout, Map, Other

STATUS: dict[str, Any] = {
    "standard_name": "status_flag",
    "long_name": "whether values are there and complete",
    "flag_values": np.array([0, 1, 2], np.int8),
    "flag_meanings": "missing complete incomplete",
    "comment": "missing: no cell has enough values; complete: each cell has all; incomplete: anything between",
    "coverage_content_type": "qualityInformation",
}
"""Attributes of the status flag of means."""

_UTC_OFFSET: dict[str, Any] = {
    "long_name": "local time less UTC",
    "units": "hours",
    "coverage_content_type": "referenceInformation",
}


def maps_of(
    minutes: np.ndarray | None, days: Days, bias: StationBias | None, grid: Grid
) -> tuple[Map, ...]:
    """Return the variables without a time dimension.

    Args:
        minutes: UTC offset of each cell's days; ``None`` for UTC days.
        days: definition of the day.
        bias: bias at stations, if known.
        grid: grid of the output.
    """
    maps = []
    if minutes is not None:
        about = {**_UTC_OFFSET, "comment": DAY_WORDS[days]}
        maps.append(Map("utc_offset", minutes.astype(np.float32) / 60, about))
    if bias is not None:
        mean, number = bias.near(grid)
        near = f"of stations within {NEAR_KM:g} km"
        maps += [
            Map(
                "station_bias",
                mean,
                {
                    "long_name": f"mean of model - observed {near}",
                    "units": UNITS,
                    "coverage_content_type": "qualityInformation",
                },
            ),
            Map(
                "station_count",
                number,
                {
                    "long_name": f"number {near}",
                    "units": "1",
                    "coverage_content_type": "qualityInformation",
                },
            ),
        ]
    return tuple(maps)


class Words:
    """Builds the attributes of variables.

    Args:
        species: short name (``pm2p5``).
        beside: names of the ancillary variables.
    """

    def __init__(self, species: str, beside: Sequence[str]) -> None:
        self._species, self._beside = species, " ".join(beside)

    def value(self, what: str, method: str, **more: Any) -> dict[str, Any]:
        """Return the attributes of a concentration."""
        known = species_of(self._species)
        named = {} if known is None else {"standard_name": known.standard_name}
        return {
            **named,
            "long_name": f"{label(self._species)} at the surface: {what}",
            "units": UNITS,
            "cell_methods": method,
            "comment": UNCALIBRATED,
            "ancillary_variables": self._beside,
            "coverage_content_type": "modelResult",
            **more,
        }

    def number(self, what: str, method: str, **more: Any) -> dict[str, Any]:
        """Return the attributes of a count."""
        return {
            "standard_name": "number_of_observations",
            "long_name": what,
            "units": "1",
            "cell_methods": method,
            "coverage_content_type": "qualityInformation",
            **more,
        }

    def above(self, what: str, level: Level, note: str = "") -> dict[str, Any]:
        """Return the attributes of a count of exceedances of a level."""
        words = f"{what} with {label(self._species)} above {level.value:g} {UNITS}"
        return {
            "long_name": words,
            "units": "1",
            "cell_methods": "time: sum",
            **level.attributes(),
            "level_units": UNITS,
            "comment": UNCALIBRATED + note,
            "ancillary_variables": self._beside,
            "coverage_content_type": "modelResult",
        }


def _beside(species: str, counts: Sequence[str], maps: Sequence[Map]) -> list[str]:
    own = [one.name for one in maps if one.name != "utc_offset"]
    return ["status", *(f"{species}_{name}" for name in counts), *own]


_NO_EXCEEDANCE = "; limits are of daily means, so an hour above one is no exceedance"


def daily_layout(
    plan: DailyPlan,
    local: bool,
    maps: tuple[Map, ...],
    rounding: BitRound,
    provenance: Mapping[str, Any],
    grid: Grid,
) -> Layout:
    """Return the layout of daily means.

    Args:
        plan: days to compute.
        local: whether days are in local time.
        maps: variables without a time dimension.
        rounding: bit-rounding of concentrations.
        provenance: global attributes.
        grid: grid of the field.
    """
    species = str(plan.field.name)
    words = Words(species, _beside(species, ["count"], maps))
    rule = f"missing where fewer than {plan.needed} of a day's {plan.possible} values are there"
    others = [
        Other(
            f"{species}_max",
            "float32",
            words.value("highest value of the day", "time: maximum"),
        ),
        Other(
            f"{species}_count",
            "int8",
            words.number(
                f"number of values of the day (of {plan.possible})", "time: sum"
            ),
        ),
        *(
            Other(
                f"{species}_hours_{level.suffix}",
                "int8",
                words.above(
                    f"{_hours(plan.possible)} of the day", level, _NO_EXCEEDANCE
                ),
            )
            for level in plan.levels
        ),
    ]
    dates = plan.dates.astype("datetime64[ns]")
    return Layout(
        f"{species}_mean",
        dates if local else dates + DAY // 2,
        grid,
        words.value(f"daily mean, {rule}", "time: mean"),
        provenance,
        rounding,
        None if local else DAY // 2,
        tuple(others),
        maps,
        STATUS,
    )


def period_layout(
    plan: PeriodPlan,
    local: bool,
    maps: tuple[Map, ...],
    rounding: BitRound,
    provenance: Mapping[str, Any],
) -> Layout:
    """Return the layout of monthly, seasonal or annual means; for the arguments see :func:`daily_layout`."""
    species, possible = plan.store.species, int(plan.store.settings["values a day"])
    words = Words(species, _beside(species, ["days", "count"], maps))
    rule = (
        f"missing where fewer than {plan.percent:g} % of the {plan.over}'s days count"
    )
    of_days = "time: mean (of the daily means that count)"
    fixed: dict[str, tuple[str, dict[str, Any]]] = {
        "days": (
            "int16",
            words.number(f"number of days of the {plan.over} that count", "time: sum"),
        ),
        "count": (
            "int16",
            words.number(f"number of values (of {possible} a day)", "time: sum"),
        ),
        "max": ("float32", words.value("highest value", "time: maximum")),
        "max_day": (
            "float32",
            words.value("highest daily mean", "time: maximum (of daily means)"),
        ),
    }
    others = []
    for name, of in names_of(plan):
        if name == "mean":
            continue
        if name in fixed:
            kind, about = fixed[name]
        elif isinstance(of, Level):
            kind, about = "int16", _about_level(words, name, of, plan.over, possible)
        else:
            what = f"percentile {of:g} of the daily means (nearest rank from above)"
            kind, about = (
                "float32",
                words.value(
                    what,
                    "time: mean (percentile of daily means)",
                    percentile=of,
                ),
            )
        others.append(Other(f"{species}_{name}", kind, about))  # type: ignore[arg-type]
    middles, half = half_widths(plan.stretches)
    return Layout(
        f"{species}_mean",
        middles - half if local else middles,
        plan.store.grid,
        words.value(
            f"mean of the {plan.over}'s days, {rule}",
            of_days,
            comment=UNCALIBRATED + _annual_limits(species, plan.over),
        ),
        provenance,
        rounding,
        None if local else half,
        tuple(others),
        maps,
        STATUS,
        1,
    )


def _hours(possible: int) -> str:
    """Return the word for the values of a day: hours if there are 24."""
    return "hours" if possible == 24 else f"values ({possible} a day)"


def _annual_limits(species: str, over: str) -> str:
    """Return the limits of annual means as text, for the attributes of annual means."""
    limits = limits_of(species, "year") if over == "year" else ()
    named = (
        f"{one.name} {one.level:g} (since {one.since.isoformat()}; {one.source})"
        for one in limits
    )
    listed = ", ".join(named)
    return f"; limits of annual means, {UNITS}: {listed}" if listed else ""


def _about_level(
    words: Words, name: str, level: Level, over: str, possible: int
) -> dict[str, Any]:
    if name.startswith("days"):
        return words.above(f"days of the {over}", level)
    if name.startswith("longest"):
        note = (
            "; a day that does not count ends a run, and so does the end of the period"
        )
        return words.above(f"most days in a row within the {over}", level, note)
    return words.above(f"{_hours(possible)} of the {over}", level, _NO_EXCEEDANCE)
