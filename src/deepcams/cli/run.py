"""``deepcams run``: run a whole experiment, from fetching to validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepcams.cli.common_options import Quiet

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams run configs/paper-simulated.yaml -o results/

deepcams run configs/paper.yaml -o paper/"""


@app.command(epilog=EXAMPLES)
def run(
    experiment: Annotated[
        Path,
        typer.Argument(metavar="EXPERIMENT.yaml", help="The experiment file."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder for data, networks and results."
        ),
    ],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--endpoint", metavar="NAME=URL", help="Override a service address."
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value: fetch.cams.period=2019.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where networks run: auto, cpu or cuda.")
    ] = "auto",
    quiet: Quiet = False,
) -> None:
    """Fetch, prepare, train both networks, evaluate, downscale, validate and report: the paper in one command.

    Given again, it skips finished steps and resumes where it was stopped; steps whose settings have changed in the
    file, and those that depend on them, are run again.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import stoppable
    from deepcams.files.optional import require

    require("fetch", "deepcams run")
    from deepcams.experiment.execute import execute

    told = "what is done is kept. Give the same command again to go on"
    with (
        stoppable(told) as stopping,
        Bars(width=16, alone=True, transient=True, hidden=quiet) as bars,
    ):

        def tell(step: str, done: int, total: int) -> None:
            stopping.waits = step.startswith(
                "train "
            )  # a training polls this, and saves its state
            bars.tell(step, done, total)

        report = execute(
            experiment,
            out,
            change or (),
            endpoint or (),
            device,
            tell,
            typer.echo,
            stopping.asked,
        )
    typer.echo(f"results: {out}; the report about them: {report}")
