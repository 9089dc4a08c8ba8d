"""Neural networks, which operate on scaled float tensors only and compute their own loss.

Importing this package does not import torch; ``NETWORKS.get("xvfi")`` does. :func:`deepcams.testing.check_network`
checks the networks of other packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deepcams.core.errors import choose
from deepcams.core.lazy import lazy_names
from deepcams.core.registry import Registry

if TYPE_CHECKING:
    from deepcams.networks.base import JointNetwork as JointNetwork
    from deepcams.networks.base import JointSample as JointSample
    from deepcams.networks.base import Network as Network
    from deepcams.networks.base import SpatialNetwork as SpatialNetwork
    from deepcams.networks.base import SpatialSample as SpatialSample
    from deepcams.networks.base import TemporalNetwork as TemporalNetwork
    from deepcams.networks.base import TemporalSample as TemporalSample
    from deepcams.networks.checkpoint import load as load
    from deepcams.networks.checkpoint import read_card as read_card
    from deepcams.networks.checkpoint import save as save
    from deepcams.networks.scaling import make_scaling as make_scaling
    from deepcams.networks.sizes import SizeRule as SizeRule
    from deepcams.networks.sizes import Tiling as Tiling
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "JointNetwork": ".base",
            "JointSample": ".base",
            "Network": ".base",
            "SizeRule": ".sizes",
            "SpatialNetwork": ".base",
            "SpatialSample": ".base",
            "TemporalNetwork": ".base",
            "TemporalSample": ".base",
            "Tiling": ".sizes",
            "load": ".checkpoint",
            "make_scaling": ".scaling",
            "read_card": ".checkpoint",
            "save": ".checkpoint",
        },
    )
    __all__ = ["NETWORKS", "build", *__all__]

NETWORKS = Registry(
    "network",
    "deepcams.networks",
    {
        "abpn": "deepcams.networks.abpn:ABPN",
        "cellnet": "deepcams.networks.cellnet:CellNet",
        "flow-refine": "deepcams.networks.flow_refine:FlowRefine",
        "spacetime": "deepcams.networks.spacetime:SpaceTime",
        "xvfi": "deepcams.networks.xvfi:XVFI",
    },
)


def build(name: str, preset: str | None = None, **options: Any) -> Network:
    """Return a network with fresh random weights.

    Args:
        name: name of a registered network ("xvfi", "abpn", "cellnet", "flow-refine", "spacetime").
        preset: one of the network's ``presets``; None: the default options.
        options: individual options, which override the preset.

    Raises:
        InputError: an unknown network, preset or option, or an option out of range.
    """
    from dataclasses import asdict

    from deepcams.networks.base import make, options_from

    network_type = NETWORKS.get(name)
    values: dict[str, Any] = {}
    if preset is not None:
        choose(f"preset of {name}", preset, network_type.presets)
        values = asdict(network_type.presets[preset])
    values |= options
    where = f"options of {name}"
    return make(
        network_type, options_from(network_type.options_type, values, where), where
    )
