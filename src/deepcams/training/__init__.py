"""Training of networks, from fine hourly fields to checkpoints. Importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.training.experiment_file import read_experiment as read_experiment
    from deepcams.training.loop import train as train
    from deepcams.training.store.prepare import prepare as prepare
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "prepare": ".store.prepare",
            "read_experiment": ".experiment_file",
            "train": ".loop",
        },
    )
