"""The words of CF-1.11 and ACDD-1.3 that the output carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

STATUS_MEANINGS = ("missing", "analysis", "interpolated")
"""Meaning of the status 0, 1, 2."""

COORDINATES: dict[str, dict[str, Any]] = {
    "time": {
        "standard_name": "time",
        "long_name": "time (UTC)",
        "axis": "T",
        "calendar": "standard",
        "units_metadata": "leap_seconds: none",
        "bounds": "time_bounds",
        "coverage_content_type": "coordinate",
    },
    "latitude": {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
        "bounds": "latitude_bounds",
        "coverage_content_type": "coordinate",
    },
    "longitude": {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
        "bounds": "longitude_bounds",
        "coverage_content_type": "coordinate",
    },
}

STATUS: dict[str, Any] = {
    "standard_name": "status_flag",
    "long_name": "where the hour's values come from",
    "flag_values": np.array([0, 1, 2], np.int8),
    "flag_meanings": " ".join(STATUS_MEANINGS),
    "comment": "analysis: a frame of the input lies at this hour; interpolated: computed between two frames; "
    "missing: no value, because no two frames at most 3 hours apart enclose the hour or because they hold none",
    "coverage_content_type": "qualityInformation",
}

_SPECIES = {
    "pm1": ("mass_concentration_of_pm1_ambient_aerosol_particles_in_air", "PM1"),
    "pm2p5": ("mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air", "PM2.5"),
    "pm10": ("mass_concentration_of_pm10_ambient_aerosol_particles_in_air", "PM10"),
}


def label(name: str) -> str:
    """How people call the species with this variable name."""
    return _SPECIES[name][1] if name in _SPECIES else name


def variable_attributes(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of the concentration variable.

    Args:
        name: its name; the standard names of PM1, PM2.5 and PM10 are known.
        given: what the input says of itself (standard_name, long_name, cell_methods).
    """
    standard_name, species = _SPECIES.get(name, (given.get("standard_name"), None))
    long_name = (
        f"{species} mass concentration at the surface" if species else given.get("long_name", name)
    )
    attributes = {
        "standard_name": standard_name,
        "long_name": long_name,
        "units": "ug m-3",
        "cell_methods": given.get("cell_methods", "time: point"),
        "coverage_content_type": "modelResult",
    }
    return {key: value for key, value in attributes.items() if value}
