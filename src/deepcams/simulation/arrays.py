"""The array library the simulated world computes with at its nodes: NumPy, or PyTorch on a GPU.

Most of the functions that the world needs have the same names in both; :class:`Arrays` has those that differ.
The winds' paths and the maps are always made with NumPy.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepcams.core.errors import MissingExtraError


@dataclass(frozen=True)
class Arrays:
    """NumPy.

    Attributes:
        nodes: how many nodes to evaluate at once; the default keeps temporary arrays in the processor's cache.
    """

    nodes: int = 40_000

    @property
    def name(self) -> str:
        """Library and device."""
        return "numpy"

    @property
    def xp(self) -> Any:
        """The library's module."""
        return np

    def put(self, values: np.ndarray) -> Any:
        """Return a NumPy array as one of the library's, of the same type."""
        return values

    def get(self, values: Any) -> np.ndarray:
        """Return one of the library's arrays as NumPy's."""
        return np.asarray(values)

    def columns(self, values: Any, index: Any) -> Any:
        """Return a new array of some columns (of the last axis)."""
        return values.take(index, axis=-1)


@dataclass(frozen=True)
class TorchArrays(Arrays):
    """PyTorch on one device.

    Attributes:
        nodes: the default is the globe at 0.25 degrees.
        device: of the tensors.
    """

    nodes: int = 1_100_000
    device: str = "cuda"

    @property
    def name(self) -> str:
        """Library and device."""
        return f"torch on {self.device}"

    @property
    def xp(self) -> Any:
        """The library's module."""
        return importlib.import_module("torch")

    def put(self, values: np.ndarray) -> Any:
        """See :meth:`Arrays.put`."""
        return self.xp.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def get(self, values: Any) -> np.ndarray:
        """See :meth:`Arrays.get`."""
        return np.asarray(values.cpu().numpy())

    def columns(self, values: Any, index: Any) -> Any:
        """See :meth:`Arrays.columns`."""
        return values.index_select(-1, index)


NUMPY = Arrays()


def world_arrays(device: str = "auto") -> Arrays:
    """Return what to compute the simulated world with: PyTorch on a GPU, NumPy on a CPU.

    Args:
        device: ``cpu``, ``cuda`` (also ``cuda:1``), or ``auto``: a GPU where PyTorch finds one.

    Raises:
        InputError: an unknown name, or ``cuda`` where there is none.
        MissingExtraError: ``cuda`` where PyTorch is not installed.
    """
    if device == "cpu":
        return NUMPY
    if importlib.util.find_spec("torch") is None:
        if device == "auto":
            return NUMPY
        raise MissingExtraError("PyTorch", "networks")
    from deepcams.methods.device import choose_device

    chosen = choose_device(device)
    return NUMPY if chosen.type == "cpu" else TorchArrays(device=str(chosen))
