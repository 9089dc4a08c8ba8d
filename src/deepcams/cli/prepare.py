"""``deepcams prepare``: make a training store from downloaded or simulated files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepcams.cli.common_options import (
    Json,
    Overwrite,
    PeriodOption,
    Quiet,
    Variable,
    print_json,
)
from deepcams.cli.worker_options import Number, Scheduler

if TYPE_CHECKING:
    from deepcams.training.store.prepare import Summary

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


class _Degradation(StrEnum):
    AREA, IMRESIZE, DECIMATE = "area", "imresize", "decimate"


EXAMPLES = """Examples:

deepcams prepare geos_cf/ -o train.zarr

deepcams prepare geos_cf/Y2018 geos_cf/Y2019 -o america.zarr --bbox -180 -60 -30 75 --period 2018..2019

A complete one, without any download:

deepcams simulate -o world/ --layout geos-cf --period 2019-03-08 --bbox 0 30 60 60

deepcams prepare world/ -o train.zarr"""


@app.command(epilog=EXAMPLES)
def prepare(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Hourly files (GEOS-CF, ..), folders or globs.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Store to write, usually NAME.zarr.")
    ],
    degrade: Annotated[
        _Degradation, typer.Option(help="How fine fields are coarsened.")
    ] = _Degradation.AREA,
    period: PeriodOption = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N",
            help="Only the coarse cells that this box touches; W > E: over the dateline.",
        ),
    ] = None,
    variable: Variable = None,
    step: Annotated[
        float,
        typer.Option(
            metavar="DEGREES",
            help="Spacing of the files' nodes. 0.75: train on CAMS itself, coarsened to 2.25.",
        ),
    ] = 0.25,
    workers: Number = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check hourly fine fields, coarsen them, and write both to one store for training.

    Missing, repeated and implausible hours are listed and left out. Give the same command again to resume an
    interrupted run; later hours, given as further files, are added to a finished store.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.core.late_dask import import_dask_late
    from deepcams.downscaling.memory import keep_memory
    from deepcams.training.store.prepare import Preparation

    import_dask_late()
    keep_memory()
    preparation = Preparation(
        inputs,
        out,
        degradation=degrade.value,
        variable=variable,
        period=period,
        bbox=bbox,
        overwrite=overwrite,
        step=step,
    )
    told = kept(without="--overwrite")
    with (
        stoppable(told, waits=True) as stopping,
        opened(workers, scheduler) as team,
        Bars("{task.fields[unit]}, left", hidden=quiet) as bars,
    ):

        def tell(phase: str, done: int, total: int) -> None:
            stopping.check()
            words, unit = _PHASES[phase]
            bars.tell(words, done, total, unit=unit)

        summary = preparation.run(tell, team)
    if as_json:
        print_json(_as_dict(summary))
    else:
        _tell(summary)


_PHASES = {"headers": ("reading headers", "files"), "hours": ("preparing", "h")}


def _as_dict(summary: Summary) -> dict[str, Any]:
    store, report = summary.store, summary.report.to_json()
    return {
        "output": store.path,
        "hours": report.pop("good"),
        "variable": store.variable,
        "family": store.sources["family"],
        "mean": store.mean,
        "degradation": store.degradation,
        "fine": store.fine.describe(),
        "coarse": store.coarse.describe(),
        "computed": summary.computed,
        "seconds": summary.seconds,
        "bytes": summary.bytes,
        **{name.replace(" ", "_"): value for name, value in report.items()},
    }


def _tell(summary: Summary) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from deepcams.core.text import size
    from deepcams.training.store.open import REPORT

    store, report = summary.store, summary.report
    print(f"{store.path}: {report.good:,} hours, {report.first} to {report.last} UTC")
    print(
        f"  {store.sources['family']}, {store.variable}, {'hourly means' if store.mean else 'instants'}"
    )
    print(
        f"  fine {store.fine.describe()}; coarse {store.coarse.describe()}, by {store.degradation}"
    )
    amount = size(summary.bytes)
    if summary.computed:
        there = report.good - summary.computed
        kept = f" ({there:,} were there already)" if there else ""
        rate = summary.computed / summary.seconds
        print(
            f"  {summary.computed:,} hours in {summary.seconds:.1f} s, {rate:.1f} h/s{kept}; {amount}"
        )
    else:
        print(f"  nothing to do: all hours were there already; {amount}")
    rows = report.rows()
    if not rows:
        print("  nothing was left out")
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("left out", "hours", "because", "first ones"):
        table.add_column(
            name, justify="right" if name == "hours" else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
    print(f"all of them: {store.path / REPORT}")
