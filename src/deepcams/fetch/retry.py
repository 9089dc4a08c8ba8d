"""Retries of requests to a service: how often, how long between them, and the errors that end them."""

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
"""HTTP statuses that may be others a little later."""


class FetchError(DeepcamsError):
    """A service did not give what it should; what was fetched before is kept."""


class AbsentError(FetchError):
    """The server does not have the file."""


class RefusedError(FetchError):
    """A service refuses for a reason that holds for every other request too: key, licence, address."""


class UnreachableError(FetchError):
    """There was no connection to a service in all tries; other items need not be tried."""


class RetryableError(Exception):
    """Something failed that may succeed later; its text is for users, without an address or a key."""


class StoppedError(Exception):
    """The run was asked to stop."""


@dataclass
class RetryPolicy:
    """How often and how long a service is asked again.

    Attributes:
        tries: how often one thing is tried in all.
        first, longest: seconds before the second try, and at most; each wait is twice the one before.
        timeout: seconds without a byte after which a connection is given up.
        longest_asked: seconds of ``Retry-After`` beyond which the item fails instead of waiting.
        stop: set when the run is to end.
        clock: seconds since any moment.
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
        """What messages say about the tries."""
        return f"({self.tries} tries)"

    def check(self) -> None:
        """Raise StoppedError if the run is to stop."""
        if self.stop.is_set():
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Sleep, unless the run is to stop.

        Raises:
            StoppedError: it is.
        """
        self.stop.wait(seconds)
        self.check()

    def call(self, what: str, do: Callable[[], T]) -> T:
        """Call a function again, with exponential back-off, as long as it raises :class:`RetryableError`.

        Args:
            what: what is fetched, for messages.
            do: the function.

        Raises:
            FetchError: it failed every time.
            StoppedError: the run is to end.
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
