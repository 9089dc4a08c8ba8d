"""deepcams downscale: the main job."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deepcams.downscaling.job import Estimate, Summary

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


class Order(StrEnum):
    """Which comes first."""

    spatial_first = "spatial-first"
    temporal_first = "temporal-first"


class Split(StrEnum):
    """How a folder is cut into files."""

    day = "day"
    month = "month"


EXAMPLES = """Examples:

deepcams downscale cams_2019.nc -o pm25.zarr

deepcams downscale cams/ -o europe.nc --bbox -12 34 45 72 --period 2019-03..2019-05"""


@app.command(epilog=EXAMPLES)
def downscale(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="CAMS EAC4 files, folders or globs.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="OUT.zarr, OUT.nc, or a folder for one netCDF a month."),
    ],
    temporal: Annotated[
        str,
        typer.Option(
            help="Method in time (best, flow, linear, ..), a checkpoint file, or none to keep the cadence."
        ),
    ] = "best",
    spatial: Annotated[
        str,
        typer.Option(
            help="Method in space (best, log-bicubic, ..), a checkpoint file, or none to keep the grid."
        ),
    ] = "best",
    conserve: Annotated[
        bool, typer.Option("--conserve/--no-conserve", help="Keep the coarse cells' means.")
    ] = True,
    order: Annotated[Order, typer.Option(help="What comes first.")] = Order.spatial_first,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N",
            help="Only the cells that this box touches; W > E crosses the dateline.",
        ),
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="Only these hours: 2019, 2019-03, 2019-03-08..2019-03-10.")
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Another variable than PM2.5 (pm10, ..).")
    ] = None,
    rounding: Annotated[
        float,
        typer.Option(help="Bound on the relative error by which values are rounded; 0: none."),
    ] = 0.001,
    split: Annotated[
        Split | None, typer.Option(help="In a folder: one netCDF a day or a month.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of networks: float32 or bfloat16.")] = "float32",
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="HTML", help="Also write a report: one HTML file (see deepcams report)."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell hours, size and time; write nothing.")
    ] = False,
) -> None:
    """Downscale 3-hourly 0.75 degree CAMS fields to hourly 0.25 degree fields.

    An interrupted run goes on where it was when the same command is given again.
    """
    from deepcams.cli.progress import Bars, Rate
    from deepcams.cli.stopping import command_line, kept, stoppable
    from deepcams.downscaling.job import plan_job
    from deepcams.downscaling.memory import keep_memory_for
    from deepcams.readers.cams import open_cams_files
    from deepcams.readers.detect import find_files

    keep_memory_for(temporal)
    if report is not None:
        from deepcams.report.report import check_name

        check_name(report)
    files = find_files(inputs)
    job = plan_job(
        open_cams_files(files, variable or "pm2p5"),
        out,
        temporal=temporal,
        spatial=spatial,
        conserve=conserve,
        order=order.value,
        bbox=bbox,
        period=period,
        rounding=rounding,
        split=split.value if split else None,
        overwrite=overwrite,
        device=device,
        precision=precision,
        inputs=[file.given for file in files],
        command=command_line(),
    )
    if dry_run:
        _tell_estimate(job.estimate(), out)
        return
    with stoppable(kept(without="--overwrite")), Bars("h", Rate("h/s"), "left") as bars:
        summary = job.run(lambda phase, done, total: bars.tell(_PHASES[phase], done, total))
    _tell_summary(summary)
    if report is not None:
        from deepcams.report.report import report as write_report

        print(
            f"  report: {write_report(summary.path, report, original=[file.given for file in files])}"
        )


_PHASES = {"downscale": "downscaling", "write": "writing files"}


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def _tell_summary(summary: Summary) -> None:
    from deepcams.core.text import size

    total = summary.total
    missing, analysis, interpolated = total.hours
    print(
        f"{summary.path}: {summary.hours} hours ({analysis} analysis, {interpolated} interpolated, {missing} missing)"
    )
    print(
        f"  values: largest {total.largest:.6g} ug m-3, "
        if total.largest is not None
        else "  values: none, ",
        f"{total.missing_cells} missing; in the input {total.counts.negative} small negatives set to 0, "
        f"{total.counts.missing + total.counts.implausible} missing",
        sep="",
    )
    if total.counts.clipped:
        print(
            f"  clipped: {total.counts.clipped} values exceed what the network's scaling can hold, and lost the excess"
        )
    if summary.computed:
        rate = summary.computed / summary.seconds
        there = summary.hours - summary.computed
        kept = f" ({there} were there already)" if there else ""
        print(
            f"  {summary.computed} hours in {_time(summary.seconds)}, {rate:.2f} h/s{kept}; {size(summary.bytes)}"
        )
    else:
        print(f"  nothing to do: all hours were there already; {size(summary.bytes)}")


def _tell_estimate(estimate: Estimate, out: Path) -> None:
    from deepcams.core.text import size

    print(f"{out} would hold {estimate.hours} hours ({estimate.missing} of them missing)")
    print(f"  grid: {estimate.rows} x {estimate.columns}, {estimate.step:g} degrees")
    print(
        f"  size: about {size(estimate.bytes)} ({size(estimate.raw)} raw); free there: {size(estimate.free)}"
    )
    print(
        f"  time: about {_time(estimate.seconds)} (from computing and compressing the first work item)"
    )
