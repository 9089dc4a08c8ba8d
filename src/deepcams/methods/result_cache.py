"""Results of the latest calls, known again by what they were made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.files.records import fingerprint


class ResultCache:
    """Results by the bits of their input; the oldest are dropped. A copy in another process begins empty.

    Args:
        size: number of results that are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._results: dict[str, Any] = {}

    def __reduce__(self) -> tuple[type[ResultCache], tuple[int]]:
        return ResultCache, (self.size,)

    def key(self, *parts: np.ndarray | str) -> str:
        """Return the key of an input."""
        return fingerprint(*parts)

    def get(self, key: str) -> Any | None:
        """Return the result of a key, if it is kept."""
        return self._results.get(key)

    def keep(self, key: str, result: Any) -> None:
        """Keep a result, which nobody may change any more."""
        newest = {**self._results, key: result}
        # one assignment: threads may share the method
        self._results = dict(list(newest.items())[-self.size :])
