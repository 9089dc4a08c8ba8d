"""A network's own motion taught by flow: it points the right way, which the network's own loss does not teach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_in import StandIn

from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.networks.cellnet import CellNet, CellNetOptions
from deepcams.networks.checkpoint import save
from deepcams.networks.scaling import Asinh, Linear
from deepcams.networks.warp import warp
from deepcams.training.experiment_file import parse_experiment
from deepcams.training.loop import train
from deepcams.training.options import Experiment
from deepcams.training.run_folder import STATE
from deepcams.training.samples import SampleSet
from deepcams.training.setup import Length, load_teacher, make_network, teacher_weight
from deepcams.training.split import find_portions
from deepcams.training.store.open import Prepared

Values = Callable[..., dict[str, Any]]
GRID = Grid(0.75, 40, 0, 40, 40)
EAST, SOUTH = 1.0, 0.5
"""Motion of all that there is, coarse pixels an hour."""


@pytest.fixture
def moving(tmp_path: Path) -> StandIn:
    """Blobs that move alike on a small grid."""
    rng = np.random.default_rng(0)
    fine = GRID.refine()
    rows, columns = np.indices(fine.shape) / 3
    values = np.full((4, *fine.shape), 2.0, np.float32)
    for _ in range(60):
        north, west, high = rng.uniform(-5, 45), rng.uniform(-5, 45), rng.uniform(5, 50)
        for hour in range(4):
            down, right = north + SOUTH * hour, west + EAST * hour
            away = (rows - down) ** 2 + (columns - right) ** 2
            values[hour] += high * np.exp(-away / 8)
    first = np.datetime64("2019-12-01T00:30", "ns")
    times = first + np.arange(4) * np.timedelta64(1, "h")
    return StandIn(tmp_path / "moving.zarr", GRID, times, values)


@pytest.fixture
def experiment(
    moving: StandIn, values: Values, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Experiment]:
    """``experiment(steps=.., teacher=..)``: a training on the west of the blobs."""
    monkeypatch.setattr(Prepared, "open", lambda *_: moving)

    def make(**training: Any) -> Experiment:
        changes = {
            "split": {
                "train": {"regions": [[0, 30, 15, 60]]},
                "validation": {"regions": [[15, 30, 30, 60]]},
            },
            "samples": {"flips": False, "rot90": False, "flow": "whole"},
            "training": {"save_every": 100, **training},
            "validation": {"every": 100},
        }
        return parse_experiment(values("temporal", changes))

    return make


def test_the_networks_motion_points_where_flows_does(
    moving: StandIn, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """Alone it finds less than a fiftieth of the motion in so many steps."""
    teacher = {"name": "flow", "until": 1.0}
    recipe = experiment(steps=80, teacher=teacher, optimizer={"lr": 5e-3})
    train(recipe, tmp_path / "run", device="cpu")
    network: Any = make_network(recipe)[0]
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    network.load_state_dict(state["network"])
    frames = np.stack([moving.read(hour, 4, 4, 32, 32, "coarse") for hour in (0, 3)])
    scaled = Asinh().forward(torch.from_numpy(frames))[None, :, None]
    with torch.no_grad():
        level = network.levels(scaled, torch.tensor([0.5]))[0]
    found = network.options.module_scale * level.between.mean((0, 2, 3)).numpy() / 3
    np.testing.assert_allclose(found, (EAST, SOUTH, -EAST, -SOUTH), atol=0.5)


def test_a_sample_has_the_motion_of_its_frames(
    moving: StandIn, experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """Reversed, mirrored and turned, of the crop or the whole frame: it carries one known frame to the other."""
    given = experiment(steps=1)
    opened: Any = [moving]
    portions = find_portions(given, opened, "train")
    ways = set()
    for flow, cache in (("crop", None), ("whole", tmp_path)):
        turned = given.samples.model_copy(
            update={"flips": True, "rot90": True, "flow": flow}
        )
        samples = SampleSet(
            turned, portions, Asinh(), 0, "train", None, cache, taught=True
        )
        for i in range(30):
            sample = samples[i]
            carried = warp(sample.frames[:1], -sample.motion[None])
            inside = (..., slice(4, -4), slice(4, -4))
            before, after = (
                (frame - sample.frames[1])[inside].abs().mean()
                for frame in (sample.frames[0], carried[0])
            )
            assert after < before / 2
            x, y = sample.motion.mean((1, 2)).tolist()
            ways.add((abs(x) > abs(y), x > 0, y > 0))
    assert len(ways) == 8
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_the_teachers_weight_falls_to_nothing(
    experiment: Callable[..., Experiment],
) -> None:
    teacher = {"name": "flow", "weight": 0.4, "until": 0.5}
    training = experiment(steps=100, teacher=teacher).training
    length = Length.of(training, 10)
    weights = [teacher_weight(training, length, step, 0) for step in (0, 25, 50, 99)]
    assert weights == pytest.approx([0.4, 0.2, 0, 0])
    alone = experiment(steps=100).training
    assert teacher_weight(alone, length, 0, 0) == 0


def test_a_network_without_motion_is_not_taught(
    experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    given = experiment(steps=1, teacher={"name": "flow"})
    other = given.network.model_copy(update={"name": "flow-refine", "options": {}})
    other = given.model_copy(update={"network": other})
    with pytest.raises(InputError, match=r"training\.teacher: expected .*flow-refine"):
        load_teacher(other, *make_network(other))


def _distilled(values: Values, **teacher: Any) -> Experiment:
    network = {
        "name": "cellnet",
        "options": {"width": 4, "blocks": 1},
        "scaling": {"name": "linear", "options": {"unit": 1}},
    }
    training = {"steps": 60, "save_every": 100, "optimizer": {"lr": 1e-2}}
    changes = {
        "split": {
            "train": {"regions": [[0, 30, 15, 60]]},
            "validation": {"regions": [[15, 30, 30, 60]]},
        },
        "training": {**training, "teacher": {"weight": 1, "until": 1, **teacher}},
        "validation": {"every": 100},
    }
    return parse_experiment(values("spatial", changes) | {"network": network})


def test_a_small_network_learns_the_answers_of_a_large_one(
    moving: StandIn, values: Values, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The teacher gives each cell's content to its first pixel, which no truth here does."""
    monkeypatch.setattr(Prepared, "open", lambda *_: moving)
    teacher = CellNet(CellNetOptions(width=2, blocks=1))
    with torch.no_grad():
        teacher.last.bias[0] += 5
    path = save(teacher, tmp_path / "teacher", Linear(1), variable="pm2p5")
    recipe = _distilled(values, name=str(path))
    train(recipe, tmp_path / "run", device="cpu")
    network: Any = make_network(recipe)[0]
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    network.load_state_dict(state["network"])
    coarse = torch.from_numpy(moving.read(0, 4, 4, 32, 32, "coarse"))[None, None]
    with torch.no_grad():
        share = network.refine(coarse)[..., ::3, ::3] / (9 * coarse)
    assert share.mean() > 0.6


def test_a_teacher_of_another_kind_or_scaling_is_refused(values: Values) -> None:
    for name, problem in {
        "xvfi": "a temporal one",
        "abpn": "one with the scaling",
    }.items():
        recipe = _distilled(values, name=name)
        with pytest.raises(InputError, match=problem):
            load_teacher(recipe, *make_network(recipe))
    recipe = _distilled(values, name="cellnet", weight=2)
    with pytest.raises(InputError, match=r"training\.teacher\.weight: .* at most 1"):
        load_teacher(recipe, *make_network(recipe))
