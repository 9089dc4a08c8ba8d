"""``deepcams evaluate``: Tables 2 and 3 of the paper, for any period and any method."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


class _Task(StrEnum):
    TEMPORAL, SPATIAL, JOINT = "temporal", "spatial", "joint"


class _Degradation(StrEnum):
    AREA, IMRESIZE, DECIMATE = "area", "imresize", "decimate"


class _Resolution(StrEnum):
    FINE, COARSE = "fine", "coarse"


class _Order(StrEnum):
    BOTH, SPATIAL_FIRST, TEMPORAL_FIRST = "both", "spatial-first", "temporal-first"


class _Conserve(StrEnum):
    AS_NAMED, BOTH, ALWAYS, NEVER = "as-named", "both", "always", "never"


class _Weighting(StrEnum):
    PLAIN, AREA = "plain", "area"


EXAMPLES = """Examples:

deepcams evaluate geos_cf/ --task spatial --json scores.json

deepcams evaluate geos_cf/ --task temporal --bbox -75 -60 -30 15

deepcams evaluate geos_cf/ --methods linear-then-bicubic,bicubic-then-flow"""


@app.command(epilog=EXAMPLES)
def evaluate(
    truth: Annotated[
        list[Path],
        typer.Argument(help="Hourly fine fields: files, folders or globs (GEOS-CF, ...)."),
    ],
    task: Annotated[_Task, typer.Option(help="What is hidden from the methods.")] = _Task.JOINT,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names, comma-separated; A-then-B for a chain. Default: all that fit the task."
        ),
    ] = None,
    degrade: Annotated[
        _Degradation, typer.Option(help="How fine becomes coarse.")
    ] = _Degradation.AREA,
    resolution: Annotated[
        _Resolution, typer.Option(help="Where the temporal task takes place.")
    ] = _Resolution.FINE,
    order: Annotated[
        _Order, typer.Option(help="Joint task: the chains that single names stand for.")
    ] = _Order.BOTH,
    conserve: Annotated[
        _Conserve,
        typer.Option(
            help="Methods in space: as named, with and without +conserve, all or none with it."
        ),
    ] = _Conserve.AS_NAMED,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N", help="Score only this box, in degrees; W > E crosses the dateline."
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Degrees beyond the box that methods see, unscored.")
    ] = 12.0,
    period: Annotated[
        str | None, typer.Option(help="Only these times: 2019, 2019-03, 2019-03-01..2019-03-08.")
    ] = None,
    weighting: Annotated[
        _Weighting, typer.Option(help="All nodes alike (the paper), or by area.")
    ] = _Weighting.PLAIN,
    clip: Annotated[
        float | None, typer.Option(help="Values above count as this (the paper's code: 800).")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all rows as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Score methods against a known truth: R, RMSE, MAE, bias, extremes, skill; by month, averaged, pooled.

    The truth is degraded, the methods restore it, and what they make is compared with it. temporal: hours 1 and 2 of
    each 3 are predicted from hours 0 and 3. spatial: each hour is coarsened and refined. joint: both at once.
    """
    from rich.console import Console

    from deepcams.cli.progress import one_bar
    from deepcams.evaluation import experiment as simulation
    from deepcams.evaluation import experiment_tables as tables
    from deepcams.evaluation.tables import check_writable, save

    outputs = [(json, tables.as_json), (csv, tables.as_csv), (markdown, tables.as_markdown)]
    for path, _ in outputs:
        if path is not None:
            check_writable(path)
    experiment = simulation.Experiment(
        task.value, degrade.value, resolution.value, bbox, margin, weighting.value, clip
    )
    names = methods.split(",") if methods is not None else None
    field = simulation.open_truth(truth, period)
    with one_bar("scoring", "blocks", hidden=quiet) as progress:
        result = simulation.evaluate(
            field, experiment, names, order=order.value, conserve=conserve.value, progress=progress
        )
    Console().print(tables.for_terminal(result))
    for path, text in outputs:
        if path is not None:
            save(path, text(result))
