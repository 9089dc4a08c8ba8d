"""``deepcams report``: write one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams report deepcams-demo -o report.html

deepcams report pm25.zarr --original cams_2019.nc -o pm25.html"""


@app.command(epilog=EXAMPLES)
def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="An output, or the folder of one, its scores and pictures.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="HTML", help="The file.")
    ] = Path("report.html"),
    original: Annotated[
        Path | None,
        typer.Option(
            metavar="CAMS", help="Its input; default: the file in the same folder."
        ),
    ] = None,
    animation: Annotated[
        bool, typer.Option("--animation/--no-animation", help="Include an animation.")
    ] = True,
) -> None:
    """Put a run's settings, networks, provenance, tables, pictures and warnings into one HTML file.

    The file is self-contained and needs no network: send it to a colleague.
    """
    from deepcams.core.text import size
    from deepcams.report import write_report

    path = write_report(run, out, original=original, animation=animation)
    print(f"{path}: {size(path.stat().st_size)}, one file that needs nothing else")
