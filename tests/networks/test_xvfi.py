from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from deepcams.core.errors import InputError  # noqa: E402
from deepcams.networks import build  # noqa: E402
from deepcams.networks.base import TemporalSample  # noqa: E402
from deepcams.networks.sizes import SizeRule  # noqa: E402
from deepcams.networks.xvfi import XVFI, XVFIOptions  # noqa: E402
from networks.learning import learned  # noqa: E402


def _network(seed: int = 0, **options: object) -> XVFI:
    torch.manual_seed(seed)
    return XVFI(XVFIOptions(**{"nf": 8, **options})).eval()  # type: ignore[arg-type]


def _sample(rows: int = 64, columns: int = 64, batch: int = 2) -> TemporalSample:
    """A blob that moves, and stands two thirds of the way at t = 2/3."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")

    def blob(at: float) -> torch.Tensor:
        return torch.exp(
            -((x - columns / 3 - 8 * at) ** 2 + (y - rows / 2) ** 2) / 40.0
        ).expand(batch, 1, -1, -1)

    return TemporalSample(
        torch.stack((blob(0), blob(1)), dim=1), torch.full((batch,), 2 / 3), blob(2 / 3)
    )


def test_presets_are_the_published_ones() -> None:
    presets = XVFI.presets
    assert (
        presets["paper"].nf,
        presets["paper"].depth,
        presets["paper"].level_loss,
    ) == (
        32,
        5,
        "sum",
    )
    released = presets["released"]
    assert (
        released.nf,
        released.module_scale,
        released.depth,
        released.validity_mask,
    ) == (
        64,
        4,
        1,
        False,
    )
    original = presets["original"]
    assert (
        original.nf,
        original.training_depth,
        original.depth,
        original.validity_mask,
    ) == (
        64,
        3,
        5,
        True,
    )
    assert build("xvfi", "released").parameter_count == 5_527_698


def test_size_rules_differ_for_training_and_inference() -> None:
    network = _network(depth=3, training_depth=1)
    assert network.size_rule == SizeRule(8 * 16)
    assert network.training_size_rule == SizeRule(2 * 16)
    assert SizeRule(32).enlarge(241, 480) == (256, 480)
    assert len(network.levels(torch.rand(1, 2, 1, 32, 32), torch.tensor([0.5]))) == 2


@pytest.mark.parametrize("module_scale", [1, 2, 4])
def test_other_module_scales(module_scale: int) -> None:
    network = _network(module_scale=module_scale)
    rows, columns = network.size_rule.enlarge(20, 40)
    assert network.interpolate(torch.rand(1, 2, 1, rows, columns), [0.5]).shape == (
        1,
        1,
        1,
        rows,
        columns,
    )


def test_several_times_share_features_and_flows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, calls = _network(), []
    for part in (network.features, network.higher_flow, network.flow_refinement):
        part.register_forward_hook(lambda module, *_: calls.append(module))
    with torch.no_grad():
        network.interpolate(torch.rand(1, 2, 1, 32, 32), [0.25, 0.5, 0.75])
    assert calls.count(network.features) == 1
    assert calls.count(network.higher_flow) == 1
    assert calls.count(network.flow_refinement) == 3


def test_stopped_gradient_between_levels() -> None:
    network = _network(depth=1)
    level0, level1 = network.levels(*_sample()[:2])
    level0.flow.sum().backward(retain_graph=True)
    assert all(
        p.grad is None or not p.grad.any() for p in network.lowest_flow.parameters()
    )
    level1.flow.sum().backward()
    assert network.lowest_flow.down1.weight.grad.any()


def test_where_nothing_arrives_the_reversed_flow_is_zero() -> None:
    network = _network()
    away = torch.full((1, 4, 8, 8), 1e4)
    assert not network._reverse(away, torch.zeros(1, 2, 8, 8), torch.tensor(0.5)).any()


def test_reversed_flow_of_a_uniform_motion() -> None:
    network, t = _network(), torch.tensor(1 / 3)
    flow = torch.tensor([3.0, 0, -3.0, 0]).view(1, 4, 1, 1).expand(1, 4, 8, 24)
    reversed_flow = network._reverse(flow, torch.zeros(1, 2, 8, 24), t)[..., 4:-4]
    expected = torch.tensor([-1.0, 0, 2.0, 0]).view(1, 4, 1, 1).expand_as(reversed_flow)
    torch.testing.assert_close(reversed_flow, expected, atol=1e-4, rtol=0)


def test_loss_is_mean_or_sum_of_levels_plus_smoothness() -> None:
    sample = _sample()
    mean, total, smooth = (
        _network(level_loss=kind, smoothness=weight).loss(sample).item()
        for kind, weight in (("mean", 0.0), ("sum", 0.0), ("mean", 0.5))
    )
    assert total == pytest.approx(2 * mean, rel=1e-5)
    assert smooth > mean


def test_an_edge_of_the_target_frees_the_flow() -> None:
    network = _network()
    flow = torch.zeros(1, 4, 8, 8)
    flow[..., 4:] = 1.0  # a step of 1 between columns 3 and 4
    flat, edge = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    edge[..., 16:] = 1.0
    assert network._roughness(flow, flat).item() == pytest.approx(
        0.5 / 7, rel=1e-5
    )  # 1 of 7 steps, x alone, halved
    assert network._roughness(flow, edge).item() == pytest.approx(0, abs=1e-6)


def test_with_contrast_flows_see_neither_level_nor_strength() -> None:
    sample, network = _sample(), _network(contrast=9)
    textured = sample.frames + torch.rand(1, 1, 1, 64, 64)
    with torch.no_grad():
        one, other = (
            network.levels(frames, sample.t)[0].between
            for frames in (textured, 5 + 3 * textured)
        )
    torch.testing.assert_close(one, other, rtol=0.02, atol=1e-5)
    assert one.std() > 1e-4


def test_loss_falls_on_one_batch() -> None:
    assert learned(_network(), _sample(32, 32), steps=30, rate=4e-3) < 0.5


def test_bfloat16_is_near_float32() -> None:
    network, frames = _network(), _sample().frames
    with torch.no_grad():
        exact = network.interpolate(frames, [0.5])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.interpolate(frames, [0.5])
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_export_gives_the_same_frames() -> None:
    network, frames, t = _network(), torch.rand(1, 2, 1, 32, 64), torch.tensor([1 / 3])
    exported = torch.export.export(network, (frames, t)).module()
    with torch.no_grad():
        torch.testing.assert_close(
            exported(frames, t), network(frames, t), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"module_scale": 3}, "module_scale: expected a power of 2 up to 64, found 3"),
        ({"nf": 6}, "4-fold 16 divides, found 6"),
        ({"nf": 0}, "nf: expected 1 to 1024"),
        ({"depth": 0}, "depth: expected 1 to 10"),
        ({"level_loss": "median"}, "expected mean or sum, found 'median'"),
        ({"smoothness": -1.0}, "smoothness: expected a number of at least 0"),
        ({"contrast": 8}, "contrast: expected 0 or an odd number from 3 on, found 8"),
        ({"nf": 64.0}, "nf: expected a value of type int, found 64.0"),
        ({"nf": True}, "nf: expected a value of type int, found True"),
        ({"width": 3}, "expected the options nf, module_scale"),
    ],
)
def test_refuses_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build("xvfi", **options)


@pytest.mark.parametrize(
    ("shape", "t", "said"),
    [
        ((1, 2, 1, 32, 33), [0.5], "multiples of 32, found 32x33; pad to 32x64"),
        (
            (1, 3, 1, 32, 32),
            [0.5],
            r"expected a floating tensor \(B, 2, 1, H, W\), found \(1, 3, 1, 32, 32\)",
        ),
        ((2, 1, 32, 32), [0.5], "floating tensor"),
        ((1, 2, 1, 32, 32), [], r"times inside \(0, 1\), found \[\]"),
        ((1, 2, 1, 32, 32), [1.0], r"times inside \(0, 1\), found \[1.0\]"),
        ((1, 2, 1, 32, 32), [float("nan")], "found .nan."),
        (
            (1, 2, 1, 32, 32),
            torch.rand(3, 1),
            r"\(T,\) or \(1, T\) times, found shape \(3, 1\)",
        ),
    ],
)
def test_refuses_frames(shape: tuple[int, ...], t: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        _network().interpolate(torch.rand(shape), t)  # type: ignore[arg-type]
