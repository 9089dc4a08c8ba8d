"""Attention through a sliding window: what each pixel sees, and that no edge is felt."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from deepcams import networks  # noqa: E402
from deepcams.networks.window import windowed_attention  # noqa: E402


def wrapped(frame: torch.Tensor, width: int) -> torch.Tensor:
    rows = torch.arange(-width, frame.shape[-2] + width) % frame.shape[-2]
    columns = torch.arange(-width, frame.shape[-1] + width) % frame.shape[-1]
    return frame[..., rows, :][..., columns]


def empty(frame: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(frame, (width,) * 4)


@pytest.mark.parametrize("pixel", [(0, 0), (7, 30), (19, 12), (3, 24)])
def test_each_pixel_attends_to_the_square_around_it(pixel: tuple[int, int]) -> None:
    torch.manual_seed(0)
    radius, (row, column) = 5, pixel
    query, key, value = (torch.randn(2, 4, 20, 31) for _ in range(3))
    found = windowed_attention(query, key, value, wrapped, radius)
    rows, columns = (
        slice(row, row + 2 * radius + 1),
        slice(column, column + 2 * radius + 1),
    )
    keys, values = (
        wrapped(part, radius)[1, :, rows, columns].flatten(1) for part in (key, value)
    )
    expected = values @ torch.softmax(keys.T @ query[1, :, row, column], dim=0)
    torch.testing.assert_close(found[1, :, row, column], expected)


def test_abpn_feels_no_edge_where_its_surroundings_are_known() -> None:
    """A frame that repeats: one period with its surroundings gives what nine periods in emptiness give inside.

    Fails where a margin is too small for the convolutions between two attentions, or is not filled anew.
    """
    torch.manual_seed(1)
    network = networks.build("abpn", d=4, stages=3, tile=9, halo=2).eval()
    frame = torch.rand(1, 1, 60, 66)
    with torch.inference_mode():
        around = network.refine_sliding(frame, wrapped)
        nine = network.refine_sliding(frame.repeat(1, 1, 3, 3), empty)[
            ..., 180:360, 198:396
        ]
    torch.testing.assert_close(around, nine, rtol=1e-4, atol=1e-5)


def test_shifting_the_frame_shifts_the_result() -> None:
    torch.manual_seed(2)
    network = networks.build("abpn", d=4, stages=4, tile=24, halo=4).eval()
    frame = torch.rand(1, 1, 30, 50)
    with torch.inference_mode():
        plain = network.refine_sliding(frame, wrapped)
        shifted = network.refine_sliding(frame.roll((3, 11), (-2, -1)), wrapped)
    torch.testing.assert_close(
        plain.roll((9, 33), (-2, -1)), shifted, rtol=1e-4, atol=1e-5
    )
