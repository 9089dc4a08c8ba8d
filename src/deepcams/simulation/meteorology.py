"""Winds and temperature of the simulated world, for files that hold them besides PM2.5."""

from __future__ import annotations

import numpy as np

from deepcams.core.grid import Grid
from deepcams.core.sun import declination_and_equation, mean_solar_hours
from deepcams.core.times import HOUR
from deepcams.files.land_mask import land_fraction
from deepcams.simulation import emissions
from deepcams.simulation.sphere import DEGREE, Nodes, SphereMap, across_poles
from deepcams.simulation.winds import EARTH, Paths, Winds

_ORIGIN = np.datetime64("2000-01-01", "ns")
_SUN_TURNS = 23.44
"""Greatest declination of the sun, degrees."""
_LAG = np.timedelta64(30, "D")
"""Lag of the seasonal temperature cycle behind the sun."""
_EQUATOR, _TO_POLE, _RANGES = 300.0, 48.0, 12.0
"""Temperature at the equator, and its decrease towards the poles and in mountains; K."""
_SEASON, _DAY = (4.0, 22.0), (0.4, 6.0)
"""Seasonal amplitude at the poles and diurnal amplitude at the equator, each over sea and over land; K."""


def meteorology(seed: int, grid: Grid, times: np.ndarray) -> dict[str, np.ndarray]:
    """Return the wind that transports the world's air, and a simple temperature.

    The winds are those that move the plumes, without a vertical profile. The temperature depends on latitude, season,
    local hour, land and mountains, but not on weather.

    Args:
        seed: seed of the world; temperatures are the same in all.
        grid: grid of the result.
        times: ``datetime64``.

    Returns:
        ``u10``, ``v10`` (m s-1, eastward and northward) and ``t2m`` (K): (times, rows, columns), float32.
    """
    lattice = Paths(Winds(seed), (0.0,))
    nodes = Nodes(grid.latitudes, grid.longitudes % 360)
    places = nodes.places()
    latitude = (grid.latitudes * DEGREE)[:, None]
    longitude = (grid.longitudes * DEGREE)[None]
    land = SphereMap(land_fraction()).sample(places)
    high = SphereMap(emissions.mountains()).sample(places)
    sine, cosine = np.sin(latitude), np.cos(latitude)
    level = _EQUATOR - _TO_POLE * sine**2 - _RANGES * high
    season, day = (sea + (on_land - sea) * land for sea, on_land in (_SEASON, _DAY))
    found: dict[str, list[np.ndarray]] = {"u10": [], "v10": [], "t2m": []}
    for time in np.asarray(times, "datetime64[ns]"):
        wind = lattice.winds(lattice.start, float((time - _ORIGIN) / HOUR))
        x, y, z = nodes.interpolate(across_poles(wind), lattice.step) * (EARTH / 3.6)
        found["u10"].append(y * np.cos(longitude) - x * np.sin(longitude))
        outward = x * np.cos(longitude) + y * np.sin(longitude)
        found["v10"].append(z * cosine - outward * sine)
        summer = float(declination_and_equation(time - _LAG)[0]) / _SUN_TURNS
        afternoon = np.cos((mean_solar_hours(time, grid.longitudes) - 15) * np.pi / 12)
        found["t2m"].append(level + season * sine * summer + day * cosine * afternoon)
    return {name: np.stack(values, dtype=np.float32) for name, values in found.items()}
