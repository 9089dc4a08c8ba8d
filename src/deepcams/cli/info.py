"""``deepcams info``: the contents of files, and whether deepcams can use them."""

from __future__ import annotations

from typing import Annotated

import typer

from deepcams.cli.common_options import Json, Quiet, Variable, print_json

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams info cams_2019.nc

deepcams info downloads/ --variable pm10 --json"""


@app.command(epilog=EXAMPLES)
def info(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, globs or Zarr stores.", show_default=False
        ),
    ],
    variable: Variable = None,
    values: Annotated[
        bool, typer.Option(help="Read all values for their range and counts.")
    ] = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show what files hold: layout, grid, times, gaps, units, values.

    Works on anything like netCDF, GRIB or Zarr; where deepcams cannot use it, the last line says why and the exit
    status is 1.
    """
    from rich.console import Console

    from deepcams.cli.progress import one_bar
    from deepcams.core.late_dask import import_dask_late
    from deepcams.readers.inspect import inspect
    from deepcams.readers.inspect_text import render

    import_dask_late()
    share = "{task.percentage:3.0f} %"
    with one_bar("reading values", count=share, hidden=quiet) as progress:
        seen = inspect(files, variable, values=values, progress=progress)
    if as_json:
        print_json(seen.as_dict())
    else:
        Console(highlight=False).print(render(seen))
    if seen.problem:
        raise typer.Exit(1)
