"""What this machine does at best, to compare a run's rates with: a matrix product, a convolution, a copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

_SIDE = 2048
_COPY = 256 << 20
_SECONDS = 0.5


@dataclass(frozen=True)
class Machine:
    """Rates of one measurement, in all threads of the library, for each second of processor time.

    Attributes:
        product: FLOP/s of a product of square float32 matrices (NumPy).
        convolution: FLOP/s of a 3 x 3 convolution of float32 frames (PyTorch); None without PyTorch.
        copy: bytes/s of a copy that does not fit the caches, read and written bytes together.
    """

    product: float
    convolution: float | None
    copy: float


def measure_machine(
    rows: int,
    columns: int,
    width: int = 64,
    side: int = _SIDE,
    copied: int = _COPY,
    seconds: float = _SECONDS,
) -> Machine:
    """Measure this machine.

    Args:
        rows, columns, width: size and features of the convolution's frames.
        side: rows of the matrices.
        copied: bytes of the copy.
        seconds: how long each is repeated, at least.
    """
    left = np.random.default_rng(0).standard_normal((side, side), np.float32)
    right, product = left.T.copy(), np.empty_like(left)
    source = np.ones(copied // 4, np.float32)
    target = np.empty_like(source)
    return Machine(
        product=_rate(
            2 * side**3, lambda: np.matmul(left, right, out=product), seconds
        ),
        convolution=_convolution(rows, columns, width, seconds),
        copy=_rate(2 * source.nbytes, lambda: np.copyto(target, source), seconds),
    )


def _convolution(rows: int, columns: int, width: int, seconds: float) -> float | None:
    if find_spec("torch") is None:
        return None
    import torch

    layer = torch.nn.Conv2d(width, width, 3, padding=1)
    frame = torch.rand(1, width, rows, columns)
    with torch.inference_mode():
        return _rate(2 * 9 * width**2 * rows * columns, lambda: layer(frame), seconds)


def _rate(work: int, run: Callable[[], object], seconds: float) -> float:
    """Return the work a second of processor time, after one run to warm up."""
    run()
    done, start, used = 0, time.perf_counter(), time.process_time()
    while not done or time.perf_counter() - start < seconds:
        run()
        done += work
    return done / max(time.process_time() - used, 1e-9)
