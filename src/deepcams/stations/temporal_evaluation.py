"""Evaluation of temporal methods at stations: every third hour is kept, and methods predict the two in between.

A *window* is ten complete hours, t - 3 to t + 6: the frames t - 3, t, t + 3 and t + 6, and the hidden hours t + 1 and
t + 2. A window begins at every hour, so all three phases are scored. Changes of one instrument within three hours are
mostly noise; so a window's values are means over the stations of a region that have all ten hours. All methods get the
same windows.

Stations are processed in batches of neighbours, as in :mod:`deepcams.stations.validation`. Only the windows of
incomplete regions stay in memory between batches: 72 bytes per hour. Stations are numbered from north to south, so
these are the regions of about one band of latitude.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from deepcams.core.box import Box, eastward
from deepcams.core.errors import InputError, choose, notice
from deepcams.core.period import Period
from deepcams.core.species import PM25
from deepcams.core.sun import mean_solar_hours
from deepcams.core.text import counted
from deepcams.core.times import DAY_SECONDS, HOUR, HOUR_SECONDS, season_of
from deepcams.evaluation.sums import COLUMNS, sum_pairs
from deepcams.evaluation.tables import ALL
from deepcams.methods.base import TemporalDownscaler
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.at_points import AT_POINTS
from deepcams.stations.archive.quality import Control, Quality, Report, near_pairs
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.bootstrap_blocks import week_of
from deepcams.stations.hour_windows import (
    FRAMES,
    HIDDEN,
    LENGTH,
    STEP,
    Windows,
    find_windows,
)
from deepcams.stations.validation import BATCH_ROWS, MARGIN_DAYS, split_stations
from deepcams.workers import ThisProcess, Work, Workers

BASELINE = "linear"
WIDE = 15.0
"""Width in degrees of longitude (an hour of solar time) above which local time is not representative of a region."""

SEASONS = ("Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov")
GROUPS: dict[str, tuple[str, ...]] = {
    ALL: (ALL,),
    "season": SEASONS,
    "hour": tuple(f"{hour:02d}" for hour in range(24)),
    "phase": tuple(f"{hour:02d}" for hour in range(STEP)),
}
"""Group names by grouping of rows. Hours are in local mean solar time; a phase is the UTC hour at which the first frame
of the day ends."""


@dataclass(frozen=True)
class Options:
    """Options of the evaluation.

    Attributes:
        region: size of the boxes whose stations are averaged, degrees, aligned to multiples of it; 0: each station
            separately; ``None``: all stations are one region.
        at_least: smallest number of stations with a complete window.
        bbox: box of the stations to use, W S E N in degrees.
        period: period that contains all hours of the windows to use.
        quality: the quality control's steps and limits.
        starts: whether timestamps are the start of the hour (OpenAQ's are its end).
        batch_rows: rows of observations in memory at once.
    """

    region: float | None = None
    at_least: int = 20
    bbox: tuple[float, float, float, float] | None = None
    period: Period | None = None
    quality: Quality = field(default_factory=Quality)
    starts: bool = False
    batch_rows: int = BATCH_ROWS

    def __post_init__(self) -> None:
        if self.region is not None and not 0 <= self.region <= 180:
            raise InputError("--region-mean", "0 to 180 degrees, or all", self.region)
        if self.at_least < 1:
            raise InputError("--at-least", "1 station or more", self.at_least)

    @classmethod
    def of_texts(
        cls,
        region: str,
        at_least: int,
        bbox: tuple[float, float, float, float] | None,
        period: str | None,
        starts: bool,
    ) -> Options:
        """Create options from command-line texts.

        Args:
            region: a number of degrees, or ``all``.
            period: text for :meth:`deepcams.core.period.Period.parse`.

        Raises:
            InputError: a text is invalid.
        """
        chosen = None if period is None else Period.parse(period, "--period")
        if region.strip() == ALL:
            return cls(None, at_least, bbox, chosen, starts=starts)
        try:
            degrees = float(region)
        except ValueError:
            degrees = math.nan
        if math.isnan(degrees):
            raise InputError("--region-mean", "0 to 180 degrees, or all", repr(region))
        return cls(degrees, at_least, bbox, chosen, starts=starts)


class Finding(Work[np.ndarray, tuple[Windows, Report], tuple[Windows, Report]]):
    """Quality control and windows of batches of stations, for workers.

    Args:
        archive: archive of all stations.
        control: quality control.
        region: (stations,), region of each station.
        hours: first and last hour of windows, in hours since 1970 UTC.
    """

    def __init__(
        self,
        archive: StationArchive,
        control: Control,
        region: np.ndarray,
        hours: tuple[int, int],
    ) -> None:
        self.archive, self.control = archive, control
        self.region, self.hours = region, hours

    def compute(self, item: np.ndarray) -> tuple[Windows, Report]:
        """Return the windows of a batch, and what quality control dropped."""
        margin = MARGIN_DAYS * DAY_SECONDS
        first, last = (hour * HOUR_SECONDS for hour in self.hours)
        rows = self.archive.read(item, first - margin, last + margin)
        observed, report = self.control.check(rows)
        slot = -(-observed.end // HOUR_SECONDS)
        inside = (slot >= self.hours[0]) & (slot <= self.hours[1])
        found = find_windows(
            observed.station[inside],
            slot[inside],
            observed.value[inside],
            self.region,
        )
        return found, report


@dataclass
class Result:
    """Scores of methods at stations.

    Attributes:
        options: options of the evaluation.
        kinds: kind by method, in the requested order.
        sums: (methods, weeks, seasons, hours, phases, columns), see :data:`deepcams.evaluation.sums.COLUMNS`; methods
            are those of ``kinds``, then the baseline if it is not among them.
        regions: number of regions with a scored window; ``stations``: number of stations in them.
        windows: number of scored windows; ``few``: number of windows with too few stations.
        members: mean number of stations per window.
        quality: counts of quality control.
        truth: one phrase on stations and times.
    """

    options: Options
    kinds: dict[str, str]
    sums: np.ndarray
    stations: int = 0
    regions: int = 0
    windows: int = 0
    few: int = 0
    members: float = 0.0
    quality: Report = field(default_factory=Report)
    truth: str = ""

    def of(self, method: str, by: str) -> np.ndarray:
        """Return a method's sums, (weeks, groups, columns)."""
        names = list(self.kinds)
        at = names.index(method) if method in names else len(names)
        others = {1, 2, 3} - {list(GROUPS).index(by)}
        sums = self.sums[at].sum(axis=tuple(others))
        return np.asarray(sums[:, None] if by == ALL else sums)


class Scoring:
    """Accumulates sums over pairs of the truth and each method.

    Args:
        methods: methods to score.
        longitude, latitude: (regions,), degrees.
        hours: first and last hour of windows.
    """

    def __init__(
        self,
        methods: Sequence[TemporalDownscaler],
        latitude: np.ndarray,
        longitude: np.ndarray,
        hours: tuple[int, int],
    ) -> None:
        self.methods, self.latitude, self.longitude = methods, latitude, longitude
        self._first, last = week_of(np.array(hours) * HOUR_SECONDS).tolist()
        self._weeks = last - self._first + 1
        self._shape = self._weeks, *(len(GROUPS[by]) for by in list(GROUPS)[1:])
        self.sums = np.zeros((len(methods), *self._shape, len(COLUMNS)))
        self.windows = self.members = 0
        self.regions: set[int] = set()

    def add(self, found: Windows) -> None:
        """Score the methods on complete windows."""
        if not found.begin.size:
            return
        self.windows += found.begin.size
        self.members += int(found.stations.sum())
        self.regions |= set(np.unique(found.region).tolist())
        means = (found.sums / found.stations[:, None]).T
        # A window's first hour ends at 3600 x begin, its second frame is three hours later.
        middle = (found.begin + STEP) * HOUR_SECONDS - HOUR_SECONDS // 2
        latitude, longitude = (
            places[found.region] for places in (self.latitude, self.longitude)
        )
        earlier, before, after, later = means[: len(FRAMES)]
        around = Interval(
            before,
            after,
            earlier,
            later,
            latitude,
            longitude,
            middle.astype("datetime64[s]"),
            STEP * HOUR,
            variable=PM25.name,
        )
        fractions = [(hour - STEP) / STEP for hour in HIDDEN]
        moments = np.stack([middle + each * STEP * HOUR_SECONDS for each in fractions])
        times = moments.astype("datetime64[s]")
        months = times.astype("datetime64[M]")
        group = np.ravel_multi_index(
            (
                (week_of(moments) - self._first).astype(np.int64),
                season_of(months.astype(np.int64)),
                mean_solar_hours(times, longitude).astype(int),
                np.broadcast_to(found.begin % STEP, moments.shape),
            ),
            self._shape,
        ).ravel()
        truth = means[len(FRAMES) :].ravel()
        for method, each in enumerate(self.methods):
            made = each.between(around, fractions).ravel()
            sums = sum_pairs(group, truth, made, math.prod(self._shape))
            self.sums[method] += sums.reshape(self.sums.shape[1:])


def evaluate(
    archive: StationArchive,
    options: Options | None = None,
    methods: Sequence[str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
) -> Result:
    """Hide two of every three hours from methods at points, and score their predictions.

    Args:
        archive: see :func:`deepcams.open_openaq`.
        options: options; ``None``: defaults.
        methods: names in :data:`deepcams.methods.temporal.at_points.AT_POINTS`; ``None`` for all.
        progress: callback, called with the number of batches of stations done and in total.
        workers: workers that read and check the stations; ``None``: this process.

    Raises:
        InputError: a method is unknown; or there is no station, no time, no complete window, or too few stations.
    """
    options, progress = options or Options(), progress or (lambda done, total: None)
    chosen = _methods(methods)
    kinds = {each.name: str(each.kind) for each in chosen}
    if BASELINE not in kinds:
        chosen = [*chosen, AT_POINTS.get(BASELINE)()]
    hours = _hours(archive, options)
    places = _places(archive, options)
    batches = _batches(archive, options, places, hours)
    closes = np.full(places.latitude.size, -1)
    for k, batch in enumerate(batches):
        closes[places.region[batch]] = k
    control = Control(
        archive.stations, archive.units, options.quality, places.pairs, options.starts
    )
    work = Finding(archive, control, places.region, hours)
    scoring = Scoring(chosen, places.latitude, places.longitude, hours)
    waiting, report, few, most = _none(), Report(), 0, 0
    progress(0, len(batches))
    with closing((workers or ThisProcess()).map(work, batches)) as results:
        for k, (_, (found, checked)) in enumerate(results):
            waiting, report = waiting + found, report + checked
            complete = closes[waiting.region] <= k
            ready = waiting.where(complete)
            waiting = waiting.where(~complete)
            enough = ready.stations >= options.at_least
            few += int((~enough).sum())
            most = max(most, int(ready.stations.max(initial=0)))
            scoring.add(ready.where(enough))
            progress(k + 1, len(batches))
    if not most:
        raise InputError(
            "stations",
            f"{LENGTH} whole hours in a row at a station",
            "none after quality control",
            "check the files and --period",
        )
    if not scoring.windows:
        raise InputError(
            "--at-least",
            f"at most {most}, the most stations of a region that report over a window",
            options.at_least,
            "lower it, or take larger regions with --region-mean",
        )
    span = archive.span() if options.period is None else str(options.period)
    number = int(np.isin(places.region, list(scoring.regions)).sum())
    return Result(
        options=options,
        kinds=kinds,
        sums=scoring.sums,
        stations=number,
        regions=len(scoring.regions),
        windows=scoring.windows,
        few=few,
        members=scoring.members / scoring.windows,
        quality=report,
        truth=f"{counted(number, 'station')}, {span}",
    )


def _none() -> Windows:
    nothing = np.zeros(0, np.int64)
    return Windows(nothing, nothing, nothing, np.zeros((0, len(FRAMES + HIDDEN))))


def _methods(names: Sequence[str] | None) -> list[TemporalDownscaler]:
    known = AT_POINTS.names()
    wanted = (
        known if names is None else [name.strip() for name in names if name.strip()]
    )
    if not wanted:
        raise InputError(
            "--methods", "at least one", "none", f"name {', '.join(known)}"
        )
    where = "--methods with --truth stations"
    return [
        AT_POINTS.get(choose(where, name, known))() for name in dict.fromkeys(wanted)
    ]


@dataclass(frozen=True)
class _Places:
    """Positions of stations and regions.

    Attributes:
        region: (stations,), region of each station; -1 if left out.
        pairs: (n, 2), pairs of near stations.
        latitude, longitude: (regions,), mean position of each region's stations, degrees.
    """

    region: np.ndarray
    pairs: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray


def _places(archive: StationArchive, options: Options) -> _Places:
    stations = archive.stations
    latitude, longitude = (
        stations[name].to_numpy(float) for name in ("latitude", "longitude")
    )
    inside = np.isfinite(latitude) & np.isfinite(longitude)
    if not inside.any():
        raise InputError("stations", "coordinates", "none", "check the files")
    if options.bbox is not None:
        inside &= Box.checked(options.bbox, "--bbox").contains(latitude, longitude)
        if not inside.any():
            found = f"none of {counted(inside.size, 'station')}"
            raise InputError("--bbox", "stations in it", found, "choose another box")
    here = np.flatnonzero(inside)
    region = np.full(inside.size, -1)
    if options.region is None:
        region[here] = 0
    elif options.region == 0:
        region[here] = np.arange(here.size)
    else:
        box = [np.floor(each[here] / options.region) for each in (latitude, longitude)]
        region[here] = np.unique(np.stack(box), axis=1, return_inverse=True)[1].ravel()
    members = np.bincount(region[here])
    if members.max() < options.at_least:
        largest = f"at most {members.max()}, the stations of the largest region"
        do = "lower it, or take larger regions with --region-mean"
        raise InputError("--at-least", largest, options.at_least, do)
    north, east, width = _middles(region[here], latitude[here], longitude[here])
    wide = int((width[members >= options.at_least] > WIDE).sum())
    if wide:
        notice(
            f"{counted(wide, 'region')} wider than {WIDE:g} degrees: local solar time is that of the mean longitude; "
            f"--region-mean {WIDE:g} or less keeps it within an hour"
        )
    return _Places(region, near_pairs(stations), north, east)


def _middles(
    region: np.ndarray, latitude: np.ndarray, longitude: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean latitude, mean longitude and width of regions; longitudes are averaged as directions."""
    turn = np.deg2rad(longitude)
    table = pd.DataFrame(
        {"latitude": latitude, "sin": np.sin(turn), "cos": np.cos(turn)}
    )
    mean = table.groupby(region).mean()
    east = np.asarray(np.rad2deg(np.arctan2(mean["sin"], mean["cos"])))
    apart = pd.Series(eastward(longitude - east[region])).groupby(region)
    width = np.asarray(apart.max() - apart.min())
    return np.asarray(mean["latitude"]), east, width


def _hours(archive: StationArchive, options: Options) -> tuple[int, int]:
    """Return first and last hour of windows, in hours since 1970 UTC; an hour is in a period if its middle is."""
    shift = HOUR_SECONDS if options.starts else 0
    first, last = (
        -(-(each + shift) // HOUR_SECONDS) for each in (archive.first, archive.last)
    )
    if options.period is None:
        return first, last
    begin, end = (
        int(each.astype("datetime64[s]").astype(np.int64))
        for each in (options.period.start, options.period.end)
    )
    half = HOUR_SECONDS // 2
    inside = (
        max(first, -(-(begin + half) // HOUR_SECONDS)),
        min(last, (end + half - 1) // HOUR_SECONDS),
    )
    if inside[0] > inside[1]:
        raise InputError(
            "--period",
            f"times of the stations, {archive.span()}",
            options.period,
            "choose a period within them",
        )
    return inside


def _batches(
    archive: StationArchive, options: Options, places: _Places, hours: tuple[int, int]
) -> list[np.ndarray]:
    """Return the stations' numbers of each batch; near stations are always in the same batch."""
    length = (archive.last - archive.first) / HOUR_SECONDS + 1
    share = min(1.0, (hours[1] - hours[0] + 1 + 48 * MARGIN_DAYS) / length)
    inside = places.region >= 0
    rows = np.where(inside, archive.stations["rows"].to_numpy(float) * share, 0)
    alone = np.full(rows.size, -1)
    batches = split_stations(rows, alone, places.pairs, options.batch_rows)
    parts = [batch[inside[batch]] for batch in batches]
    return [part for part in parts if part.size]
