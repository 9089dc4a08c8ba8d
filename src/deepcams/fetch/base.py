"""Base of the fetches of all providers: records of a folder, parallel downloads, estimates and summaries."""

from __future__ import annotations

import gc
import threading
import time as clock
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from deepcams.core.errors import (
    DeepcamsError,
    DeepcamsNotice,
    InputError,
    OutputError,
    notice,
)
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import size
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.retry import (
    FetchError,
    RefusedError,
    RetryableError,
    RetryPolicy,
    StoppedError,
    UnreachableError,
)
from deepcams.files.atomic import os_errors_explained, sync
from deepcams.files.lock import locked
from deepcams.files.optional import require
from deepcams.files.records import (
    FOLDER,
    Record,
    Records,
    file_digest,
    inside,
    refuse_changes,
)
from deepcams.readers.formats.detect import Kind, kind_of

Item = TypeVar("Item")
COMPLETE = "complete"
STATE = f"{FOLDER}-fetch"
"""Hidden folder of the records; ``.deepcams`` would mark the folder as an output of deepcams instead of an input."""
_ANOTHER = "name another folder"

READING = threading.Lock()
"""Lock held while a netCDF or GRIB file is open: their libraries are not thread-safe."""


def read_alone(read: Callable[[], Item]) -> Item:
    """Read a file exclusively among threads, and close it before releasing the lock.

    Args:
        read: function that reads; its result must not refer to the open file.

    Raises:
        RetryableError: the file is invalid.
    """
    with READING, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeepcamsNotice)
        try:
            return read()
        except RetryableError as error:
            wrong = str(error)
        except InputError as error:
            wrong = f"what came is {error.found} instead of {error.expected}"
        except DeepcamsError as error:
            wrong = f"what came cannot be used: {error}"
        gc.collect()  # tracebacks keep the file open in a reference cycle
    raise RetryableError(wrong)


def kind_at(path: Path) -> Kind | None:
    """Return the kind of a file's content."""
    with path.open("rb") as file:
        return kind_of(file.read(1024))


@dataclass(frozen=True)
class Key:
    """An API key and its origin; the key is never displayed.

    Attributes:
        value: the key.
        found: environment variable or file that holds it.
    """

    value: str = field(repr=False)
    found: str

    def __post_init__(self) -> None:
        # The underlying libraries would quote such a key in their messages.
        if (
            not self.value.isascii()
            or not self.value.isprintable()
            or " " in self.value
        ):
            raise RefusedError(
                f"the key in {self.found} holds spaces or other characters that no key has: copy it again"
            )


class _Request(Protocol):
    @property
    def period(self) -> Period: ...

    @property
    def out(self) -> Path: ...


Request = TypeVar("Request", bound=_Request)


@dataclass
class Summary:
    """The result of a run.

    Attributes:
        where: the folder or store.
        what: name of the items (``months``, ``hours``, ``locations``).
        total: number of requested items.
        fetched: number of items completed by this run.
        kept: number of items complete before.
        absent: items that the service does not have.
        bytes: number of bytes received in this run.
        seconds: duration.
        notes: further remarks, a line each.
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
        """Return a few lines for people."""
        complete = self.total - len(self.absent)
        lines = [
            f"{self.where}: {complete:,} of {self.total:,} {self.what}, complete and verified"
        ]
        if self.fetched:
            rate = (
                f", {size(self.bytes / self.seconds)}/s" if self.seconds > 0.1 else ""
            )
            before = f"; {self.kept:,} were there already" if self.kept else ""
            came = f"{size(self.bytes)} in {self.seconds:.1f} s{rate}"
            lines.append(f"  {self.fetched:,} fetched ({came}){before}")
        else:
            lines.append("  nothing to fetch: all were there already")
        if self.absent:
            absent = f"{len(self.absent):,} {self.what} are not on the server"
            lines.append(f"  {absent}: {first_few(self.absent)}")
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def first_few(names: Sequence[str]) -> str:
    """Return the first three names."""
    return ", ".join(names[:3]) + (", .." if len(names) > 3 else "")


@dataclass(frozen=True)
class Estimate:
    """The expected work of a fetch, for ``--dry-run``.

    Attributes:
        where: folder or store.
        words: description of the requests, a line each.
        bytes: approximate number of bytes to be written; ``None`` if unknown.
        free: free bytes on the disk.
    """

    where: str
    words: list[str]
    bytes: float | None
    free: float

    def text(self) -> str:
        """Return a few lines for people."""
        needed = (
            "size unknown"
            if self.bytes is None
            else f"about {size(self.bytes)} to write"
        )
        lines = [*self.words, f"{needed}; {size(self.free)} free there"]
        return "\n".join([f"{self.where} would get", *(f"  {line}" for line in lines)])


@dataclass
class Fetch(ABC, Generic[Request]):
    """A fetch from one provider into one folder.

    Args:
        request: what to fetch.
        endpoints: addresses of the services.
        policy: retry policy.
        progress: called with the stage, the number of items done and the total.
        environment: environment variables searched for keys (default: those of the process).

    Attributes:
        bytes: number of bytes received so far.
        records: records of the finished items, each with its file's name, size and digest.
    """

    request: Request
    endpoints: Endpoints
    policy: RetryPolicy
    progress: Progress = no_progress
    environment: Mapping[str, str] | None = None
    bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_begun(self.request.period)
        self.folder = self.request.out
        self.records = Records(self.folder / STATE)
        self._counting = threading.Lock()

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return the settings that must be the same for all items of the folder."""

    def check(self) -> None:
        """Refuse a request that cannot be completed, before anything is requested or written."""
        for place in self.records.lock.parents:
            with os_errors_explained(place):
                wrong = place.exists() and not place.is_dir()
            if wrong:
                raise OutputError(
                    f"{place}: a folder is needed, and a file of that name is there; name another one"
                )
        before = self.records.identity()
        if before is not None:
            refuse_changes(before, self.identity, self.folder, _ANOTHER)

    def check_access(self) -> None:
        """Refuse a run that lacks a key, before anything is written."""
        return  # most services need no key

    def estimate(self) -> Estimate:
        """Estimate the work of :meth:`run`; nothing is written.

        Raises:
            InputError, OutputError: see :meth:`run`.
        """
        self.check()
        return self._estimate()

    @abstractmethod
    def _estimate(self) -> Estimate: ...

    def run(self) -> Summary:
        """Fetch what is missing.

        Raises:
            MissingExtraError: the extra [fetch] is not installed.
            FetchError: the key or licence is missing, or some items could not be fetched; all others are complete.
            OutputError: the folder has other contents, another process writes to it, or it cannot be written.
        """
        began = clock.perf_counter()
        require("fetch", "deepcams fetch")
        self.check()
        self.check_access()
        with locked(self.records.lock, self.folder):
            self.records.begin(self.identity, self.folder, _ANOTHER)
            try:
                summary = self._fetch()
            except StoppedError:
                raise KeyboardInterrupt from None
        summary.bytes, summary.seconds = self.bytes, clock.perf_counter() - began
        return summary

    @abstractmethod
    def _fetch(self) -> Summary:
        """Fetch what is missing; called with the folder locked."""

    def came(self, count: int) -> None:
        """Count received bytes, in any thread."""
        with self._counting:
            self.bytes += count

    def complete(self, item: str) -> bool:
        """Return whether an item is finished and its file, if it has one, has its full size."""
        record = self.records.get(item)
        return record is not None and is_complete(record, self.folder)

    def note(self, item: str, state: str, digest: str = "", **facts: Any) -> None:
        """Record an item's state."""
        self.records.put(Record(item, digest=digest, facts={"state": state, **facts}))

    def finish(self, item: str, partial: Path, final: Path, **facts: Any) -> None:
        """Rename a verified file to its final name, flushed to disk, and record it."""
        digest, length = file_digest(partial), partial.stat().st_size
        with os_errors_explained(final):
            sync(partial)
            partial.replace(final)
        self.note(item, COMPLETE, digest, file=final.name, bytes=length, **facts)

    def in_parallel(
        self,
        items: Sequence[Item],
        do: Callable[[Item], None],
        at_once: int,
        tell: Callable[[int], None],
    ) -> list[FetchError]:
        """Process items in parallel; a failed item does not stop the others.

        Args:
            items: items in the order in which they are started.
            do: function that processes an item; raises FetchError if the item fails.
            at_once: number of threads.
            tell: called a few times per second with the number of items done.

        Returns:
            the failures.

        Raises:
            RefusedError, UnreachableError, OutputError: immediately, because the other items would fail, too.
        """
        failures: list[FetchError] = []
        waiting, running = iter(items), set[Future[None]]()
        done = 0
        with ThreadPoolExecutor(at_once, "deepcams-fetch") as pool:
            try:
                while True:
                    while (
                        len(running) < at_once
                        and (item := next(waiting, None)) is not None
                    ):
                        running.add(pool.submit(do, item))
                    if not running:
                        return failures
                    finished, running = wait(running, 0.1, FIRST_COMPLETED)
                    for future in finished:
                        error = future.exception()
                        if error is None:
                            done += 1
                        elif isinstance(error, FetchError) and not _holds_for_all(
                            error
                        ):
                            failures.append(error)
                        else:
                            raise error
                    tell(done)
            except BaseException:
                self.policy.stop.set()  # threads stop at their next read or wait
                pool.shutdown(cancel_futures=True)
                raise


def is_complete(record: Record, folder: Path) -> bool:
    """Return whether a record is that of a finished item whose file, if any, has its full size."""
    if record.facts.get("state") != COMPLETE:
        return False
    if "file" not in record.facts:
        return True
    try:
        size = inside(folder, record.facts["file"]).stat().st_size
        return size == record.facts.get("bytes")
    except (OSError, OutputError):
        return False


def _holds_for_all(error: DeepcamsError) -> bool:
    return isinstance(error, RefusedError | UnreachableError)


def raise_failures(failures: Sequence[FetchError], words: str) -> None:
    """Report failed items in one line, after all others were processed.

    Args:
        failures: errors of individual items.
        words: number and name of the failed items.

    Raises:
        FetchError: there are failures.
    """
    if not failures:
        return
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    raise FetchError(
        f"{words} could not be fetched: {failures[0]}{more}; the others are complete: "
        "give the same command again for these"
    )


def answer(ask: Callable[[], Item]) -> tuple[Item | None, str]:
    """Make a request whose result is optional for an estimate.

    Returns:
        the result, or ``None`` and the reason for the failure.

    Raises:
        RefusedError: the service refuses, as it would refuse a run.
    """
    try:
        return ask(), ""
    except RefusedError:
        raise
    except FetchError as error:
        return None, str(error)


def check_begun(period: Period) -> None:
    """Refuse a future period, and issue a notice for one that has not ended yet.

    Raises:
        InputError: the period lies in the future.
    """
    now = np.datetime64("now")
    if period.start > now:
        raise InputError(
            "--period", f"one that has begun (it is {now} UTC)", str(period)
        )
    if period.end > now:
        notice(
            f"--period {period} is not over: what is not published yet cannot come; give the same command again then"
        )
