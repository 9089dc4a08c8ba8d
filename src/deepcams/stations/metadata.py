"""What OpenAQ knows of its locations (reference grade, mobile, country, provider), from a file of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, notice
from deepcams.files.optional import need
from deepcams.readers.protocols import Paths

_NAMES = {
    "id": ("id", "location_id", "locationid", "locationsid"),
    "is_monitor": ("is_monitor", "ismonitor"),
    "is_mobile": ("is_mobile", "ismobile"),
    "country": ("country", "country.code", "country_code", "countrycode", "country_iso"),
    "altitude": (
        "altitude",
        "elevation",
        "altitude_m",
        "elevation_m",
        "coordinates.altitude",
        "coordinates.elevation",
    ),
    "provider": ("provider", "provider.name", "provider_name"),
}
_TRUE, _FALSE = {"true", "1", "1.0", "yes", "t"}, {"false", "0", "0.0", "no", "f"}


def add_metadata(stations: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Add ``is_monitor`` and ``is_mobile`` (True, False, missing), ``country``, ``altitude``, ``provider`` to stations.

    Args:
        stations: with the column ``id``.
        paths: CSV, Parquet, or JSON as the API's version 3 answers ``/v3/locations`` (one or several files). Only
            the column ``id`` must be there.

    Raises:
        InputError: an unreadable file, one without ids, or none of the stations in it.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    table = pd.concat([_read(Path(path).expanduser()) for path in given]).drop_duplicates(
        "id", keep="last"
    )
    table = table.set_index("id")
    stations = stations.drop(columns=[name for name in table.columns if name in stations])
    known = stations["location_id"].isin(table.index)
    if not known.any():
        example = f"{table.index[0]}" if len(table) else "no rows"
        expected = f"the ids of the stations ({stations['location_id'].iloc[0]}, ..)"
        raise InputError(
            given[0], expected, f"none of them ({example}, ..)", "give their own metadata"
        )
    if not known.all():
        notice(
            f"{given[0]}: {int((~known).sum())} of {len(stations)} stations are not in the metadata"
        )
    return stations.join(table, on="location_id")


def _read(path: Path) -> pd.DataFrame:
    try:
        head = path.read_bytes()[:4]
        if head == b"PAR1":
            with need("duckdb").connect() as database:
                table = database.read_parquet(str(path)).df()
        elif path.read_text(encoding="utf-8-sig").lstrip()[:1] in ("{", "["):
            document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
            table = pd.json_normalize(
                document.get("results", [document]) if isinstance(document, dict) else document
            )
        else:
            table = pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise InputError(
            path, "a file with metadata of stations", "nothing of this name", "check the path"
        ) from None
    except (ValueError, OSError) as error:
        found = " ".join(str(error).split())[:100]
        raise InputError(
            path, "metadata as CSV, Parquet or JSON", f"something else ({found})"
        ) from error
    columns = {}
    for name, aliases in _NAMES.items():
        own = next((c for alias in aliases for c in table.columns if str(c).lower() == alias), None)
        if own is not None:
            columns[own] = name
    if "id" not in columns.values():
        raise InputError(
            path, "a column id", ", ".join(map(str, table.columns))[:120] or "no columns"
        )
    table = table[list(columns)].rename(columns=columns)
    table["id"] = table["id"].astype(str)
    for name in ("is_monitor", "is_mobile"):
        if name in table:
            table[name] = _flags(table[name])
    if "altitude" in table:
        table["altitude"] = pd.to_numeric(table["altitude"], errors="coerce")
    return table


def _flags(column: pd.Series) -> pd.Series:
    text = column.astype(str).str.strip().str.lower()
    flags = np.full(len(text), None, object)
    flags[text.isin(_TRUE)] = True
    flags[text.isin(_FALSE)] = False
    return pd.Series(flags, column.index).astype("boolean")
