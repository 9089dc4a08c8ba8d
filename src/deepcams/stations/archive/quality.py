"""Quality control of observations: named, optional steps in a fixed order, with counts of what each drops.

OpenAQ has no quality flag, so the data of networks are checked here. Limits are based on known errors of the archive
(sentinels, repeats, twins), the instruments' ranges, and Hassani et al. (2025) for outliers (10 scaled median absolute
deviations over 360 hours). :data:`STEPS` describes each step; ``docs/stations.md`` gives its origin.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, choose
from deepcams.core.observations import Observations
from deepcams.core.text import from_json
from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.archive.hourly import dense, hourly
from deepcams.stations.archive.layouts import unit_factor
from deepcams.stations.archive.metadata import EARTH_KM, on_sphere
from deepcams.stations.archive.quality_steps import (
    incomplete,
    lost_stations,
    outliers,
    repeated,
    runs,
)
from deepcams.stations.archive.sorted_copy import Rows

STEPS: dict[str, str] = {
    "place": "stations without coordinates, or whose coordinates lie more than 1 km apart",
    "mobile": "mobile stations, where the metadata says so",
    "reference": "stations that are no reference-grade monitors, where the metadata says so",
    "units": "mass concentrations become ug m-3; values in other units (ppm, ppb, ..) are dropped",
    "missing": "rows without a value",
    "sentinels": "-9999, -1111, -999, -99, 985, 999, 9999, 99999: instruments' and tables' marks for no value",
    "negatives": "values below 0",
    "range": "values above 1000 ug m-3",
    "duplicates": "rows that repeat station, time and value",
    "hourly": "several rows of a station within one hour become their mean (of at least 3/4 of the hour)",
    "twins": "a station listed again within 100 m with the same values",
    "constant": "runs of 6 or more equal values above 0",
    "outliers": "values more than 10 scaled median absolute deviations from the median of 15 days",
    "completeness": "stations' months with values in less than 3/4 of the hours between first and last report",
}
"""What each step drops, by name, in the order of the steps."""
ALWAYS = ("missing", "hourly")
"""Steps that cannot be left out: later ones need at most one value an hour."""

SENTINELS = (-9999.0, -1111.0, -999.0, -99.0, 985.0, 999.0, 9999.0, 99999.0)
TWIN_METRES = 100.0
TWIN_HOURS = 12
"""Smallest number of common hours, without constant runs, for two near stations to be compared."""
SPREAD_KM = 1.0


@dataclass(frozen=True)
class Quality:
    """Selection of steps, and their limits.

    Attributes:
        skip: names of the steps to leave out.
        highest: largest plausible value, ug m-3.
        run: smallest number of consecutive equal values that is a constant run.
        deviations: scaled median absolute deviations beyond which a value is an outlier.
        complete: required fraction of hours in a station's month.
    """

    skip: frozenset[str] = frozenset()
    highest: float = 1000.0
    run: int = 6
    deviations: float = 10.0
    complete: float = 0.75

    @classmethod
    def without(cls, names: Iterable[str]) -> Quality:
        """Return the quality control without some steps.

        Raises:
            InputError: a name is not a step, or the step cannot be left out.
        """
        chosen = frozenset(choose("quality step", name, STEPS) for name in names)
        for name in chosen & set(ALWAYS):
            raise InputError(
                "quality step",
                "one that can be left out",
                repr(name),
                "matching needs hourly values",
            )
        return cls(skip=chosen)


@dataclass(frozen=True)
class Count:
    """Additive counts of one step.

    Attributes:
        rows_in: number of rows before it.
        dropped: number of rows it dropped.
        stations: number of stations that lost all their rows.
        changed: number of rows whose value it changed.
    """

    rows_in: int = 0
    dropped: int = 0
    stations: int = 0
    changed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            *(a + b for a, b in zip(astuple(self), astuple(other), strict=True))
        )


@dataclass(frozen=True)
class Report:
    """Additive results of quality control, by step.

    Attributes:
        counts: counts by step, in order, without steps left out.
        twins: pairs of ids (dropped, kept).
    """

    counts: Mapping[str, Count] = field(default_factory=dict)
    twins: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Report) -> Report:
        names = {**self.counts, **other.counts}
        counts = {
            name: self.counts.get(name, Count()) + other.counts.get(name, Count())
            for name in names
        }
        return Report(counts, self.twins + other.twins)

    def as_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Create a report from the result of :meth:`as_json`."""
        about = from_json(text)
        counts = {name: Count(**each) for name, each in about["counts"].items()}
        return cls(counts, tuple((dropped, kept) for dropped, kept in about["twins"]))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per step: step, rows_in, dropped, rows_out, stations_lost, changed, what."""
        return [
            {
                "step": name,
                "rows_in": count.rows_in,
                "dropped": count.dropped,
                "rows_out": count.rows_in - count.dropped,
                "stations_lost": count.stations,
                "changed": count.changed,
                "what": STEPS.get(name, name),
            }
            for name, count in self.counts.items()
        ]


def near_pairs(stations: pd.DataFrame) -> np.ndarray:
    """Return the pairs of near stations that may be twins: (n, 2), the smaller number first."""
    from scipy.spatial import cKDTree

    points = on_sphere(
        *(stations[name].to_numpy(float) for name in ("latitude", "longitude"))
    )
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if known.size < 2:
        return np.zeros((0, 2), np.int64)
    pairs = cKDTree(points[known]).query_pairs(
        TWIN_METRES / 1000 / EARTH_KM, output_type="ndarray"
    )
    return np.asarray(np.sort(known[pairs], axis=1).reshape(-1, 2))


class Control:
    """Applies the steps to any part of the stations; the results of parts add up to those of the whole.

    Args:
        stations: all stations, as in :class:`StationArchive`.
        units: unit texts, indexed by ``Rows.unit``.
        quality: steps and limits.
        pairs: see :func:`near_pairs`; both stations of a pair must be in the same part.
        starts: whether timestamps are the start of the hour rather than its end.
    """

    def __init__(
        self,
        stations: pd.DataFrame,
        units: list[str],
        quality: Quality | None = None,
        pairs: np.ndarray | None = None,
        starts: bool = False,
    ) -> None:
        self.stations, self.quality = stations, quality or Quality()
        self.pairs = near_pairs(stations) if pairs is None else pairs
        self._shift = HOUR_SECONDS if starts else 0
        self._factors = np.array([unit_factor(text) for text in units] or [1.0])

    def check(self, rows: Rows) -> tuple[Observations, Report]:
        """Check the rows of some stations.

        Returns:
            the rows that pass, at most one per hour, and the counts.
        """
        rows = replace(rows, end=rows.end + self._shift)
        reported, _ = hourly(rows, merge=False)
        rules = self._rules(reported)
        counts: dict[str, Count] = {}
        twins: list[tuple[str, str]] = []
        for name in STEPS:
            if name in self.quality.skip:
                continue
            changed = 0
            if name == "hourly":
                merged, changed = hourly(rows)
                counts[name] = Count(rows.size, rows.size - merged.size, 0, changed)
                rows = merged
                continue
            if name == "units":
                factor = self._factors[rows.unit]
                bad = np.isnan(factor)
                factor[bad] = 1
                changed = int((factor != 1).sum())
                rows = replace(rows, value=rows.value * factor)
            elif name == "twins":
                dropped, twins = self._twins(rows)
                bad = np.isin(rows.station, dropped)
            else:
                bad = rules[name](rows)
            counts[name] = Count(
                bad.size, int(bad.sum()), lost_stations(rows, bad), changed
            )
            rows = rows.where(~bad)
        start = rows.end - HOUR_SECONDS
        observations = Observations(
            self.stations, rows.station, start, rows.end, rows.value
        )
        return observations, Report(counts, tuple(twins))

    def _rules(self, reported: Rows) -> dict[str, Callable[[Rows], np.ndarray]]:
        """Return, for each simple step, the function that masks bad rows."""
        quality, table = self.quality, self.stations
        unsaid = pd.Series(pd.NA, table.index, dtype="boolean")
        monitor, mobile = (
            table.get(name, unsaid).fillna(value=usual).to_numpy(bool)
            for name, usual in (("is_monitor", True), ("is_mobile", False))
        )
        apart = table.get("spread_km", pd.Series(0.0, table.index)) > SPREAD_KM
        placeless = (table["latitude"].isna() | apart).to_numpy(bool)
        return {
            "place": lambda rows: placeless[rows.station],
            "mobile": lambda rows: mobile[rows.station],
            "reference": lambda rows: ~monitor[rows.station],
            "missing": lambda rows: ~np.isfinite(rows.value),
            "sentinels": lambda rows: np.isin(rows.value, SENTINELS),
            "negatives": lambda rows: rows.value < 0,
            "range": lambda rows: rows.value > quality.highest,
            "duplicates": repeated,
            "constant": lambda rows: runs(rows, quality.run),
            "outliers": lambda rows: outliers(rows, quality.deviations),
            "completeness": lambda rows: incomplete(rows, reported, quality.complete),
        }

    def _twins(self, rows: Rows) -> tuple[list[int], list[tuple[str, str]]]:
        """Return the stations that repeat another, with both ids; of a pair, the one with fewer hours is dropped."""
        here = np.unique(rows.station)
        pairs = self.pairs[np.isin(self.pairs, here).all(axis=1)]
        if not pairs.size:
            return [], []
        part = rows.where(np.isin(rows.station, pairs))
        table, numbers, _ = dense(part)
        # Constant runs of a stalled feed are no evidence that two stations are the same monitor.
        moving, _, _ = dense(
            replace(
                part, value=np.where(runs(part, self.quality.run), np.nan, part.value)
            )
        )
        row = {int(number): k for k, number in enumerate(numbers)}
        drop: dict[int, int] = {}
        for one, other in pairs.tolist():
            if one in drop or other in drop:
                continue
            a, b = moving[row[one]], moving[row[other]]
            both = ~(np.isnan(a) | np.isnan(b))
            # Half a unit, because one provider may round.
            if (
                both.sum() >= TWIN_HOURS
                and (abs(a[both] - b[both]) <= 0.5).mean() >= 0.9
            ):
                hours = [
                    np.count_nonzero(~np.isnan(table[row[each]]))
                    for each in (one, other)
                ]
                fewer = one if hours[0] < hours[1] else other
                drop[fewer] = other if fewer == one else one
        ids = self.stations["id"].to_numpy()
        return list(drop), [
            (str(ids[gone]), str(ids[kept])) for gone, kept in drop.items()
        ]
