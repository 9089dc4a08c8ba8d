"""Fit the work of networks into free memory, without importing torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from deepcams.core.errors import DeepcamsError, notice
from deepcams.core.machine import free_memory

T = TypeVar("T")

SHARE = 0.5
"""Fraction of the free memory that a network may use."""


def usable_memory() -> int:
    """Return the main memory that a network may use now, bytes."""
    return int(free_memory() * SHARE)


def checked_finite(values: np.ndarray, network: str) -> np.ndarray:
    """Return the values if all are finite.

    Raises:
        DeepcamsError: a value is infinite or NaN.
    """
    if not np.isfinite(values).all():
        raise DeepcamsError(
            f"{network}: the network gives values that are not finite; its weights are damaged or untrained"
        )
    return values


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any library means out of memory, on GPU or CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "allocate memory" in str(error) or "bad_alloc" in str(error)


def first_that_fits(
    work: Callable[[int], T], sizes: list[int], what: str
) -> tuple[T, int]:
    """Return ``work(size)`` for the first of ``sizes`` that fits into memory; give a notice for each that does not.

    Returns:
        the result, and the index of the size that fitted.

    Raises:
        DeepcamsError: no size fits.
    """
    for index, size in enumerate(sizes):
        try:
            return work(size), index
        except Exception as error:  # each engine raises its own types
            if not out_of_memory(error):
                raise
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        if index + 1 < len(sizes):
            notice(
                f"out of memory with {what} {size}: going on with {sizes[index + 1]}"
            )
    raise DeepcamsError(
        f"out of memory even with {what} {sizes[-1]}: close other programs, use --device cpu, or take a smaller --bbox"
    )
