"""Contract checks, shipped: a stranger's network is checked as ours are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepcams.networks.base import Network


def check_network(network: Network, *, seed: int = 0) -> None:
    """Check that a network fulfils the contract of :mod:`deepcams.networks.base`, on small random frames.

    Give a small one (few features): it is run some ten times at the smallest size its rule allows. Its weights are
    left as they were.

    Args:
        network: an instance, freshly built or trained.
        seed: of the random frames.

    Raises:
        AssertionError: with every clause that is broken, one a line.
    """
    from deepcams.testing import network_checks as networks

    networks.check(network, seed)
