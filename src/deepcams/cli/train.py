"""``deepcams train``: one experiment, from prepared stores to a checkpoint."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

deepcams train configs/smoke-temporal.yaml -o runs/smoke

deepcams train configs/smoke-temporal.yaml -o runs/smoke --resume

deepcams train configs/smoke-spatial.yaml -o runs/linear --set network.scaling.name=linear-clip

torchrun --nproc-per-node 2 -m deepcams train configs/smoke-spatial.yaml -o runs/two"""


@app.command(epilog=EXAMPLES)
def train(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="What to train, on what, and how.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="Folder for log, state and weights.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in RUN.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value: training.steps=100.")
    ] = None,
) -> None:
    """Train a network as an experiment describes, and keep the weights that are best on validation.

    Ctrl-C or SIGTERM saves the state; --resume goes on from it, on a CPU the same to the bit as if never stopped.
    """
    from deepcams.errors import DeepcamsError, MissingExtraError
    from deepcams.plotting.training import draw_curve
    from deepcams.production.memory import keep_memory_at_hand
    from deepcams.settings import read_experiment

    try:
        from deepcams.training.train import train as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("deepcams train", "training") from error

    keep_memory_at_hand()
    quiet = int(os.environ.get("RANK", "0")) > 0  # of several processes, one speaks
    stopping = _Stopping()
    try:
        with _Bar(quiet) as bar:
            summary = run(
                read_experiment(experiment, change or ()), out, resume=resume, device=device, progress=bar.update,
                stop=stopping.asked, on_validation=draw_curve,
            )  # fmt: skip
    except DeepcamsError:
        if quiet:
            raise typer.Exit(2) from None
        raise
    if quiet:
        return
    if summary.stopped:
        again = [argument for argument in sys.argv[1:] if argument != "--resume"]
        command = shlex.join(["deepcams", *again, "--resume"])
        print(f"stopped after step {summary.step}; the state is saved. Go on with:\n  {command}", file=sys.stderr)
        raise typer.Exit(130)
    print(summary.text())


class _Stopping:
    """Ctrl-C or SIGTERM asks the training to stop after its step; a second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def asked(self) -> bool:
        return self._asked


class _Bar:
    """Steps, loss and skill on stderr; nothing where stderr is no terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns: list[Any] = [TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps")]
        columns += [TextColumn("{task.fields[figures]}"), TimeRemainingColumn(elapsed_when_finished=True)]
        self._progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._task: Any = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, step: int, steps: int | None, figures: dict[str, float]) -> None:
        """Take note of a step."""
        told = f"loss {figures['loss']:.4g}  best {figures['skill']:.3f} x baseline"
        if self._task is None:
            self._task = self._progress.add_task("training", total=steps, figures=told)
        self._progress.update(self._task, completed=step, figures=told)
