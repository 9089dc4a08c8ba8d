"""Retries of requests to a service: their number, the delays, and the errors that end them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity

from deepcams.core.errors import DeepcamsError

T = TypeVar("T")

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that are worth a retry."""


class FetchError(DeepcamsError):
    """A fetch failed; data fetched before are kept."""


class AbsentError(FetchError):
    """The server does not have the file."""


class RefusedError(FetchError):
    """A service refuses for a reason that applies to all requests: key, licence, address."""


class UnreachableError(FetchError):
    """No try could connect to a service; further items need not be tried."""


class RetryableError(Exception):
    """A failure that may be retried; its message is shown to users and holds no address or key."""


class StoppedError(Exception):
    """The run was asked to stop."""


@dataclass
class RetryPolicy:
    """Number of retries and delays.

    Attributes:
        tries: total number of tries.
        first, longest: delay before the second try, and maximum delay, seconds; each delay doubles the previous one.
        timeout: seconds without a byte after which a connection is given up.
        longest_asked: largest ``Retry-After``, seconds, that is waited for; with a larger one the item fails.
        stop: event that is set when the run is to stop.
        clock: monotonic clock, seconds.
    """

    tries: int = 7
    first: float = 1.0
    longest: float = 120.0
    timeout: float = 60.0
    longest_asked: float = 3600.0
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic

    @property
    def tried(self) -> str:
        """The number of tries as text for messages."""
        return f"({self.tries} tries)"

    def check(self) -> None:
        """Raise StoppedError if the run is to stop."""
        if self.stop.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleep until the time is over or the run is to stop.

        Raises:
            StoppedError: the run is to stop.
        """
        self.stop.wait(seconds)
        self.check()

    def call(self, what: str, do: Callable[[], T]) -> T:
        """Call a function, with retries and exponential back-off while it raises :class:`RetryableError`.

        Args:
            what: name of the item in messages.
            do: the function.

        Raises:
            FetchError: all tries failed.
            StoppedError: the run is to stop.
        """
        self.check()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryableError),
            stop=tenacity.stop_after_attempt(self.tries),
            wait=tenacity.wait_exponential(self.first, self.longest)
            + tenacity.wait_random(0, self.first / 4),
            sleep=self.wait,
            reraise=True,
        )
        try:
            return retrying(do)
        except RetryableError as error:
            raise FetchError(f"{what}: {error} {self.tried}; try again later") from None
