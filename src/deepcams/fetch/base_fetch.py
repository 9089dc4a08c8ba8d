"""What the fetches of all providers share: where they are told to, the manifest round them, and the summary."""

from __future__ import annotations

import time as clock
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.period import Period
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.manifest import Manifest
from deepcams.fetch.parallel import Counter, Estimate, Progress, Summary
from deepcams.fetch.retry import Patience, StoppedError
from deepcams.files.optional import require


class _Asked(Protocol):
    @property
    def period(self) -> Period: ...


Request = TypeVar("Request", bound=_Asked)


@dataclass
class Fetch(ABC, Generic[Request]):
    """A fetch from one provider.

    Args:
        request: what is wanted.
        endpoints: where from.
        patience: for how long.
        progress: told how far it is.
        environment: where keys are looked for; default the process's own.
    """

    request: Request
    endpoints: Endpoints
    patience: Patience
    progress: Progress = lambda told: None
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        begun(self.request.period)
        self.manifest = Manifest(self._folder())
        self.came = Counter()

    def estimate(self) -> Estimate:
        """What :meth:`run` would do; nothing is written.

        Raises:
            InputError, OutputError: what :meth:`run` would refuse before it asks for anything.
        """
        self.manifest.refuse(self._identity())
        return self._expected()

    @abstractmethod
    def _expected(self) -> Estimate:
        """What there is to do in a folder that may be written to."""

    @abstractmethod
    def _folder(self) -> Path:
        """Where the manifest lies."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """What the folder holds, as :meth:`~deepcams.fetch.manifest.Manifest.begin` compares it."""

    def _check(self) -> None:
        """Refuse, before anything is written, what could not come to an end."""
        return  # most have nothing to refuse

    @abstractmethod
    def _complete(self) -> Summary:
        """Fetch what is not there, as the manifest is now that no other process adds to it."""

    def run(self) -> Summary:
        """Fetch what is not there yet.

        Raises:
            MissingExtraError: without the extra [fetch].
            FetchError: no key, no licence, or items that could not be fetched; all others are kept.
            OutputError: the folder holds something else, or cannot be written to.
        """
        began = clock.perf_counter()
        require("fetch", "deepcams fetch")
        self.manifest.refuse(self._identity())
        self._check()
        self.manifest.begin(self._identity())
        try:
            summary = self._complete()
        except StoppedError:
            raise KeyboardInterrupt from None
        finally:
            self.manifest.close()
        summary.bytes, summary.seconds = self.came.bytes, clock.perf_counter() - began
        return summary


def begun(period: Period) -> None:
    """Refuse a period of which nothing can have been published, and tell of one that is not over.

    Raises:
        InputError: it lies in the future.
    """
    now = np.datetime64("now")
    if period.start > now:
        raise InputError("--period", f"one that has begun (it is {now} UTC)", str(period))
    if period.end > now:
        notice(
            f"--period {period} is not over: what is not published yet cannot come; give the same command again then"
        )
