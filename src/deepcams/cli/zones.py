"""``deepcams zones``: exposure of the population and the area of zones."""

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

deepcams zones pm25.zarr --zones countries -o countries.csv

deepcams zones pm25.zarr --zones regions.gpkg --population ppp_2020.tif --over year --classes who -o regions.gpkg

deepcams zones pm25.zarr --zones countries --population simulated --classes 5,10 --layout healthiar -o burden.csv"""


@app.command(epilog=EXAMPLES)
def zones(
    field: Annotated[
        list[str],
        typer.Argument(help="Fields: files, folders, globs, stores, URLs."),
    ],
    zones: Annotated[
        str,
        typer.Option(
            "--zones",
            metavar="FILE|countries",
            help="Polygons (GeoPackage, GeoJSON, Shapefile, GeoParquet), or the countries shipped with deepcams.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Table to write: .csv, .parquet or .gpkg."),
    ],
    over: Annotated[
        Literal["hour", "day", "month", "year"],
        typer.Option(help="The field's own times, or days, months, years of UTC."),
    ] = "day",
    period: PeriodOption = None,
    population: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|simulated",
            help="Population: a raster in degrees (GeoTIFF, netCDF), or a simulated one.",
        ),
    ] = None,
    population_kind: Annotated[
        Literal["count", "density"],
        typer.Option(help="People per cell, or per square kilometre."),
    ] = "count",
    population_year: Annotated[
        str | None,
        typer.Option(
            help="Year of the population.", show_default="from the file's name"
        ),
    ] = None,
    population_variable: Annotated[
        str | None, typer.Option(help="Variable of a netCDF population.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="LIMITS|who",
            help="Population fraction by class: 5,10,15 (ug m-3), or WHO's levels.",
        ),
    ] = None,
    layout: Annotated[
        Literal["plain", "healthiar"],
        typer.Option(
            help="One row per zone and time, or the R package healthiar's form."
        ),
    ] = "plain",
    id_column: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="Column with the zones' ids."),
    ] = None,
    name_column: Annotated[
        str | None,
        typer.Option("--name", metavar="COLUMN", help="Column with their names."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of a file with several.")
    ] = None,
    variable: Variable = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Average a field over zones, weighted by area and by population, for hours, days, months or years.

    Cells are weighted by the exact part of their area in the zone; population is taken from the raster's own cells.
    The provenance of the table is written next to it (NAME.json).
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import stoppable
    from deepcams.exposure.from_files import ZoneRequest, zones_to_file

    request = ZoneRequest(
        field=tuple(field),
        zones=zones,
        out=out,
        over=over,
        period=period,
        population=population,
        population_kind=population_kind,
        population_year=population_year,
        population_variable=population_variable,
        classes=classes,
        layout=layout,
        id_column=id_column,
        name_column=name_column,
        layer=layer,
        variable=variable,
    )
    with (
        stoppable("nothing was written"),
        Bars(width=8, transient=True, hidden=quiet) as bars,
    ):
        written = zones_to_file(request, bars.tell)
    if as_json:
        print_json({"written": written})
        return
    for path in written:
        typer.echo(f"  {path}")
