"""Quality control of observations: named steps in a fixed order, each of which can be left out, all of them counted.

OpenAQ carries no quality flag, so what networks send is judged here. Limits follow what the archive is known to
hold (sentinels, repeats, twins), the instruments' ranges, and Hassani et al. (2025) for outliers (10 scaled median
absolute deviations over 360 hours). :data:`STEPS` says what each step does; ``docs/stations.md`` where it comes from.
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
from deepcams.core.times import HOUR_SECONDS
from deepcams.stations.ingest import Rows
from deepcams.stations.layouts import unit_factor

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
PART_SECONDS = 2700
"""A station whose stamps are usually nearer to each other than this reports parts of hours."""
GAP_HOURS = 3
"""A run of equal values continues over a gap of at most this length."""
WINDOW_DAYS = 15
MAD_SCALE = 1.4826
"""Makes the MAD of normally distributed values their standard deviation."""
SMALLEST_MAD = 1.0
"""ug m-3: smaller MADs are those of the instrument's own steps."""
FEWEST_IN_WINDOW = 48
_SORTED_TOGETHER = 8_000_000  # values


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
        return Count(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


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

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a step: step, rows_in, dropped, rows_out, stations_lost, changed, what."""
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
            the rows that pass, at most one an hour, and the counts.
        """
        rows = replace(rows, end=rows.end + self._shift)
        reported, _ = hourly(rows, merge=False)
        rules = self._rules(reported)
        bad_stations = self._bad_stations()
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
            elif name in bad_stations:
                bad = bad_stations[name][rows.station]
            else:
                bad = rules[name](rows)
            counts[name] = Count(bad.size, int(bad.sum()), _lost(rows.station, bad), changed)
            rows = rows.where(~bad)
        start = rows.end - HOUR_SECONDS
        observations = Observations(self.stations, rows.station, start, rows.end, rows.value)
        return observations, Report(counts, tuple(twins))

    def _rules(self, reported: Rows) -> dict[str, Callable[[Rows], np.ndarray]]:
        """Return for each plain step the function that says which rows are bad."""
        quality = self.quality
        return {
            "missing": lambda rows: ~np.isfinite(rows.value),
            "sentinels": lambda rows: np.isin(rows.value, SENTINELS),
            "negatives": lambda rows: rows.value < 0,
            "range": lambda rows: rows.value > quality.highest,
            "duplicates": _repeated,
            "constant": lambda rows: runs(rows, quality.run),
            "outliers": lambda rows: outliers(rows, quality.deviations),
            "completeness": lambda rows: _incomplete(rows, reported, quality.complete),
        }

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

    def _twins(self, rows: Rows) -> tuple[list[int], list[tuple[str, str]]]:
        """Stations that repeat another, and both of their ids; of a pair, that with fewer hours goes."""
        here = np.unique(rows.station)
        pairs = self.pairs[np.isin(self.pairs, here).all(axis=1)]
        if not pairs.size:
            return [], []
        part = rows.where(np.isin(rows.station, pairs))
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
    """Find rows whose station, time and value are those of an earlier row."""
    bad = np.zeros(rows.size, bool)
    again = (np.diff(rows.station) == 0) & (np.diff(rows.end) == 0)
    if not again.any():
        return bad
    several = np.flatnonzero(np.r_[again, False] | np.r_[False, again])
    columns = rows.value[several], rows.end[several], rows.station[several]
    order = np.lexsort(columns)
    same = np.logical_and.reduce([np.diff(column[order]) == 0 for column in columns])
    bad[several[order][1:][same]] = True
    return bad


def hourly(rows: Rows, merge: bool = True) -> tuple[Rows, int]:
    """Bring rows to at most one a station and hour.

    A single row in an hour keeps its own end (a stamp of 03:30 stands for 02:30 to 03:30). Several become their mean
    over the whole hour. Where a station usually reports parts of hours, an hour needs three quarters of them.

    Args:
        rows: sorted by station and end.
        merge: otherwise the first row of each hour stands for it, and nothing is left out.

    Returns:
        the rows, and how many hours had several.
    """
    station, slot = rows.station, rows.slot
    first = np.ones(rows.size, bool)
    first[1:] = (station[1:] != station[:-1]) | (slot[1:] != slot[:-1])
    begin = np.flatnonzero(first)
    result = rows.where(begin)
    if begin.size == rows.size or not merge:
        return result, 0
    number = np.diff(np.r_[begin, rows.size])
    step = _usual_steps(station, rows.end)[result.station]
    parts = step < PART_SECONDS
    several = number > 1
    mean = np.add.reduceat(rows.value, begin) / number
    result.value = np.where(several, mean, result.value)
    result.end = np.where(several | parts, slot[begin] * HOUR_SECONDS, result.end)
    enough = ~parts | (number * np.maximum(step, 1) >= 0.75 * HOUR_SECONDS)
    return result.where(enough), int(several.sum())


def _usual_steps(station: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Median distance of successive stamps of each station, seconds; an hour where there is none."""
    steps = np.full(int(station.max()) + 1, HOUR_SECONDS, np.int64)
    apart = np.diff(end)
    inside = (station[1:] == station[:-1]) & (apart > 0)
    owner, apart = station[1:][inside], apart[inside]
    order = np.lexsort((apart, owner))
    owner, begin, count = np.unique(owner[order], return_index=True, return_counts=True)
    steps[owner] = apart[order][begin + count // 2]
    return steps


def dense(rows: Rows) -> tuple[np.ndarray, np.ndarray, int]:
    """Put hourly rows into a table.

    Returns:
        (stations, hours), float32, NaN where there is none; the stations' numbers, increasing; and the first slot,
        which begins a UTC day (the table ends with one).
    """
    if not rows.size:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int64), 0
    slot = rows.slot
    numbers, row = np.unique(rows.station, return_inverse=True)
    first = (int(slot.min()) - 1) // 24 * 24 + 1
    days = (int(slot.max()) - first) // 24 + 1
    table = np.full((numbers.size, days * 24), np.nan, np.float32)
    table[row, slot - first] = rows.value
    return table, numbers, first


def runs(rows: Rows, length: int) -> np.ndarray:
    """Find hourly values in runs of at least ``length`` equal ones above 0, with no gap of more than 3 hours."""
    if not rows.size:
        return np.zeros(0, bool)
    changes = (np.diff(rows.station) != 0) | (np.diff(rows.value) != 0)
    begin = np.flatnonzero(np.r_[True, changes | (np.diff(rows.slot) > GAP_HOURS + 1)])
    number = np.diff(np.r_[begin, rows.size])
    return np.asarray(np.repeat(number >= length, number) & (rows.value > 0))


def outliers(rows: Rows, deviations: float) -> np.ndarray:
    """Find hourly values more than ``deviations`` scaled MADs from the median of their window.

    The window is the value's UTC day and the seven days before and after it: one window a station and day, so that a
    year of the world's stations takes minutes.

    Returns:
        (n,), boolean.
    """
    table, numbers, first = dense(rows)
    if not table.size:
        return np.zeros(rows.size, bool)
    days = table.shape[1] // 24
    margin = 24 * (WINDOW_DAYS // 2)
    padded = np.pad(table, ((0, 0), (margin, margin)), constant_values=np.nan)
    far = np.zeros(table.shape, bool)
    size = max(_SORTED_TOGETHER // (days * WINDOW_DAYS * 24), 1)
    for at in range(0, numbers.size, size):
        part = padded[at : at + size]
        windows = np.lib.stride_tricks.sliding_window_view(part, WINDOW_DAYS * 24, axis=1)[:, ::24]
        known = np.sort(windows, axis=2)  # missing ones last
        number = (~np.isnan(known)).sum(axis=2)
        middle = _median(known, number)
        known -= middle[..., None]
        np.abs(known, out=known)
        known.sort(axis=2)
        limit = deviations * MAD_SCALE * np.maximum(_median(known, number), SMALLEST_MAD)
        limit[number < FEWEST_IN_WINDOW] = np.inf
        values = table[at : at + size].reshape(-1, days, 24)
        with np.errstate(invalid="ignore"):
            beyond = abs(values - middle[..., None]) > limit[..., None]
        far[at : at + size] = beyond.reshape(-1, days * 24)
    return np.asarray(far[np.searchsorted(numbers, rows.station), rows.slot - first])


def _median(ordered: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Median of the first ``number`` along the last axis; NaN of none."""
    last = ordered.shape[-1] - 1
    middle = [np.clip(at, 0, last)[..., None] for at in ((number - 1) // 2, number // 2)]
    low, high = (np.take_along_axis(ordered, at, -1)[..., 0] for at in middle)
    return np.asarray((low + high) / 2)


def _incomplete(rows: Rows, reported: Rows, share: float) -> np.ndarray:
    """Find values of stations' months that hold too few of the hours between the month's first and last report."""

    def months(hours: Rows) -> np.ndarray:
        begin = ((hours.slot - 1) * HOUR_SECONDS).astype("datetime64[s]")
        month = begin.astype("datetime64[M]").astype(np.int64)
        return np.asarray(hours.station.astype(np.int64) * 100_000 + month)

    key, begin = np.unique(months(reported), return_index=True)
    if not key.size:
        return np.zeros(rows.size, bool)
    end = np.r_[begin[1:], reported.size] - 1
    hours = reported.slot[end] - reported.slot[begin] + 1
    own = np.searchsorted(key, months(rows))
    valid = np.bincount(own, minlength=key.size)
    return np.asarray((valid < share * hours)[own])
