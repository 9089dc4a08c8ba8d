"""deepcams prepare: from downloaded or simulated files to a store for training."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from deepcams.training.prepare import Summary

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


class _Degradation(StrEnum):
    AREA, IMRESIZE, DECIMATE = "area", "imresize", "decimate"


EXAMPLES = """Examples:

deepcams prepare geos_cf/ -o train.zarr

deepcams prepare geos_cf/Y2018 geos_cf/Y2019 -o america.zarr --bbox -180 -60 -30 75 --period 2018..2019

A complete one, without any download:

deepcams simulate -o world/ --layout geos-cf --period 2019-03-08 --bbox 0 30 60 60

deepcams prepare world/ -o train.zarr"""


@app.command(epilog=EXAMPLES)
def prepare(
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Hourly 0.25 degree files (GEOS-CF, ..), folders or globs.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The store, by custom NAME.zarr.")],
    degrade: Annotated[_Degradation, typer.Option(help="How fine becomes coarse.")] = _Degradation.AREA,
    period: Annotated[str | None, typer.Option(help="Only these hours: 2019, 2019-03, 2018..2019.")] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="W S E N", help="Only the coarse cells that this box touches; W > E: over the dateline."),
    ] = None,
    variable: Annotated[str | None, typer.Option(help="Another variable than PM2.5 (PM10_RH35, ..).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing store.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Check hourly fine fields, coarsen them, and put both into one store to train from.

    Missing, repeated and implausible hours are listed and left out. An interrupted run goes on where it was when the
    same command is given again; later hours, given as further files, are added to a finished store.
    """
    from deepcams.production.memory import keep_memory_level
    from deepcams.training.prepare import Preparation

    keep_memory_level()
    preparation = Preparation(inputs, out, degrade.value, variable, period, bbox, overwrite)
    try:
        with _Bar(hidden=quiet) as bar, _stoppable(bar):
            summary = preparation.run(bar.update)
    except KeyboardInterrupt:
        again = [argument for argument in sys.argv[1:] if argument != "--overwrite"]
        print(
            f"\nstopped; what is finished is kept. Go on with:\n  {shlex.join(['deepcams', *again])}", file=sys.stderr
        )
        raise typer.Exit(130) from None
    _tell(summary)


_PHASES = {"headers": ("reading headers", "files"), "hours": ("preparing", "h")}


@contextmanager
def _stoppable(bar: _Bar) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop the run after the hour it is at; a second one stops it at once.

    Raised just anywhere, an interrupt is lost where it falls into a library's clean-up.
    """

    def stop(number: int, _: object) -> None:
        bar.stopped = True
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar:
    """What is being done and how much of it, on stderr; nothing where stderr is no terminal.

    Attributes:
        stopped: whether the run is to stop when it next tells how far it is.
    """

    stopped = False

    def __init__(self, *, hidden: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [TextColumn("{task.fields[unit]}, left"), TimeRemainingColumn(elapsed_when_finished=True)]
        disable = hidden or not console.is_terminal
        self._progress = Progress(*columns, console=console, disable=disable, speed_estimate_period=600)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, phase: str, done: int, total: int) -> None:
        """Take note of ``done`` of ``total``; raises KeyboardInterrupt where the run is to stop."""
        if self.stopped:
            raise KeyboardInterrupt
        words, unit = _PHASES[phase]
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(words, total=total, completed=done, unit=unit)
        self._progress.update(self._tasks[phase], completed=done, total=total)


def _tell(summary: Summary) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from deepcams.training.prepared import REPORT, STATE

    store, report = summary.store, summary.report
    print(f"{store.path}: {report.good:,} hours, {report.first} to {report.last} UTC")
    print(f"  {store.sources['family']}, {store.variable}, {'hourly means' if store.mean else 'instants'}")
    print(f"  fine {store.fine.describe()}; coarse {store.coarse.describe()}, by {store.degradation}")
    size = f"{summary.bytes / 1e6:.1f} MB"
    if summary.computed:
        there = report.good - summary.computed
        kept = f" ({there:,} were there already)" if there else ""
        rate = summary.computed / summary.seconds
        print(f"  {summary.computed:,} hours in {summary.seconds:.1f} s, {rate:.1f} h/s{kept}; {size}")
    else:
        print(f"  nothing to do: all hours were there already; {size}")
    rows = report.rows()
    if not rows:
        print("  nothing was left out")
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("left out", "hours", "because", "first ones"):
        table.add_column(name, justify="right" if name == "hours" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
    print(f"all of them: {store.path / STATE / REPORT}")
