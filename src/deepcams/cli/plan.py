"""``deepcams plan``: forecast the needs of a long run, and write a batch script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deepcams.cli.common_options import Json, Quiet, print_json
from deepcams.cli.network_options import DeviceOption, EngineOption

if TYPE_CHECKING:
    from deepcams.planning.forecast import Forecast

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams plan --years 2003..2020

deepcams plan cams_2019.nc --years 2003..2020 --workers 200 --script job.sh

deepcams plan --bbox -12 34 45 72 --workers 20 --scheduler-type pbs --script job.pbs"""


@app.command(epilog=EXAMPLES)
def plan(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT...]",
            help="CAMS files whose first days are measured. Default: a simulated world.",
        ),
    ] = None,
    years: Annotated[
        str,
        typer.Option(
            metavar="PERIOD",
            help="The whole output: 2003..2020, 2019-03, 2019-03-08..2019-03-10.",
        ),
    ] = "2003..2020",
    temporal: Annotated[
        str, typer.Option(help="Method in time, as for downscale.")
    ] = "best",
    spatial: Annotated[
        str, typer.Option(help="Method in space, as for downscale.")
    ] = "best",
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
        typer.Option(metavar="W S E N", help="Only the cells that this box touches."),
    ] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    days: Annotated[int, typer.Option(min=1, help="Number of days to measure.")] = 2,
    cpus: Annotated[int, typer.Option(min=1, help="Processors per worker.")] = 1,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Tasks of the batch script's array job; each does at least one day.",
        ),
    ] = 100,
    scheduler_type: Annotated[
        Literal["slurm", "pbs"], typer.Option(help="Batch system of the script.")
    ] = "slurm",
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a batch script, ready to submit."),
    ] = None,
    out: Annotated[
        str, typer.Option("-o", "--out", help="Output in the batch script.")
    ] = "pm25.zarr",
    failures: Annotated[
        float, typer.Option(help="Failures per hour of a worker.")
    ] = 0.001,
    restart: Annotated[
        float, typer.Option(help="Seconds until a failed worker starts again.")
    ] = 150.0,
    stragglers: Annotated[
        float, typer.Option(help="Fraction of workers that are slow, 0 to 1.")
    ] = 0.05,
    slowness: Annotated[
        float, typer.Option(help="Factor by which slow workers take longer.")
    ] = 1.5,
    seed: Annotated[int, typer.Option(help="Seed of failures and slow workers.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a short run and forecast a long one: hours, bytes, memory, and the wall time of 1 to 1000 workers.

    A few days are actually downscaled, on some processors of this machine, into a temporary folder. Wall times are
    those of a simulated schedule with start-up, failures and slow workers: fixed parts (--part of downscale), or a
    scheduler that gives each worker the next day (--scheduler).
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import stoppable
    from deepcams.core.period import Period
    from deepcams.evaluation.tables import check_writable, save
    from deepcams.planning.forecast import (
        forecast,
        options_of,
        options_of_all,
        time_limit,
    )
    from deepcams.planning.schedule import Conditions
    from deepcams.planning.script import Batch, batch_script

    if script is not None:
        check_writable(script)
    settings: dict[str, Any] = {
        "temporal": temporal,
        "spatial": spatial,
        "conserve": conserve,
        "order": order,
        "bbox": bbox,
        "device": device,
        "engine": engine,
    }
    conditions = Conditions(
        failures=failures, restart=restart, stragglers=stragglers, slowness=slowness
    )
    with (
        # It stops only between polls of the measured process: during its start that process would be left behind.
        stoppable("nothing was written", waits=True) as stopping,
        Bars(transient=True, hidden=quiet) as bars,
    ):

        def tell(stage: str, done: int, total: int) -> None:
            stopping.check()
            bars.tell(_STAGES[stage], done, total)

        found = forecast(
            Period.parse(years, "--years"),
            inputs or [],
            settings,
            conditions,
            days=days,
            cpus=cpus,
            seed=seed,
            progress=tell,
        )
    if as_json:
        print_json(found.as_dict())
    else:
        _print_forecast(found)
    if script is not None:
        parts = min(workers, found.items)
        batch = Batch(
            inputs or ["cams/"],
            out,
            [*options_of(settings), "--period", years],
            parts,
            found.measured.memory,
            time_limit(found, parts),
            cpus,
            found.gpu,
            options_of_all() if inputs else (),
        )
        save(script, batch_script(batch, scheduler_type))
        if not as_json:
            submit = {"slurm": "sbatch", "pbs": "qsub"}[scheduler_type]
            print(f"\n{parts} tasks, {batch.mebibytes} MiB and {batch.time} each:")
            print(f"  {submit} {script}")


_STAGES = {"simulate": "simulating", "measure": "measuring"}


def _print_forecast(forecast: Forecast) -> None:
    from rich.console import Console

    from deepcams.core.text import counted, duration, size
    from deepcams.evaluation.tables import Column, to_terminal

    measured, conditions = forecast.measured, forecast.conditions
    rows, columns = forecast.shape
    mean = sum(measured.seconds) / len(measured.seconds)
    cpu_hours = forecast.work_hours * forecast.cpus
    gpu_hours = f", {forecast.work_hours:,.0f} GPU hours" if forecast.gpu else ""
    print(
        f"{forecast.hours:,} hours of {rows} x {columns} in {counted(forecast.items, 'work item')} (shards)"
    )
    print(
        f"  measured: {forecast.input}, {duration(mean)} an item, processors {measured.busy:.0%} busy"
    )
    print(f"  work: {cpu_hours:,.1f} processor hours{gpu_hours}")
    print(f"  output: about {size(forecast.bytes)}")
    print(
        f"  a worker: {size(measured.memory)} of memory (peak), {duration(conditions.startup)} to start"
    )
    print(
        f"  assumed: {conditions.failures:g} failures an hour of a worker, {duration(conditions.restart)} to start "
        f"again; {conditions.stragglers:.0%} of the workers {conditions.slowness:g} times slower\n"
    )
    shown: list[Column] = [Column("workers", "workers", ",d")]
    for sharing, words in (("parts", "parts"), ("dynamic", "scheduler")):
        shown += [
            Column(f"{sharing}.seconds", words, duration),
            Column(f"{sharing}.efficiency", "efficiency", ".0%"),
            Column(f"{sharing}.lost_hours", "lost", lambda hours: f"{hours:.2f} h"),
        ]
    table = [
        {
            "workers": row["workers"],
            **{
                f"{sharing}.{name}": value
                for sharing in ("parts", "dynamic")
                for name, value in row[sharing].items()
            },
        }
        for row in forecast.schedules
    ]
    Console(highlight=False).print(to_terminal(table, shown))
