"""Fields against stations, as Figs. 1 and 6 of Xiao et al. 2022: quality control, matching and sums, in one pass.

Stations come in batches of neighbours, so that memory does not grow with their number or with the years; a field is
read once, and only where stations are. Everything is kept as sums by station and month and by station and hour, from
which any table follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.core.times import HOUR_SECONDS, stamp_seconds
from deepcams.stations.checkpoints import fingerprint, load_piece, save_piece
from deepcams.stations.countries import countries_of
from deepcams.stations.extract import extract
from deepcams.stations.land_cover import globe_cells, note_surroundings
from deepcams.stations.matching import (
    SpaceRule,
    cadence,
    check_field,
    field_seconds,
    place_stations,
    rule_of,
)
from deepcams.stations.openaq import StationArchive
from deepcams.stations.quality import Control, Quality, Report, near_pairs
from deepcams.stations.sums import Matcher, Product, Scored, month_of

BATCH_ROWS = 1_000_000
"""Rows of observations that are in memory at a time (more only where one crowd of neighbours has more)."""
MARGIN_DAYS = 31
"""Quality control sees so many days before and after the field."""
Progress = Callable[[str, int, int], None]
"""Called with the step (``field``, ``original``, ``stations``), how much is done and how much there is."""


@dataclass(frozen=True)
class Options:
    """How fields are compared with stations.

    Attributes:
        space: ``cell`` (the cell's value) or ``bilinear``.
        quality: the quality control's steps and limits.
        starts: stamps are the beginning of the hour (OpenAQ's are its end).
        batch_rows: rows in memory at a time.
        period: only these times of the fields.
    """

    space: SpaceRule = "cell"
    quality: Quality = field(default_factory=Quality)
    starts: bool = False
    batch_rows: int = BATCH_ROWS
    period: Period | None = None

    def words(self) -> str:
        """All of it as text, the same in every process (the order in which sets are told differs)."""
        quality = replace(self.quality, skip=frozenset())
        return f"{replace(self, quality=quality)} without {sorted(self.quality.skip)}"


@dataclass
class Validation:
    """What :func:`validate` found.

    Attributes:
        stations: all of them, with ``inside`` (of the field's grid), ``cell``, ``country``, and what is around them
            (:func:`deepcams.stations.land_cover.note_surroundings`).
        months: the months that pairs may lie in, ``datetime64[M]``.
        scored: products and sets of pairs.
        quality: counts of quality control, then of matching.
        products: name -> what it is: grid, times, rule in time.
        units: of the observations, as their files have them.
        options: how it was done.
        observed: (stations, 24, 3) numbers, sums and squares of all observed values by local hour, field or not.
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
        """One product on one set of pairs."""
        return next((s for s in self.scored if s.product == product and s.pairs == pairs), None)


def validate(
    archive: StationArchive,
    field: xr.DataArray | None = None,
    original: xr.DataArray | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
    keep: Path | None = None,
) -> Validation:
    """Compare a field, and the original that it was made from, with stations.

    Args:
        archive: see :func:`deepcams.open_openaq`.
        field: canonical, of any grid and cadence; ``None`` for quality control and the observed cycle alone.
        original: likewise, for instance the 3-hourly 0.75 degree analysis.
        options: default ones if ``None``.
        progress: see :data:`Progress`.
        keep: folder for finished pieces (:mod:`deepcams.stations.checkpoints`), from which an interrupted run resumes
            to the bit; the caller makes sure that it belongs to these stations and fields, and removes it.

    Raises:
        InputError: no time or no place in common, saying what both have; see also :func:`deepcams.as_field`.
    """
    options, told = options or Options(), progress or (lambda step, done, total: None)
    stations = archive.stations.copy()
    latitude, longitude = (stations[name].to_numpy(float) for name in ("latitude", "longitude"))
    products = []
    shift = HOUR_SECONDS if options.starts else 0
    for name, each in (("field", field), ("original", original)):
        if each is not None:
            products.append(
                _prepare(name, each, archive, shift, latitude, longitude, options, told, keep)
            )
    if products and original is not None:
        _check_common(products, archive)
    if products:
        first = min(int(p.times[0]) for p in products) - MARGIN_DAYS * 24 * HOUR_SECONDS
        last = max(int(p.times[-1]) for p in products) + MARGIN_DAYS * 24 * HOUR_SECONDS
    else:
        first, last = archive.first - HOUR_SECONDS, archive.last + HOUR_SECONDS
    stations["inside"] = products[0].placement.inside if products else np.isfinite(latitude)
    cells = products[0].placement.cell if products else globe_cells(latitude, longitude)
    stations["cell"] = cells
    stations = note_surroundings(stations)
    guessed = countries_of(latitude, longitude)
    stations["country"] = (
        stations["country"].fillna(pd.Series(guessed)) if "country" in stations else guessed
    )
    begin = max(first, archive.first + shift - HOUR_SECONDS)
    end = min(last, archive.last + shift)
    months = np.arange(month_of(np.array([begin]))[0], month_of(np.array([end]))[0] + 1)
    unique, cell_number = np.unique(cells, return_inverse=True)
    worker = Matcher(products, len(stations), months, cell_number, unique.size, longitude)
    pairs = near_pairs(stations)
    control = Control(stations, archive.units, options.quality, pairs, options.starts)
    report = Report()
    batches = list(_batches(stations, cells, pairs, options.batch_rows, (begin, end, archive)))
    times = [each for p in products for each in (p.name, p.rule, p.times)]
    about = fingerprint(options.words(), begin, end, archive.units, stations.to_csv(), *times)
    for k, batch in enumerate(batches):
        name = f"batch-{fingerprint(about, batch)}"
        piece = None if keep is None else load_piece(keep, name)
        if piece is None:
            observations, counted = control.check(archive.read(batch, begin - shift, end - shift))
            added = counted + worker.take(observations)
            if keep is not None:
                save_piece(
                    keep, name, worker.piece(batch) | {"all.report": np.array(added.as_json())}
                )
        else:
            added = Report.from_json(str(piece["all.report"]))
            worker.restore(batch, piece)
        report += added
        told("stations", k + 1, len(batches))
    return Validation(
        stations,
        months.astype("datetime64[M]"),
        worker.scored,
        report,
        {p.name: _describe(p) for p in products},
        archive.units,
        options,
        worker.observed,
        worker.observed_months,
        len(batches),
        {p.name: p.series.nodes_read for p in products},
    )


def _prepare(
    name: str,
    each: xr.DataArray,
    archive: StationArchive,
    shift: int,
    latitude: np.ndarray,
    longitude: np.ndarray,
    options: Options,
    told: Progress,
    keep: Path | None,
) -> Product:
    """Find a field's times that the stations share, and read it there and where they stand."""
    grid = check_field(each, name)
    every = field_seconds(each)
    whole = f"{stamp_seconds(every[0])} to {stamp_seconds(every[-1])} UTC"
    # One time more on each side, for rules that go between times.
    low = max(int(np.searchsorted(every, archive.first + shift - HOUR_SECONDS, "right")) - 1, 0)
    high = min(int(np.searchsorted(every, archive.last + shift, "left")) + 1, every.size)
    if options.period is not None:
        inside = np.flatnonzero(options.period.contains(each.time.values))
        if not inside.size:
            raise InputError(
                "--period", f"a time of the {name} ({whole})", f"none in {options.period}"
            )
        low, high = max(low, int(inside[0])), min(high, int(inside[-1]) + 1)
    times = every[low:high]
    rule = rule_of(each)
    step = cadence(each) if rule == "overlap" else 0
    reach = np.array([archive.first + shift - HOUR_SECONDS, archive.last + shift])
    if not times.size or times[-1] + step // 2 < reach[0] or times[0] - step // 2 > reach[1]:
        raise InputError(
            name,
            f"times of the stations ({archive.span()})",
            whole,
            "give stations of the field's time",
        )
    placement = place_stations(grid, latitude, longitude, options.space)
    if not placement.inside.any():
        found = (
            "none: their coordinates are missing, or none on Earth"
            if not np.isfinite(latitude).any()
            else f"none: they lie at {np.nanmin(latitude):.2f}..{np.nanmax(latitude):.2f} N, "
            f"{np.nanmin(longitude):.2f}..{np.nanmax(longitude):.2f} E"
        )
        raise InputError("stations", f"some in the region of the {name} ({grid.describe()})", found)
    total = times.size
    series = extract(each, placement, name, lambda done: told(name, done, total), (low, high), keep)
    return Product(name, each, rule, placement, times, series)


def _check_common(products: list[Product], archive: StationArchive) -> None:
    a, b = products
    if a.times[-1] < b.times[0] - 3 * HOUR_SECONDS or b.times[-1] < a.times[0] - 3 * HOUR_SECONDS:
        found = f"{stamp_seconds(b.times[0])} to {stamp_seconds(b.times[-1])} UTC"
        raise InputError(
            "original",
            f"times of the field ({stamp_seconds(a.times[0])} to {stamp_seconds(a.times[-1])} UTC)",
            found,
        )


def _describe(product: Product) -> dict[str, str]:
    from deepcams.core.field import grid_of

    return {
        "grid": grid_of(product.field).describe(),
        "times": f"{product.times.size}, {stamp_seconds(product.times[0])} to {stamp_seconds(product.times[-1])} UTC",
        "rule": product.rule,
        "source": str(product.field.attrs.get("source", "")),
    }


def _batches(
    stations: pd.DataFrame,
    cells: np.ndarray,
    pairs: np.ndarray,
    most: int,
    reach: tuple[int, int, StationArchive],
) -> Iterator[np.ndarray]:
    """Numbers of stations, a batch at a time: stations of one cell and near ones are never parted."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(stations)
    first = {int(cell): k for k, cell in reversed(list(enumerate(cells.tolist()))) if cell >= 0}
    anchor = np.array([first.get(int(cell), k) for k, cell in enumerate(cells.tolist())], np.int64)
    a, b = np.r_[np.arange(count), pairs[:, 0]], np.r_[anchor, pairs[:, 1]]
    _, label = connected_components(
        coo_array((np.ones(a.size), (a, b)), (count, count)), directed=False
    )
    _, begin, group = np.unique(label, return_index=True, return_inverse=True)
    # Rows that will be read: a share of all, as the time asked for is of the archive's.
    start, end, archive = reach
    share = min(
        1.0, (end - start + HOUR_SECONDS) / max(archive.last - archive.first + HOUR_SECONDS, 1)
    )
    rows = np.bincount(group, stations["rows"].to_numpy(float) * share)
    order = np.argsort(begin)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    number = np.floor((np.cumsum(rows[order]) - rows[order]) / most).astype(np.int64)
    batch = number[rank[group]]
    for each in np.unique(batch):
        yield np.flatnonzero(batch == each)
