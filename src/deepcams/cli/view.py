"""``deepcams view``: show a map in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from deepcams.cli.common_options import Variable

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams view pm25.zarr --original cams_2019.nc

deepcams view pm25.zarr --stations openaq/ --port 0 --open"""


@app.command(epilog=EXAMPLES)
def view(
    store: Annotated[
        list[str],
        typer.Argument(metavar="STORE...", help="The output, or any field's files."),
    ],
    original: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAMS",
            help="Its input, shown beside it; repeatable.",
        ),
    ] = None,
    stations: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Observations (OpenAQ's columns); repeatable."
        ),
    ] = None,
    variable: Variable = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; default: only this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")
    ] = 8642,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Show a field on a map in the browser: pan, zoom, play, compare, and click for a time series.

    Works offline and reads only what is shown. Ctrl-C stops it.
    """
    from deepcams.downscaling.memory import keep_memory
    from deepcams.view.start import open_shown
    from deepcams.view.start import view as serve

    def told(url: str) -> None:
        print(f"{Path(store[0]).name} is shown at {url}  (Ctrl-C stops)", flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(url)

    keep_memory()
    shown = open_shown(store, original or (), stations or (), variable)
    at_rest = serve(shown, host=host, port=port, told=told, for_good=True)
    print("stopped", flush=True)
    if not at_rest:
        os._exit(0)  # nothing to clean up
