"""``deepcams downscale``: downscale CAMS fields."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepcams.cli.common_options import (
    Json,
    Overwrite,
    PeriodOption,
    Quiet,
    Variable,
    print_json,
)
from deepcams.cli.network_options import (
    DeviceOption,
    EngineOption,
    PrecisionOption,
    methods_of,
)
from deepcams.cli.worker_options import Number, PartOption, Scheduler

if TYPE_CHECKING:
    from deepcams.downscaling.job import Estimate, Summary

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams downscale cams_2019.nc -o pm25.zarr

deepcams downscale cams/ -o europe.nc --bbox -12 34 45 72 --period 2019-03..2019-05"""


@app.command(epilog=EXAMPLES)
def downscale(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="CAMS EAC4 files, folders, globs or URLs."
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="OUT.zarr (also s3://BUCKET/OUT.zarr), OUT.nc, or a folder for one netCDF per month.",
        ),
    ],
    temporal: Annotated[
        str,
        typer.Option(
            help="Method in time (best: self-checked; linear, ..), a checkpoint file, or none to keep the cadence."
        ),
    ] = "best",
    spatial: Annotated[
        str,
        typer.Option(
            help="Method in space (best: cellnet; log-bicubic, ..), a checkpoint file, or none to keep the grid."
        ),
    ] = "best",
    method: Annotated[
        str | None,
        typer.Option(
            help="A network in space and time (spacetime), or its checkpoint file, instead of two methods."
        ),
    ] = None,
    auxiliary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Weather (boundary-layer height, wind) for a network that uses it; may be repeated.",
        ),
    ] = None,
    conserve: Annotated[
        bool,
        typer.Option("--conserve/--no-conserve", help="Keep the coarse cells' means."),
    ] = True,
    order: Annotated[
        Literal["spatial-first", "temporal-first"],
        typer.Option(help="Which method comes first."),
    ] = "spatial-first",
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N",
            help="Only the cells that this box touches; W > E crosses the dateline.",
        ),
    ] = None,
    period: PeriodOption = None,
    variable: Variable = None,
    factor: Annotated[
        int,
        typer.Option(
            help="Refinement factor in space: 3, or 5 (training-free methods)."
        ),
    ] = 3,
    gap: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            help="Longest interval between two frames that is interpolated, 2 to 6.",
            show_default="3",
        ),
    ] = None,
    rounding: Annotated[
        float,
        typer.Option(
            help="Largest relative error by rounding of values; 0: no rounding."
        ),
    ] = 0.001,
    split: Annotated[
        Literal["day", "month"] | None,
        typer.Option(help="In a folder: one netCDF per day or month."),
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Add later hours to a finished Zarr store.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    engine: EngineOption = "auto",
    workers: Number = None,
    part: PartOption = None,
    scheduler: Scheduler = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="HTML",
            help="Also write a report: one HTML file (see deepcams report).",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show hours, size and time; write nothing."),
    ] = False,
) -> None:
    """Downscale 3-hourly 0.75 degree CAMS fields to hourly 0.25 degree fields.

    Give the same command again to resume an interrupted run.
    """
    from deepcams.cli.progress import Bars, Rate
    from deepcams.cli.stopping import command_line, kept, stoppable
    from deepcams.cli.worker_options import opened
    from deepcams.core.late_dask import import_dask_late
    from deepcams.core.url import place_of
    from deepcams.downscaling.extend import earlier_inputs, plan_extension
    from deepcams.downscaling.job import Job, plan_job
    from deepcams.downscaling.memory import keep_memory
    from deepcams.readers.open import find_field_files, open_coarse
    from deepcams.workers import Part

    temporal, spatial = methods_of(method, temporal, spatial)
    share = None if part is None else Part.parse(part)
    keep_memory()
    import_dask_late()
    if report is not None:
        from deepcams.core.errors import refuse_url
        from deepcams.report.report import check_name

        refuse_url(out)  # a report needs a local output

        check_name(report)
    place = place_of(out)
    _refuse_together(
        extend, {"--part": part, "--overwrite": overwrite, "--dry-run": dry_run}
    )
    paths = [*inputs, *earlier_inputs(place)] if extend else inputs
    files = find_field_files(paths)
    settings: dict[str, Any] = {} if extend else {"overwrite": overwrite}
    if auxiliary:
        settings["auxiliary"] = tuple(auxiliary)
    job = (plan_extension if extend else plan_job)(
        open_coarse(files, variable, with_dask=False),
        place,
        temporal=temporal,
        spatial=spatial,
        conserve=conserve,
        order=order,
        bbox=bbox,
        period=period,
        rounding=rounding,
        split=split,
        device=device,
        precision=precision,
        engine=engine,
        factor=factor,
        gap=gap,
        inputs=[file.given for file in files],
        command=command_line(),
        **settings,
    )
    if isinstance(job, Job) and dry_run:
        if as_json:
            print_json({"output": job.target.path, **vars(job.estimate())})
        else:
            _print_estimate(job.estimate(), job.target.path)
        return
    with (
        stoppable(kept(without="--overwrite")),
        opened(workers, scheduler) as team,
        Bars("h", Rate("h/s"), "left", hidden=quiet) as bars,
    ):

        def tell(phase: str, done: int, total: int) -> None:
            bars.tell(_PHASES[phase], done, total)

        if isinstance(job, Job):
            summary = job.run(tell, team, share)
        else:
            summary = job.run(tell, team)
    if not as_json:
        _print_summary(summary)
    written = None
    if report is not None and not summary.left:
        from deepcams.report import write_report

        written = write_report(
            str(summary.path), report, original=[file.given for file in files]
        )
        if not as_json:
            print(f"  report: {written}")
    if as_json:
        print_json(_as_dict(summary, written))


def _refuse_together(extend: bool, others: dict[str, object]) -> None:
    """Refuse options that do not apply when a store is extended."""
    from deepcams.core.errors import InputError

    given = [name for name, value in others.items() if value]
    if extend and given:
        raise InputError("--extend", f"it without {given[0]}", "both")


_PHASES = {"downscale": "downscaling", "write": "writing files"}


def _as_dict(summary: Summary, report: Path | None) -> dict[str, Any]:
    missing, analysis, interpolated = summary.total.hours
    return {
        "output": summary.path,
        "hours": summary.hours,
        "analysis": analysis,
        "interpolated": interpolated,
        "missing": missing,
        "left": summary.left,
        "computed": summary.computed,
        "seconds": summary.seconds,
        "bytes": summary.bytes,
        "largest": summary.total.largest,
        "missing_values": summary.total.missing_cells,
        "input": summary.total.counts,
        "report": report,
    }


def _print_summary(summary: Summary) -> None:
    from deepcams.core.text import duration, size

    total, counts = summary.total, summary.total.counts
    missing, analysis, interpolated = total.hours
    print(
        f"{summary.path}: {summary.hours} hours ({analysis} analysis, {interpolated} interpolated, {missing} missing)"
    )
    largest = "none" if total.largest is None else f"largest {total.largest:.6g} ug m-3"
    print(
        f"  values: {largest}, {total.missing_cells} missing; in the input {counts.negative} small negatives set to 0, "
        f"{counts.missing + counts.implausible} missing"
    )
    if counts.clipped:
        print(
            f"  clipped: {counts.clipped} values exceed what the network's scaling can hold, and lost the excess"
        )
    if not summary.computed:
        print(f"  nothing to do: all hours were there already; {size(summary.bytes)}")
        return
    rate = summary.computed / summary.seconds
    before = summary.hours - summary.computed
    resumed = f" ({before} were there already)" if before else ""
    print(
        f"  {summary.computed} hours in {duration(summary.seconds)}, {rate:.2f} h/s{resumed}; {size(summary.bytes)}"
    )


def _print_estimate(estimate: Estimate, out: object) -> None:
    from deepcams.core.text import duration, size

    print(
        f"{out} would hold {estimate.hours} hours ({estimate.missing} of them missing)"
    )
    grid = estimate.grid
    print(f"  grid: {grid.rows} x {grid.columns}, {grid.spacing} degrees")
    free = "" if estimate.free is None else f"; free: {size(estimate.free)}"
    print(f"  size: about {size(estimate.bytes)} ({size(estimate.raw)} raw){free}")
    print(
        f"  time: about {duration(estimate.seconds)} (from computing and compressing the first work item)"
    )
    print(f"  memory: about {size(estimate.memory)} at most")
