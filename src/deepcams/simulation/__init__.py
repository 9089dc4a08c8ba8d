"""A simulated world with known truth, and files of it in the providers' layouts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "SimulatedWorld": "world",
    "Simulation": "write_world",
    "open_simulated": "world",
    "place_stations": "station_network",
    "simulate": "write_world",
    "world_arrays": "arrays",
}

__all__ = [*_WHERE]

if TYPE_CHECKING:
    from deepcams.simulation.arrays import world_arrays as world_arrays
    from deepcams.simulation.station_network import place_stations as place_stations
    from deepcams.simulation.world import SimulatedWorld as SimulatedWorld
    from deepcams.simulation.world import open_simulated as open_simulated
    from deepcams.simulation.write_world import Simulation as Simulation
    from deepcams.simulation.write_world import simulate as simulate


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
