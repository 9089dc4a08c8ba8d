"""``deepcams export``: write fields in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deepcams.cli.common_options import (
    BoxOption,
    Json,
    Overwrite,
    PeriodOption,
    Quiet,
    Variable,
    print_json,
)

if TYPE_CHECKING:
    from deepcams.export import Exported

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams export pm25.zarr --to cog --period 2019-12-31 -o fires/

deepcams export pm25.zarr --to netcdf --by month --bbox -12 34 45 72 -o europe/"""


@app.command(epilog=EXAMPLES)
def export(
    field: Annotated[
        list[str],
        typer.Argument(metavar="FIELD...", help="Files, folders, globs, stores, URLs."),
    ],
    to: Annotated[
        Literal["cog", "netcdf", "csv", "parquet", "zarr2"],
        typer.Option(
            help="cog: GeoTIFF, one band per time; netcdf; tables; zarr2: for GDAL."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="A folder, or one file (.tif, .nc, ..) of all times; OUT.zarr.",
        ),
    ],
    by: Annotated[
        Literal["hour", "day", "month"] | None,
        typer.Option(help="Period of each file in a folder.", show_default="day"),
    ] = None,
    period: PeriodOption = None,
    bbox: BoxOption = None,
    variable: Variable = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a field for other tools, with longitudes -180 to 180: one file per hour, day or month, or a single file.

    Give the same command again to resume an interrupted export: existing unchanged files are kept.
    """
    from deepcams.cli.progress import one_bar
    from deepcams.cli.stopping import command_line, kept, stoppable
    from deepcams.core.late_dask import import_dask_late
    from deepcams.export import export_to

    import_dask_late()
    with (
        stoppable(kept(without="--overwrite")),
        one_bar("exporting", hidden=quiet) as progress,
    ):
        found = export_to(
            field,
            out,
            to,
            by=by,
            variable=variable,
            period=period,
            bbox=bbox,
            overwrite=overwrite,
            progress=progress,
            command=command_line(),
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Exported) -> None:
    from deepcams.core.text import counted, size

    there = found.files - found.written
    notes = [f"{there} were there already"] if there else []
    if found.renewed:
        notes.append(f"{found.renewed} written again: changed since")
    told = f" ({'; '.join(notes)})" if notes else ""
    files = counted(found.files, "file")
    print(f"{found.path}: {found.hours} hours in {files}, {size(found.bytes)}{told}")
