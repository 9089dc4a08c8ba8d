"""What ``deepcams validate`` does: open fields and stations, compare them, write tables and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from deepcams.errors import InputError, OutputError
from deepcams.evaluation import in_situ_tables as tables
from deepcams.evaluation.in_situ import Options, Validation
from deepcams.evaluation.in_situ import validate as compare
from deepcams.evaluation.matching import SpaceRule
from deepcams.evaluation.quality import Quality
from deepcams.evaluation.tables import check_writable, save
from deepcams.period import Period
from deepcams.sources.openaq import open_openaq

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What is to be validated, and what is wanted of it.

    Attributes:
        stations: files, folders or globs of observations.
        field, original: likewise of fields; both may be empty.
        by: see :func:`deepcams.evaluation.in_situ_tables.rows`.
        json, plot, out: what to write: all rows, the scatter, a folder with everything.
        space, starts: see :class:`deepcams.evaluation.in_situ.Options`.
        without: quality steps to leave out.
        metadata: see :func:`deepcams.sources.openaq_metadata.add_metadata`.
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
    """Do what a request asks for.

    Raises:
        InputError: see :func:`deepcams.open_openaq`, :func:`deepcams.open_field` and
            :func:`deepcams.evaluation.in_situ.validate`.
        OutputError: something cannot be written; found out before the work where possible.
    """
    told = progress or (lambda step, done, total: None)
    tables.check_by(request.by)
    quality = Quality.without(request.without)
    period = None if request.period is None else Period.parse(request.period)
    if request.original and not request.field:
        raise InputError("--original", "a field to stand beside", "none", "give FIELD too")
    if not request.field and (request.plot or request.json):
        raise InputError("FIELD", "a field for --plot and --json", "none", "give one, or -o DIR for quality alone")
    for path in (request.json, request.plot):
        if path is not None:
            check_writable(path)
    if request.out is not None and request.out.exists() and not request.out.is_dir():
        raise OutputError(f"{request.out}: a folder is needed, and a file of that name is there; name another folder")
    field, original = (_open(paths, request) for paths in (request.field, request.original))
    archive = open_openaq(
        request.stations, parameter=request.parameter, assume_utc=request.assume_utc,
        metadata=request.metadata or None, progress=lambda rows: told("reading stations", rows, 0),
    )  # fmt: skip
    words = {"field": "reading the field", "original": "reading the original", "stations": "matching"}
    found = compare(
        archive, field, original, Options(request.space, quality, request.starts, period=period),
        lambda step, done, total: told(words[step], done, total),
    )  # fmt: skip
    tables.check_pairs(found)
    done = Done(found, tables.rows(found, request.by, request.draws))
    if request.json is not None:
        save(request.json, tables.as_json(found, done.rows))
        done.written.append(request.json)
    if request.out is not None:
        done.written += tables.write(found, done.rows, request.out)
    _draw(request, done)
    return done


def _open(paths: tuple[str | Path, ...], request: Request) -> xr.DataArray | None:
    from deepcams.sources.open import open_field

    if not paths:
        return None
    return open_field(list(paths), request.variable)


def _draw(request: Request, done: Done) -> None:
    """Draw what was asked for."""
    if request.plot is None and request.out is None:
        return
    from deepcams.plotting.sheet import save as save_figure
    from deepcams.validation import figures

    species = {"pm25": "PM2.5", "pm10": "PM10", "pm1": "PM1"}.get(request.parameter, request.parameter)
    drawn: dict[Path, Figure] = {}
    if done.found.scored:
        scatter = figures.draw_scatter(done.found, species)
        drawn |= {path: scatter for path in (request.plot, request.out and request.out / "scatter.png") if path}
    if request.out is not None:
        drawn |= {request.out / f"{name}.png": figure for name, figure in figures.draw_maps(done.found).items()}
        cycle = figures.draw_cycle(done.found, species)
        if cycle is not None:
            drawn[request.out / "diurnal.png"] = cycle
    for path, figure in drawn.items():
        save_figure(figure, path)
        done.written.append(path)
