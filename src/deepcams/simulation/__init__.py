"""Simulated world with known truth, and writers of its files in the providers' layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.simulation.arrays import world_arrays as world_arrays
    from deepcams.simulation.station_network import place_stations as place_stations
    from deepcams.simulation.world import SimulatedWorld as SimulatedWorld
    from deepcams.simulation.world import open_simulated as open_simulated
    from deepcams.simulation.write_world import Simulation as Simulation
    from deepcams.simulation.write_world import simulate as simulate
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "SimulatedWorld": ".world",
            "Simulation": ".write_world",
            "open_simulated": ".world",
            "place_stations": ".station_network",
            "simulate": ".write_world",
            "world_arrays": ".arrays",
        },
    )
