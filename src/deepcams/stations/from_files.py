"""Validation of files (``deepcams validate``): open fields and stations, compare them, write tables and figures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, notice
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import label
from deepcams.core.stages import stage, staged
from deepcams.core.url import Url, place_of
from deepcams.evaluation.scores import of_series
from deepcams.evaluation.sums import COLUMNS
from deepcams.evaluation.tables import Row, check_folder, check_writable, save
from deepcams.files.cache import (
    cache_dir,
    folder_to_build,
    forget_old,
    identity,
    writable,
)
from deepcams.files.records import fingerprint
from deepcams.files.storage import state_at
from deepcams.readers import SOURCE
from deepcams.stations import fairmode
from deepcams.stations.archive.openaq import open_openaq
from deepcams.stations.archive.quality import Quality
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.archive.station_files import is_table
from deepcams.stations.averages import Average, Days, check_by
from deepcams.stations.matching import SpaceRule
from deepcams.stations.tables import differences
from deepcams.stations.tables import station_tables as tables
from deepcams.stations.validation import Options, Validation, validate
from deepcams.workers import Workers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 4
"""Version of the layout of saved pieces."""
KEEP_DAYS = 7
"""Age in days after which pieces of interrupted validations are removed when another validation begins."""


@dataclass(frozen=True)
class Request:
    """Inputs, options and outputs of a validation of files.

    Attributes:
        stations: files, folders or globs of observations; tables among ``field`` are added to them.
        field, original: files, folders or globs of fields; both may be empty.
        by: see :func:`deepcams.stations.tables.station_tables.rows`; a text may hold several, separated by commas.
        json, plot, out: output paths: all rows, the scatter plot, a folder with everything.
        space, starts: see :class:`Options`.
        without: quality steps to leave out.
        metadata: see :func:`deepcams.stations.archive.metadata.add_metadata`.
        period: period of the field, as text.
        parameter, variable: the species, in the stations' files and in the fields.
        assume_utc: whether to treat timestamps without an offset as UTC.
        draws: number of bootstrap resamples.
        average, days: see :class:`Options`.
        fairmode: whether to raise if FAIRMODE's indicators cannot be computed; daily and annual means always have them.
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
    average: Average = "hour"
    days: Days = "utc"
    fairmode: bool = False

    @property
    def species(self) -> str:
        """The deepcams name of the species, if it has one."""
        return "pm2p5" if self.parameter == "pm25" else self.parameter


@dataclass
class Done:
    """The result of :func:`validate_files`: a validation, its rows, differences of products, and the files written."""

    found: Validation
    rows: list[Row]
    differences: list[Row] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)


def validate_files(
    request: Request,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Done:
    """Open fields and stations, compare them, and write tables and figures; an interrupted call is resumed.

    Args:
        request: inputs, options and outputs.
        progress: callback, called with the stages.
        workers: workers that read and match the stations; ``None``: this process.

    Raises:
        InputError: see :func:`deepcams.open_openaq`, :func:`deepcams.open_field` and :func:`validate`.
        OutputError: an output cannot be written; checked before the work where possible.
    """
    progress = progress or no_progress
    by = tables.parse_by(request.by)
    request = _sort_paths(replace(request, by=by))
    quality = Quality.without(request.without)
    period = (
        None if request.period is None else Period.parse(request.period, "--period")
    )
    options = Options(
        request.space,
        quality,
        request.starts,
        period=period,
        average=request.average,
        days=request.days,
        species=request.species,
    )
    _check_request(request)
    field, original = (
        _open(paths, request) for paths in (request.field, request.original)
    )
    archive = open_openaq(
        request.stations,
        parameter=request.parameter,
        assume_utc=request.assume_utc,
        metadata=request.metadata or None,
        progress=lambda rows: progress("reading stations", rows, 0),
    )

    def tell(what: str, done: int, total: int) -> None:
        progress(
            "matching" if what == "stations" else f"reading the {what}", done, total
        )

    with _kept(archive, field, original, options) as keep:
        found = validate(archive, field, original, options, tell, keep, workers)
        tables.check_pairs(found)
        _note_alone(found)
        with stage("score"):
            done = Done(
                found,
                tables.rows(found, by, request.draws),
                differences.rows(found, request.draws),
            )
        if request.json is not None:
            save(request.json, tables.as_json(found, done.rows, done.differences))
            done.written.append(request.json)
        if request.out is not None:
            done.written += tables.write(
                found, done.rows, done.differences, request.out
            )
        _draw(request, done)
    return done


def _check_request(request: Request) -> None:
    """Check the request before the work."""
    _check_averages(request)
    if not request.stations:
        raise InputError("--stations", "files of observations", "none")
    if request.original and not request.field:
        raise InputError(
            "--original", "a field to stand beside", "none", "give FIELD too"
        )
    if not request.field and (request.plot or request.json):
        do = "give one, or -o DIR for quality alone"
        raise InputError("FIELD", "a field for --plot and --json", "none", do)
    for path in (request.json, request.plot):
        if path is not None:
            check_writable(path)
    if request.out is not None:
        check_folder(request.out)


def _check_averages(request: Request) -> None:
    """Check the options of averages."""
    if request.fairmode:
        fairmode.check(request.average, request.species)
    if request.average == "hour":
        if request.days != "utc":
            do = "add --average day"
            raise InputError("--days", "daily or annual means", "hourly values", do)
        return
    if not request.field:
        do = "give one, or leave --average out"
        raise InputError("FIELD", "a field to average with the stations", "none", do)
    check_by(request.average, request.by)


def _note_alone(found: Validation) -> None:
    """Give a notice if an original was given but has no pair in common with the field."""
    same, own = (found.find("original", pairs) for pairs in ("same", "own"))
    if same is None or own is None or same.any():
        return
    why = "has no value at the stations' places and hours"
    if own.any():
        why = "and the field have no observed hour in common"
    notice(f"the original {why}: the field stands alone")


@contextmanager
def _kept(
    archive: StationArchive,
    field: xr.DataArray | None,
    original: xr.DataArray | None,
    options: Options,
) -> Iterator[Path | None]:
    """Yield a folder for the finished pieces of one validation; it is kept if the validation is interrupted.

    Yields:
        the folder; ``None`` if the cache cannot be written to.
    """
    root = cache_dir() / "comparisons"
    if not writable(root):
        yield None
        return
    places = archive.stations.to_csv()
    about: list[object] = [
        VERSION,
        __version__,
        COLUMNS,
        of_series(),
        archive.identity,
        places,
        options.words(),
        SOURCE.get() or "",
    ]
    for each in (field, original):
        about.append("none" if each is None else each.name)
        for file in [] if each is None else each.encoding["source_files"]:
            about += [state_at(file)] if isinstance(file, Url) else identity(Path(file))
    with folder_to_build(root / fingerprint(*about)) as folder:
        folder.mkdir(exist_ok=True)
        folder.touch()
        forget_old(root, KEEP_DAYS, KEEP_DAYS)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _sort_paths(request: Request) -> Request:
    """Move tables among the fields to the stations, because an option takes only the first name of an expanded glob.

    Raises:
        InputError: the name of a grouping is among the fields, for the same reason.
    """
    fields, stations = list[str | Path](), list(request.stations)
    for each in request.field:
        if isinstance(place_of(each), Url):
            fields.append(each)
            continue
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


def _open(paths: tuple[str | Path, ...], request: Request) -> xr.DataArray | None:
    from deepcams.readers.open import find_field_files, open_files

    if not paths:
        return None
    try:
        files = find_field_files(list(paths))
        return open_files(files, request.variable, with_dask=False)
    except InputError as error:
        if paths is request.original or not request.original or len(paths) < 2:
            raise
        last = (
            f"write --original before each, or quote their glob, if {paths[-1]} is one"
        )
        raise InputError(error.where, error.expected, error.found, last) from error


@staged("draw")
def _draw(request: Request, done: Done) -> None:
    """Plot the requested figures."""
    if request.plot is None and request.out is None:
        return
    from deepcams.plotting.figure_layout import save as save_figure
    from deepcams.stations.tables import figures

    found, out = done.found, request.out
    species = label(request.species)
    drawn: dict[Path, Figure] = {}
    if found.scored:
        scatter = figures.draw_scatter(found, species)
        if request.plot is not None:
            drawn[request.plot] = scatter
        if out is not None:
            drawn[out / "scatter.png"] = scatter
    if out is not None:
        for name, each in figures.draw_maps(found).items():
            drawn[out / f"{name}.png"] = each
        cycle = figures.draw_cycle(found, species)
        if cycle is not None:
            drawn[out / "diurnal.png"] = cycle
        for name, draw in (
            ("target", figures.draw_target),
            ("taylor", figures.draw_taylor),
        ):
            figure = draw(found, species)
            if figure is not None:
                drawn[out / f"{name}.png"] = figure
    for path, figure in drawn.items():
        save_figure(figure, path)
        done.written.append(path)
