from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from deepcams.core.errors import InputError  # noqa: E402
from deepcams.networks import build  # noqa: E402
from deepcams.networks.abpn import ABPN, ABPNOptions, Attention  # noqa: E402
from deepcams.networks.base import SpatialSample  # noqa: E402
from networks.learning import learned  # noqa: E402


def _network(seed: int = 0, **options: object) -> ABPN:
    torch.manual_seed(seed)
    return ABPN(ABPNOptions(**{"d": 4, "stages": 4, **options})).eval()  # type: ignore[arg-type]


def test_released_preset() -> None:
    network = build("abpn", "released")
    assert network.parameter_count == 1_716_795
    assert network.factor == 3


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("stages", [2, 3, 5])
def test_factor_and_stages(factor: int, stages: int) -> None:
    network = _network(factor=factor, stages=stages)
    with torch.no_grad():
        assert network.refine(torch.rand(2, 1, 7, 10)).shape == (
            2,
            1,
            factor * 7,
            factor * 10,
        )


def test_attention_is_softmax_of_k_times_q_unscaled() -> None:
    torch.manual_seed(0)
    attention = Attention(3, "sdpa")
    features, value = torch.randn(1, 3, 2, 5), torch.randn(1, 3, 2, 5)
    K, Q, V = (
        part.flatten(2)[0]
        for part in (attention.K(features), attention.Q(features), attention.V(value))
    )
    expected = torch.zeros(3, 10)
    for asking in range(10):
        weights = torch.stack(
            [torch.exp(K[:, asking] @ Q[:, answering]) for answering in range(10)]
        )
        expected[:, asking] = (V * weights).sum(1) / weights.sum()
    torch.testing.assert_close(
        attention(features, value), attention.out(expected.view(1, 3, 2, 5)) + value
    )


def test_sdpa_is_the_materialised_attention() -> None:
    frame = torch.rand(1, 1, 12, 17, dtype=torch.float64)
    sdpa, materialised = (
        _network().double(),
        _network(attention="materialised").double(),
    )
    with torch.no_grad():
        torch.testing.assert_close(
            sdpa.refine(frame), materialised.refine(frame), atol=1e-9, rtol=1e-9
        )


def test_sdpa_never_makes_the_whole_matrix() -> None:
    # the fused kernel wants the features innermost in memory, and falls back without a word where they are not
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert _network().refine(torch.rand(1, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize("kind", ["sdpa", "materialised"])
def test_attention_stays_out_of_float16(kind: str) -> None:
    torch.manual_seed(0)
    attention = Attention(4, kind)
    features, value = 300 * torch.randn(1, 4, 6, 6), torch.randn(1, 4, 6, 6)
    logits = attention.K(features).flatten(2).transpose(1, 2) @ attention.Q(
        features
    ).flatten(2)
    assert logits.abs().max() > torch.finfo(torch.float16).max
    exact = attention(features, value)
    with torch.autocast("cpu", dtype=torch.float16):
        torch.testing.assert_close(
            attention(features, value).float(), exact, atol=1e-4, rtol=1e-3
        )
    whole = Attention(4, kind).half()
    assert whole(features.half(), value.half()).isfinite().all()


def test_bicubic_alone_where_the_correction_is_zero() -> None:
    network = _network()
    for part in (network.last, network.error_last):
        torch.nn.init.zeros_(part.weight)
    frame = torch.rand(1, 1, 9, 11)
    with torch.no_grad():
        torch.testing.assert_close(
            network.refine(frame),
            F.interpolate(frame, scale_factor=3, mode="bicubic", align_corners=False),
        )


def test_last_back_projection_sees_the_centre_pixel() -> None:
    network, seen = _network(), []
    network.error_first.register_forward_hook(
        lambda _, given, __: seen.append(given[0])
    )
    network.last.register_forward_hook(lambda *_: torch.zeros(1, 1, 27, 33))
    frame = torch.rand(1, 1, 9, 11)
    with torch.no_grad():
        network.refine(frame)
    fine = F.interpolate(frame, scale_factor=3, mode="bicubic", align_corners=False)
    torch.testing.assert_close(
        seen[0], frame - fine[..., 1::3, 1::3], atol=1e-6, rtol=0
    )


def test_loss_falls_on_one_batch() -> None:
    network = _network(d=8)
    torch.manual_seed(1)
    coarse = torch.rand(2, 1, 12, 12)
    target = F.interpolate(coarse, scale_factor=3, mode="bicubic") + 0.2 * torch.rand(
        2, 1, 36, 36
    )
    assert learned(network, SpatialSample(coarse, target), steps=40, rate=1e-3) < 0.5


def test_export_gives_the_same_frame() -> None:
    network, frame = _network().double(), torch.rand(1, 1, 9, 12, dtype=torch.float64)
    exported = torch.export.export(network, (frame,)).module()
    with torch.no_grad():
        torch.testing.assert_close(
            exported(frame), network(frame), atol=1e-9, rtol=1e-9
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"d": 0}, "d: expected 1 to 1024"),
        ({"stages": 1}, "stages: expected 2 to 100"),
        ({"factor": 1}, "factor: expected 2 to 16"),
        ({"attention": "flash"}, "expected sdpa or materialised, found 'flash'"),
        ({"tile": 20, "halo": 10}, r"less than half of the tile \(20\), found 10"),
    ],
)
def test_refuses_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build("abpn", **options)


@pytest.mark.parametrize(
    "frame",
    [torch.rand(1, 2, 8, 8), torch.rand(1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=int)],
)
def test_refuses_frames(frame: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"expected a floating tensor \(B, 1, H, W\)"):
        _network().refine(frame)
