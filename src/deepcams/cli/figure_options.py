"""Options shared by the verbs that draw."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import xarray as xr

    from deepcams.core.period import Period


class Size(StrEnum):
    """How large."""

    SCREEN, COLUMN, PAGE, SLIDE = "screen", "column", "page", "slide"


class Scale(StrEnum):
    """Colour scale."""

    LOG, GUIDELINE = "log", "guideline"


class Projection(StrEnum):
    """Map projection."""

    PLATE_CARREE, ROBINSON, EQUAL_EARTH = "plate-carree", "robinson", "equal-earth"
    NORTH_POLAR, SOUTH_POLAR = "north-polar", "south-polar"


Box = tuple[float, float, float, float]
Fields = Annotated[
    list[str],
    typer.Argument(metavar="FIELD...", help="Files, folders, globs or stores."),
]
Out = Annotated[
    Path, typer.Option("-o", "--out", help="The figure: .png, .pdf or .svg.")
]
Original = Annotated[
    list[str] | None,
    typer.Option("--original", help="Input of the field (CAMS); may be repeated."),
]
BBox = Annotated[
    Box | None,
    typer.Option(
        "--bbox", metavar="W S E N", help="Only this box; W > E crosses the dateline."
    ),
]
Time = Annotated[
    str | None, typer.Option("--time", help="UTC: 2019-12-31T17. Default: the first.")
]
Span = Annotated[
    str | None,
    typer.Option("--period", help="UTC: 2019, 2019-03, 2019-03-01..2019-03-08."),
]
Shape = Annotated[Projection, typer.Option("--projection", help="Map projection.")]
Colours = Annotated[
    Scale,
    typer.Option("--scale", help="Logarithmic, or the steps of WHO's 2021 guidelines."),
]
Paper = Annotated[Size, typer.Option("--size", help="Purpose of the figure.")]
Title = Annotated[str, typer.Option("--title", help="Replaces the default title.")]
Note = Annotated[str, typer.Option("--note", help="A line below the title.")]
Variable = Annotated[
    str | None,
    typer.Option("--variable", help="Name in the files.", show_default="PM2.5"),
]


def open_fields(paths: list[str], variable: str | None) -> xr.DataArray:
    """Open the field of any files, lazily."""
    from deepcams.core.times import long_means_opened
    from deepcams.readers.open import open_field

    with long_means_opened():
        return open_field(paths, variable)


def period_of(text: str | None) -> Period | None:
    """Parse a period, if given."""
    from deepcams.core.period import Period

    return None if text is None else Period.parse(text, "--period")
