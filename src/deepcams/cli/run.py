"""deepcams run: a whole experiment, from fetching to validation."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deepcams.run.steps import Progress

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

deepcams run configs/paper-simulated.yaml -o results/

deepcams run configs/paper.yaml -o paper/"""


@app.command(epilog=EXAMPLES)
def run(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", help="The whole of it, in one file.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder for data, networks and results.")],
    endpoint: Annotated[
        list[str] | None, typer.Option("--endpoint", metavar="NAME=URL", help="Another address of a service.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value: fetch.cams.period=2019.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Fetch, prepare, train both networks, evaluate, downscale and validate: the paper in one command.

    Steps that are done are skipped, and a stopped one goes on where it was, when the same command is given again.
    """
    from deepcams.run.steps import execute

    stopping = _Stopping()
    try:
        with _bar(hidden=quiet) as progress:
            execute(experiment, out, change or (), endpoint or (), device, progress, typer.echo, stopping.asked)
    except KeyboardInterrupt:
        print("\nstopped; what is done is kept. Give the same command again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
    typer.echo(f"results: {out}")


class _Stopping:
    """Ctrl-C or SIGTERM ends a training after its step, and anything else at once."""

    def __init__(self) -> None:
        self._asked, self.training = False, False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        if self._asked or not self.training:
            self._asked = True
            raise KeyboardInterrupt
        self._asked = True

    def asked(self) -> bool:
        """Whether to stop; asked by trainings alone."""
        return self._asked


@contextmanager
def _bar(*, hidden: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns: list[Any] = [TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn()]
    columns += [TimeRemainingColumn(elapsed_when_finished=True)]
    with Bars(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        doing = ""

        def tell(step: str, done: int, total: int) -> None:
            nonlocal doing
            if step != doing:
                bars.reset(task)
                doing = step
            bars.update(task, description=step, completed=done, total=total or None)

        yield tell
