"""``deepcams train``: train a network from prepared stores to a checkpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepcams.cli.common_options import Quiet

if TYPE_CHECKING:
    from deepcams.training.loop import Summary

app = typer.Typer(
    rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)

EXAMPLES = """Examples:

deepcams train configs/smoke-temporal.yaml -o runs/smoke

deepcams train configs/smoke-temporal.yaml -o runs/smoke --resume

deepcams train configs/smoke-spatial.yaml -o runs/linear --set network.scaling.name=linear-clip

torchrun --nproc-per-node 2 -m deepcams train configs/smoke-spatial.yaml -o runs/two"""


@app.command(epilog=EXAMPLES)
def train(
    experiment: Annotated[
        Path,
        typer.Argument(metavar="EXPERIMENT.yaml", help="Network, data and settings."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="RUN", help="Folder for log, state and weights."
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the training in RUN.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a value: training.steps=100."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train a network as described in an experiment file, and keep the weights with the best validation score.

    Ctrl-C or SIGTERM saves the state; --resume continues from it, on a CPU bit for bit as if never stopped.
    """
    from deepcams.cli.progress import Bars
    from deepcams.cli.stopping import Stopping, command_line
    from deepcams.core.errors import DeepcamsError
    from deepcams.downscaling.memory import keep_memory
    from deepcams.plotting.scores.training import draw_curve
    from deepcams.training.experiment_file import read_experiment, values_of

    silent = int(os.environ.get("RANK", "0")) > 0  # only the first process prints
    try:
        wanted = read_experiment(
            experiment, change or ()
        )  # report its errors before importing PyTorch
        run = _trainer()
        keep_memory()
        with (
            values_of(experiment),
            Stopping(waits=True) as stopping,
            Bars(hidden=quiet or silent) as bars,
        ):

            def tell(figures: str, step: int, steps: int) -> None:
                bars.tell("training", step, steps, words=f"training  {figures}")

            summary = run(
                wanted,
                out,
                resume=resume,
                device=device,
                progress=tell,
                stop=stopping.asked,
                on_validation=draw_curve,
            )
    except DeepcamsError:
        if silent:
            raise typer.Exit(2) from None
        raise
    if silent:
        return
    if summary.stopped:
        command = command_line("--resume", add=["--resume"])
        print(
            f"stopped after step {summary.step}; the state is saved. Go on with:\n  {command}",
            file=sys.stderr,
        )
        raise typer.Exit(130)
    print(summary.text())


def _trainer() -> Callable[..., Summary]:
    from deepcams.core.errors import MissingExtraError

    try:
        from deepcams.training.loop import train as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("deepcams train", "training") from error
    return run
