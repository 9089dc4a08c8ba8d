"""A background thread for speculative work; only the newest task of each kind is kept."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


class Prefetcher:
    """A daemon thread for speculative work, which ends with the process without being waited for."""

    def __init__(self) -> None:
        self._wishes: dict[str, Callable[[], None]] = {}
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(
            target=self._run, name="deepcams-view-ahead", daemon=True
        )
        self._thread.start()

    def wish(self, kind: str, do: Callable[[], None]) -> None:
        """Schedule a task; an earlier task of the same kind that has not started is dropped."""
        with self._changed:
            self._wishes[kind] = do
            self._changed.notify()

    def close(self, patience: float = 0.5) -> bool:
        """Drop all tasks and stop the thread; return whether it ended within ``patience`` seconds."""
        with self._changed:
            self._closed = True
            self._wishes.clear()
            self._changed.notify()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wishes)
                if self._closed:
                    return
                do = self._wishes.pop(next(iter(self._wishes)))
            with contextlib.suppress(
                Exception
            ):  # a request for these values reports the error
                do()
