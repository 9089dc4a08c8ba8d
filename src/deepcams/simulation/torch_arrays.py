"""PyTorch as what the simulated world computes with: a day of global hours in seconds on a GPU.

It stands here, above the sources that it is handed to, because they never import torch.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.errors import MissingExtraError
from deepcams.simulation.arrays import NUMPY, Arrays

if TYPE_CHECKING:
    import torch


class TorchArrays:
    """Tensors on one device, as :class:`deepcams.simulation.arrays.Arrays` asks for them.

    Args:
        device: of the tensors.
        nodes: how many nodes to evaluate at once; default the whole globe at 0.25 degrees on a GPU, and what stays in
            a processor's cache on a CPU.
    """

    def __init__(self, device: torch.device | str, nodes: int | None = None) -> None:
        import torch

        self._torch = torch
        self.device = torch.device(device)
        self.name = f"torch on {self.device}"
        self.nodes = nodes or (NUMPY.nodes if self.device.type == "cpu" else 1_100_000)

    def __reduce__(self) -> tuple[Any, ...]:
        return TorchArrays, (str(self.device), self.nodes)

    def put(self, values: np.ndarray) -> torch.Tensor:
        """See :class:`Arrays`."""
        return self._torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def get(self, values: torch.Tensor) -> np.ndarray:
        """See :class:`Arrays`."""
        return np.asarray(values.cpu().numpy())

    def single(self, values: torch.Tensor) -> torch.Tensor:
        """See :class:`Arrays`."""
        return values.to(self._torch.float32)

    def whole(self, values: torch.Tensor) -> torch.Tensor:
        """See :class:`Arrays`."""
        return values.to(self._torch.int32)

    def index(self, values: torch.Tensor) -> torch.Tensor:
        """See :class:`Arrays`."""
        return values.to(self._torch.int64)

    def take(self, flat: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """See :class:`Arrays`."""
        return flat.index_select(0, index.reshape(-1)).reshape(index.shape)

    def columns(self, values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """See :class:`Arrays`."""
        return values.index_select(-1, index)

    def function(self, name: str, *values: Any) -> torch.Tensor:
        """See :class:`Arrays`."""
        result: torch.Tensor = getattr(self._torch, name)(*values)
        return result


def world_arrays(device: str = "auto") -> Arrays:
    """What to compute the simulated world with: PyTorch on a GPU, NumPy on a CPU.

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
    return NUMPY if chosen.type == "cpu" else TorchArrays(chosen)
