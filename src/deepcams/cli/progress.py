"""Progress bars on a terminal, for all verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_PERIOD = 600.0
"""Seconds over which speed is averaged: work items, files and requests may take minutes each."""


class Rate(ProgressColumn):
    """Pieces a second, once that is known.

    Args:
        unit: of the figure (``h/s``).
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the figure, or nothing."""
        return Text(f"{task.speed:.1f} {self._unit}" if task.speed else "")


class Bars:
    """A line a step on stderr: words, bar, count, and the time left; nothing if stderr is no terminal.

    Args:
        between: columns between the count and the time: text, which may hold ``{task.fields[NAME]}``, or columns.
        width: of the words, in characters.
        count: text instead of done/total.
        elapsed: show the time taken instead of the time left.
        alone: show only the current step.
        transient: remove the lines when all is done.
        hidden: show nothing at all.
    """

    def __init__(
        self,
        *between: str | ProgressColumn,
        width: int = 0,
        count: str | None = None,
        elapsed: bool = False,
        alone: bool = False,
        transient: bool = False,
        hidden: bool = False,
    ) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            f"{{task.description:<{width}}}",
            BarColumn(),
            count or MofNCompleteColumn(),
            *between,
            TimeElapsedColumn()
            if elapsed
            else TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=transient,
            disable=hidden or not console.is_terminal,
            speed_estimate_period=_PERIOD,
        )
        self._alone = alone
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
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
        """Show how far a step is; the first call makes its line.

        Args:
            step: its name, shown before the bar.
            done: how much of it is done.
            total: how much there is; 0 or ``None`` if unknown.
            words: shown before the bar instead of its name.
            fields: values of the columns between.
        """
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
        # A new line, too: only an update notices that all is done.
        self._progress.update(self._tasks[step], **about)


@contextmanager
def one_bar(
    step: str,
    *between: str | ProgressColumn,
    count: str | None = None,
    hidden: bool = False,
) -> Iterator[Callable[..., None]]:
    """Show the line of work that is a single step, from its start to its end.

    Yields:
        a callback; its last two arguments are how much is done, and how much there is.
    """
    with Bars(*between, count=count, transient=True, hidden=hidden) as bars:
        bars.tell(step, 0, None)
        yield lambda *progress: bars.tell(step, *progress[-2:])
