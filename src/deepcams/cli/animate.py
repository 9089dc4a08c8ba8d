"""``deepcams animate``: animations of fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepcams.cli.common_options import Quiet
from deepcams.cli.figure_options import (
    BBox,
    Colours,
    Fields,
    Note,
    Original,
    Paper,
    Projection,
    Scale,
    Shape,
    Size,
    Span,
    Title,
    Variable,
    open_fields,
    period_of,
)

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams animate pm25.zarr --original cams_2019.nc -o fires.mp4 --bbox 110 -50 180 -5

deepcams animate pm25.zarr -o globe.gif --projection robinson --every 3"""


@app.command(epilog=EXAMPLES)
def animate(
    field: Fields,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="The animation: .mp4 (extra [plot]) or .gif."),
    ],
    original: Original = None,
    period: Span = None,
    every: Annotated[int, typer.Option(help="Draw every N-th frame.")] = 1,
    bbox: BBox = None,
    projection: Shape = Projection.PLATE_CARREE,
    scale: Colours = Scale.LOG,
    size: Paper = Size.SCREEN,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 8,
    title: Title = "",
    note: Note = "",
    variable: Variable = None,
    quiet: Quiet = False,
) -> None:
    """Draw all frames of a field, with --original beside it, as a film (MP4) or an animated picture (GIF)."""
    from deepcams.cli.progress import one_bar
    from deepcams.plotting import animate as run

    before = {"original": open_fields(original, variable)} if original else {}
    fields = {**before, "deepcams": open_fields(field, variable)}
    with one_bar("drawing", hidden=quiet) as progress:
        path = run(
            fields,
            out,
            period=period_of(period),
            every=every,
            box=bbox,
            projection=projection.value,
            scale=scale.value,
            size=size.value,
            fps=fps,
            title=title,
            note=note,
            progress=progress,
        )
    typer.echo(f"  {path}")
