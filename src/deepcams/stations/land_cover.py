"""What lies around stations: how much of a station's cell is land, for a cell that is half sea is no inland town's."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepcams.core.grid import Grid
from deepcams.simulation.emissions import land_fraction
from deepcams.stations.matching import place_stations

SURFACES = ("inland", "coast", "sea")
INLAND, SEA = 0.95, 0.05
"""Shares of land from which a cell counts as inland, and up to which as sea; between them it is coast."""


def globe_cells(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Cells of the 0.25 degree globe that hold places: row x 1440 + column; -1 without coordinates."""
    return place_stations(Grid.globe(0.25), latitude, longitude).cell


def note_surroundings(stations: pd.DataFrame) -> pd.DataFrame:
    """Add ``land`` and ``surface`` to stations.

    Args:
        stations: with ``latitude`` and ``longitude``, degrees.

    Returns:
        a copy with ``land``, the share of land in the 0.25 degree cell that holds the station (0..1 by the mask of
        global-land-mask, in which lakes are land; NaN without coordinates), whatever the field's own grid, and
        ``surface``: ``inland`` (at least 95 % land), ``coast``, or ``sea`` (at most 5 %); missing without coordinates.
    """
    cells = globe_cells(*(stations[name].to_numpy(float) for name in ("latitude", "longitude")))
    land = np.where(cells >= 0, land_fraction().reshape(-1)[cells], np.nan)
    surface = np.select([land >= INLAND, land > SEA, land <= SEA], SURFACES, "")
    return stations.assign(land=land, surface=pd.Series(surface, stations.index).replace("", None))


def count_surroundings(stations: pd.DataFrame, used: np.ndarray) -> dict[str, int]:
    """How many of the ``used`` stations (boolean) are inland, coast and sea, and of how many the altitude is known."""
    surface = stations["surface"].to_numpy()[used]
    counts = {name: int((surface == name).sum()) for name in SURFACES}
    known = (
        stations["altitude"].notna().to_numpy()[used]
        if "altitude" in stations
        else np.zeros(0, bool)
    )
    return {"stations": int(used.sum()), **counts, "altitude_known": int(known.sum())}
