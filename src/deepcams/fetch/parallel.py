"""Many items at once: bounded, stoppable, and one item's failure is not the others'."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from deepcams.core.errors import DeepcamsError, OutputError
from deepcams.core.text import size
from deepcams.fetch.retry import FetchError, Patience, RefusedError, StoppedError, UnreachableError

Item = TypeVar("Item")

READING = threading.Lock()
"""Held while a netCDF or GRIB file is open: their libraries crash when two threads are in them."""


@dataclass(frozen=True)
class Told:
    """How far a run is.

    Attributes:
        done, total: items.
        bytes: that have come in this run.
        doing: what is being done.
    """

    done: int
    total: int
    bytes: int
    doing: str = "fetching"


Progress = Callable[[Told], None]
"""Called often, from the thread that runs the whole; may raise KeyboardInterrupt to stop."""


@dataclass
class Summary:
    """What a run came to.

    Attributes:
        where: the folder or store.
        what: items in words (``months``, ``hours``, ``locations``).
        total: items that were asked for.
        fetched: items that this run completed.
        kept: items that were complete before.
        absent: items that the service does not have.
        bytes: that came in this run.
        seconds: how long it took.
        notes: anything else worth a line.
    """

    where: str
    what: str
    total: int
    fetched: int = 0
    kept: int = 0
    absent: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A few lines for people."""
        there = self.total - len(self.absent)
        lines = [f"{self.where}: {there:,} of {self.total:,} {self.what}, complete and verified"]
        rate = (
            f", {size(self.bytes / self.seconds)}/s" if self.seconds > 0.1 and self.fetched else ""
        )
        kept = f"; {self.kept:,} were there already" if self.kept else ""
        lines.append(
            f"  {self.fetched:,} fetched ({size(self.bytes)} in {self.seconds:.1f} s{rate}){kept}"
            if self.fetched
            else "  nothing to fetch: all were there already"
        )
        if self.absent:
            more = ", .." if len(self.absent) > 3 else ""
            lines.append(
                f"  {len(self.absent):,} {self.what} are not on the server: {', '.join(self.absent[:3])}{more}"
            )
        return "\n".join(lines + [f"  {note}" for note in self.notes])


@dataclass(frozen=True)
class Estimate:
    """What a fetch would do, for ``--dry-run``.

    Attributes:
        where: folder or store.
        words: what would be asked for, a line each.
        bytes: that would be written (about); ``None`` where that cannot be known.
        free: on the disk.
    """

    where: str
    words: list[str]
    bytes: float | None
    free: float

    def text(self) -> str:
        """A few lines for people."""
        needed = "size unknown" if self.bytes is None else f"about {size(self.bytes)} to write"
        room = f"{needed}; {size(self.free)} free there"
        return "\n".join(
            [f"{self.where} would get", *(f"  {line}" for line in [*self.words, room])]
        )


def free_at(folder: Path) -> float:
    """Free bytes where a folder is or will be."""
    while not folder.exists():
        folder = folder.absolute().parent
    return float(shutil.disk_usage(folder).free)


class Counter:
    """Bytes that have come, over all threads."""

    def __init__(self) -> None:
        self._lock, self.bytes = threading.Lock(), 0

    def __call__(self, count: int) -> None:
        """So many more."""
        with self._lock:
            self.bytes += count


def in_parallel(
    items: Sequence[Item],
    do: Callable[[Item], None],
    at_once: int,
    patience: Patience,
    tell: Callable[[int], None],
) -> None:
    """Do something with each item.

    Args:
        items: in the order in which they are begun.
        do: raises FetchError where the item failed.
        at_once: how many threads.
        patience: its ``stop`` is set when the run ends early.
        tell: called a few times a second with the number of items done.

    Raises:
        FetchError: some items failed (after all others were done), or one failed fatally (at once).
    """
    failures: list[FetchError] = []
    done = 0
    with ThreadPoolExecutor(at_once, "deepcams-fetch") as pool:
        waiting = iter(items)
        running: set[Future[None]] = set()
        try:
            while True:
                while len(running) < at_once and (item := next(waiting, None)) is not None:
                    running.add(pool.submit(do, item))
                if not running:
                    break
                finished, running = wait(running, 0.1, FIRST_COMPLETED)
                for one in finished:
                    error = one.exception()
                    if isinstance(error, FetchError) and not isinstance(
                        error, RefusedError | UnreachableError
                    ):
                        failures.append(error)
                    elif error is not None:
                        raise error
                    else:
                        done += 1
                tell(done)
        except BaseException as error:
            patience.stop.set()  # threads end at their next byte or wait
            pool.shutdown(cancel_futures=True)
            if isinstance(error, StoppedError):
                raise KeyboardInterrupt from None
            if isinstance(error, DeepcamsError) and not isinstance(error, OutputError) and failures:
                raise error from failures[0]
            raise
    raise_failures(failures, f"{len(failures)} of {len(items)}")


def raise_failures(failures: Sequence[FetchError], words: str) -> None:
    """Say in one line what could not be fetched, when all else has been.

    Args:
        failures: of single items; where there are none, nothing is raised.
        words: how many of what.

    Raises:
        FetchError: there are some.
    """
    if not failures:
        return
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    raise FetchError(
        f"{words} could not be fetched: {failures[0]}{more}; the others are complete: "
        "give the same command again for these"
    )
