"""Options of verbs whose work can be distributed among processes and machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from deepcams.workers import Workers

Number: TypeAlias = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Work in N processes on this machine."),
]
Scheduler: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on a Dask cluster: the address of its scheduler, tcp://host:8786.",
    ),
]
PartOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Process part I of N, for array jobs: all parts write to one output.",
    ),
]


@contextmanager
def opened(number: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Start the requested workers, and print their address."""
    from deepcams.workers import dashboard, open_workers

    with open_workers(number, scheduler) as workers:
        if where := dashboard(workers):
            print(where, file=sys.stderr)
        yield workers
