"""From options to what learns: the network, its optimizer, its learning rate and its running average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from deepcams.core.errors import InputError
from deepcams.networks import build
from deepcams.networks.base import Network, shape_differences
from deepcams.networks.checkpoint import load
from deepcams.networks.scaling import Scaling, make_scaling
from deepcams.training.options import Experiment, Optimizer, Training


def make_network(experiment: Experiment) -> tuple[Network, Scaling]:
    """The experiment's network, with fresh weights of its seed or those it starts from, and its scaling.

    Raises:
        InputError: unknown network, preset, option or scaling; a network of the other task; a crop that it does not
            take; a start from another network, other options or another scaling.
    """
    options = experiment.network
    with (
        torch.random.fork_rng(devices=[]),
        _named_as_in_the_file(options.name, options.scaling.name),
    ):
        scaling = make_scaling(options.scaling.name, options.scaling.options)
        torch.manual_seed(experiment.training.seed)
        network = build(options.name, options.preset, **options.options)
    samples = experiment.samples
    if network.kind != samples.task:
        raise InputError(
            "network.name", f"a {samples.task} network", f"{options.name}, a {network.kind} one"
        )
    if network.channels != 1:
        raise InputError(
            "network.name", "a network of one variable", f"{options.name}, of {network.channels}"
        )
    if network.factor not in (None, 3):
        raise InputError("network.options.factor", "3", network.factor)
    rule = network.training_size_rule
    if not rule.fits(samples.crop, samples.crop):
        larger = rule.enlarge(samples.crop, samples.crop)[0]
        expected = (
            f"a multiple of {rule.multiple} for {options.name}"
            if rule.multiple > 1
            else f"at least {rule.minimum}"
        )
        raise InputError("samples.crop", expected, samples.crop, f"take {larger}")
    if options.start is not None:
        _start(network, scaling, options.start)
    return network, scaling


@contextmanager
def _named_as_in_the_file(network: str, scaling: str) -> Iterator[None]:
    """Networks and scalings do not know where their options stand; the user who has to change one does."""
    places = {
        "network": "network.name",
        f"preset of {network}": "network.preset",
        f"options of {network}": "network.options",
        "scaling": "network.scaling.name",
        f"scaling {scaling}": "network.scaling.options",
    }
    try:
        yield
    except InputError as error:
        what, _, option = error.where.partition(": ")
        if what not in places:
            raise
        where = f"{places[what]}.{option}" if option else places[what]
        raise InputError(where, error.expected, error.found, error.do) from None


def _start(network: Network, scaling: Scaling, path: str) -> None:
    known = load(path)
    if known.card.network != network.name:
        raise InputError(
            f"network.start: {path}", f"weights of {network.name}", f"those of {known.card.network}"
        )
    if known.scaling != scaling:
        raise InputError(
            f"network.start: {path}", f"weights for the scaling {scaling}", str(known.scaling)
        )
    given, own = known.network.state_dict(), network.state_dict()
    wrong = shape_differences(_shapes(given), _shapes(own))
    if wrong:
        raise InputError(
            f"network.start: {path}", f"weights of {network.name} with these options", wrong
        )
    network.load_state_dict(given)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def make_optimizer(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """Adam or AdamW over all weights; its learning rate is set at every step."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[options.name](
        network.parameters(), lr=options.lr, weight_decay=options.weight_decay, betas=options.betas
    )


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        steps: until its end; None: until ``minutes`` have passed.
        epoch: steps of an epoch, at least 1.
        minutes: after which it ends in any case.
    """

    steps: int | None
    epoch: float
    minutes: float | None

    @classmethod
    def of(cls, training: Training, hours: int) -> Length:
        """Of a training on so many hours."""
        epoch = max(hours / training.batch, 1.0)
        ends = [training.steps] if training.steps else []
        ends += [math.ceil(training.epochs * epoch)] if training.epochs else []
        return cls(min(ends) if ends else None, epoch, training.minutes)

    def progress(self, step: int, minutes: float) -> float:
        """Which fraction of the training has passed, 0 to 1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        assert self.minutes is not None
        return min(minutes / self.minutes, 1.0)

    def over(self, step: int, minutes: float) -> bool:
        """Whether the training ends here."""
        enough = self.steps is not None and step >= self.steps
        return enough or (self.minutes is not None and minutes >= self.minutes)


def learning_rate(training: Training, length: Length, step: int, minutes: float) -> float:
    """The learning rate of a step (counted from 0) that begins after so many minutes."""
    schedule, lr = training.schedule, training.optimizer.lr
    progress = length.progress(step, minutes)
    now = {"step": step, "epoch": step / length.epoch, "fraction": progress}[schedule.unit]
    if now < schedule.warmup:
        one = {
            "step": 1.0,
            "epoch": 1 / length.epoch,
            "fraction": 1 / length.steps if length.steps else 0.0,
        }
        return lr * min((now + one[schedule.unit]) / schedule.warmup, 1.0)
    if schedule.name == "milestones":
        return lr * schedule.gamma ** sum(now >= milestone for milestone in schedule.milestones)
    if schedule.name == "cosine":
        return lr * (schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * progress)) / 2)
    return lr


def make_average(network: Network, decay: float | None) -> AveragedModel | None:
    """The running average of the weights: the first steps count less, so that the random start is soon forgotten."""
    if decay is None:
        return None

    @torch.no_grad()
    def average(kept: Sequence[Tensor], new: Sequence[Tensor], count: Any) -> None:
        seen = float(count)
        share = 1 - min(decay, (1 + seen) / (10 + seen))
        for mean, weight in zip(kept, new, strict=True):
            mean.lerp_(weight, share)

    return AveragedModel(network, multi_avg_fn=average)
