"""Towns and country codes from GeoNames (https://www.geonames.org, CC BY 4.0), reduced to the columns in use.

``towns.json.xz`` is made by ``benchmarks/towns.py``; the file itself states its source and what was left out.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("towns.json.xz")


@dataclass(frozen=True)
class Towns:
    """Towns, sorted by country code and then by GeoNames id.

    Attributes:
        latitude, longitude: (n,), float64, degrees.
        country: (n,), two-letter codes (ISO 3166).
    """

    latitude: np.ndarray
    longitude: np.ndarray
    country: np.ndarray


@dataclass(frozen=True)
class Cities(Towns):
    """Towns with further attributes.

    Attributes:
        name: (n,), text.
        timezone: (n,), IANA zone names.
        population: (n,), int64, inhabitants; 0 is unknown.
        number: (n,), int64, GeoNames id.
    """

    name: np.ndarray
    timezone: np.ndarray
    population: np.ndarray
    number: np.ndarray


def towns() -> Towns:
    """Return all towns with 5,000 inhabitants or more, and administrative seats."""
    columns = _columns()
    return Towns(
        np.array(columns["latitude"], float),
        np.array(columns["longitude"], float),
        np.array(columns["country"], object),
    )


@lru_cache(maxsize=1)
def cities() -> Cities:
    """Return the towns with 15,000 inhabitants or more, and capitals."""
    columns = _columns()
    # Smaller towns have no names in the file.
    large = np.array([bool(name) for name in columns["name"]])
    types = {
        "latitude": float,
        "longitude": float,
        "country": object,
        "name": object,
        "timezone": object,
        "population": np.int64,
        "number": np.int64,
    }
    return Cities(
        **{key: np.array(columns[key], dtype)[large] for key, dtype in types.items()}
    )


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """Return the two-letter codes (ISO 3166) of all countries."""
    return frozenset(_read()["countries"])


def _columns() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = _read()["towns"]
    return found


def _read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lzma.decompress(FILE.read_bytes()))
    return found
