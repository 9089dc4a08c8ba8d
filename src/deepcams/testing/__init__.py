"""Contract checks for networks of your own: those that the networks of this package pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepcams.networks.base import Network

__all__ = ["check_network"]


def check_network(network: Network, *, seed: int = 0) -> None:
    """Check that a network fulfils the contract of :mod:`deepcams.networks.base`, on small random frames.

    Give a small one (few features): it is run some ten times at the smallest size its rule allows. Its weights do not
    change.

    Args:
        network: an instance, freshly built or trained.
        seed: of the random frames.

    Raises:
        AssertionError: with every clause that is broken, one per line.
    """
    from deepcams.testing.network_checks import check

    check(network, seed)
