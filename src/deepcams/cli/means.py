"""``deepcams means``: daily, monthly, seasonal and annual means, and exceedances of limits."""

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
from deepcams.cli.worker_options import Number, Scheduler

if TYPE_CHECKING:
    from deepcams.means import Summary

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams means pm25.zarr -o days.zarr --days zones

deepcams means days.zarr -o years.nc --over year --level "WHO AQG" --level 25"""


@app.command(epilog=EXAMPLES)
def means(
    store: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE...",
            help="Hourly fields (store, files, folder, URL), or daily means of this verb.",
        ),
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="OUT.zarr (also a URL) or OUT.nc.")
    ],
    over: Annotated[
        Literal["day", "month", "season", "year"],
        typer.Option(help="Averaging period."),
    ] = "day",
    days: Annotated[
        Literal["utc", "nautical", "zones"] | None,
        typer.Option(
            help="Kind of days: utc (default), nautical (by longitude), zones (time zones, standard time)."
        ),
    ] = None,
    complete: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            help="Hours of a day, and days of a period, that are required.",
        ),
    ] = 75.0,
    level: Annotated[
        list[str] | None,
        typer.Option(
            help="Count hours and days above: WHO AQG, EU 2030, US 2006, .., ug m-3, none; default: all."
        ),
    ] = None,
    percentile: Annotated[
        list[float] | None,
        typer.Option(
            help="Percentiles of days, for longer periods; default: 50, 90, 98, 99."
        ),
    ] = None,
    bbox: BoxOption = None,
    period: PeriodOption = None,
    variable: Variable = None,
    rounding: Annotated[
        float,
        typer.Option(
            help="Largest relative error by rounding of values; 0: no rounding."
        ),
    ] = 0.001,
    validated: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of deepcams validate: the bias at its stations is stored with the means.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
    workers: Number = None,
    scheduler: Scheduler = None,
) -> None:
    """Average hourly fields by day, month, season or year, with counts and exceedances.

    Give the same command again to resume an interrupted run.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import command_line, kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.core.late_dask import import_dask_late
    from deepcams.downscaling.memory import keep_memory
    from deepcams.means import means_to

    keep_memory()
    import_dask_late()
    with (
        stoppable(kept(without="--overwrite")),
        opened(workers, scheduler) as team,
        Bars("left", hidden=quiet) as bars,
    ):

        def tell(phase: str, done: int, total: int) -> None:
            bars.tell(_PHASES.get(phase, f"{phase}s"), done, total)

        more = {} if percentile is None else {"percentiles": percentile}
        summary = means_to(
            store,
            out,
            over=over,
            days=days,
            complete=complete,
            levels=level,
            variable=variable,
            bbox=bbox,
            period=period,
            rounding=rounding,
            validated=validated,
            overwrite=overwrite,
            progress=tell,
            workers=team,
            command=command_line(),
            **more,
        )
    if as_json:
        missing, complete_ones, incomplete = summary.status
        counts = {"complete": complete_ones, "incomplete": incomplete}
        told = {**vars(summary), "status": {**counts, "missing": missing}}
        print_json(told)
    else:
        _print(summary)


_PHASES = {"write": "writing files"}


def _print(summary: Summary) -> None:
    from deepcams.core.text import duration, size

    missing, complete, incomplete = summary.status
    times = sum(summary.status)
    print(
        f"{summary.path}: {times} {summary.over}s ({complete} complete, {incomplete} incomplete, {missing} missing)"
    )
    largest = "none" if summary.largest is None else f"{summary.largest:.6g} ug m-3"
    print(f"  largest mean: {largest}; {summary.bias}")
    if summary.daily is not None:
        print(f"  daily means: {summary.daily}")
    if not summary.computed:
        print(f"  nothing to do: all were there already; {size(summary.bytes)}")
        return
    before = times - summary.computed
    resumed = f" ({before} were there already)" if before else ""
    print(
        f"  {summary.computed} {summary.over}s in {duration(summary.seconds)}{resumed}; {size(summary.bytes)}"
    )
