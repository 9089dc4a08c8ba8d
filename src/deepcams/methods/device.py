"""The device, precision and memory of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, get_args

import numpy as np
import psutil
import torch

from deepcams.core.errors import DeepcamsError, InputError, choose, notice

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
T = TypeVar("T")

_SHARE = 0.5
"""Share of the free memory that a network may use."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes CUDA if PyTorch can use it.

    Raises:
        InputError: an unknown name, or ``cuda`` that PyTorch cannot use.
    """
    kind, _, index = name.partition(":")
    choose("--device", kind, get_args(Device))
    if kind == "cpu" or not torch.cuda.is_available():
        if kind == "cuda":
            expected = "a CUDA device that PyTorch can use"
            raise InputError("--device", expected, "none", "use --device cpu or auto")
        return torch.device("cpu")
    if index and not (index.isdigit() and int(index) < torch.cuda.device_count()):
        raise InputError(
            "--device", f"cuda:0 to cuda:{torch.cuda.device_count() - 1}", repr(name)
        )
    return torch.device("cuda", int(index or 0))


def working(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context of that precision (matrix products and convolutions; sums stay float32)."""
    choose("--precision", precision, get_args(Precision))
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )


def memory_budget(device: torch.device) -> int:
    """Return the bytes that a network may use now."""
    free = psutil.virtual_memory().available
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    return int(free * _SHARE)


def checked_finite(values: np.ndarray, network: str) -> np.ndarray:
    """Return the values.

    Raises:
        DeepcamsError: some are infinite or no numbers.
    """
    if not np.isfinite(values).all():
        raise DeepcamsError(
            f"{network}: the network gives values that are not finite; its weights are damaged or untrained"
        )
    return values


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def first_that_fits(
    work: Callable[[int], T], sizes: list[int], what: str
) -> tuple[T, int]:
    """Return ``work(size)`` for the first of ``sizes`` that fits into memory, with a notice for each that does not.

    Returns:
        the result, and the index of the size that fitted.

    Raises:
        DeepcamsError: not even the last one fits.
    """
    for index, size in enumerate(sizes):
        try:
            return work(size), index
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if index + 1 < len(sizes):
            notice(
                f"out of memory with {what} {size}: going on with {sizes[index + 1]}"
            )
    raise DeepcamsError(
        f"out of memory even with {what} {sizes[-1]}: close other programs, use --device cpu, or take a smaller --bbox"
    )
