"""``deepcams validate``: compare fields with stations, as in Figs. 1 and 6 of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deepcams.cli.common_options import PeriodOption, Quiet, Variable
from deepcams.cli.worker_options import Number, Scheduler

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


EXAMPLES = """Examples:

deepcams validate pm25.zarr --stations openaq/ --original cams_2019.nc -o validation/

deepcams validate pm25.zarr --stations poland_2019.csv.gz --by month,hour --json scores.json

deepcams validate pm25.zarr --stations openaq/ --average day -o daily/

deepcams validate --stations openaq/ -o quality/    (no field: quality control, map and diurnal cycle of stations)"""


@app.command(epilog=EXAMPLES)
def validate(
    field: Annotated[
        list[str] | None,
        typer.Argument(
            help="Fields to validate: files, folders, globs, stores.",
            show_default=False,
        ),
    ] = None,
    stations: Annotated[
        list[str] | None,
        typer.Option(
            "--stations",
            help="OpenAQ's archive, CSV, csv.gz or Parquet files; several may follow.  [required]",
        ),
    ] = None,
    original: Annotated[
        list[str] | None,
        typer.Option("--original", help="Input of the field (CAMS); may be repeated."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="Rows by year, month, hour (local solar), country, surface (inland, coast, sea), "
            "kind (urban traffic, ..) or station; may be repeated, or year,country.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all rows as JSON.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the scatter of Fig. 6.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder for all tables and figures."
        ),
    ] = None,
    space: Annotated[
        Literal["cell", "bilinear"],
        typer.Option(help="Value of the cell, or interpolated between four nodes."),
    ] = "cell",
    stamps: Annotated[
        Literal["end", "start"],
        typer.Option(help="Which end of its hour a stamp is (OpenAQ: end)."),
    ] = "end",
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="STEP",
            help="Omit a quality control step; may be repeated.",
        ),
    ] = None,
    metadata: Annotated[
        list[Path] | None,
        typer.Option(
            help="OpenAQ's locations as JSON, CSV or Parquet: drops mobile and low-cost ones; altitudes, kinds."
        ),
    ] = None,
    period: PeriodOption = None,
    parameter: Annotated[
        str, typer.Option(help="Species in the stations' files.")
    ] = "pm25",
    variable: Variable = None,
    assume_utc: Annotated[
        bool,
        typer.Option("--assume-utc", help="Treat stamps without an offset as UTC."),
    ] = False,
    draws: Annotated[
        int, typer.Option(min=0, help="Bootstrap resamples of the stations.")
    ] = 1000,
    average: Annotated[
        Literal["hour", "day", "year"],
        typer.Option(help="Compare hours, or daily or annual means by the 75 % rule."),
    ] = "hour",
    days: Annotated[
        Literal["utc", "nautical", "station"],
        typer.Option(
            help="Days of UTC, by longitude (round(lon / 15) hours), or of the stations."
        ),
    ] = "utc",
    fairmode: Annotated[
        bool,
        typer.Option(
            "--fairmode",
            help="Require FAIRMODE's indicators (part of daily means).",
        ),
    ] = False,
    workers: Number = None,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Compare fields with stations: R, RMSE, bias, NMB, MFE, .., with intervals; scatter, map, diurnal cycle.

    With an original: tests whether the field is better, by differences on the same pairs, resampled by region and week.

    Observations pass a quality control whose steps are counted. Values are matched by time bounds: an hour-ending
    observation is compared with the mean of the field's instants at both ends of its hour, or with the field's mean
    over it. Daily means (--average day) add FAIRMODE's indicators and exceedances of limits.
    """
    from rich.console import Console

    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.core.late_dask import import_dask_late
    from deepcams.downscaling.memory import keep_memory
    from deepcams.files.cache import cache_dir, writable
    from deepcams.stations.from_files import Request, validate_files
    from deepcams.stations.tables import station_tables as tables

    import_dask_late()
    groups = tables.parse_by(by or ["year"])
    request = Request(
        stations=tuple(stations or ()),
        field=tuple(field or ()),
        original=tuple(original or ()),
        by=groups,
        json=json,
        plot=plot,
        out=out,
        space=space,
        starts=stamps == "start",
        without=tuple(without or ()),
        metadata=tuple(metadata or ()),
        period=period,
        parameter=parameter,
        variable=variable,
        assume_utc=assume_utc,
        draws=draws,
        average=average,
        days=days,
        fairmode=fairmode,
    )
    keep_memory()
    words = (
        kept()
        if writable(cache_dir())
        else f"nothing is kept: {cache_dir()} cannot be written to"
    )
    with (
        stoppable(words),
        opened(workers, scheduler) as team,
        Bars(
            width=20,
            count="{task.fields[told]}",
            elapsed=True,
            transient=True,
            hidden=quiet,
        ) as bars,
    ):

        def tell(step: str, done: int, total: int) -> None:
            bars.tell(
                step, done, total, told=f"{done:,}/{total:,}" if total else f"{done:,}"
            )

        done = validate_files(request, tell, team)
    Console().print(
        tables.for_terminal(done.found, done.rows, groups, done.differences)
    )
    for path in done.written:
        typer.echo(f"  {path}")
