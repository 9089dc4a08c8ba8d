"""Networks in tests are tiny: one thread is fastest, and leaves the machine to the other test processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws doesn't depend on which tests came before it in the same process."""
    pytest.importorskip("torch").manual_seed(0)
