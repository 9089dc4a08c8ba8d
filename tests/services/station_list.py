"""OpenAQ's API, version 3, as far as locations go: pages, boxes, countries, a key and an allowance of requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from deepcams.simulation.station_network import Station
from services.base import Answer, Fault, Seen, Service

KEY = "0123456789abcdef" * 4
"""The key that it accepts: no secret, it opens nothing."""


class StationList(Service):
    """The service.

    Args:
        stations: what it knows.
        country: two letters, of all of them.
        allowance: requests in each window of ``window`` seconds.
        window: seconds.
        faults: see :class:`Service`.
    """

    def __init__(
        self,
        stations: Sequence[Station],
        country: str = "CN",
        allowance: int = 60,
        window: float = 60.0,
        faults: Callable[[Seen], Fault | None] = lambda seen: None,
    ) -> None:
        super().__init__(faults)
        self.stations, self.country, self.allowance, self.window = (
            list(stations),
            country,
            allowance,
            window,
        )
        self._since, self._used = time.monotonic(), 0

    @property
    def url(self) -> str:
        """The API's root."""
        return f"{self.root}/v3"

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """``/v3/locations``."""
        if seen.headers.get("x-api-key") != KEY:
            return Answer.json({"detail": "Unauthorized"}, 401)
        with self.lock:
            now = time.monotonic()
            if now - self._since > self.window:
                self._since, self._used = now, 0
            self._used += 1
            left, reset = (
                self.allowance - self._used,
                max(int(self.window - (now - self._since)) + 1, 1),
            )
        limits: dict[str, Any] = {
            "x-ratelimit-limit": str(self.allowance),
            "x-ratelimit-remaining": str(max(left, 0)),
            "x-ratelimit-reset": str(reset),
            "x-ratelimit-used": str(self._used),
        }
        if left < 0:
            return Answer.json(
                {"detail": "Too many requests"},
                429,
                **{**limits, "Retry-After": str(reset)},
            )
        if seen.path.rstrip("/") != "/v3/locations":
            return Answer.json({"detail": "Not Found"}, 404, **limits)
        found = [one for one in self.stations if self._wanted(one, seen.query)]
        page, limit = int(seen.query.get("page", 1)), int(seen.query.get("limit", 100))
        some = found[(page - 1) * limit : page * limit]
        meta = {
            "name": "openaq-api",
            "website": "/",
            "page": page,
            "limit": limit,
            "found": len(found),
        }
        return Answer.json(
            {"meta": meta, "results": [self._location(one) for one in some]}, **limits
        )

    def _wanted(self, station: Station, query: dict[str, str]) -> bool:
        if query.get("iso", self.country).upper() != self.country:
            return False
        if "bbox" in query:
            west, south, east, north = (
                float(edge) for edge in query["bbox"].split(",")
            )
            return (
                west <= station.longitude <= east and south <= station.latitude <= north
            )
        return True

    def _location(self, station: Station) -> dict[str, Any]:
        stamp = {"utc": "2016-01-01T00:00:00Z", "local": "2016-01-01T00:00:00Z"}
        number = station.id
        return {
            "id": number,
            "name": f"{station.name}-{number}",
            "locality": station.name,
            "timezone": station.timezone,
            "country": {"id": 1, "code": self.country, "name": self.country},
            "owner": {"id": 1, "name": "simulated"},
            "provider": {"id": 1, "name": "simulated"},
            "isMobile": False,
            "isMonitor": number % 3 != 0,
            "instruments": [{"id": 1, "name": "simulated"}],
            "sensors": [
                {
                    "id": number * 10 + 2,
                    "name": "pm25 µg/m³",
                    "parameter": {
                        "id": 2,
                        "name": "pm25",
                        "units": "µg/m³",
                        "displayName": "PM2.5",
                    },
                }
            ],
            "coordinates": {
                "latitude": station.latitude,
                "longitude": station.longitude,
            },
            "licenses": None,
            "bounds": [
                station.longitude,
                station.latitude,
                station.longitude,
                station.latitude,
            ],
            "distance": None,
            "datetimeFirst": stamp,
            "datetimeLast": {**stamp, "utc": "2030-01-01T00:00:00Z"},
        }
