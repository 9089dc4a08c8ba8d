"""The shipped contract check passes what fulfils the contract and names what does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from deepcams.networks import build  # noqa: E402
from deepcams.networks.base import SpatialNetwork, SpatialSample, check_shape  # noqa: E402
from deepcams.networks.sizes import SizeRule  # noqa: E402
from deepcams.testing import check_network  # noqa: E402


@dataclass(frozen=True)
class StrangerOptions:
    width: int = 4


class Stranger(SpatialNetwork):
    """A small network as another package would write it."""

    name = "stranger"
    options_type: ClassVar[type] = StrangerOptions
    presets: ClassVar[Mapping[str, Any]] = {"usual": StrangerOptions()}
    factor = 3

    def __init__(self, options: StrangerOptions | None = None) -> None:
        super().__init__(options or StrangerOptions())
        width = self.options.width
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 9, 3, padding=1),
        )

    @property
    def size_rule(self) -> SizeRule:
        return SizeRule(2)

    def working_bytes(self, rows: int, columns: int) -> int:
        return 100 * rows * columns

    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        check_shape(coarse, ("B", 1, "H", "W"), self.size_rule, "stranger")
        return nn.functional.pixel_shuffle(self.net(coarse), 3).float()

    def loss(self, sample: SpatialSample) -> torch.Tensor:
        return (self.refine(sample.coarse) - sample.target).abs().mean()


def test_passes_ours_and_a_stranger_s() -> None:
    check_network(build("xvfi", nf=8, depth=2))
    check_network(build("xvfi", "original", nf=8, depth=1, training_depth=1))
    check_network(build("abpn", d=4, stages=4))
    check_network(Stranger())


def test_leaves_the_network_as_it_was() -> None:
    network = Stranger().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    check_network(network)
    assert network.training
    assert all(
        torch.equal(before[name], tensor)
        for name, tensor in network.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


class Narrow(Stranger):
    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        return super().refine(coarse)[..., :-1]


class Normalising(Stranger):
    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        return super().refine(coarse) / coarse.mean()


class Dice(Stranger):
    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        fine = super().refine(coarse)
        return fine + torch.rand_like(fine)


class InPlace(Stranger):
    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        return super().refine(coarse.mul_(2))


class Anything(Stranger):
    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(self.net(coarse), 3).float()


class Idle(Stranger):
    def __init__(self, options: StrangerOptions | None = None) -> None:
        super().__init__(options)
        self.idle = nn.Linear(3, 3)


class Forgetful(Stranger):
    def __init__(self, options: StrangerOptions | None = None) -> None:
        super().__init__(options)
        self.gain = float(torch.rand(()))

    def refine(self, coarse: torch.Tensor) -> torch.Tensor:
        return self.gain * super().refine(coarse)


class Vector(Stranger):
    def loss(self, sample: SpatialSample) -> torch.Tensor:
        return (self.refine(sample.coarse) - sample.target).abs().flatten()


class Infinite(Stranger):
    def loss(self, sample: SpatialSample) -> torch.Tensor:
        return torch.sqrt(super().loss(sample) * 0)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Narrow, "answers_in_shape: the answer to"),
        (
            Normalising,
            "treats_frames_apart: a frame's answer depends on the rest of the batch",
        ),
        (Dice, "repeats_itself: the same input"),
        (InPlace, "answers_in_shape: the input is left as it was"),
        (Anything, "refuses_what_does_not_fit"),
        (
            Idle,
            "learns: parameters that the loss does not reach: idle.weight, idle.bias",
        ),
        (
            Forgetful,
            "is_made_of_its_options: options and state_dict make the same network",
        ),
        (Vector, "learns: loss is a scalar"),
        (Infinite, "learns: gradients that are not finite"),
    ],
)
def test_names_what_is_broken(network: type[Stranger], said: str) -> None:
    with pytest.raises(
        AssertionError, match=f"{network.__name__} breaks the contract:\n(.*\n)*{said}"
    ):
        check_network(network())


def test_refuses_what_is_no_network() -> None:
    with pytest.raises(
        AssertionError,
        match="derives from TemporalNetwork, SpatialNetwork or JointNetwork",
    ):
        check_network(nn.Linear(3, 3))
