"""Where networks run, in which precision, and within how much memory."""

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
"""Part of the free memory that a network's work may fill."""


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes CUDA where there is one.

    Raises:
        InputError: an unknown name, or ``cuda`` where there is none.
    """
    kind, _, index = name.partition(":")
    choose("--device", kind, get_args(Device))
    found = torch.cuda.is_available()
    if kind == "cuda" and not found:
        raise InputError(
            "--device", "a CUDA device that PyTorch can use", "none", "use --device cpu or auto"
        )
    if kind == "cpu" or not found:
        return torch.device("cpu")
    if index and not (index.isdigit() and int(index) < torch.cuda.device_count()):
        raise InputError("--device", f"cuda:0 to cuda:{torch.cuda.device_count() - 1}", repr(name))
    return torch.device("cuda", int(index or 0))


def working(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which a network works in that precision (matrix products and convolutions; sums stay float32)."""
    choose("--precision", precision, get_args(Precision))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def memory_budget(device: torch.device) -> int:
    """Bytes that a network's work may fill now."""
    free = (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else psutil.virtual_memory().available
    )
    return int(free * _SHARE)


def finite(values: np.ndarray, network: str) -> np.ndarray:
    """The values themselves.

    Raises:
        DeepcamsError: some are infinite or no numbers.
    """
    if not np.isfinite(values).all():
        raise DeepcamsError(
            f"{network}: the network gives values that are not finite; its weights are damaged or untrained"
        )
    return values


def out_of_memory(error: BaseException) -> bool:
    """Whether this is PyTorch's way to say that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def with_less_each_time(work: Callable[[int], T], sizes: list[int], what: str) -> tuple[T, int]:
    """``work(size)`` for the first of ``sizes`` whose work fits into memory.

    Returns:
        the result, and the index of the size that did it.

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
            notice(f"out of memory with {what} {size}: going on with {sizes[index + 1]}")
    raise DeepcamsError(
        f"out of memory even with {what} {sizes[-1]}: close other programs, use --device cpu, or take a smaller --bbox"
    )
