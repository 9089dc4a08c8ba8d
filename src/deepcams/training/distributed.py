"""Distributed training with processes started by ``torchrun``: each processes its slice of the global batch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.methods.device import choose_device

T = TypeVar("T")


class Ranks:
    """Context manager for the processes of one training; a single process if not started by ``torchrun``.

    Attributes:
        rank: rank of this process; only rank 0 writes.
        count: number of processes.
        device: device of this process.
    """

    def __init__(self, device: str = "auto") -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = choose_device(device)
        if self.count > 1 and self.device.type == "cuda":
            devices = torch.cuda.device_count()
            if local >= devices:
                expected = f"up to {devices} processes here"
                do = "start as many processes on each machine as it has devices, or use --device cpu"
                raise InputError("torchrun", expected, local + 1, do)
            self.device = torch.device("cuda", local)

    def __enter__(self) -> Ranks:
        if self.count > 1 and not dist.is_initialized():
            cuda = self.device.type == "cuda"
            if cuda:
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if cuda else "gloo")
        return self

    def __exit__(self, *_: object) -> None:
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes (rank 0)."""
        return self.rank == 0

    def slice(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's slice of ``items``, whose number is a multiple of the number of processes."""
        size = len(items) // self.count
        return items[self.rank * size : (self.rank + 1) * size]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that gradients are averaged over the global batch."""
        if self.count == 1:
            return module
        # For a 1x1 kernel both memory formats have the same layout, but their strides may differ.
        warnings.filterwarnings(
            "ignore", "Grad strides do not match bucket view strides"
        )
        return DistributedDataParallel(module)

    def total(self, values: Sequence[float]) -> list[float]:
        """Sum values over all processes."""
        return [sum(each) for each in zip(*self.gather(values), strict=True)]

    def any(self, flags: Tensor) -> list[bool]:
        """Return, for each flag, whether it is set in any process."""
        if self.count > 1:
            flags = flags.to(torch.int32)
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        return [bool(flag) for flag in flags.cpu()]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank, in every process."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def fail_alike(self, failed: DeepcamsError | None) -> None:
        """Raise the error of any process in all processes."""
        for found in self.gather(failed):
            if found is not None:
                raise found

    def by_first(self, work: Callable[[], T]) -> T | None:
        """Run ``work`` in the first process only; if it fails, raise its error in all.

        Returns:
            the result in the first process; None in the others.
        """
        result, failed = None, None
        if self.first:
            try:
                result = work()
            except DeepcamsError as error:
                failed = error
        self.fail_alike(failed)
        return result
