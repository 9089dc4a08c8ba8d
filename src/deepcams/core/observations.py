"""The canonical observations: stations, and the means over intervals that they measured.

*Observations* are two tables: the stations, and the rows that they reported. Each row is a mean over an interval
[start, end] in UTC, because an hour-ending stamp and an instant of a model are matched by bounds, never by equal
stamps. Rows are kept as arrays (29 bytes each), so that a year of the world's stations fits into memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepcams.core.box import eastward
from deepcams.core.errors import InputError

STATION_COLUMNS = ("id", "name", "latitude", "longitude")
"""Columns of every table of stations; further columns (``country``, ``is_monitor``, ``is_mobile``, ..) may follow."""


@dataclass(frozen=True)
class Observations:
    """Measured values, sorted by station and end.

    Attributes:
        stations: one row a station, numbered from 0: ``id`` and ``name`` (text), ``latitude`` and ``longitude``
            (degrees; east of Greenwich -180..180), and whatever else is known.
        station: (n,), int32: each row's station number.
        start, end: (n,), int64: bounds of the interval that the value is a mean over, seconds since 1970 UTC.
        value: (n,), float64, ug m-3.
    """

    stations: pd.DataFrame
    station: np.ndarray
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray

    @classmethod
    def from_table(cls, table: pd.DataFrame, where: object = "observations") -> Observations:
        """Make a table with the columns id, latitude, longitude, start, end and value canonical.

        Args:
            table: one row a value, in any order; ``start`` and ``end`` with a time zone, or in UTC. ``name`` and
                further columns that are constant within a station go to the stations.
            where: for messages.

        Raises:
            InputError: a column is missing, a station has two places, an interval does not end after it starts, or
                a value or a place is missing.
        """
        wanted = ("id", "latitude", "longitude", "start", "end", "value")
        missing = [name for name in wanted if name not in table.columns]
        if missing:
            expected = "the columns " + ", ".join(wanted)
            raise InputError(where, expected, "none called " + ", ".join(missing))
        numbers = table[["latitude", "longitude", "value"]].astype(float)
        if not np.isfinite(numbers.to_numpy()).all():
            expected = "a place and a value in every row"
            raise InputError(where, expected, "missing ones", "leave those rows out")
        beyond = numbers.latitude[abs(numbers.latitude) > 90]
        if beyond.size:
            raise InputError(f"{where}: latitude", "-90..90", f"{beyond.iloc[0]}")
        ids = table["id"].astype(str)
        code, names = pd.factorize(ids, sort=True)
        first = pd.Series(np.arange(len(table))).groupby(code).first().to_numpy()
        places = numbers[["latitude", "longitude"]].to_numpy()
        moved = np.flatnonzero((places != places[first[code]]).any(axis=1))
        if moved.size:
            station = f"{where}: station {ids.iloc[moved[0]]}"
            raise InputError(station, "one place", "two", "give each its own id")
        stations = pd.DataFrame({"id": names})
        stations["name"] = names
        if "name" in table.columns:
            stations["name"] = table["name"].astype(str).to_numpy()[first]
        stations["latitude"] = places[first, 0]
        stations["longitude"] = eastward(places[first, 1])
        for name in table.columns:
            if name not in (*wanted, "name"):
                stations[name] = table[name].to_numpy()[first]
        start, end = _seconds(table["start"]), _seconds(table["end"])
        if not (start < end).all():
            raise InputError(where, "intervals that end after they start", "some that do not")
        order = np.lexsort((end, code))
        return cls(
            stations.reset_index(drop=True),
            code[order].astype(np.int32),
            start[order],
            end[order],
            numbers["value"].to_numpy()[order],
        )

    def __len__(self) -> int:
        return self.value.size

    def where(self, keep: np.ndarray) -> Observations:
        """Return the rows for which ``keep`` (boolean, or indices) holds; all stations stay."""
        return Observations(
            self.stations, self.station[keep], self.start[keep], self.end[keep], self.value[keep]
        )

    def to_table(self) -> pd.DataFrame:
        """Return one row a value: id, name, latitude, longitude, start, end (UTC) and value."""
        table = self.stations.iloc[self.station][list(STATION_COLUMNS)].reset_index(drop=True)
        for name in ("start", "end"):
            table[name] = pd.to_datetime(getattr(self, name), unit="s", utc=True)
        table["value"] = self.value
        return table


def _seconds(times: pd.Series) -> np.ndarray:
    stamps = pd.to_datetime(times, utc=True)
    return np.asarray(stamps.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64))
