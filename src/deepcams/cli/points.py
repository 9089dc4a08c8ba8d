"""``deepcams points``: values of a field at a list of places, over the dates of each place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deepcams.cli.common_options import (
    Json,
    PeriodOption,
    Quiet,
    Variable,
    print_json,
)

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams points pm25.zarr homes.csv -o exposure.parquet

deepcams points pm25.zarr cohort.csv --over window -o cohort.csv

deepcams points pm25.zarr events.csv --lags 6 --layout wide -o events.csv

The list has columns latitude and longitude, and may have id, start and end (or date): 2019-12-31."""


@app.command(epilog=EXAMPLES)
def points(
    field: Annotated[
        str, typer.Argument(help="Field: file, folder, glob, store or URL.")
    ],
    points: Annotated[
        Path,
        typer.Argument(
            metavar="LIST",
            help="Places: CSV or Parquet with latitude, longitude; id, start, end or date.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Table to write: .csv or .parquet.")
    ],
    over: Annotated[
        Literal["hour", "day", "month", "year", "window"],
        typer.Option(
            help="The field's own times; days, months, years of UTC; or one mean for each row's window."
        ),
    ] = "day",
    how: Annotated[
        Literal["nearest", "bilinear"],
        typer.Option(help="Value of the cell, or interpolated between four nodes."),
    ] = "nearest",
    lags: Annotated[
        int, typer.Option(min=0, help="Also this many days before each day.")
    ] = 0,
    layout: Annotated[
        Literal["long", "wide"],
        typer.Option(help="One row per value, or per place (with lags: per day)."),
    ] = "long",
    with_coordinates: Annotated[
        bool,
        typer.Option(
            "--with-coordinates",
            help="Also write latitude and longitude; default: only ids.",
        ),
    ] = False,
    period: PeriodOption = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="Column with the ids."),
    ] = None,
    variable: Variable = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Extract a field at places: exposure of persons over their own dates, with lags.

    Only the chunks that hold places are read. Ids are written only to the table, and coordinates only on request;
    the provenance of the table is written next to it (NAME.json), without either.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import stoppable
    from deepcams.core.period import Period
    from deepcams.exposure.from_files import points_to_file
    from deepcams.exposure.points import PointOptions

    within = None if period is None else Period.parse(period, "--period")
    options = PointOptions(over, how, lags, layout, with_coordinates, within)
    with (
        stoppable("nothing was written"),
        Bars(width=8, transient=True, hidden=quiet) as bars,
    ):
        written = points_to_file(
            field,
            points,
            out,
            options,
            id_column=id_column,
            variable=variable,
            progress=bars.tell,
        )
    if as_json:
        print_json({"written": written})
        return
    for path in written:
        typer.echo(f"  {path}")
