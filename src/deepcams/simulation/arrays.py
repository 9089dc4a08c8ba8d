"""Array libraries for the simulated world's nodes: NumPy, or PyTorch on a GPU.

Most functions have the same names in both; :class:`Arrays` provides those that differ. The paths of the winds and the
maps are always computed with NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deepcams.methods import arrays


@dataclass(frozen=True)
class Arrays(arrays.Arrays):
    """NumPy.

    Attributes:
        nodes: number of nodes evaluated at once; the default keeps temporary arrays in the processor's cache.
    """

    nodes: int = 40_000

    def columns(self, values: Any, index: Any) -> Any:
        """Return a copy of some columns (last axis)."""
        return values.take(index, axis=-1)


@dataclass(frozen=True)
class TorchArrays(arrays.TorchArrays, Arrays):
    """PyTorch on one device.

    Attributes:
        nodes: number of nodes evaluated at once; default: the 0.25 degree globe.
        device: device of the tensors.
    """

    nodes: int = 1_100_000
    device: str = "cuda"

    def columns(self, values: Any, index: Any) -> Any:
        """See :meth:`Arrays.columns`."""
        return values.index_select(-1, index)


NUMPY = Arrays()


def world_arrays(device: str = "auto") -> Arrays:
    """Return the array library for a device: PyTorch on a GPU, NumPy on a CPU.

    Args:
        device: see :func:`deepcams.methods.arrays.arrays_for`.

    Returns:
        an instance for that device.

    Raises:
        InputError, MissingExtraError: as for ``arrays_for``.
    """
    chosen = arrays.arrays_for(device)
    if isinstance(chosen, arrays.TorchArrays):
        return TorchArrays(device=chosen.device)
    return NUMPY
