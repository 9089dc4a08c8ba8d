"""Several processes that train together, as ``torchrun`` starts them: each works on its slice of the joint batch."""

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
    """The processes of one training, this one alone if ``torchrun`` did not start it. A context manager.

    Attributes:
        rank: this process's number; 0 alone writes.
        count: how many there are.
        device: where this one works.
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
        """Whether this process writes."""
        return self.rank == 0

    def slice(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's share of ``items``, whose number the number of processes divides."""
        size = len(items) // self.count
        return items[self.rank * size : (self.rank + 1) * size]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with the gradients of the joint batch."""
        if self.count == 1:
            return module
        # Of a 1x1 kernel, channels-last or not is the same memory; its strides may still be written differently.
        warnings.filterwarnings(
            "ignore", "Grad strides do not match bucket view strides"
        )
        return DistributedDataParallel(module)

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums of the values over all processes."""
        return [sum(each) for each in zip(*self.gather(values), strict=True)]

    def any(self, flags: Tensor) -> list[bool]:
        """Return for each flag whether it is set in any process."""
        if self.count > 1:
            flags = flags.to(torch.int32)
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        return [bool(flag) for flag in flags.cpu()]

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value, in order, in every process."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def fail_alike(self, failed: DeepcamsError | None) -> None:
        """Raise one process's error in all of them."""
        for found in self.gather(failed):
            if found is not None:
                raise found

    def by_first(self, work: Callable[[], T]) -> T | None:
        """Do something in the first process alone; if it fails, all fail alike.

        Returns:
            the result in the first process, None in the others.
        """
        result, failed = None, None
        if self.first:
            try:
                result = work()
            except DeepcamsError as error:
                failed = error
        self.fail_alike(failed)
        return result
