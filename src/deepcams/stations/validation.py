"""Comparison of fields with stations as in Figs. 1 and 6 of Xiao et al. 2022: quality control, matching and sums.

Stations are processed in one pass in batches of neighbours, so that memory does not grow with their number or with the
years; a field is read once, and only where stations are. Results are sums by station and month and by station and hour,
from which all tables are computed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.stages import staged
from deepcams.core.times import DAY_SECONDS, HOUR_SECONDS
from deepcams.files.atomic import atomic_path
from deepcams.files.records import fingerprint
from deepcams.stations.archive.metadata import (
    countries_of,
    globe_cells,
    note_surroundings,
)
from deepcams.stations.archive.quality import Control, Quality, Report, near_pairs
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.averages import Average, Days, offsets
from deepcams.stations.bootstrap_blocks import regions_of
from deepcams.stations.exceedances import daily_levels
from deepcams.stations.extract import MAKE_ROOM
from deepcams.stations.matching import SpaceRule
from deepcams.stations.products import read_product
from deepcams.stations.sums import Matcher, Piece, Scored, month_of
from deepcams.workers import ThisProcess, Work, Workers

BATCH_ROWS = 1_000_000
"""Default number of rows of observations in memory at once (more only if one group of neighbours has more)."""
MARGIN_DAYS = 31
"""Margin of observations before and after the field for quality control, days."""


@dataclass(frozen=True)
class Options:
    """Options of the comparison of fields with stations.

    Attributes:
        space: ``cell`` (the cell's value) or ``bilinear``.
        quality: the quality control's steps and limits.
        starts: whether timestamps are the start of the hour (OpenAQ's are its end).
        batch_rows: number of rows in memory at once.
        period: times of the fields to use.
        average: whether pairs are hourly values, or daily or annual means.
        days: definition of the day, see :func:`deepcams.stations.averages.offsets`.
        species: species (``pm2p5``, ..) whose limits daily means are compared with.
    """

    space: SpaceRule = "cell"
    quality: Quality = field(default_factory=Quality)
    starts: bool = False
    batch_rows: int = BATCH_ROWS
    period: Period | None = None
    average: Average = "hour"
    days: Days = "utc"
    species: str = "pm2p5"

    def words(self) -> str:
        """Return all options as text that is the same in every process (unlike the order of a set)."""
        quality = replace(self.quality, skip=frozenset())
        return f"{replace(self, quality=quality)} without {sorted(self.quality.skip)}"


@dataclass
class Validation:
    """The result of :func:`validate`.

    Attributes:
        stations: all stations, with ``inside`` (the field's grid), ``cell``, ``country``, and surroundings
            (:func:`deepcams.stations.archive.metadata.note_surroundings`).
        months: months that may contain pairs, ``datetime64[M]``.
        scored: sums by product and set of pairs.
        quality: counts of quality control, then of matching.
        products: grid, times, rule in time and source, by name.
        units: units of the observations in their files.
        options: options of the comparison.
        observed: (stations, 24, 2), number and sum of all observed values by local hour, with or without a field.
        observed_months: (stations, months), number of all observed values.
        batches: number of batches.
        nodes_read: number of values read of each product.
    """

    stations: pd.DataFrame
    months: np.ndarray
    scored: list[Scored]
    quality: Report
    products: dict[str, dict[str, str]]
    units: list[str]
    options: Options
    observed: np.ndarray
    observed_months: np.ndarray
    batches: int = 0
    nodes_read: dict[str, int] = field(default_factory=dict)

    def find(self, product: str, pairs: str) -> Scored | None:
        """Return one product on one set of pairs; ``None`` if it was not scored."""
        return next(
            (s for s in self.scored if s.product == product and s.pairs == pairs), None
        )


def validate(
    archive: StationArchive,
    field: xr.DataArray | None = None,
    original: xr.DataArray | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    keep: Path | None = None,
    workers: Workers | None = None,
) -> Validation:
    """Compare a field, and the original from which it was downscaled, with stations.

    Args:
        archive: see :func:`deepcams.open_openaq`.
        field: canonical field of any grid and time step; ``None`` for only quality control and the observed cycle.
        original: canonical field, for instance the 3-hourly 0.75 degree analysis.
        options: options; ``None``: defaults.
        progress: callback, called with the stage (``field``, ``original``, ``stations``), done and total.
        keep: folder for finished pieces, from which an interrupted run resumes with bit-identical results; the caller
            ensures that it belongs to these stations and fields, and removes it.
        workers: workers that read and match the stations, batch by batch; ``None``: this process.

    Raises:
        InputError: fields and stations have no time or place in common; see also :func:`deepcams.as_field`.
    """
    options, progress = options or Options(), progress or no_progress
    stations = archive.stations.copy()
    latitude, longitude = (
        stations[name].to_numpy(float) for name in ("latitude", "longitude")
    )
    shift = HOUR_SECONDS if options.starts else 0
    reach = archive.first + shift - HOUR_SECONDS, archive.last + shift
    products = [
        read_product(
            name, each, archive, reach, options.space, options.period, progress, keep
        )
        for name, each in (("field", field), ("original", original))
        if each is not None
    ]
    if len(products) == 2:
        a, b = products
        apart = max(a.times[0], b.times[0]) - min(a.times[-1], b.times[-1])
        if apart > 3 * HOUR_SECONDS:
            raise InputError("original", f"times of the field ({a.span})", b.span)
    begin, end = reach
    stations["inside"], cells = np.isfinite(latitude), globe_cells(latitude, longitude)
    if products:
        margin = MARGIN_DAYS * DAY_SECONDS
        begin = max(begin, min(int(product.times[0]) for product in products) - margin)
        end = min(end, max(int(product.times[-1]) for product in products) + margin)
        stations["inside"], cells = (
            products[0].placement.inside,
            products[0].placement.cell,
        )
    stations["cell"] = cells
    stations = note_surroundings(stations)
    nearest = pd.Series(countries_of(latitude, longitude))
    if "country" in stations:
        nearest = stations["country"].fillna(nearest)
    stations["country"] = nearest
    # Local days may be in the previous or next month in UTC.
    around = DAY_SECONDS if options.days != "utc" else 0
    first, last = month_of(np.array([begin - around, end + around]))
    months = np.arange(first, last + 1)
    matcher = Matcher(
        products,
        months,
        np.unique(cells, return_inverse=True)[1],
        longitude,
        options.average,
        offsets(stations, options.days),
        daily_levels(options.species),
        regions_of(latitude, longitude),
    )
    pairs = near_pairs(stations)
    control = Control(stations, archive.units, options.quality, pairs, options.starts)
    # Expected number of rows: in proportion to the requested part of the archive's time range.
    length = archive.last - archive.first + HOUR_SECONDS
    share = min(1.0, (end - begin + HOUR_SECONDS) / max(length, 1))
    rows = stations["rows"].to_numpy(float) * share
    batches = list(split_stations(rows, cells, pairs, options.batch_rows))
    times = [
        each
        for product in products
        for each in (product.name, product.rule, product.times)
    ]
    about = fingerprint(
        options.words(), begin, end, archive.units, stations.to_csv(), *times
    )
    work = Matching(
        archive, control, matcher, (begin - shift, end - shift), keep, about
    )
    report = Report()
    with closing((workers or ThisProcess()).map(work, batches)) as done:
        for k, (batch, piece) in enumerate(done, 1):
            matcher.add(batch, piece)
            report += Report.from_json(str(piece["report"]))
            progress("stations", k, len(batches))
    return Validation(
        stations=stations,
        months=months.astype("datetime64[M]"),
        scored=matcher.scored,
        quality=report,
        products={product.name: product.describe() for product in products},
        units=archive.units,
        options=options,
        observed=matcher.observed,
        observed_months=matcher.observed_months,
        batches=len(batches),
        nodes_read={product.name: product.series.nodes_read for product in products},
    )


class Matching(Work[np.ndarray, Piece, Piece]):
    """Quality control and matching of batches of stations, for workers.

    Args:
        archive: archive of all stations.
        control: quality control.
        matcher: matcher of observations and products.
        period: start and end of the observations to read, seconds since 1970.
        keep: folder for finished pieces; ``None``: pieces are not kept.
        about: fingerprint of everything that affects a piece.
    """

    def __init__(
        self,
        archive: StationArchive,
        control: Control,
        matcher: Matcher,
        period: tuple[int, int],
        keep: Path | None,
        about: str,
    ) -> None:
        self.archive, self.control, self.matcher = archive, control, matcher
        self.period, self.keep, self.about = period, keep, about

    @staged("match")
    def compute(self, item: np.ndarray) -> Piece:
        """Return the sums of a batch, from the folder if they exist there."""
        saved = _load(self._path(item))
        if saved is not None:
            return saved
        rows = self.archive.read(item, *self.period)
        observations, checked = self.control.check(rows)
        piece, matched = self.matcher.match(item, observations)
        piece["report"] = np.array((checked + matched).as_json())
        return piece

    def _path(self, item: np.ndarray) -> Path | None:
        name = f"batch-{fingerprint(self.about, item)}.npz"
        return None if self.keep is None else self.keep / name

    def write(self, item: np.ndarray, made: Piece) -> Piece:
        """Save the sums of a batch, and return them."""
        path = self._path(item)
        if path is not None and _load(path) is None:
            _save(path, made)
        return made


def _save(path: Path | None, piece: Piece) -> None:
    """Save a finished piece atomically."""
    if path is not None:
        with atomic_path(path, do=MAKE_ROOM) as temporary, temporary.open("wb") as file:
            np.savez(file, **piece)  # type: ignore[arg-type]  # no array is named "allow_pickle"


def _load(path: Path | None) -> Piece | None:
    """Load a finished piece, with its arrays in order; ``None`` if it does not exist or is damaged."""
    if path is None:
        return None
    try:
        with np.load(path) as saved:
            return {name: saved[name] for name in saved.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def split_stations(
    rows: np.ndarray, cells: np.ndarray, pairs: np.ndarray, most: int
) -> Iterator[np.ndarray]:
    """Yield the stations' numbers of each batch; stations of one cell, and near ones, are in the same batch.

    Args:
        rows: (stations,), expected number of rows of each station.
        cells: (stations,), cell of each station; -1 outside.
        pairs: (n, 2), pairs of near stations.
        most: number of rows per batch, which only its last group of neighbours may exceed.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    own = np.arange(cells.size)
    _, first, which = np.unique(cells, return_index=True, return_inverse=True)
    anchor = np.where(cells >= 0, first[which], own)
    a, b = np.r_[own, pairs[:, 0]], np.r_[anchor, pairs[:, 1]]
    links = coo_array((np.ones(a.size), (a, b)), (cells.size, cells.size))
    _, component = connected_components(links, directed=False)
    _, begin, group = np.unique(component, return_index=True, return_inverse=True)
    order = np.argsort(begin)
    size = np.bincount(group, rows)[order]
    number = np.empty(order.size, np.int64)
    number[order] = np.floor((np.cumsum(size) - size) / most)
    batch = number[group]
    for each in np.unique(batch):
        yield np.flatnonzero(batch == each)
