"""Set up a training from its options: network, optimizer, learning rate and running average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from deepcams.core.errors import InputError, choose
from deepcams.core.grid import FACTOR
from deepcams.methods.chains import is_checkpoint, weights_of
from deepcams.networks import build
from deepcams.networks.base import Network, SpatialNetwork, shape_differences
from deepcams.networks.checkpoint import load
from deepcams.networks.scaling import Scaling, make_scaling
from deepcams.training.options import Experiment, Optimizer, Training


def make_network(experiment: Experiment) -> tuple[Network, Scaling]:
    """Create the experiment's network, with random weights or those of ``start``, and its scaling.

    Raises:
        InputError: the network, preset, option or scaling is unknown; the network is for another task or does not
            support the crop; the start has another network, options or scaling.
    """
    options = experiment.network
    with (
        torch.random.fork_rng(devices=[]),
        _keys_of(options.name, options.scaling.name),
    ):
        scaling = make_scaling(options.scaling.name, options.scaling.options)
        torch.manual_seed(experiment.training.seed)
        network = build(options.name, options.preset, **options.options)
    task, crop = experiment.samples.task, experiment.samples.crop
    if network.kind != task:
        found = f"{options.name}, a {network.kind} one"
        raise InputError("network.name", f"a {task} network", found)
    if network.channels != 1:
        found = f"{options.name}, of {network.channels}"
        raise InputError("network.name", "a network of one variable", found)
    if network.factor not in (None, FACTOR):
        raise InputError("network.options.factor", f"{FACTOR}", network.factor)
    rule = network.training_size_rule
    if not rule.fits(crop, crop):
        expected = f"at least {rule.minimum}"
        if rule.multiple > 1:
            expected = f"a multiple of {rule.multiple} for {options.name}"
        raise InputError(
            "samples.crop", expected, crop, f"take {rule.enlarge(crop, crop)[0]}"
        )
    if options.start is not None:
        _load_start(network, scaling, options.start)
    return network, scaling


@contextmanager
def _keys_of(network: str, scaling: str) -> Iterator[None]:
    """Add the experiment's keys to errors of networks and scalings, which do not know them."""
    keys = {
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
        if what not in keys:
            raise
        where = f"{keys[what]}.{option}" if option else keys[what]
        raise InputError(where, error.expected, error.found, error.do) from None


def _load_start(network: Network, scaling: Scaling, path: str) -> None:
    checkpoint = load(path)
    weights = checkpoint.network.state_dict()
    name, wrong = (
        checkpoint.card.network,
        shape_differences(_shapes(weights), _shapes(network.state_dict())),
    )
    checks = [
        (name == network.name, f"weights of {network.name}", f"those of {name}"),
        (
            checkpoint.scaling == scaling,
            f"weights for the scaling {scaling}",
            str(checkpoint.scaling),
        ),
        (not wrong, f"weights of {network.name} with these options", wrong),
    ]
    for right, expected, found in checks:
        if not right:
            raise InputError(f"network.start: {path}", expected, found)
    network.load_state_dict(weights)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def load_teacher(
    experiment: Experiment, network: Network, scaling: Scaling
) -> SpatialNetwork | None:
    """Load the teacher network of a spatial network; None if there is no teacher, or it is a method.

    Raises:
        InputError: the teacher does not fit this network.
    """
    teacher = experiment.training.teacher
    if teacher is None:
        return None
    where, do = "training.teacher", "leave the teacher out"
    if not isinstance(network, SpatialNetwork):
        if not getattr(network, "teachable", False):
            expected = "a network in space, or one that finds motion of its own (xvfi)"
            raise InputError(where, expected, network.name, do)
        choose(f"{where}.name", teacher.name, ["flow"])
        return None
    if teacher.weight > 1:
        raise InputError(f"{where}.weight", "at most 1", teacher.weight)
    named = [] if is_checkpoint(teacher.name) else weights_of(teacher.name)
    found = load(named[0] if named else teacher.name)
    if not isinstance(found.network, SpatialNetwork) or found.scaling != scaling:
        expected = f"a network in space with the scaling {scaling}"
        is_one = f"a {found.card.kind} one with the scaling {found.scaling}"
        raise InputError(f"{where}.name: {teacher.name}", expected, is_one, do)
    return found.network.eval().requires_grad_(False)


def make_optimizer(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """Create Adam or AdamW over all weights; the learning rate is set at every step."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[options.name](
        network.parameters(),
        lr=options.lr,
        weight_decay=options.weight_decay,
        betas=options.betas,
    )


@dataclass(frozen=True)
class Length:
    """The length of a training.

    Attributes:
        steps: number of steps; None: limited by ``minutes``.
        epoch: steps per epoch, at least 1.
        minutes: time limit; None: no limit.
    """

    steps: int | None
    epoch: float
    minutes: float | None

    @classmethod
    def of(cls, training: Training, hours: int) -> Length:
        """Return the length of a training on a number of hours of data."""
        epoch = max(hours / training.batch, 1.0)
        ends = [training.steps] if training.steps else []
        if training.epochs:
            ends.append(math.ceil(training.epochs * epoch))
        return cls(min(ends) if ends else None, epoch, training.minutes)

    def progress(self, step: int, minutes: float) -> float:
        """Return the completed fraction of the training, 0 to 1."""
        passed = (
            step / self.steps
            if self.steps is not None
            else minutes / (self.minutes or math.inf)
        )
        return min(passed, 1.0)

    def over(self, step: int, minutes: float) -> bool:
        """Return whether the training is complete."""
        enough = self.steps is not None and step >= self.steps
        return enough or (self.minutes is not None and minutes >= self.minutes)


def learning_rate(
    training: Training, length: Length, step: int, minutes: float
) -> float:
    """Return the learning rate of a step (counted from 0) that begins after ``minutes``."""
    schedule, lr = training.schedule, training.optimizer.lr
    progress = length.progress(step, minutes)
    one_step = {
        "step": 1.0,
        "epoch": 1 / length.epoch,
        "fraction": 1 / length.steps if length.steps else 0.0,
    }[schedule.unit]
    now = {"step": step, "epoch": step / length.epoch, "fraction": progress}[
        schedule.unit
    ]
    if now < schedule.warmup:
        return lr * min((now + one_step) / schedule.warmup, 1.0)
    if schedule.name == "milestones":
        return lr * schedule.gamma ** sum(
            now >= milestone for milestone in schedule.milestones
        )
    if schedule.name == "cosine":
        return lr * (
            schedule.floor
            + (1 - schedule.floor) * (1 + math.cos(math.pi * progress)) / 2
        )
    return lr


def teacher_weight(
    training: Training, length: Length, step: int, minutes: float
) -> float:
    """Return the teacher's weight in a step (counted from 0) that begins after ``minutes``."""
    if training.teacher is None:
        return 0.0
    passed = length.progress(step, minutes) / training.teacher.until
    return training.teacher.weight * max(1 - passed, 0.0)


def make_average(network: Network, decay: float | None) -> AveragedModel | None:
    """Create the running average of the weights, with less weight on early steps to forget the random start."""
    if decay is None:
        return None

    @torch.no_grad()
    def average(means: Sequence[Tensor], weights: Sequence[Tensor], count: Any) -> None:
        done = float(count)
        share = 1 - min(decay, (1 + done) / (10 + done))
        for mean, weight in zip(means, weights, strict=True):
            mean.lerp_(weight, share)

    return AveragedModel(network, multi_avg_fn=average)
