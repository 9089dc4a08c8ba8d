"""Contract checks for networks, methods, sources and scores of your own: those that this package's own pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from deepcams.evaluation import Score
    from deepcams.methods.base import Downscaler
    from deepcams.networks.base import Network

__all__ = ["check_downscaler", "check_field", "check_network", "check_score"]


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


def check_downscaler(method: Downscaler, *, seed: int = 0) -> None:
    """Check that a method in space or time fulfils the contract of :mod:`deepcams.methods.base`.

    It is given four random frames of 25 x 30 nodes: its grid and hours, what it leaves alone, missing cells, and that
    it sees no further than its ``halo`` (of up to 10 nodes).

    Args:
        method: an instance.
        seed: of the random frames.

    Raises:
        AssertionError: with every clause that is broken, one per line.
    """
    from deepcams.testing.field_checks import check_downscaler as check

    check(method, seed)


def check_field(field: xr.DataArray) -> None:
    """Check that a field, for instance a source's answer, is canonical (see :func:`deepcams.as_field`).

    Only its first two times are read.

    Args:
        field: (time, latitude, longitude), float32, ug m-3.

    Raises:
        AssertionError: with every clause that is broken, one per line.
    """
    from deepcams.testing.field_checks import check_field as check

    check(field)


def check_score(score: Score, *, seed: int = 0) -> None:
    """Check that a score fulfils the contract of :class:`deepcams.evaluation.Score`.

    It says what it is, is undefined (NaN) of nothing, gives many groups what it gives each alone, reads only the
    ``terms`` that it names, and prefers a perfect method to a wrong one.

    Args:
        score: of sums over pairs, or of whole series.
        seed: of the random pairs.

    Raises:
        AssertionError: with every clause that is broken, one per line.
    """
    from deepcams.testing.score_checks import check

    check(score, seed)
