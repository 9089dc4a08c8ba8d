"""Fields against stations, as Figs. 1 and 6 of Xiao et al. 2022: quality control, matching and sums, in one pass.

:func:`validate` compares what was opened already; :func:`validate_files` opens files, compares, and writes tables and
figures (``deepcams validate``).

Stations come in batches of neighbours, so that memory does not grow with their number or with the years; a field is
read once, and only where stations are. Everything is kept as sums by station and month and by station and hour, from
which any table follows.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.field import grid_of
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import label
from deepcams.core.times import HOUR_SECONDS, stamp_seconds
from deepcams.evaluation.tables import Row, check_writable, save
from deepcams.files.atomic import atomic_path
from deepcams.files.cache import cache_dir, folder_to_build, forget_old, identity, writable
from deepcams.files.records import fingerprint
from deepcams.stations import station_tables as tables
from deepcams.stations.extract import MAKE_ROOM, extract
from deepcams.stations.matching import (
    SpaceRule,
    cadence,
    check_field,
    field_seconds,
    place_stations,
    rule_of,
)
from deepcams.stations.metadata import countries_of, globe_cells, note_surroundings
from deepcams.stations.openaq import open_openaq
from deepcams.stations.quality import Control, Quality, Report, near_pairs
from deepcams.stations.sorted_copy import StationArchive
from deepcams.stations.station_files import is_table
from deepcams.stations.sums import Matcher, Piece, Product, Scored, month_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 2
"""Counts up when the layout of saved pieces changes."""
KEEP_DAYS = 7
"""Pieces of interrupted validations are removed when another validation begins so many days later."""
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
    """

    space: SpaceRule = "cell"
    quality: Quality = field(default_factory=Quality)
    starts: bool = False
    batch_rows: int = BATCH_ROWS
    period: Period | None = None

    def words(self) -> str:
        """Return all of it as text, the same in every process (the order of a set is not)."""
        quality = replace(self.quality, skip=frozenset())
        return f"{replace(self, quality=quality)} without {sorted(self.quality.skip)}"


@dataclass
class Validation:
    """The result of :func:`validate`.

    Attributes:
        stations: all of them, with ``inside`` (of the field's grid), ``cell``, ``country``, and what is around them
            (:func:`deepcams.stations.metadata.note_surroundings`).
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
        progress: called with the stage (``field``, ``original``, ``stations``), done and total.
        keep: folder for finished pieces, from which an interrupted run resumes to the bit; the caller makes sure that
            it belongs to these stations and fields, and removes it.

    Raises:
        InputError: no time or no place in common, saying what both have; see also :func:`deepcams.as_field`.
    """
    options, progress = options or Options(), progress or no_progress
    stations = archive.stations.copy()
    latitude, longitude = (stations[name].to_numpy(float) for name in ("latitude", "longitude"))
    shift = HOUR_SECONDS if options.starts else 0
    reach = archive.first + shift - HOUR_SECONDS, archive.last + shift
    products = [
        _prepare(name, each, archive, reach, options, progress, keep)
        for name, each in (("field", field), ("original", original))
        if each is not None
    ]
    if products and original is not None:
        _check_common(products)
    begin, end = reach
    stations["inside"], cells = np.isfinite(latitude), globe_cells(latitude, longitude)
    if products:
        margin = MARGIN_DAYS * 24 * HOUR_SECONDS
        begin = max(begin, min(int(product.times[0]) for product in products) - margin)
        end = min(end, max(int(product.times[-1]) for product in products) + margin)
        stations["inside"], cells = products[0].placement.inside, products[0].placement.cell
    stations["cell"] = cells
    stations = note_surroundings(stations)
    nearest = pd.Series(countries_of(latitude, longitude))
    if "country" in stations:
        nearest = stations["country"].fillna(nearest)
    stations["country"] = nearest
    months = np.arange(month_of(np.array([begin]))[0], month_of(np.array([end]))[0] + 1)
    matcher = Matcher(products, months, np.unique(cells, return_inverse=True)[1], longitude)
    pairs = near_pairs(stations)
    control = Control(stations, archive.units, options.quality, pairs, options.starts)
    # Rows that will be read: a share of all, as the time asked for is of the archive's.
    length = archive.last - archive.first + HOUR_SECONDS
    share = min(1.0, (end - begin + HOUR_SECONDS) / max(length, 1))
    rows = stations["rows"].to_numpy(float) * share
    batches = list(_batches(rows, cells, pairs, options.batch_rows))
    times = [each for product in products for each in (product.name, product.rule, product.times)]
    about = fingerprint(options.words(), begin, end, archive.units, stations.to_csv(), *times)
    report = Report()
    for k, batch in enumerate(batches):
        path = None if keep is None else keep / f"batch-{fingerprint(about, batch)}.npz"
        piece = _load(path)
        if piece is None:
            observations, checked = control.check(archive.read(batch, begin - shift, end - shift))
            piece, matched = matcher.match(batch, observations)
            piece["report"] = np.array((checked + matched).as_json())
            _save(path, piece)
        matcher.add(batch, piece)
        report += Report.from_json(str(piece["report"]))
        progress("stations", k + 1, len(batches))
    return Validation(
        stations=stations,
        months=months.astype("datetime64[M]"),
        scored=matcher.scored,
        quality=report,
        products={product.name: _describe(product) for product in products},
        units=archive.units,
        options=options,
        observed=matcher.observed,
        observed_months=matcher.observed_months,
        batches=len(batches),
        nodes_read={product.name: product.series.nodes_read for product in products},
    )


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


def _prepare(
    name: str,
    field: xr.DataArray,
    archive: StationArchive,
    reach: tuple[int, int],
    options: Options,
    progress: Progress,
    keep: Path | None,
) -> Product:
    """Find a field's times that the stations share, and read it then at the stations."""
    grid = check_field(field, name)
    every = field_seconds(field)
    whole = f"{stamp_seconds(every[0])} to {stamp_seconds(every[-1])} UTC"
    # One time more on each side, for rules that go between times.
    low = max(int(np.searchsorted(every, reach[0], "right")) - 1, 0)
    high = min(int(np.searchsorted(every, reach[1], "left")) + 1, every.size)
    if options.period is not None:
        inside = np.flatnonzero(options.period.contains(field.time.values))
        if not inside.size:
            expected = f"a time of the {name} ({whole})"
            raise InputError("--period", expected, f"none in {options.period}")
        low, high = max(low, int(inside[0])), min(high, int(inside[-1]) + 1)
    times = every[low:high]
    rule = rule_of(field)
    half = cadence(field) // 2 if rule == "overlap" else 0
    if not times.size or times[-1] + half < reach[0] or times[0] - half > reach[1]:
        expected = f"times of the stations ({archive.span()})"
        raise InputError(name, expected, whole, "give stations of the field's time")
    latitude, longitude = (
        archive.stations[axis].to_numpy(float) for axis in ("latitude", "longitude")
    )
    placement = place_stations(grid, latitude, longitude, options.space)
    if not placement.inside.any():
        found = "none: their coordinates are missing, or none on Earth"
        if np.isfinite(latitude).any():
            found = (
                f"none: they lie at {np.nanmin(latitude):.2f}..{np.nanmax(latitude):.2f} N, "
                f"{np.nanmin(longitude):.2f}..{np.nanmax(longitude):.2f} E"
            )
        raise InputError("stations", f"some in the region of the {name} ({grid.describe()})", found)
    series = extract(
        field,
        placement,
        name,
        lambda done: progress(name, done, times.size),
        (low, high),
        keep,
    )
    return Product(name, field, rule, placement, times, series)


def _check_common(products: list[Product]) -> None:
    a, b = products
    apart = max(a.times[0], b.times[0]) - min(a.times[-1], b.times[-1])
    if apart > 3 * HOUR_SECONDS:
        raise InputError("original", f"times of the field ({_span(a)})", _span(b))


def _span(product: Product) -> str:
    return f"{stamp_seconds(product.times[0])} to {stamp_seconds(product.times[-1])} UTC"


def _describe(product: Product) -> dict[str, str]:
    return {
        "grid": grid_of(product.field).describe(),
        "times": f"{product.times.size}, {_span(product)}",
        "rule": product.rule,
        "source": str(product.field.attrs.get("source", "")),
    }


def _batches(
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


@dataclass(frozen=True)
class Request:
    """A validation of files, and what to write.

    Attributes:
        stations: files, folders or globs of observations; tables among ``field`` count as such too.
        field, original: likewise of fields; both may be empty.
        by: see :func:`deepcams.stations.station_tables.rows`; a text may hold several with commas.
        json, plot, out: what to write: all rows, the scatter, a folder with everything.
        space, starts: see :class:`Options`.
        without: quality steps to leave out.
        metadata: see :func:`deepcams.stations.metadata.add_metadata`.
        period: of the field, as text.
        parameter, variable: the species, in the stations' files and in the fields.
        assume_utc: take stamps without an offset for UTC.
        draws: bootstrap resamples.
    """

    stations: tuple[str | Path, ...]
    field: tuple[str | Path, ...] = ()
    original: tuple[str | Path, ...] = ()
    by: tuple[str, ...] = ("year",)
    json: Path | None = None
    plot: Path | None = None
    out: Path | None = None
    space: SpaceRule = "cell"
    starts: bool = False
    without: tuple[str, ...] = ()
    metadata: tuple[str | Path, ...] = ()
    period: str | None = None
    parameter: str = "pm25"
    variable: str | None = None
    assume_utc: bool = False
    draws: int = 1000


@dataclass
class Done:
    """The result of :func:`validate_files`: the validation, its rows, and the files written."""

    found: Validation
    rows: list[Row]
    written: list[Path] = field(default_factory=list)


def validate_files(request: Request, progress: Progress | None = None) -> Done:
    """Open fields and stations, compare them, and write tables and figures; an interrupted call is resumed.

    Raises:
        InputError: see :func:`deepcams.open_openaq`, :func:`deepcams.open_field` and :func:`validate`.
        OutputError: something cannot be written; found out before the work where possible.
    """
    progress = progress or no_progress
    by = tables.parse_by(request.by)
    request = _sort_paths(replace(request, by=by))
    quality = Quality.without(request.without)
    period = None if request.period is None else Period.parse(request.period, "--period")
    options = Options(request.space, quality, request.starts, period=period)
    _check_request(request)
    field, original = (_open(paths, request) for paths in (request.field, request.original))
    archive = open_openaq(
        request.stations,
        parameter=request.parameter,
        assume_utc=request.assume_utc,
        metadata=request.metadata or None,
        progress=lambda rows: progress("reading stations", rows, 0),
    )
    stages = {
        "field": "reading the field",
        "original": "reading the original",
        "stations": "matching",
    }

    def renamed(stage: str, done: int, total: int) -> None:
        progress(stages[stage], done, total)

    with _kept(archive, field, original, options) as keep:
        found = validate(archive, field, original, options, renamed, keep)
        tables.check_pairs(found)
        _note_alone(found)
        done = Done(found, tables.rows(found, by, request.draws))
        if request.json is not None:
            save(request.json, tables.as_json(found, done.rows))
            done.written.append(request.json)
        if request.out is not None:
            done.written += tables.write(found, done.rows, request.out)
        _draw(request, done)
    return done


def _check_request(request: Request) -> None:
    """Refuse what cannot be done, before the work."""
    if not request.stations:
        raise InputError("--stations", "files of observations", "none")
    if request.original and not request.field:
        raise InputError("--original", "a field to stand beside", "none", "give FIELD too")
    if not request.field and (request.plot or request.json):
        do = "give one, or -o DIR for quality alone"
        raise InputError("FIELD", "a field for --plot and --json", "none", do)
    for path in (request.json, request.plot):
        if path is not None:
            check_writable(path)
    if request.out is not None:
        _check_folder(request.out)


def _note_alone(found: Validation) -> None:
    """Give a notice where the original was given and has no pair in common with the field."""
    same, own = found.find("original", "same"), found.find("original", "own")
    if same is None or same.stations.month[..., 0].any():
        return
    why = "and the field have no observed hour in common"
    if own is None or not own.stations.month[..., 0].any():
        why = "has no value at the stations' places and hours"
    notice(f"the original {why}: the field stands alone")


@contextmanager
def _kept(
    archive: StationArchive,
    field: xr.DataArray | None,
    original: xr.DataArray | None,
    options: Options,
) -> Iterator[Path | None]:
    """Give a folder for the finished pieces of one validation; it stays if that is stopped or killed.

    Yields:
        ``None`` where the cache cannot be written to.
    """
    root = cache_dir() / "comparisons"
    if not writable(root):
        yield None
        return
    places = archive.stations.to_csv()
    about: list[object] = [VERSION, __version__, archive.identity, places, options.words()]
    for each in (field, original):
        about.append("none" if each is None else each.name)
        for file in [] if each is None else each.encoding["source_files"]:
            about += identity(Path(file))
    with folder_to_build(root / fingerprint(*about)) as folder:
        folder.mkdir(exist_ok=True)
        folder.touch()
        forget_old(root, KEEP_DAYS, KEEP_DAYS)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _sort_paths(request: Request) -> Request:
    """Move tables among the fields to the stations: a shell expands a glob, and only one name follows the option.

    Raises:
        InputError: the name of a grouping among the fields, for the same reason.
    """
    fields, stations = list[str | Path](), list(request.stations)
    for each in request.field:
        path = Path(each).expanduser()
        if not path.exists() and set(str(each).split(",")) <= set(tables.BY):
            do = f"write --by {request.by[-1]} --by {each}, or --by {request.by[-1]},{each}"
            raise InputError(
                "--by",
                "one value after each, or commas",
                f"{str(each)!r} without --by before it",
                do,
            )
        (stations if path.is_file() and is_table(path) else fields).append(each)
    return replace(request, field=tuple(fields), stations=tuple(stations))


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, before the work; nothing is made yet."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"{folder}: a folder is needed, and a file of that name is there; name another folder"
        )
    above = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: {above} is no folder that can be written to; name another folder"
        )


def _open(paths: tuple[str | Path, ...], request: Request) -> xr.DataArray | None:
    from deepcams.readers.open import open_field

    if not paths:
        return None
    try:
        return open_field(list(paths), request.variable)
    except InputError as error:
        if paths is request.original or not request.original or len(paths) < 2:
            raise
        last = f"write --original before each, or quote their glob, if {paths[-1]} is one"
        raise InputError(error.where, error.expected, error.found, last) from error


def _draw(request: Request, done: Done) -> None:
    """Draw the figures that the request names."""
    if request.plot is None and request.out is None:
        return
    from deepcams.plotting.page import save as save_figure
    from deepcams.stations import figures

    found, out = done.found, request.out
    species = label("pm2p5" if request.parameter == "pm25" else request.parameter)
    drawn: dict[Path, Figure] = {}
    if found.scored:
        scatter = figures.draw_scatter(found, species)
        if request.plot is not None:
            drawn[request.plot] = scatter
        if out is not None:
            drawn[out / "scatter.png"] = scatter
    if out is not None:
        for name, figure in figures.draw_maps(found).items():
            drawn[out / f"{name}.png"] = figure
        cycle = figures.draw_cycle(found, species)
        if cycle is not None:
            drawn[out / "diurnal.png"] = cycle
    for path, figure in drawn.items():
        save_figure(figure, path)
        done.written.append(path)
