"""The canonical observations: stations, and the means over intervals that they measured.

*Observations* are two tables: the stations, and the rows that they reported. Each row is a mean over an interval
[start, end] in UTC, because an hour-ending stamp and an instant of a model are matched by bounds, never by equal
stamps. Rows are arrays (29 bytes each), so that a year of the world's stations fits into memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Observations:
    """Measured values, sorted by station and end.

    Attributes:
        stations: one row a station, numbered from 0: ``id`` and ``name`` (text), ``latitude`` and ``longitude``
            (degrees; east of Greenwich -180..180), and further columns (``country``, ``is_monitor``, ..).
        station: (n,), int32: each row's station number.
        start, end: (n,), int64: bounds of the interval that the value is a mean over, seconds since 1970 UTC.
        value: (n,), float64, ug m-3.
    """

    stations: pd.DataFrame
    station: np.ndarray
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return self.value.size

    def where(self, keep: np.ndarray) -> Observations:
        """Return the rows for which ``keep`` (boolean, or indices) holds; all stations stay."""
        rows = (
            column[keep] for column in (self.station, self.start, self.end, self.value)
        )
        return Observations(self.stations, *rows)
