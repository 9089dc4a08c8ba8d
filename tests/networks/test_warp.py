from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from deepcams.networks.warp import EPSILON, splat, warp  # noqa: E402


def _flow(dx: float, dy: float, rows: int = 6, columns: int = 9) -> torch.Tensor:
    return (
        torch.tensor([float(dx), float(dy)])
        .view(1, 2, 1, 1)
        .expand(1, 2, rows, columns)
        .clone()
    )


def test_warp_by_whole_pixels_is_a_shift_with_zeros_outside() -> None:
    image = torch.rand(1, 3, 6, 9)
    moved = warp(image, _flow(2, -1))
    torch.testing.assert_close(
        moved[:, :, 1:, :-2], image[:, :, :-1, 2:], atol=1e-5, rtol=1e-5
    )
    assert moved[:, :, :, -2:].abs().max() < 1e-5
    assert moved[:, :, 0].abs().max() < 1e-5


def test_mask_zeroes_what_is_half_outside() -> None:
    image = torch.ones(1, 1, 6, 9)
    half = _flow(0.5, 0)
    assert warp(image, half)[0, 0, 0, -1] == pytest.approx(0.5, abs=1e-5)
    masked = warp(image, half, mask=True)
    assert masked[0, 0, 0, -1] == 0
    assert masked[..., :-1].min() == pytest.approx(1)


def test_warp_stays_precise_in_bfloat16_autocast() -> None:
    image = torch.arange(600.0).view(1, 1, 1, 600).expand(1, 1, 2, 600)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = warp(image, _flow(1, 0, 2, 600).bfloat16())
    assert moved.dtype == torch.float32
    torch.testing.assert_close(
        moved[0, 0, 0, :-1], image[0, 0, 0, 1:], atol=1e-3, rtol=0
    )


def _splat_slowly(values, flow, importance):  # type: ignore[no-untyped-def]
    _, channels, rows, columns = values.shape
    sums, weights = (
        torch.zeros(1, channels, rows, columns),
        torch.zeros(1, 1, rows, columns),
    )
    for r in range(rows):
        for c in range(columns):
            x, y = c + float(flow[0, 0, r, c]), r + float(flow[0, 1, r, c])
            left, top = int(x // 1), int(y // 1)
            for column in (left, left + 1):
                for row in (top, top + 1):
                    if 0 <= column < columns and 0 <= row < rows:
                        w = (
                            float(importance[0, 0, r, c]) + EPSILON
                        ) * 2.718281828459045 ** -((x - column) ** 2 + (y - row) ** 2)
                        sums[0, :, row, column] += w * values[0, :, r, c]
                        weights[0, 0, row, column] += w
    return sums, weights


def test_splat_is_what_it_says_pixel_by_pixel() -> None:
    torch.manual_seed(0)
    values, flow, importance = (
        torch.randn(1, 2, 5, 7),
        3 * torch.randn(1, 2, 5, 7),
        torch.rand(1, 1, 5, 7),
    )
    for got, expected in zip(
        splat(values, flow, importance),
        _splat_slowly(values, flow, importance),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_splat_drops_what_leaves_and_what_is_no_number() -> None:
    flow = _flow(100, 0)
    flow[0, :, 2, 3] = float("nan")
    sums, weights = splat(torch.ones(1, 2, 6, 9), flow, torch.ones(1, 1, 6, 9))
    assert not sums.any()
    assert not weights.any()


def test_splat_s_gradients_are_right() -> None:
    torch.manual_seed(1)
    values = torch.randn(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    flow = (1.3 * torch.randn(1, 2, 3, 4, dtype=torch.float64)).requires_grad_()
    importance = torch.rand(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(splat, (values, flow, importance))
