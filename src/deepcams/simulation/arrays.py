"""The array library the simulated world computes with at its nodes: NumPy, or PyTorch on a GPU.

Most of the functions that the world needs have the same names in both; :class:`Arrays` has those that differ.
The winds' paths and the maps are always made with NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepcams.methods import arrays


@dataclass(frozen=True)
class Arrays(arrays.Arrays):
    """NumPy.

    Attributes:
        nodes: how many nodes to evaluate at once; the default keeps temporary arrays in the processor's cache.
    """

    nodes: int = 40_000

    def columns(self, values: Any, index: Any) -> Any:
        """Return a new array of some columns (of the last axis)."""
        return values.take(index, axis=-1)


@dataclass(frozen=True)
class TorchArrays(arrays.TorchArrays, Arrays):
    """PyTorch on one device.

    Attributes:
        nodes: the default is the globe at 0.25 degrees.
        device: of the tensors.
    """

    nodes: int = 1_100_000
    device: str = "cuda"

    def columns(self, values: Any, index: Any) -> Any:
        """See :meth:`Arrays.columns`."""
        return values.index_select(-1, index)


NUMPY = Arrays()


def world_arrays(device: str = "auto") -> Arrays:
    """Return what to compute the simulated world with: PyTorch on a GPU, NumPy on a CPU.

    Args:
        device: see :func:`deepcams.methods.arrays.arrays_for`.

    Returns:
        an instance for that device.

    Raises:
        InputError, MissingExtraError: as ``arrays_for`` does.
    """
    chosen = arrays.arrays_for(device)
    if isinstance(chosen, arrays.TorchArrays):
        return TorchArrays(device=chosen.device)
    return NUMPY
