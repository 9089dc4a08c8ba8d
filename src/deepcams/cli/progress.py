"""Progress bars on a terminal, for all verbs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task, TaskID

_PERIOD = 600.0
"""Averaging time of the speed, seconds: work items, files and requests may take minutes each."""


@dataclass(frozen=True)
class Rate:
    """A column with the rate per second, once known.

    Attributes:
        unit: unit of the rate (``h/s``).
    """

    unit: str


class Bars:
    """One line per step on stderr: description, bar, count and time left; nothing if stderr is not a terminal.

    Args:
        between: columns between the count and the time: text, which may hold ``{task.fields[NAME]}``, or a rate.
        width: width of the description, characters.
        count: text instead of done/total.
        elapsed: show the time taken instead of the time left.
        alone: show only the current step.
        transient: remove the lines at the end.
        hidden: show nothing at all.
    """

    def __init__(
        self,
        *between: str | Rate,
        width: int = 0,
        count: str | None = None,
        elapsed: bool = False,
        alone: bool = False,
        transient: bool = False,
        hidden: bool = False,
    ) -> None:
        self._progress = (
            None
            if hidden or not _may_be_terminal()
            else _lines(between, width, count, elapsed, transient)
        )
        self._alone = alone
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def tell(
        self,
        step: str,
        done: int,
        total: int | None,
        *,
        words: str | None = None,
        **fields: Any,
    ) -> None:
        """Update the progress of a step; the first call creates its line.

        Args:
            step: name of the step, shown before the bar.
            done: amount done.
            total: total amount; 0 or ``None`` if unknown.
            words: text shown before the bar instead of the name.
            fields: values of the columns ``between``.
        """
        if self._progress is None:
            return
        about = {
            "description": words or step,
            "total": total or None,
            "completed": done,
            **fields,
        }
        if step not in self._tasks:
            if self._alone:
                for other in self._tasks.values():
                    self._progress.remove_task(other)
                self._tasks.clear()
            self._tasks[step] = self._progress.add_task(**about)
        # Also for a new line: only an update detects completion.
        self._progress.update(self._tasks[step], **about)


def _may_be_terminal() -> bool:
    """Return whether stderr may show bars; if not, rich, which is slow to import, is not needed."""
    forced = ("FORCE_COLOR", "TTY_COMPATIBLE")
    return sys.stderr.isatty() or any(name in os.environ for name in forced)


def _lines(
    between: tuple[str | Rate, ...],
    width: int,
    count: str | None,
    elapsed: bool,
    transient: bool,
) -> Progress:
    from rich import progress
    from rich.console import Console

    left = (
        progress.TimeElapsedColumn()
        if elapsed
        else progress.TimeRemainingColumn(elapsed_when_finished=True)
    )
    console = Console(stderr=True)
    return progress.Progress(
        f"{{task.description:<{width}}}",
        progress.BarColumn(),
        count or progress.MofNCompleteColumn(),
        *(_rate_column(each) if isinstance(each, Rate) else each for each in between),
        left,
        console=console,
        transient=transient,
        disable=not console.is_terminal,
        speed_estimate_period=_PERIOD,
    )


def _rate_column(rate: Rate) -> ProgressColumn:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Column(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} {rate.unit}" if task.speed else "")

    return Column()


@contextmanager
def one_bar(
    step: str,
    *between: str | Rate,
    count: str | None = None,
    hidden: bool = False,
) -> Iterator[Callable[..., None]]:
    """Show the progress of work with a single step.

    Yields:
        a callback; its last two arguments are the amount done and the total.
    """
    with Bars(*between, count=count, transient=True, hidden=hidden) as bars:
        bars.tell(step, 0, None)
        yield lambda *progress: bars.tell(step, *progress[-2:])
