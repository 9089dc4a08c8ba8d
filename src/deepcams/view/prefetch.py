"""One thread that does what may be wanted next; of each kind only the newest wish counts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


class Prefetcher:
    """A thread that ends with the process, whatever it is doing: nobody waits for what was only likely to be wanted."""

    def __init__(self) -> None:
        self._wishes: dict[str, Callable[[], None]] = {}
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(
            target=self._run, name="deepcams-view-ahead", daemon=True
        )
        self._thread.start()

    def wish(self, kind: str, do: Callable[[], None]) -> None:
        """Do this soon; an earlier wish of the kind that has not begun is dropped."""
        with self._changed:
            self._wishes[kind] = do
            self._changed.notify()

    def close(self, patience: float = 0.5) -> bool:
        """Drop all wishes and end the thread; whether it has ended within that many seconds."""
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
            ):  # whoever asks for these very values is told what is wrong with them
                do()
