"""``deepcams evaluate``: Tables 2 and 3 of the paper, for any period and any method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepcams.cli.common_options import Quiet
from deepcams.cli.worker_options import Number, Scheduler

if TYPE_CHECKING:
    from xarray import DataArray

    from deepcams.stations.archive.sorted_copy import StationArchive

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


EXAMPLES = """Examples:

deepcams evaluate geos_cf/ --task spatial --json scores.json

deepcams evaluate geos_cf/ --task temporal --bbox -75 -60 -30 15 -o scores/

deepcams evaluate geos_cf/ --methods linear-then-bicubic,bicubic-then-flow

deepcams evaluate eac4_2019/ --task temporal --keep-every 2 --methods linear,flow,self-checked

deepcams evaluate openaq/ --task temporal --truth stations --region-mean 5"""

_ONLY_FIELDS = (
    "degrade",
    "variable",
    "factor",
    "resolution",
    "keep_every",
    "order",
    "conserve",
    "margin",
    "weighting",
    "clip",
    "thresholds",
)
_ONLY_STATIONS = ("region_mean", "at_least", "metadata", "stamps", "assume_utc")
"""Options that only apply to ``--truth stations``."""


@app.command(epilog=EXAMPLES)
def evaluate(
    context: typer.Context,
    truth: Annotated[
        list[str],
        typer.Argument(
            help="Hourly fine fields: files, folders, globs or URLs (GEOS-CF, ...); or stations."
        ),
    ],
    task: Annotated[
        Literal["temporal", "spatial", "joint"],
        typer.Option(help="What is hidden from the methods."),
    ] = "joint",
    kind: Annotated[
        Literal["fields", "stations"],
        typer.Option(
            "--truth",
            help="stations: OpenAQ or similar tables, for --task temporal and methods that work at single points.",
        ),
    ] = "fields",
    region_mean: Annotated[
        str,
        typer.Option(
            metavar="DEGREES|all",
            help="Stations: score means over boxes of this size; 0: each station alone.",
        ),
    ] = "all",
    at_least: Annotated[
        int,
        typer.Option(help="Stations: how many must report in all ten hours."),
    ] = 20,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names, comma-separated; A-then-B for a chain. Default: all that fit the task."
        ),
    ] = None,
    degrade: Annotated[
        Literal["area", "imresize", "decimate"],
        typer.Option(help="How fine fields are coarsened."),
    ] = "area",
    variable: Annotated[
        str | None, typer.Option(help="Another variable than PM2.5 (no2, pm10, ..).")
    ] = None,
    factor: Annotated[
        int,
        typer.Option(help="Coarsening factor: 3, or 5 for training-free methods."),
    ] = 3,
    resolution: Annotated[
        Literal["fine", "coarse"],
        typer.Option(help="Grid of the temporal task."),
    ] = "fine",
    keep_every: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Tasks in time: keep one of N frames of any cadence; 2: CAMS analyses, 6 h -> 3 h."
            " Default: one of 3 hours.",
        ),
    ] = None,
    order: Annotated[
        Literal["both", "spatial-first", "temporal-first"],
        typer.Option(help="Joint task: the chains that single names stand for."),
    ] = "both",
    conserve: Annotated[
        Literal["as-named", "both", "always", "never"],
        typer.Option(
            help="Methods in space: as named, both with and without +conserve, all with it, none with it."
        ),
    ] = "as-named",
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N",
            help="Score only this box (its stations), in degrees; W > E crosses the dateline.",
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(
            help="Margin around the box, degrees: used by methods, not scored."
        ),
    ] = 12.0,
    period: Annotated[
        str | None,
        typer.Option(help="Only these times: 2019, 2019-03, 2019-03-01..2019-03-08."),
    ] = None,
    weighting: Annotated[
        Literal["plain", "area"],
        typer.Option(help="Equal weights for all nodes (the paper), or by area."),
    ] = "plain",
    clip: Annotated[
        float | None,
        typer.Option(help="Clip values above this (the paper's code: 800)."),
    ] = None,
    thresholds: Annotated[
        str,
        typer.Option(
            help="Thresholds of events, ug m-3, comma-separated; the table shows the second."
        ),
    ] = "15,35,75,150",
    metadata: Annotated[
        list[Path] | None,
        typer.Option(
            help="Stations: OpenAQ's locations; drops mobile and low-cost ones."
        ),
    ] = None,
    stamps: Annotated[
        Literal["end", "start"],
        typer.Option(help="Stations: which end of its hour a stamp is (OpenAQ: end)."),
    ] = "end",
    assume_utc: Annotated[
        bool,
        typer.Option(
            "--assume-utc", help="Stations: treat stamps without an offset as UTC."
        ),
    ] = False,
    workers: Number = None,
    scheduler: Scheduler = None,
    json: Annotated[Path | None, typer.Option(help="Write all rows as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows as CSV.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table as Markdown.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder for all tables and figures."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Score methods against a known truth: errors and skill by month, effective resolution, events, extremes, hours.

    The truth is degraded, the methods restore it, and their results are compared with it. temporal: hours 1 and 2 of
    each 3 are predicted from hours 0 and 3. spatial: each hour is coarsened and refined. joint: both at once.
    With --truth stations, hours of station means are hidden; rows are by season and local solar hour.
    """
    from rich.console import Console

    from deepcams.cli.progress import one_bar
    from deepcams.cli.worker_options import opened
    from deepcams.core.late_dask import import_dask_late
    from deepcams.downscaling.memory import keep_memory
    from deepcams.evaluation import experiment as simulation
    from deepcams.evaluation.tables import check_folder, check_writable, save

    keep_memory()
    import_dask_late()
    _refuse_others(context, kind, task)
    for path in (json, csv, markdown):
        if path is not None:
            check_writable(path)
    if out is not None:
        check_folder(out)
    tables: Any
    scored: Callable[..., Any]
    if kind == "stations":
        from deepcams.stations import temporal_evaluation
        from deepcams.stations.tables import temporal_tables

        tables = temporal_tables
        options = temporal_evaluation.Options.of_texts(
            region_mean, at_least, bbox, period, stamps == "start"
        )
        with one_bar("reading stations", hidden=quiet) as read:
            archive = _open_stations(truth, metadata, assume_utc, read)
        scored = partial(temporal_evaluation.evaluate, archive, options)
    else:
        from deepcams.evaluation import experiment_tables

        tables = experiment_tables
        experiment = simulation.Experiment(
            task,
            degrade,
            resolution,
            bbox,
            margin,
            weighting,
            clip,
            thresholds=simulation.parse_thresholds(thresholds),
            keep_every=keep_every,
            factor=factor,
        )
        field = _open_fields(truth, period, variable)
        scored = partial(
            simulation.evaluate,
            field,
            experiment,
            order=order,
            conserve=conserve,
            variable=str(field.name) if variable else None,
        )
    names = methods.split(",") if methods is not None else None
    with (
        opened(workers, scheduler) as team,
        one_bar("scoring", "blocks", hidden=quiet) as progress,
    ):
        result = scored(names, progress=progress, workers=team)
    Console().print(tables.for_terminal(result))
    for path, text in (
        (json, tables.as_json),
        (csv, tables.as_csv),
        (markdown, tables.as_markdown),
    ):
        if path is not None:
            save(path, text(result))
    if out is not None:
        for path in [*tables.write(result, out), *_draw(tables.document(result), out)]:
            typer.echo(f"  {path}")


def _refuse_others(context: typer.Context, kind: str, task: str) -> None:
    """Refuse a task and options that do not apply to the kind of truth."""
    from deepcams.core.errors import InputError

    if kind == "stations" and task != "temporal":
        raise InputError("--truth stations", "--task temporal", f"--task {task}")
    of_others = _ONLY_FIELDS if kind == "stations" else _ONLY_STATIONS
    for name in of_others:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.replace("_", "-")
            expected = "no such option with stations"
            if kind == "fields":
                expected = "--truth stations with it"
            raise InputError(option, expected, f"--truth {kind}", "leave it out")


def _is_table(given: str) -> bool:
    """Return whether a file, or the first table in a folder, is a table of stations."""
    from deepcams.core.errors import InputError
    from deepcams.stations.archive.station_files import is_table

    path = Path(given).expanduser()
    first = next(path.rglob("*.csv*"), None) if path.is_dir() else path
    try:
        return first is not None and first.is_file() and is_table(first)
    except InputError:
        return False


def _open_fields(
    truth: list[str], period: str | None, variable: str | None
) -> DataArray:
    """Open fields; if the files are tables, the error suggests ``--truth stations``."""
    from deepcams.core.errors import InputError
    from deepcams.evaluation.experiment import open_truth

    try:
        return open_truth(truth, period, variable)
    except InputError as error:
        table = next((each for each in truth if _is_table(each)), None)
        if table is None:
            raise
        do = "stations are truth with --task temporal --truth stations"
        raise InputError(table, "hourly fields", "a table", do) from error


def _open_stations(
    truth: list[str],
    metadata: list[Path] | None,
    assume_utc: bool,
    read: Callable[..., None],
) -> StationArchive:
    """Open stations; if a file is not a table, the error suggests ``--truth fields``."""
    from deepcams.core.errors import InputError
    from deepcams.stations.archive.openaq import open_openaq

    try:
        return open_openaq(
            truth,
            metadata=metadata,
            assume_utc=assume_utc,
            progress=lambda rows: read(rows, None),
        )
    except InputError as error:
        other = [each for each in truth if Path(each).is_file() and not _is_table(each)]
        if not other:
            raise
        do = "fields are truth without --truth stations"
        raise InputError(other[0], error.expected, error.found, do) from error


def _draw(document: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the figures of an evaluation into a folder."""
    from deepcams.plotting import save
    from deepcams.plotting.scores.evaluation import skill_by_hour_figure, spectra_figure

    drawn = []
    if document["details"].get("spectra"):
        drawn.append(save(spectra_figure(document), folder / "spectra.png"))
    if document["details"].get("local_hours"):
        drawn.append(save(skill_by_hour_figure(document), folder / "skill-by-hour.png"))
    return drawn
