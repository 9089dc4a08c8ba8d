"""Options shared by several verbs, with the same meaning everywhere."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeAlias

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
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print everything as JSON on standard output.")
]


def print_json(document: Any) -> None:
    """Print a document as JSON: dataclasses as objects, paths as texts, non-finite numbers as ``null``."""
    print(json.dumps(_plain(document), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
