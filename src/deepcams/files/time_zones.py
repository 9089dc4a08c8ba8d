"""Legal time zones: the zone map of tzfpy and the UTC offsets of the IANA database.

The map is timezone-boundary-builder's (Open Database License, (c) OpenStreetMap contributors), simplified to about
100 m; tzfpy itself is MIT-licensed. At sea, zones are nautical. Standard time excludes summer time: it is the smaller
of the UTC offsets on 15 January and 15 July of a year. So Ireland, whose law calls summer time the standard, is at
0 h, and Morocco in 2019, whose clocks are put back only in Ramadan, is at 1 h.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from deepcams.core.box import eastward
from deepcams.core.errors import InputError
from deepcams.files.optional import need

LICENCE = (
    "time zones: timezone-boundary-builder, Open Database License 1.0, (c) OpenStreetMap contributors; "
    "https://opendatacommons.org/licenses/odbl/1-0/"
)
"""Attribution required in outputs that contain a map of the zones."""


def version() -> str:
    """Return tzfpy's version of the zone map.

    Raises:
        MissingExtraError: tzfpy is not installed.
    """
    return str(need("tzfpy").data_version())


def zone_names(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return the name of the zone at each node of a grid.

    Args:
        latitude, longitude: (rows,) and (columns,), degrees.

    Returns:
        (rows, columns), text, IANA zone names.

    Raises:
        MissingExtraError: tzfpy is not installed.
    """
    find = need("tzfpy").get_tz
    east = np.asarray(eastward(longitude)).tolist()
    names = [[find(lon, lat) for lon in east] for lat in np.asarray(latitude).tolist()]
    return np.array(names, object)


def standard_minutes(name: str, year: int) -> int:
    """Return the UTC offset of a zone's standard time in a year, minutes, positive eastward (see the module).

    Raises:
        InputError: this machine's IANA database does not know the zone.
    """
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        do = "install its newest version: pip install -U tzdata"
        raise InputError(
            "--days zones", "time zones that the IANA database has", repr(name), do
        ) from error
    ahead = []
    for month in (1, 7):
        offset = datetime(year, month, 15, 12, tzinfo=zone).utcoffset()
        assert offset is not None
        # Before standard time was introduced, offsets were not whole minutes.
        ahead.append(round(offset.total_seconds() / 60))
    return min(ahead)


def offset_minutes(
    latitude: np.ndarray, longitude: np.ndarray, year: int
) -> np.ndarray:
    """Return the UTC offset of standard time at each node of a grid.

    Args:
        latitude, longitude: (rows,) and (columns,), degrees.
        year: year of the standard time.

    Returns:
        (rows, columns), int16, minutes: 345 in Nepal.
    """
    names = zone_names(latitude, longitude)
    nodes = names.ravel().tolist()
    minutes = {name: standard_minutes(name, year) for name in set(nodes)}
    ahead = [minutes[name] for name in nodes]
    return np.array(ahead, np.int16).reshape(names.shape)
