"""Facts about stations: metadata from a user's file, the country, and the land around.

No download is needed: a station's country is that of the nearest town, its land comes from a mask.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, notice
from deepcams.core.grid import Grid
from deepcams.core.text import from_json
from deepcams.files.land_mask import land_fraction
from deepcams.files.optional import need
from deepcams.files.towns import towns
from deepcams.readers.protocols import Paths, listed
from deepcams.stations.archive.station_files import parquet_columns
from deepcams.stations.matching import place_stations

FARTHEST_KM = 300.0
"""Largest distance to a town for which a country is assigned, km."""
EARTH_KM = 6371.0

SURFACES = ("inland", "coast", "sea")
INLAND, SEA = 0.95, 0.05
"""Land fractions from which a cell counts as inland, and up to which as sea; in between it is coast."""

_NAMES = {
    "id": ("id", "location_id", "locationid", "locationsid"),
    "is_monitor": ("is_monitor", "ismonitor"),
    "is_mobile": ("is_mobile", "ismobile"),
    "country": (
        "country",
        "country.code",
        "country_code",
        "countrycode",
        "country_iso",
    ),
    "altitude": (
        "altitude",
        "elevation",
        "altitude_m",
        "elevation_m",
        "coordinates.altitude",
        "coordinates.elevation",
    ),
    "provider": ("provider", "provider.name", "provider_name"),
    "type": ("type", "station_type", "type_of_station", "airqualitystationtype"),
    "area": (
        "area",
        "station_area",
        "area_type",
        "type_of_area",
        "station_type_of_area",
        "airqualitystationarea",
    ),
}
_TYPES, _AREAS = ("background", "traffic", "industrial"), ("urban", "suburban", "rural")
"""Terms of the European station classification (Airbase, e-Reporting); OpenAQ has none."""
_TRUE, _FALSE = {"true", "1", "1.0", "yes", "t"}, {"false", "0", "0.0", "no", "f"}


def add_metadata(stations: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Add ``is_monitor`` and ``is_mobile`` (True, False, missing), ``country``, ``altitude``, ``provider`` to stations.

    If the metadata have a type of station or area, ``kind`` is added too: ``urban traffic``, ``rural background``, ..;
    missing where neither is known.

    Args:
        stations: table with the column ``id``.
        paths: CSV, Parquet, or JSON as returned by ``/v3/locations`` of the API (one or several files). Only the column
            ``id`` is required.

    Raises:
        InputError: a file is unreadable, has no ids, or none of the stations is in it.
    """
    given = listed(paths)
    table = pd.concat(
        [_read(Path(path).expanduser()) for path in given]
    ).drop_duplicates("id", keep="last")
    table = table.set_index("id")
    stations = stations.drop(
        columns=[name for name in table.columns if name in stations]
    )
    known = stations["location_id"].isin(table.index)
    if not known.any():
        example = f"{table.index[0]}" if len(table) else "no rows"
        expected = f"the ids of the stations ({stations['location_id'].iloc[0]}, ..)"
        raise InputError(
            given[0],
            expected,
            f"none of them ({example}, ..)",
            "give their own metadata",
        )
    if not known.all():
        notice(
            f"{given[0]}: {int((~known).sum())} of {len(stations)} stations are not in the metadata"
        )
    return stations.join(table, on="location_id")


def _read(path: Path) -> pd.DataFrame:
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head == b"PAR1":
            table = _read_parquet(path)
        elif path.read_text(encoding="utf-8-sig").lstrip()[:1] in ("{", "["):
            document: Any = from_json(path.read_text(encoding="utf-8-sig"))
            if isinstance(document, dict):
                document = document.get("results", [document])
            if not isinstance(document, list):
                raise ValueError("results that are no list")
            rows = [row for row in document if isinstance(row, dict)]
            table = pd.json_normalize(rows)
        else:
            table = pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise InputError(
            path,
            "a file with metadata of stations",
            "nothing of this name",
            "check the path",
        ) from None
    except (ValueError, OSError) as error:
        found = " ".join(str(error).split())[:100]
        raise InputError(
            path, "metadata as CSV, Parquet or JSON", f"something else ({found})"
        ) from error
    columns = {}
    for name, aliases in _NAMES.items():
        own = next(
            (c for alias in aliases for c in table.columns if str(c).lower() == alias),
            None,
        )
        if own is not None:
            columns[own] = name
    if "id" not in columns.values():
        raise InputError(
            path,
            "a column id",
            ", ".join(map(str, table.columns))[:120] or "no columns",
        )
    table = table[list(columns)].rename(columns=columns)
    table["id"] = table["id"].astype(str)
    for name in ("is_monitor", "is_mobile"):
        if name in table:
            table[name] = _flags(table[name])
    if "altitude" in table:
        table["altitude"] = pd.to_numeric(table["altitude"], errors="coerce")
    parts = [
        _words(table.pop(name), known)
        for name, known in (("area", _AREAS), ("type", _TYPES))
        if name in table
    ]
    if parts:
        both = parts[0] if len(parts) == 1 else parts[0] + " " + parts[1]
        table["kind"] = both.str.strip().replace("", None)
    return table


def _words(column: pd.Series, known: tuple[str, ...]) -> pd.Series:
    """Map the classes of a column to standard terms; empty where unknown.

    ``Rural-regional`` is rural, and ``http://dd.eionet.europa.eu/vocabulary/aq/areaclassification/urban`` is urban.
    """
    text = column.astype(str).str.strip().str.lower().str.rsplit("/", n=1).str[-1]
    word = text.str.split(r"[^a-z]", n=1, regex=True).str[0]
    return word.where(word.isin(known), "")


def _read_parquet(path: Path) -> pd.DataFrame:
    duckdb = need("duckdb")
    with duckdb.connect() as database:
        parquet_columns(database, path)
        try:
            return database.read_parquet(str(path)).df()
        except duckdb.Error as error:
            raise ValueError(str(error)) from error


def _flags(column: pd.Series) -> pd.Series:
    text = column.astype(str).str.strip().str.lower()
    flags = np.full(len(text), None, object)
    flags[text.isin(_TRUE)] = True
    flags[text.isin(_FALSE)] = False
    return pd.Series(flags, column.index).astype("boolean")


def countries_of(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return two-letter country codes (ISO 3166) of the nearest town of GeoNames.

    They may be wrong within a few kilometres of a border; give metadata with a country if that matters.

    Args:
        latitude, longitude: (n,), degrees; may be NaN.

    Returns:
        (n,), text; empty if there is none.
    """
    result = np.full(len(latitude), "", dtype=object)
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    if known.size:
        tree, codes = _towns()
        chord, nearest = tree.query(on_sphere(latitude[known], longitude[known]))
        near = chord * EARTH_KM <= FARTHEST_KM
        result[known[near]] = codes[nearest[near]]
    return result


def on_sphere(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Convert coordinates to points on the unit sphere: (n, 3)."""
    north, east = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)],
        axis=-1,
    )


@lru_cache(maxsize=1)
def _towns() -> tuple[Any, np.ndarray]:
    from scipy.spatial import cKDTree

    known = towns()
    return cKDTree(on_sphere(known.latitude, known.longitude)), known.country


def globe_cells(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the cell of the global 0.25 degree grid that contains each place: row x 1440 + column; -1 for NaN."""
    return place_stations(Grid.globe(0.25), latitude, longitude).cell


def note_surroundings(stations: pd.DataFrame) -> pd.DataFrame:
    """Add ``land`` and ``surface`` to stations.

    Args:
        stations: table with ``latitude`` and ``longitude``, degrees.

    Returns:
        a copy with ``land``, the land fraction of the 0.25 degree cell that contains the station (0..1 by the mask of
        global-land-mask, in which lakes are land; NaN without coordinates), independent of the field's grid, and
        ``surface``: ``inland`` (at least 95 % land), ``coast``, or ``sea`` (at most 5 %); missing without coordinates.
    """
    cells = globe_cells(
        *(stations[name].to_numpy(float) for name in ("latitude", "longitude"))
    )
    land = np.where(cells >= 0, land_fraction().reshape(-1)[cells], np.nan)
    surface = np.select([land >= INLAND, land > SEA, land <= SEA], SURFACES, "")
    return stations.assign(
        land=land, surface=pd.Series(surface, stations.index).replace("", None)
    )


def count_surroundings(stations: pd.DataFrame, used: np.ndarray) -> dict[str, int]:
    """Count the ``used`` stations (boolean) that are inland, coast and sea, and those with a known altitude."""
    surface = stations["surface"].to_numpy()[used]
    counts = {name: int((surface == name).sum()) for name in SURFACES}
    known = (
        stations["altitude"].notna().to_numpy()[used]
        if "altitude" in stations
        else np.zeros(0, bool)
    )
    return {"stations": int(used.sum()), **counts, "altitude_known": int(known.sum())}
