"""The clauses of a network's contract, each a function that asserts one of them."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable

import torch
from torch import Tensor

from deepcams.core.errors import InputError
from deepcams.networks.base import (
    JointNetwork,
    JointSample,
    Network,
    SpatialNetwork,
    SpatialSample,
    TemporalNetwork,
    TemporalSample,
    options_from,
)
from deepcams.networks.sizes import SizeRule
from deepcams.testing.clauses import check_all

_SAME = 1e-4
"""Largest difference, relative to the largest value, of results that must be the same but for rounding."""


def check(network: Network, seed: int = 0) -> None:
    """Check every clause; see :func:`deepcams.testing.check_network`."""
    assert isinstance(network, TemporalNetwork | SpatialNetwork | JointNetwork), (
        "a network derives from TemporalNetwork, SpatialNetwork or JointNetwork, "
        f"{type(network).__name__} does not"
    )
    network = copy.deepcopy(network).cpu()

    def before() -> None:
        torch.manual_seed(seed)
        network.eval()
        network.zero_grad()

    with torch.random.fork_rng(devices=[]):
        check_all(_CLAUSES, network, type(network).__name__, before)


def _declares_itself(network: Network) -> None:
    assert isinstance(network.name, str), "name is a string"
    assert network.name, "name is not empty"
    kinds = ("temporal", "spatial", "joint")
    assert network.kind in kinds, "kind is temporal, spatial or joint"
    assert isinstance(network.channels, int), "channels is a number"
    assert network.channels >= 1, "channels is at least 1"
    if isinstance(network, SpatialNetwork):
        assert isinstance(network.factor, int), "a spatial network has a whole factor"
        assert network.factor >= 2, "factor is at least 2"
        tiling = network.tiling
        if tiling is not None:
            assert 0 <= 2 * tiling.halo < tiling.size, (
                "a tile is larger than its two halos"
            )
        if network.sliding_window:
            own = type(network).refine_sliding
            assert own is not SpatialNetwork.refine_sliding, (
                "sliding_window needs refine_sliding"
            )
    for rule in (network.size_rule, network.training_size_rule):
        assert isinstance(rule, SizeRule), "size rules are SizeRule"


def _is_made_of_its_options(network: Network) -> None:
    options, cls = network.options, type(network)
    assert dataclasses.is_dataclass(options), "options is a dataclass"
    assert isinstance(options, cls.options_type), "options is an options_type"
    assert cls.options_type.__dataclass_params__.frozen, "options_type is frozen"  # type: ignore[attr-defined]
    values = json.loads(json.dumps(dataclasses.asdict(network.options)))
    again = options_from(cls.options_type, values, "options")
    assert again == options, "options survive JSON"
    for preset, preset_options in cls.presets.items():
        assert isinstance(preset_options, cls.options_type), (
            f"preset {preset} is an options_type"
        )
    twin = cls(again).eval()
    twin.load_state_dict(network.state_dict())
    frames = _input(network)
    assert torch.equal(_run(twin, frames), _run(network, frames)), (
        "options and state_dict make the same network"
    )


def _answers_in_shape(network: Network) -> None:
    frames = _input(network, batch=2)
    before = frames.clone()
    out = _run(network, frames)
    rows, columns = frames.shape[-2:]
    factor = network.factor or 1
    if isinstance(network, JointNetwork):
        factor = 1  # it is given fine frames
    expected = [2, network.channels, factor * rows, factor * columns]
    if isinstance(network, TemporalNetwork):
        expected.insert(1, len(_TIMES))
    shape = tuple(frames.shape)
    assert list(out.shape) == expected, (
        f"the answer to {shape} is {expected}, not {tuple(out.shape)}"
    )
    assert out.dtype == torch.float32, (
        f"the answer to float32 is float32, not {out.dtype}"
    )
    assert torch.isfinite(out).all(), "the answer is finite"
    assert torch.equal(frames, before), "the input is left as it was"


def _repeats_itself(network: Network) -> None:
    frames = _input(network)
    same = torch.equal(_run(network, frames), _run(network, frames))
    assert same, "the same input gives the same answer in eval()"


def _treats_frames_apart(network: Network) -> None:
    frames = _input(network, batch=2)
    together = _run(network, frames)[1:]
    alone = _run(network, frames[1:])
    _same(together, alone, "a frame's answer depends on the rest of the batch")


def _takes_several_times(network: Network) -> None:
    if not isinstance(network, TemporalNetwork):
        return
    frames = _input(network, batch=2)
    together = _run(network, frames)
    estimate = _estimate(network, frames, len(_TIMES))
    with torch.no_grad():
        for i, t in enumerate(_TIMES):
            some = slice(i, i + 1)
            alone = network.interpolate(
                frames, [t], None if estimate is None else estimate[:, some]
            )
            _same(together[:, some], alone, "one t alone differs from several")
        tensor = network.interpolate(
            frames, torch.tensor(_TIMES).expand(2, -1), estimate
        )
    _same(together, tensor, "t as a tensor (B, T) differs from t as a list")


def _refuses_what_does_not_fit(network: Network) -> None:
    wrong = [_input(network)[0]]
    if network.size_rule.multiple > 1:
        wrong.append(_input(network)[..., :-1])
    for frames in wrong:
        try:
            _run(network, frames)
        except InputError:
            continue
        raise AssertionError(
            f"an input of shape {tuple(frames.shape)} raises InputError"
        )


def _learns(network: Network) -> None:
    network.train()
    loss = _loss(network)
    assert loss.ndim == 0, "loss is a scalar"
    assert torch.isfinite(loss), "loss is finite"
    loss.backward()  # type: ignore[no-untyped-call]
    unused = [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not unused, (
        f"parameters that the loss does not reach: {', '.join(unused[:5])}"
    )
    _has_finite_gradients(network)


def _learns_in_bfloat16(network: Network) -> None:
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = _loss(network)
    loss.backward()  # type: ignore[no-untyped-call]
    _has_finite_gradients(network)


def _has_finite_gradients(network: Network) -> None:
    infinite = [
        name
        for name, p in network.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]
    assert not infinite, f"gradients that are not finite: {', '.join(infinite[:5])}"


def _says_what_it_needs(network: Network) -> None:
    small, large = network.working_bytes(64, 64), network.working_bytes(128, 256)
    assert 0 < small < large, "working_bytes is positive and grows with the frame"


_TIMES = (1 / 3, 2 / 3, 0.1)
_CLAUSES: tuple[Callable[[Network], None], ...] = (
    _declares_itself,
    _is_made_of_its_options,
    _answers_in_shape,
    _repeats_itself,
    _treats_frames_apart,
    _takes_several_times,
    _refuses_what_does_not_fit,
    _learns,
    _learns_in_bfloat16,
    _says_what_it_needs,
)


def _frames(network: Network, batch: int, rows: int, columns: int) -> Tensor:
    if isinstance(network, JointNetwork):
        return torch.rand(batch, network.planes, rows, columns)
    lead = (batch, 2) if isinstance(network, TemporalNetwork) else (batch,)
    return torch.rand(*lead, network.channels, rows, columns)


def _input(network: Network, batch: int = 1) -> Tensor:
    return _frames(network, batch, *network.size_rule.enlarge(8, 9))


def _estimate(network: TemporalNetwork, frames: Tensor, times: int) -> Tensor | None:
    """Return the mean of both frames, in the shape of the initial estimate that the network asks for."""
    if network.estimate_method is None or frames.ndim != 5:
        return None
    mean = frames.mean(dim=1, keepdim=True)
    return torch.stack(
        [mean.expand(-1, network.estimate_frames, -1, -1, -1)] * times, dim=1
    )


def _run(network: Network, frames: Tensor) -> Tensor:
    with torch.no_grad():
        if isinstance(network, TemporalNetwork):
            return network.interpolate(
                frames, _TIMES, _estimate(network, frames, len(_TIMES))
            )
        assert isinstance(network, SpatialNetwork | JointNetwork)
        return network.refine(frames)


def _loss(network: Network) -> Tensor:
    rows, columns = network.training_size_rule.enlarge(8, 9)
    frames = _frames(network, 2, rows, columns)
    if isinstance(network, TemporalNetwork):
        target = torch.rand(2, network.channels, rows, columns)
        estimate = _estimate(network, frames, 1)
        if estimate is not None:
            estimate = estimate[:, 0]
        return network.loss(
            TemporalSample(frames, torch.tensor([0.25, 2 / 3]), target, estimate)
        )
    if isinstance(network, JointNetwork):
        target = torch.rand(2, network.channels, rows, columns)
        return network.loss(JointSample(frames, target))
    assert isinstance(network, SpatialNetwork)
    factor = network.factor
    target = torch.rand(2, network.channels, factor * rows, factor * columns)
    return network.loss(SpatialSample(frames, target))


def _same(a: Tensor, b: Tensor, otherwise: str) -> None:
    difference = float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))
    assert difference <= _SAME, (
        f"{otherwise} (by {difference:.1e} of the largest value)"
    )
