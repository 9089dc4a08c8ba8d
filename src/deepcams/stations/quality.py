"""Quality control of observations: named steps in a fixed order, each of which can be left out, all of them counted.

OpenAQ carries no quality flag, so what networks send is judged here. Limits follow what the archive is known to
hold (sentinels, repeats, twins), the instruments' ranges, and Hassani et al. (2025) for outliers (10 scaled median
absolute deviations over 360 hours). :data:`STEPS` says what each step does; ``docs/stations.md`` where it comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, choose
from deepcams.core.observations import Observations
from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.hourly import Hourly, dense, hourly, runs
from deepcams.stations.ingest import Rows
from deepcams.stations.layouts import unit_factor
from deepcams.stations.outliers import outliers

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
"""Name -> what is dropped, in the order in which the steps are taken."""
ALWAYS = ("missing", "hourly")
"""Steps that cannot be left out: later ones need at most one value an hour."""

SENTINELS = (-9999.0, -1111.0, -999.0, -99.0, 985.0, 999.0, 9999.0, 99999.0)
TWIN_METRES = 100.0
TWIN_HOURS = 12
"""Common hours, those of constant runs not counted, without which two near stations are not compared."""
SPREAD_KM = 1.0


@dataclass(frozen=True)
class Quality:
    """Which steps are taken, and their limits.

    Attributes:
        skip: names of the steps that are left out.
        highest: of a plausible value, ug m-3.
        run: equal values in a row that count as a constant run.
        deviations: scaled median absolute deviations beyond which a value is an outlier.
        complete: share of hours that a station's month must have.
    """

    skip: frozenset[str] = frozenset()
    highest: float = 1000.0
    run: int = 6
    deviations: float = 10.0
    complete: float = 0.75

    @classmethod
    def without(cls, names: Iterable[str]) -> Quality:
        """All steps but some.

        Raises:
            InputError: no step has this name, or it cannot be left out.
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
    """What one step did; adds.

    Attributes:
        rows_in: rows before it.
        dropped: rows that it took away.
        stations: stations that lost all of their rows by it.
        changed: rows whose value it changed.
    """

    rows_in: int = 0
    dropped: int = 0
    stations: int = 0
    changed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.rows_in + other.rows_in,
            self.dropped + other.dropped,
            self.stations + other.stations,
            self.changed + other.changed,
        )


@dataclass(frozen=True)
class Report:
    """What quality control did, step by step; adds.

    Attributes:
        counts: step -> its count, in order; steps left out are not among them.
        twins: pairs of ids (dropped, kept).
    """

    counts: Mapping[str, Count] = field(default_factory=dict)
    twins: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Report) -> Report:
        names = {**self.counts, **other.counts}
        counts = {
            name: self.counts.get(name, Count()) + other.counts.get(name, Count()) for name in names
        }
        return Report(counts, self.twins + other.twins)

    def as_json(self) -> str:
        """Everything, as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        """What :meth:`as_json` was made of."""
        about = json.loads(text)
        counts = {name: Count(**each) for name, each in about["counts"].items()}
        return cls(counts, tuple((dropped, kept) for dropped, kept in about["twins"]))

    def table(self) -> pd.DataFrame:
        """One row a step: step, rows_in, dropped, rows_out, stations_lost, changed, what."""
        return pd.DataFrame(
            [
                {
                    "step": name,
                    "rows_in": c.rows_in,
                    "dropped": c.dropped,
                    "rows_out": c.rows_in - c.dropped,
                    "stations_lost": c.stations,
                    "changed": c.changed,
                    "what": STEPS.get(name, name),
                }
                for name, c in self.counts.items()
            ]
        )


def near_pairs(stations: pd.DataFrame, metres: float = TWIN_METRES) -> np.ndarray:
    """Pairs of stations within some metres of each other: (n, 2), the smaller number first."""
    from scipy.spatial import cKDTree

    latitude, longitude = (
        np.deg2rad(stations[name].to_numpy(float)) for name in ("latitude", "longitude")
    )
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    if known.size < 2:
        return np.zeros((0, 2), np.int64)
    latitude, longitude = latitude[known], longitude[known]
    around = np.cos(latitude)
    points = np.stack(
        [around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)], axis=1
    )
    pairs = cKDTree(points).query_pairs(metres / 6_371_000.0, output_type="ndarray")
    return np.asarray(np.sort(known[pairs], axis=1).reshape(-1, 2))


class Control:
    """Takes the steps on any part of the stations; parts add to the same as the whole.

    Args:
        stations: all of them, as :class:`StationArchive` has them.
        units: the texts that ``Rows.unit`` numbers.
        quality: which steps.
        pairs: see :func:`near_pairs`; both of a pair must be in the same part.
        starts: whether stamps are the hour's beginning rather than its end.
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
        """Judge the rows of some stations.

        Returns:
            what is left, hourly, and the counts.
        """
        counts: dict[str, Count] = {}
        reported = hourly(rows.station, rows.end + self._shift, rows.value, merge=False)

        def step(name: str, bad: np.ndarray, changed: int = 0) -> np.ndarray:
            """Count what a step drops of the rows that are left."""
            counts[name] = Count(bad.size, int(bad.sum()), _lost(rows.station, bad), changed)
            return ~bad

        for name, bad_station in self._bad_stations().items():
            if self._takes(name):
                rows = rows.where(step(name, bad_station[rows.station]))
        factor = self._factors[rows.unit]
        if self._takes("units"):
            changed = np.where(np.isnan(factor), 1.0, factor) != 1
            rows = replace(rows, value=np.where(np.isnan(factor), rows.value, rows.value * factor))
            rows = rows.where(step("units", np.isnan(factor), int(changed.sum())))
        rows = rows.where(step("missing", ~np.isfinite(rows.value)))
        for name, bad_value in (
            ("sentinels", lambda v: np.isin(v, SENTINELS)),
            ("negatives", lambda v: v < 0),
            ("range", lambda v: v > self.quality.highest),
        ):
            if self._takes(name):
                rows = rows.where(step(name, bad_value(rows.value)))
        if self._takes("duplicates"):
            rows = rows.where(step("duplicates", _repeated(rows)))
        left = hourly(rows.station, rows.end + self._shift, rows.value)
        counts["hourly"] = Count(rows.size, rows.size - left.size, 0, left.merged)
        twins: list[tuple[str, str]] = []
        for name in ("twins", "constant", "outliers", "completeness"):
            if not self._takes(name):
                continue
            if name == "twins":
                drop, twins = self._twins(left)
                bad = np.isin(left.station, drop)
            elif name == "constant":
                bad = runs(left, self.quality.run)
            elif name == "outliers":
                bad = outliers(left, self.quality.deviations)
            else:
                bad = _incomplete(left, reported, self.quality.complete)
            counts[name] = Count(bad.size, int(bad.sum()), _lost(left.station, bad))
            left = left.where(~bad)
        observations = Observations(
            self.stations, left.station, left.end - HOUR_SECONDS, left.end, left.value
        )
        return observations, Report(counts, tuple(twins))

    def _takes(self, name: str) -> bool:
        return name not in self.quality.skip

    def _bad_stations(self) -> dict[str, np.ndarray]:
        table = self.stations
        none = np.zeros(len(table), bool)
        place = table["latitude"].isna().to_numpy()
        if "spread_km" in table:
            place = place | (table["spread_km"].to_numpy() > SPREAD_KM)
        mobile, reference = none, none
        if "is_mobile" in table:
            mobile = table["is_mobile"].fillna(value=False).to_numpy(bool)
        if "is_monitor" in table:
            reference = ~table["is_monitor"].fillna(value=True).to_numpy(bool)
        return {"place": place, "mobile": mobile, "reference": reference}

    def _twins(self, left: Hourly) -> tuple[list[int], list[tuple[str, str]]]:
        """Stations that repeat another, and both of their ids; of a pair, that with fewer hours goes."""
        here = np.unique(left.station)
        pairs = self.pairs[np.isin(self.pairs, here).all(axis=1)]
        if not pairs.size:
            return [], []
        part = left.where(np.isin(left.station, pairs))
        table, numbers, _ = dense(part)
        # What one provider repeats while its feed stands still does not tell whose monitor it is.
        moving, _, _ = dense(
            replace(part, value=np.where(runs(part, self.quality.run), np.nan, part.value))
        )
        row = {int(number): k for k, number in enumerate(numbers)}
        drop: dict[int, int] = {}
        for one, other in pairs.tolist():
            if one in drop or other in drop:
                continue
            a, b = moving[row[one]], moving[row[other]]
            both = ~(np.isnan(a) | np.isnan(b))
            # Half a unit: one of two providers may round.
            if both.sum() >= TWIN_HOURS and (abs(a[both] - b[both]) <= 0.5).mean() >= 0.9:
                hours = [np.count_nonzero(~np.isnan(table[row[each]])) for each in (one, other)]
                fewer = one if hours[0] < hours[1] else other
                drop[fewer] = other if fewer == one else one
        ids = self.stations["id"].to_numpy()
        return list(drop), [(str(ids[gone]), str(ids[kept])) for gone, kept in drop.items()]


def _lost(station: np.ndarray, bad: np.ndarray) -> int:
    """How many stations have no good row left."""
    if not bad.any():
        return 0
    size = int(station.max()) + 1
    every, gone = np.bincount(station, minlength=size), np.bincount(station[bad], minlength=size)
    return int(((every > 0) & (every == gone)).sum())


def _repeated(rows: Rows) -> np.ndarray:
    """Rows whose station, time and value stand in an earlier row."""
    same = np.zeros(rows.size, bool)
    again = (rows.station[1:] == rows.station[:-1]) & (rows.end[1:] == rows.end[:-1])
    if not again.any():
        return same
    several = np.flatnonzero(np.r_[again, False] | np.r_[False, again])
    order = several[np.lexsort((rows.value[several], rows.end[several], rows.station[several]))]
    a, b = order[1:], order[:-1]
    same[a] = (
        (rows.station[a] == rows.station[b])
        & (rows.end[a] == rows.end[b])
        & (rows.value[a] == rows.value[b])
    )
    return same


def _incomplete(left: Hourly, reported: Hourly, share: float) -> np.ndarray:
    """Values of stations' months that hold too few of the hours between the month's first and last report."""

    def months(hours: Hourly) -> np.ndarray:
        month = (
            ((hours.slot - 1) * HOUR_SECONDS)
            .astype("datetime64[s]")
            .astype("datetime64[M]")
            .astype(np.int64)
        )
        return np.asarray(hours.station.astype(np.int64) * 100_000 + month)

    key, begin = np.unique(months(reported), return_index=True)
    if not key.size:
        return np.zeros(left.size, bool)
    end = np.r_[begin[1:], reported.size] - 1
    hours = reported.slot[end] - reported.slot[begin] + 1
    mine = np.searchsorted(key, months(left))
    valid = np.bincount(mine, minlength=key.size)
    return np.asarray((valid < share * hours)[mine])
