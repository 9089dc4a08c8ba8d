"""Layouts of observation tables: known column names and their meanings.

Supported are OpenAQ's archive (since 2022), its explorer and API version 2 (2021 to 2024), its daily files of 2015 to
2022, its JSON lines, and tables made from API responses. Names are compared in lower case; dots separate JSON levels.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime

from deepcams.core.errors import InputError
from deepcams.core.units import units_factor

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": (
        "location_id",
        "locationid",
        "location-id",
        "locationsid",
        "station_id",
        "station",
    ),
    "sensor": ("sensors_id", "sensor_id", "sensorsid", "sensorid"),
    "name": ("location", "location_name", "name"),
    "utc": (
        "datetimeutc",
        "datetime_utc",
        "datetime.utc",
        "utc",
        "date.utc",
        "period.datetimeto.utc",
        "datetimeto.utc",
    ),
    "time": (
        "datetime",
        "date",
        "timestamp",
        "local",
        "datetimelocal",
        "datetime_local",
        "date.local",
        "period.datetimeto.local",
    ),
    "latitude": ("lat", "latitude", "coordinates.latitude"),
    "longitude": ("lon", "lng", "longitude", "coordinates.longitude"),
    "parameter": ("parameter", "parameter.name"),
    "unit": ("units", "unit", "parameter.units", "parameter.unit"),
    "value": ("value",),
    "is_monitor": ("ismonitor", "is_monitor"),
    "is_mobile": ("ismobile", "is_mobile", "mobile"),
}
"""Column names by meaning. Times named UTC need no offset. Without an id, name and coordinates identify the station."""
ARCHIVE = {
    "id": "location_id",
    "time": "datetime",
    "latitude": "lat",
    "longitude": "lon",
    "unit": "units",
}
"""Column names of OpenAQ's archive, for messages."""
_FARTHEST = 14
"""Largest UTC offset, hours (Kiribati)."""
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$",
    re.IGNORECASE,
)
_PM25 = re.compile(r"pm25(lc|localconditions|ugm3?|mass|concentration)?$")


def find_columns(names: Sequence[str], where: object) -> dict[str, list[str]]:
    """Return, for each known column of a file, the file's names for it, preferred first.

    Args:
        names: column names of the file, or paths in its JSON.
        where: the file, for messages.

    Raises:
        InputError: two columns have the same name.
    """
    found: dict[str, list[str]] = {}
    for column, aliases in COLUMNS.items():
        own = [name for alias in aliases for name in names if name.lower() == alias]
        twice = [
            name
            for name in own
            if sum(other.lower() == name.lower() for other in names) > 1
        ]
        if twice:
            count = sum(name.lower() == twice[0].lower() for name in names)
            raise InputError(where, f"one column {twice[0]}", f"{count} of that name")
        if own:
            found[column] = own
    return found


def missing_columns(found: dict[str, list[str]]) -> list[str]:
    """Return the archive's names of required columns that are missing."""
    missing = [
        name
        for name in ("latitude", "longitude", "parameter", "unit", "value")
        if name not in found
    ]
    if "utc" not in found and "time" not in found:
        missing.insert(0, "time")
    if "id" not in found and "name" not in found:
        missing.insert(0, "id")
    return [ARCHIVE.get(name, name) for name in missing]


def plain_parameter(parameter: str) -> str:
    """Return the normalized name of a species: ``pm25`` for PM2.5, pm2p5, pm25 and "PM2.5 - Local Conditions"."""
    plain = re.sub(
        r"[^a-z0-9]",
        "",
        parameter.replace("\N{MICRO SIGN}", "u").lower().replace("2p5", "25"),
    )
    return "pm25" if _PM25.match(plain) else plain


def unit_factor(text: str) -> float:
    """Return the factor that converts values to ug m-3; NaN if the unit is not a mass concentration.

    Additions in brackets ("(25 C)", "(LC)") and doubly encoded texts are supported.
    """
    texts = [text]
    with contextlib.suppress(UnicodeError):
        texts.append(text.encode("latin-1").decode("utf-8"))
    for each in texts:
        plain = re.sub(r"\s*\([^)]*\)\s*$", "", each).replace(
            "m\N{SUPERSCRIPT THREE}", "m3"
        )
        with contextlib.suppress(InputError):
            return units_factor(plain, "units")
    return float("nan")


def parse_stamp(text: str) -> tuple[int, bool]:
    """Parse a time as seconds since 1970 UTC (without an offset as UTC), and return whether it has an offset.

    Raises:
        ValueError: the text is not a time.
    """
    match = _STAMP.match(text.strip())
    if match is None:
        raise ValueError(text)
    *digits, zone = match.groups()
    year, month, day, hour, minute, second = (int(n or 0) for n in digits)
    days = (datetime(year, month, day) - datetime(1970, 1, 1)).days
    midnight = hour == 24 and not minute and not second
    if not (hour < 24 or midnight) or minute > 59 or second > 60:
        raise ValueError(text)
    return days * 86400 + hour * 3600 + minute * 60 + second - _offset(
        zone
    ), zone is not None


def offset_of(text: str) -> int | None:
    """Return the UTC offset of a time's text, seconds; ``None`` if it is marked as UTC or has no offset."""
    match = _STAMP.match(text.strip())
    zone = None if match is None else match.groups()[-1]
    return None if zone is None or zone.upper() in ("Z", "UTC") else _offset(zone)


def _offset(zone: str | None) -> int:
    """Return the UTC offset in seconds."""
    if zone is None or zone.upper() in ("Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > _FARTHEST or minutes > 59:
        raise ValueError(zone)
    return (1 if zone[0] == "+" else -1) * (hours * 3600 + minutes * 60)
