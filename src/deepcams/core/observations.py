"""The canonical observations: stations, and the interval means that they measured.

*Observations* are two tables: the stations and their measurements. Each measurement is a mean over an interval
[start, end] in UTC, because measurements and model times are matched by interval bounds, never by equal
stamps. Columns are arrays (29 bytes per row in total), so that a year of the world's stations fits into memory.
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
        station: (n,), int32: station number of each row.
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
        """Return the rows selected by ``keep`` (boolean mask or indices), with all stations."""
        rows = (
            column[keep] for column in (self.station, self.start, self.end, self.value)
        )
        return Observations(self.stations, *rows)
