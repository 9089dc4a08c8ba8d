"""Cache of the latest results, keyed by a hash of their input."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.files.records import fingerprint


class ResultCache:
    """Results keyed by a hash of their input; the oldest are evicted. A pickled copy is empty.

    Args:
        size: largest number of results.
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
        """Return the cached result for a key; ``None`` if there is none."""
        return self._results.get(key)

    def keep(self, key: str, result: Any) -> None:
        """Store a result, which must not be modified afterwards."""
        newest = {**self._results, key: result}
        # a single assignment is thread-safe
        self._results = dict(list(newest.items())[-self.size :])
