"""Joint batches in their order: batch ``k`` holds the samples ``k * batch`` and on, whoever asks and whenever."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from deepcams.core.errors import DeepcamsError
from deepcams.training.distributed import Ranks
from deepcams.training.samples import SampleSet


class _Numbers(Sampler[list[int]]):
    """This process's numbers of samples, batch after batch, from a step on and without end."""

    def __init__(self, batch: int, ranks: Ranks, step: int) -> None:
        self.batch, self.ranks, self.step = batch, ranks, step

    def __iter__(self) -> Iterator[list[int]]:
        step = self.step
        while True:
            yield numbers(self.batch, self.ranks, step)
            step += 1


def numbers(batch: int, ranks: Ranks, step: int) -> list[int]:
    """This process's samples of a step."""
    return list(ranks.slice(range(step * batch, (step + 1) * batch)))


def collate(items: Sequence[Any]) -> Any:
    """One sample of all: each field stacked, or None where it is None; or the error among them."""
    for item in items:
        if isinstance(item, DeepcamsError):
            return item
    return type(items[0])(
        *(None if part[0] is None else torch.stack(part) for part in zip(*items, strict=True))
    )


def load_batches(
    samples: SampleSet, batch: int, ranks: Ranks, step: int, workers: int
) -> Iterator[Any]:
    """This process's batches from a step on, without end; an unreadable sample is an error object.

    Args:
        samples: what to draw.
        batch: samples of all processes together.
        ranks: the processes.
        step: the first step.
        workers: processes that read; they are started anew (not forked), so that no thread of this one is cut off.
    """
    more: dict[str, Any] = {}
    if workers:
        more = {
            "multiprocessing_context": "spawn",
            "worker_init_fn": _leave_stopping_to_parent,
            "prefetch_factor": 4,
        }
    loader = DataLoader(
        samples,
        batch_sampler=_Numbers(batch, ranks, step),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=ranks.device.type == "cuda",
        **more,
    )
    return iter(loader)


def _leave_stopping_to_parent(_: int) -> None:
    """Ctrl-C reaches all processes of the terminal: the training ends the workers itself, after its state is saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
