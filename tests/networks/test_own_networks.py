"""CellNet and FlowRefine: the contract, and what holds whatever the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from deepcams.core.errors import InputError
from deepcams.networks import build
from deepcams.networks.base import (
    Network,
    SpatialNetwork,
    SpatialSample,
    TemporalNetwork,
    TemporalSample,
)
from deepcams.testing import check_network
from networks.learning import learned


def shaken(network: Network, seed: int = 0) -> Network:
    """The network with all weights moved away from their start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return network.eval()


def plume(*shape: int, seed: int = 1) -> Tensor:
    """Positive values over four orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    return torch.exp(2 * torch.randn(shape, generator=generator))


@pytest.mark.parametrize(
    ("name", "width"), [("cellnet", 8), ("flow-refine", 4), ("spacetime", 4)]
)
def test_contract(name: str, width: int) -> None:
    check_network(build(name, width=width))
    check_network(shaken(build(name, width=width)))


def test_cellnet_keeps_each_cells_mean_and_sign_with_any_weights() -> None:
    network = shaken(build("cellnet", width=8, blocks=2))
    assert isinstance(network, SpatialNetwork)
    coarse = plume(2, 1, 9, 14)
    with torch.no_grad():
        fine = network.refine(coarse)
    assert (fine >= 0).all()
    torch.testing.assert_close(F.avg_pool2d(fine, 3), coarse, rtol=2e-6, atol=0)
    start = build("cellnet", width=8, blocks=2).eval()
    assert isinstance(start, SpatialNetwork)
    assert not torch.allclose(
        fine, start.refine(coarse), rtol=0.01
    )  # the weights have a say


def test_cellnet_takes_zero_and_slightly_negative_analyses() -> None:
    network = shaken(build("cellnet", width=8, blocks=2))
    assert isinstance(network, SpatialNetwork)
    coarse = plume(1, 1, 8, 8)
    coarse[0, 0, 2, 3], coarse[0, 0, 5, 5] = 0, -1e-3
    with torch.no_grad():
        fine = network.refine(coarse)
    assert fine.isfinite().all()
    assert (fine[0, 0, 6:9, 9:12] == 0).all()
    assert (fine[0, 0, 15:18, 15:18] == 0).all()


def test_cellnet_answers_alike_in_tiles_and_whole() -> None:
    network = shaken(build("cellnet", width=8, blocks=2))
    assert isinstance(network, SpatialNetwork)
    coarse = plume(1, 1, 40, 60)
    halo = network.tiling.halo if network.tiling else 0
    with torch.no_grad():
        whole, tile = network.refine(coarse), network.refine(coarse[..., 10:40, 20:60])
    inner = slice(3 * halo, -3 * halo)
    torch.testing.assert_close(
        whole[..., 30:120, 60:180][..., inner, inner],
        tile[..., inner, inner],
        rtol=1e-4,
        atol=0,
    )


def test_cellnet_learns_a_texture_that_interpolation_cannot_know() -> None:
    torch.manual_seed(0)
    network = build("cellnet", width=8, blocks=1)
    assert isinstance(network, SpatialNetwork)
    coarse = plume(4, 1, 12, 12)
    shares = torch.ones(3, 3)
    shares[0, 0], shares[2, 2] = 1.5, 0.5
    sample = SpatialSample(
        coarse, F.interpolate(coarse, scale_factor=3.0) * shares.repeat(12, 12)
    )
    assert learned(network, sample, steps=60, rate=0.01) < 0.5


def test_flow_refine_with_fresh_weights_is_flow() -> None:
    network = build("flow-refine", width=4).eval()
    assert isinstance(network, TemporalNetwork)
    frames, estimate = plume(1, 2, 1, 16, 24), plume(1, 2, 2, 1, 16, 24, seed=2)
    with torch.no_grad():
        found = network.interpolate(frames, [0.25, 0.5], estimate)
    flow = torch.stack(
        [
            0.75 * estimate[:, 0, 0] + 0.25 * estimate[:, 0, 1],
            estimate[:, 1].mean(dim=1),
        ],
        dim=1,
    )
    np.testing.assert_allclose(found.numpy(), flow.numpy(), rtol=1e-5, atol=1e-5)


def test_flow_refine_finds_detail_that_stays_in_place() -> None:
    torch.manual_seed(0)
    network = build("flow-refine", width=4)
    assert isinstance(network, TemporalNetwork)
    frames, carried = plume(4, 2, 1, 32, 32), plume(4, 2, 1, 32, 32, seed=3)
    sample = TemporalSample(frames, torch.full((4,), 0.5), frames.mean(dim=1), carried)
    assert learned(network, sample, steps=80, rate=0.01) < 0.5


@pytest.mark.parametrize(
    "estimate", [None, torch.ones(1, 1, 2, 1, 16, 16), torch.ones(1, 2, 1, 1, 16, 16)]
)
def test_flow_refine_asks_for_its_estimate(estimate: Tensor | None) -> None:
    network = build("flow-refine", width=4)
    assert isinstance(network, TemporalNetwork)
    with pytest.raises(
        InputError,
        match=r"flow-refine: estimate: expected the frames that flow carries",
    ):
        network.interpolate(plume(1, 2, 1, 16, 16), [0.25, 0.5], estimate)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cellnet", {"width": 0}, "options of cellnet: width: expected 1 to 1024"),
        ("cellnet", {"power": 1.5}, "power: expected more than 0, at most 1"),
        ("cellnet", {"tile": 20}, "tile: expected more than"),
        ("flow-refine", {"floor": 0.0}, "floor: expected a positive number"),
    ],
)
def test_options_out_of_range(
    name: str, options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build(name, **options)


def test_flow_refine_sees_no_further_than_it_says() -> None:
    network = shaken(build("flow-refine", width=4))
    assert isinstance(network, TemporalNetwork)
    assert network.receptive_field is not None
    frames, estimate = plume(1, 2, 1, 160, 16), plume(1, 1, 2, 1, 160, 16, seed=2)
    with torch.no_grad():
        before = network.interpolate(frames, [0.25], estimate)
        frames[..., -1, :] *= 3
        estimate[..., -1, :] *= 3
        after = network.interpolate(frames, [0.25], estimate)
    changed = (before != after).any(dim=-1).flatten().nonzero().min().item()
    assert (
        159 - network.receptive_field <= changed < 159 - 16
    )  # and it does see some way
