"""Device, precision and memory of networks in PyTorch."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from deepcams.core.errors import InputError, choose
from deepcams.methods.fit_memory import SHARE, usable_memory

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]
_GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the GPU drivers of NVIDIA, AMD and WSL."""


def uses_gpu(name: str) -> bool:
    """Return whether ``--device name`` means a GPU; torch is imported only if a GPU may be present.

    Raises:
        InputError: see :func:`choose_device`.
    """
    choose("--device", name.partition(":")[0], get_args(Device))
    if name == "auto":
        driver = shutil.which("nvidia-smi") or any(
            Path(file).exists() for file in _GPU_FILES
        )
        if not driver or find_spec("torch") is None:
            return False
    return name != "cpu" and choose_device(name).type != "cpu"


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name; ``auto`` is CUDA if PyTorch can use it.

    Raises:
        InputError: the name is unknown, or PyTorch cannot use ``cuda``.
    """
    import torch

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
    """Return an autocast context of a precision (for matrix products and convolutions; sums stay float32)."""
    import torch

    choose("--precision", precision, get_args(Precision))
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )


def memory_budget(device: torch.device) -> int:
    """Return the memory that a network may use now, bytes."""
    if device.type != "cuda":
        return usable_memory()
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free * SHARE)
