"""Options that several verbs share, so that each means the same everywhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Variable: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--variable",
        "-v",
        help="Variable of the files: pm10, no2, ..",
        show_default="PM2.5",
    ),
]
PeriodOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--period",
        help="Only these times (UTC): 2019, 2019-03, 2019-03-08..2019-03-10.",
    ),
]
BoxOption: TypeAlias = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        "--bbox",
        metavar="W S E N",
        help="Only nodes in this box; W > E crosses the dateline.",
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing output.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bars.")
]
