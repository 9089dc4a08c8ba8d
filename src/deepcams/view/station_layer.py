"""Stations on the map, and the values of the nearest one after quality control."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.stations.archive.quality import Control, Quality
from deepcams.stations.archive.sorted_copy import StationArchive

FARTHEST_KM = 200.0
"""Maximum distance, km, of a station to be shown for a location."""
MOST_TRIED = 5
"""Number of nearest stations tried: if one has no values in the span, the next is used."""


class Stations:
    """Opened observations.

    Args:
        archive: see :func:`deepcams.open_openaq`.
    """

    def __init__(self, archive: StationArchive) -> None:
        self._archive = archive
        table = archive.stations
        self._latitude = table.latitude.to_numpy(float)
        self._longitude = table.longitude.to_numpy(float)
        self._known = np.flatnonzero(
            np.isfinite(self._latitude) & np.isfinite(self._longitude)
        )
        # Only checks of single stations apply; those of co-located pairs and monthly completeness are for scores.
        skipped = Quality.without(["twins", "completeness"])
        self._control = Control(
            table, archive.units, skipped, np.zeros((0, 2), np.int64)
        )

    def places(self) -> list[list[float]]:
        """Return longitude and latitude of each station with coordinates."""
        pairs = np.stack(
            [self._longitude[self._known], self._latitude[self._known]], axis=1
        )
        return [[round(float(x), 4), round(float(y), 4)] for x, y in pairs]

    def near(
        self, longitude: float, latitude: float, first: int, last: int
    ) -> dict[str, Any] | None:
        """Return the nearest station with hourly means whose mid-hour is in [first, last] (minutes since 1970).

        Returns:
            name, id, coordinates, distance (km), and values at mid-hours; the very nearest station without values if
            none of the nearest :data:`MOST_TRIED` has any; ``None`` if none is within :data:`FARTHEST_KM`.
        """
        distances = _kilometres(
            longitude,
            latitude,
            self._longitude[self._known],
            self._latitude[self._known],
        )
        order = np.argsort(distances, kind="stable")[:MOST_TRIED]
        nearest: dict[str, Any] | None = None
        for k in order[distances[order] <= FARTHEST_KM]:
            one = self._report(int(self._known[k]), float(distances[k]), first, last)
            if one["values"]:
                return one
            nearest = nearest or one
        return nearest

    def _report(
        self, number: int, kilometres: float, first: int, last: int
    ) -> dict[str, Any]:
        """Return the description and values of one station."""
        # Outliers are detected from the surrounding weeks.
        margin = 8 * 86400
        rows = self._archive.read(
            np.array([number]), first * 60 - margin, last * 60 + margin
        )
        kept, _ = self._control.check(rows)
        middle = (kept.start + kept.end) // 120
        inside = (middle >= first) & (middle <= last)
        station = self._archive.stations.iloc[number]
        return {
            "name": str(station["name"]),
            "id": str(station["id"]),
            "longitude": float(self._longitude[number]),
            "latitude": float(self._latitude[number]),
            "kilometres": round(kilometres, 1),
            "minutes": middle[inside].tolist(),
            "values": [round(float(value), 2) for value in kept.value[inside]],
        }


def _kilometres(
    longitude: float, latitude: float, longitudes: np.ndarray, latitudes: np.ndarray
) -> np.ndarray:
    """Return great-circle distances, km."""
    y, x, ys, xs = (
        np.deg2rad(angle) for angle in (latitude, longitude, latitudes, longitudes)
    )
    half = (
        np.sin((ys - y) / 2) ** 2 + np.cos(y) * np.cos(ys) * np.sin((xs - x) / 2) ** 2
    )
    return np.asarray(2 * 6371.0 * np.arcsin(np.sqrt(np.minimum(half, 1))))
