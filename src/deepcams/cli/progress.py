"""Progress on a terminal: what all verbs show it with."""

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
"""Seconds back over which speed is averaged: work items, files and requests may take minutes each."""


class Rate(ProgressColumn):
    """How many a second, once that is known.

    Args:
        unit: what stands behind the figure (``h/s``).
    """

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The figure, or nothing."""
        return Text(f"{task.speed:.1f} {self._unit}" if task.speed else "")


class Bars:
    """A line a step on stderr: words, bar, how many, and the time left; nothing where stderr is no terminal.

    Args:
        between: what stands between the count and the time: text, which may hold ``{task.fields[NAME]}``, or columns.
        width: of the words, in characters.
        count: text instead of done/total.
        elapsed: show the time taken instead of that left.
        alone: only the step that is being done has a line.
        transient: the lines go when all is done.
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
            TimeElapsedColumn() if elapsed else TimeRemainingColumn(elapsed_when_finished=True),
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
        self, step: str, done: int, total: int | None, *, words: str | None = None, **fields: Any
    ) -> None:
        """Take note of how far a step is; its line begins when it is first told of.

        Args:
            step: what is being done; it stands before its bar.
            done: how much of it.
            total: how much there is; 0 or ``None`` where that is not known.
            words: what stands before the bar instead.
            fields: what the columns between show.
        """
        about = {"description": words or step, "total": total or None, "completed": done, **fields}
        if step not in self._tasks:
            if self._alone:
                for other in self._tasks.values():
                    self._progress.remove_task(other)
                self._tasks.clear()
            self._tasks[step] = self._progress.add_task(**about)
        self._progress.update(
            self._tasks[step], **about
        )  # notices that all is done; a new line's beginning does not


@contextmanager
def one_bar(
    step: str, *between: str | ProgressColumn, count: str | None = None, hidden: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """The line of work that is a single step; it is there from the beginning, and gone when the work is done.

    Yields:
        what takes note of how much is done, and how much there is.
    """
    with Bars(*between, count=count, transient=True, hidden=hidden) as bars:
        bars.tell(step, 0, None)
        yield lambda done, total: bars.tell(step, done, total)
