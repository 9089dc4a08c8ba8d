"""How often something is tried again, and how long is waited in between; ``Retry-After`` decides where it is given."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import random
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from deepcams.core.errors import DeepcamsError

T = TypeVar("T")

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others a little later."""


class TryAgainError(Exception):
    """Something failed that may succeed later.

    Args:
        reason: for people, without an address or a key.
        after: seconds that the server asks to wait, if it does.
        unreached: there was no connection at all.
    """

    def __init__(self, reason: str, after: float | None = None, *, unreached: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.after, self.unreached = reason, after, unreached


class FetchError(DeepcamsError):
    """A service did not give what it should; what was fetched before is kept."""


class RefusedError(FetchError):
    """A service refuses for a reason that holds for every other request too: key, licence, address."""


class UnreachableError(FetchError):
    """There was no connection to a service, however often it was tried; other items need not wait for one, too."""


class StoppedError(Exception):
    """The run was asked to stop."""


@dataclass
class Patience:
    """What is waited for, and how long.

    Attributes:
        tries: how often one thing is tried in all, progress in between not counted.
        first, longest: seconds before the second try, and at most; each wait is twice the one before.
        timeout: seconds without a byte after which a connection is given up.
        most_asked: seconds of ``Retry-After`` beyond which the run ends with a line instead of waiting.
        stop: set when the run is to end.
        clock: seconds, from any moment on.
    """

    tries: int = 7
    first: float = 1.0
    longest: float = 120.0
    timeout: float = 60.0
    most_asked: float = 3600.0
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic

    def wait(self, seconds: float) -> None:
        """Sleep, unless the run is to stop.

        Raises:
            StoppedError: it is.
        """
        self.stop.wait(seconds)
        if self.stop.is_set():
            raise StoppedError

    async def wait_async(self, seconds: float) -> None:
        """:meth:`wait` among other tasks of one thread; Ctrl-C ends it by cancelling the task.

        Raises:
            StoppedError: the run is to stop.
        """
        await asyncio.sleep(seconds)
        if self.stop.is_set():
            raise StoppedError

    def seconds(self, attempt: int, again: TryAgainError) -> float:
        """How long to wait after the failure of an attempt (from 0)."""
        if again.after is not None:
            return again.after
        # a little chance, so that connections that failed together do not come back together
        return min(self.first * 2.0**attempt, self.longest) * random.uniform(0.75, 1.0)

    def persist(
        self, what: str, do: Callable[[], T], progressed: Callable[[], bool] = lambda: False
    ) -> T:
        """Do something until it succeeds or patience ends.

        Args:
            what: what is fetched, for people.
            do: raises :class:`TryAgainError` where it is worth another try.
            progressed: whether the last attempt got further than the one before; then it does not count.

        Raises:
            FetchError: it failed every time.
            StoppedError: the run is to end.
        """
        attempt = 0
        while True:
            if self.stop.is_set():
                raise StoppedError
            try:
                return do()
            except TryAgainError as again:
                attempt = 0 if progressed() else attempt + 1
                self.wait(self._seconds_or_end(what, again, attempt))

    def _seconds_or_end(self, what: str, again: TryAgainError, attempt: int) -> float:
        """How long to wait after so many failures in a row.

        Raises:
            FetchError: patience ends; an :class:`UnreachableError` where there was no connection.
        """
        if attempt >= self.tries and again.unreached:
            raise UnreachableError(
                f"{what}: {again.reason} ({self.tries} tries); what is complete is kept, try again later"
            ) from None
        if attempt >= self.tries:
            raise FetchError(
                f"{what}: {again.reason} ({self.tries} tries); try again later"
            ) from None
        seconds = self.seconds(max(attempt - 1, 0), again)
        if seconds > self.most_asked:
            raise FetchError(
                f"{what}: {again.reason}, and the server asks to wait {seconds / 60:.0f} min; "
                "give the same command again then"
            ) from None
        return seconds

    async def persist_async(self, what: str, do: Callable[[], Awaitable[T]]) -> T:
        """:meth:`persist` among other tasks of one thread."""
        attempt = 0
        while True:
            if self.stop.is_set():
                raise StoppedError
            try:
                return await do()
            except TryAgainError as again:
                attempt += 1
                await self.wait_async(self._seconds_or_end(what, again, attempt))


def retry_after(text: str | None) -> float | None:
    """The seconds that a ``Retry-After`` header asks for (a number or a date); ``None`` where it says nothing."""
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def is_full(error: OSError) -> bool:
    """Whether a disk is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Pace:
    """At least so many seconds between the starts of two requests, over all threads."""

    def __init__(self, seconds: float, patience: Patience) -> None:
        self._seconds, self._patience = seconds, patience
        self._next, self._lock = 0.0, threading.Lock()

    def __call__(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = time.monotonic()
            at = max(self._next, now)
            self._next = at + self._seconds
        if at > now:
            self._patience.wait(at - now)
