"""Small experiments, and stores in memory in place of prepared ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stand_in import StandIn, world

from deepcams.training.store.open import Prepared

BASE: dict[str, Any] = {
    "version": 1,
    "data": {"stores": [{"path": "world.zarr"}]},
    "split": {
        "train": {"regions": [[0, -90, 180, 90]]},
        "validation": {"regions": [[180, -90, 360, 90]]},
    },
    "training": {
        "steps": 6,
        "batch": 4,
        "log_every": 2,
        "save_every": 2,
        "seed": 3,
        "optimizer": {"lr": 1e-3},
    },
    "validation": {"every": 3, "samples": 6, "margin": 2},
    "output": {"name": "tiny"},
}
TEMPORAL: dict[str, Any] = {
    "samples": {"task": "temporal", "crop": 16, "resolution": "coarse"},
    "network": {"name": "xvfi", "options": {"nf": 4, "module_scale": 2}},
    "validation": {
        "baselines": ["linear"]
    },  # flow enlarges so coarse a grid a hundredfold
}
SPATIAL: dict[str, Any] = {
    "samples": {"task": "spatial", "crop": 8},
    "network": {"name": "abpn", "options": {"d": 4, "stages": 2}},
}


JOINT: dict[str, Any] = {
    "samples": {"task": "joint", "crop": 24},
    "network": {
        "name": "spacetime",
        "options": {"estimate": "log-bicubic", "width": 4, "blocks": 1},
        "scaling": {"name": "linear", "options": {"unit": 1}},
    },
}
TASKS = {"temporal": TEMPORAL, "spatial": SPATIAL, "joint": JOINT}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with changes put over it, key by key."""
    found = copy.deepcopy(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found


@pytest.fixture
def values() -> Callable[..., dict[str, Any]]:
    """``values("temporal", changes)``: an experiment as YAML has it."""

    def make(
        task: str = "temporal", changes: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return merged(merged(BASE, TASKS[task]), changes or {})

    return make


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, StandIn]:
    """Stores by path, opened in place of prepared ones."""
    known = {"world.zarr": world(path="world.zarr")}

    def opened(path: str, variable: str | None = None) -> Any:
        return known[str(path)]

    monkeypatch.setattr(Prepared, "open", opened)
    return known


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Sums in one order, whatever the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
