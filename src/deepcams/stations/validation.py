"""Fields against stations, as Figs. 1 and 6 of Xiao et al. 2022: quality control, matching and sums, in one pass.

Stations come in batches of neighbours, so that memory does not grow with their number or with the years; a field is
read once, and only where stations are. Everything is kept as sums by station and month and by station and hour, from
which any table follows.
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
"""Rows of observations that are in memory at a time (more only where one crowd of neighbours has more)."""
MARGIN_DAYS = 31
"""Quality control sees so many days before and after the field."""


@dataclass(frozen=True)
class Options:
    """How fields are compared with stations.

    Attributes:
        space: ``cell`` (the cell's value) or ``bilinear``.
        quality: the quality control's steps and limits.
        starts: stamps are the beginning of the hour (OpenAQ's are its end).
        batch_rows: rows in memory at a time.
        period: only these times of the fields.
        average: pairs are of hours, or of daily or annual means.
        days: where days begin, see :func:`deepcams.stations.averages.offsets`.
        species: ``pm2p5``, .., whose limits daily means are held against.
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
        """Return all of it as text, the same in every process (the order of a set is not)."""
        quality = replace(self.quality, skip=frozenset())
        return f"{replace(self, quality=quality)} without {sorted(self.quality.skip)}"


@dataclass
class Validation:
    """The result of :func:`validate`.

    Attributes:
        stations: all of them, with ``inside`` (of the field's grid), ``cell``, ``country``, and what is around them
            (:func:`deepcams.stations.archive.metadata.note_surroundings`).
        months: the months that pairs may lie in, ``datetime64[M]``.
        scored: products and sets of pairs.
        quality: counts of quality control, then of matching.
        products: name -> its grid, times, rule in time and source.
        units: of the observations, as their files have them.
        options: how it was done.
        observed: (stations, 24, 2), number and sum of all observed values by local hour, field or not.
        observed_months: (stations, months), number of all observed values.
        batches: how many there were.
        nodes_read: values read of each product.
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
        """Return one product on one set of pairs; ``None`` where it was not scored."""
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
    """Compare a field, and the original that it was made from, with stations.

    Args:
        archive: see :func:`deepcams.open_openaq`.
        field: canonical, of any grid and cadence; ``None`` for quality control and the observed cycle alone.
        original: likewise, for instance the 3-hourly 0.75 degree analysis.
        options: default ones if ``None``.
        progress: called with the stage (``field``, ``original``, ``stations``), done and total.
        keep: folder for finished pieces, from which an interrupted run resumes to the bit; the caller makes sure that
            it belongs to these stations and fields, and removes it.
        workers: who reads and matches the stations, batch by batch; ``None``: this process.

    Raises:
        InputError: no time or no place in common, saying what both have; see also :func:`deepcams.as_field`.
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
    # Days that are not UTC's may lie in the month before or after.
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
    # Rows that will be read: a share of all, as the time asked for is of the archive's.
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
    """The control and matching of batches of stations, for workers.

    Args:
        archive: of all stations.
        control: of the quality of their observations.
        matcher: of observations and products.
        period: seconds since 1970 from which and until which observations are read.
        keep: folder for finished pieces; ``None``: none are kept.
        about: fingerprint of everything that decides a piece.
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
        """Return the sums of a batch, from the folder if they are there."""
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
        """Keep the sums of a batch, and return them."""
        path = self._path(item)
        if path is not None and _load(path) is None:
            _save(path, made)
        return made


def _save(path: Path | None, piece: Piece) -> None:
    """Keep a finished piece, in one file that is complete or absent."""
    if path is not None:
        with atomic_path(path, do=MAKE_ROOM) as temporary, temporary.open("wb") as file:
            np.savez(file, **piece)  # type: ignore[arg-type]  # no array is named "allow_pickle"


def _load(path: Path | None) -> Piece | None:
    """Read a finished piece, its arrays in their order; ``None`` where there is none, or a damaged one."""
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
    """Yield the numbers of the stations of each batch: stations of one cell, and near ones, are never parted.

    Args:
        rows: (stations,), how many rows each will have.
        cells: (stations,); -1 outside.
        pairs: (n, 2), near stations.
        most: rows in a batch, but for the last group of neighbours in it.
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
