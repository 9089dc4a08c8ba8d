"""What ``deepcams validate`` does: open fields and stations, compare them, write tables and figures."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.period import Period
from deepcams.evaluation.tables import check_writable, save
from deepcams.files.cache import cache_dir, folder_to_build, forget_old, identity, writable
from deepcams.stations import station_tables as tables
from deepcams.stations.checkpoints import fingerprint
from deepcams.stations.matching import SpaceRule
from deepcams.stations.openaq import StationArchive, open_openaq
from deepcams.stations.quality import Quality
from deepcams.stations.station_files import is_table
from deepcams.stations.validation import Options, Validation
from deepcams.stations.validation import validate as compare

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[str, int, int], None]
KEEP_DAYS = 7
"""Finished pieces of comparisons that were stopped are removed when another has begun so many days later."""


@dataclass(frozen=True)
class Request:
    """What is to be validated, and what is wanted of it.

    Attributes:
        stations: files, folders or globs of observations; tables among ``field`` count as such too.
        field, original: likewise of fields; both may be empty.
        by: see :func:`deepcams.stations.station_tables.rows`; a text may hold several with commas.
        json, plot, out: what to write: all rows, the scatter, a folder with everything.
        space, starts: see :class:`deepcams.stations.validation.Options`.
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
    """What came of it: the validation, its rows, and the files written."""

    found: Validation
    rows: list[tables.Row]
    written: list[Path] = dataclasses.field(default_factory=list)


def validate(request: Request, progress: Progress | None = None) -> Done:
    """Do what a request asks for; where it was stopped or killed, go on.

    Raises:
        InputError: see :func:`deepcams.open_openaq`, :func:`deepcams.open_field` and
            :func:`deepcams.stations.validation.validate`.
        OutputError: something cannot be written; found out before the work where possible.
    """
    told = progress or (lambda step, done, total: None)
    by = tables.parse_by(request.by)
    request = _sorted(replace(request, by=by))
    quality = Quality.without(request.without)
    period = None if request.period is None else Period.parse(request.period, "--period")
    if not request.stations:
        raise InputError("--stations", "files of observations", "none")
    if request.original and not request.field:
        raise InputError("--original", "a field to stand beside", "none", "give FIELD too")
    if not request.field and (request.plot or request.json):
        raise InputError(
            "FIELD",
            "a field for --plot and --json",
            "none",
            "give one, or -o DIR for quality alone",
        )
    for path in (request.json, request.plot):
        if path is not None:
            check_writable(path)
    if request.out is not None:
        _check_folder(request.out)
    field, original = (_open(paths, request) for paths in (request.field, request.original))
    archive = open_openaq(
        request.stations,
        parameter=request.parameter,
        assume_utc=request.assume_utc,
        metadata=request.metadata or None,
        progress=lambda rows: told("reading stations", rows, 0),
    )
    words = {
        "field": "reading the field",
        "original": "reading the original",
        "stations": "matching",
    }
    options = Options(request.space, quality, request.starts, period=period)
    with _kept(archive, field, original, options) as keep:
        found = compare(
            archive, field, original, options, lambda step, *much: told(words[step], *much), keep
        )
        tables.check_pairs(found)
        _tell_alone(found)
        done = Done(found, tables.rows(found, by, request.draws))
        if request.json is not None:
            save(request.json, tables.as_json(found, done.rows))
            done.written.append(request.json)
        if request.out is not None:
            done.written += tables.write(found, done.rows, request.out)
        _draw(request, done)
    return done


def _tell_alone(found: Validation) -> None:
    """Say where the original stands beside nothing, though it was given."""
    same = found.find("original", "same")
    if same is not None and not same.stations.month[..., 0].any():
        own = found.find("original", "own")
        why = (
            "has no value at the stations' places and hours"
            if own is None or not own.stations.month[..., 0].any()
            else "and the field have no observed hour in common"
        )
        notice(f"the original {why}: the field stands alone")


@contextmanager
def _kept(
    archive: StationArchive,
    field: xr.DataArray | None,
    original: xr.DataArray | None,
    options: Options,
) -> Iterator[Path | None]:
    """A folder for the finished pieces of one comparison: it stays where that is stopped or killed, else it goes.

    Yields:
        ``None`` where the cache cannot be written to.
    """
    root = cache_dir() / "comparisons"
    if not writable(root):
        yield None
        return
    about: list[object] = [
        __version__,
        archive.identity,
        archive.stations.to_csv(),
        options.words(),
    ]
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


def _sorted(request: Request) -> Request:
    """Tables among the fields go to the stations: a shell makes several names of a glob, and one follows its option.

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
    there = next(above for above in (folder, *folder.absolute().parents) if above.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"{folder}: {there} is no folder that can be written to; name another folder"
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
    """Draw what was asked for."""
    if request.plot is None and request.out is None:
        return
    from deepcams.plotting.page import save as save_figure
    from deepcams.stations import figures

    species = {"pm25": "PM2.5", "pm10": "PM10", "pm1": "PM1"}.get(
        request.parameter, request.parameter
    )
    drawn: dict[Path, Figure] = {}
    if done.found.scored:
        scatter = figures.draw_scatter(done.found, species)
        drawn |= {
            path: scatter
            for path in (request.plot, request.out and request.out / "scatter.png")
            if path
        }
    if request.out is not None:
        drawn |= {
            request.out / f"{name}.png": figure
            for name, figure in figures.draw_maps(done.found).items()
        }
        cycle = figures.draw_cycle(done.found, species)
        if cycle is not None:
            drawn[request.out / "diurnal.png"] = cycle
    for path, figure in drawn.items():
        save_figure(figure, path)
        done.written.append(path)
