"""``deepcams evaluate``: Tables 2 and 3 of the paper, for any period and any method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deepcams.cli.worker_options import Number, Scheduler

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


EXAMPLES = """Examples:

deepcams evaluate geos_cf/ --task spatial --json scores.json

deepcams evaluate geos_cf/ --task temporal --bbox -75 -60 -30 15 -o scores/

deepcams evaluate geos_cf/ --methods linear-then-bicubic,bicubic-then-flow"""


@app.command(epilog=EXAMPLES)
def evaluate(
    truth: Annotated[
        list[str],
        typer.Argument(
            help="Hourly fine fields: files, folders, globs or URLs (GEOS-CF, ...)."
        ),
    ],
    task: Annotated[
        Literal["temporal", "spatial", "joint"],
        typer.Option(help="What is hidden from the methods."),
    ] = "joint",
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names, comma-separated; A-then-B for a chain. Default: all that fit the task."
        ),
    ] = None,
    degrade: Annotated[
        Literal["area", "imresize", "decimate"],
        typer.Option(help="How fine becomes coarse."),
    ] = "area",
    resolution: Annotated[
        Literal["fine", "coarse"],
        typer.Option(help="Where the temporal task takes place."),
    ] = "fine",
    order: Annotated[
        Literal["both", "spatial-first", "temporal-first"],
        typer.Option(help="Joint task: the chains that single names stand for."),
    ] = "both",
    conserve: Annotated[
        Literal["as-named", "both", "always", "never"],
        typer.Option(
            help="Methods in space: as named, with and without +conserve, all or none with it."
        ),
    ] = "as-named",
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N",
            help="Score only this box, in degrees; W > E crosses the dateline.",
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Degrees beyond the box that methods see, unscored.")
    ] = 12.0,
    period: Annotated[
        str | None,
        typer.Option(help="Only these times: 2019, 2019-03, 2019-03-01..2019-03-08."),
    ] = None,
    weighting: Annotated[
        Literal["plain", "area"],
        typer.Option(help="All nodes alike (the paper), or by area."),
    ] = "plain",
    clip: Annotated[
        float | None,
        typer.Option(help="Values above count as this (the paper's code: 800)."),
    ] = None,
    thresholds: Annotated[
        str,
        typer.Option(
            help="Of events, ug m-3, comma-separated; the table shows the second."
        ),
    ] = "15,35,75,150",
    workers: Number = None,
    scheduler: Scheduler = None,
    json: Annotated[Path | None, typer.Option(help="Write all rows as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all rows as CSV.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table as Markdown.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder for all tables and figures."
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar.")
    ] = False,
) -> None:
    """Score methods against a known truth: errors and skill by month, effective resolution, events, extremes, hours.

    The truth is degraded, the methods restore it, and what they make is compared with it. temporal: hours 1 and 2 of
    each 3 are predicted from hours 0 and 3. spatial: each hour is coarsened and refined. joint: both at once.
    """
    from rich.console import Console

    from deepcams.cli.progress import one_bar
    from deepcams.cli.worker_options import opened
    from deepcams.evaluation import experiment as simulation
    from deepcams.evaluation import experiment_tables as tables
    from deepcams.evaluation.tables import check_folder, check_writable, save

    outputs = [
        (json, tables.as_json),
        (csv, tables.as_csv),
        (markdown, tables.as_markdown),
    ]
    for path, _ in outputs:
        if path is not None:
            check_writable(path)
    if out is not None:
        check_folder(out)
    experiment = simulation.Experiment(
        task,
        degrade,
        resolution,
        bbox,
        margin,
        weighting,
        clip,
        thresholds=simulation.parse_thresholds(thresholds),
    )
    names = methods.split(",") if methods is not None else None
    field = simulation.open_truth(truth, period)
    with (
        opened(workers, scheduler) as team,
        one_bar("scoring", "blocks", hidden=quiet) as progress,
    ):
        result = simulation.evaluate(
            field,
            experiment,
            names,
            order=order,
            conserve=conserve,
            progress=progress,
            workers=team,
        )
    Console().print(tables.for_terminal(result))
    for path, text in outputs:
        if path is not None:
            save(path, text(result))
    if out is not None:
        for path in [*tables.write(result, out), *_draw(tables.document(result), out)]:
            typer.echo(f"  {path}")


def _draw(document: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the figures of an evaluation into a folder."""
    from deepcams.plotting import save
    from deepcams.plotting.evaluation import skill_by_hour_figure, spectra_figure

    drawn = []
    if document["details"].get("spectra"):
        drawn.append(save(spectra_figure(document), folder / "spectra.png"))
    if document["details"].get("local_hours"):
        drawn.append(save(skill_by_hour_figure(document), folder / "skill-by-hour.png"))
    return drawn
