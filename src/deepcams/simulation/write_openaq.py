"""Writer of simulated stations in the layout of OpenAQ's archive: one small csv.gz per location and local day.

Optionally with faults as in the real archive, and a table of all faults planted.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.files.atomic import atomic_path
from deepcams.simulation.station_network import Station, absent, measure
from deepcams.simulation.world import Moment, hourly_mean
from deepcams.simulation.write_fields import Written

COLUMNS = (
    "location_id",
    "sensors_id",
    "location",
    "datetime",
    "lat",
    "lon",
    "parameter",
    "units",
    "value",
)
PLANTED = ("location_id", "datetime", "kind", "detail")

_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_DETAIL = {"sentinel": "-999", "units": "ppm"}


@dataclass(frozen=True)
class Dirt:
    """Frequencies of planted faults, as found in real archives.

    Attributes:
        sentinel, duplicate, negative: fraction of rows that are -999, repeated, or negative.
        constant: fraction of station days with a run of 8 to 12 equal values.
        units: fraction of station days reported in ppm.
        twins: fraction of stations listed twice within 100 m (planted when stations are placed).
    """

    sentinel: float = 0.01
    duplicate: float = 0.02
    negative: float = 0.01
    constant: float = 0.05
    units: float = 0.03
    twins: float = 0.1


def openaq_path(folder: Path, station: int, day: date) -> Path:
    """Return the path of a station's local day in the archive."""
    of_month = f"records/csv.gz/locationid={station}/year={day:%Y}/month={day:%m}"
    return folder / of_month / f"location-{station}-{day:%Y%m%d}.csv.gz"


def write_openaq(
    seed: int,
    stations: list[Station],
    period: Period,
    folder: Path | str,
    dirt: Dirt | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> tuple[Written, pd.DataFrame]:
    """Write the measurements of simulated stations, for all local days that the period touches (by its UTC dates).

    Values are hourly means of the simulated truth at the station, with a factor, noise and missing hours of each
    instrument. ``datetime`` is the hour's end in local time with offset. Half of the stations also report PM10.

    Args:
        seed: seed of the world.
        stations: see :func:`place_stations`.
        period: its first and last UTC date are the first and last local day.
        folder: the archive's root; files go to ``records/csv.gz/locationid=../year=../month=..``.
        dirt: faults to plant; ``None`` for clean files.
        overwrite: replace files that exist; otherwise they are not touched.
        progress: called after each file.

    Returns:
        the result of writing, and one row per planted fault: location_id, datetime (as in the file; empty for a twin),
        kind (sentinel, duplicate, negative, constant, units, twin) and detail; faults in kept files are included.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    last = period.end - np.timedelta64(1, "ns")
    days = [day.date() for day in pd.date_range(period.start, last, normalize=True)]
    written = Written()
    planted = [
        (station.id, "", "twin", f"of {station.twin_of}")
        for station in stations
        if station.twin_of is not None
    ]
    latitude = np.array([station.latitude for station in stations])
    longitude = np.array([station.longitude for station in stations])

    @lru_cache(maxsize=256)  # a local day somewhere on the globe touches 105 instants
    def truth(hour: float) -> np.ndarray:
        return Moment(seed, hour).points(latitude, longitude)

    @lru_cache(maxsize=256)
    def means(hour: int) -> np.ndarray:
        return hourly_mean(truth, hour + 0.5, 0.5)

    for day in days:
        for index, station in enumerate(stations):
            path = openaq_path(folder, station.id, day)
            stamps, hours = _hours(station, day)
            kinds = _plan(seed, station, day, dirt, absent(seed, station, hours))
            for stamp, kind in zip(stamps, kinds.tolist(), strict=True):
                if kind:
                    planted.append((station.id, stamp, kind, _DETAIL.get(kind, "")))
            new = overwrite or not path.exists()
            if new:
                true = np.array([means(hour)[index] for hour in hours.tolist()])
                values = measure(seed, station, true, hours)
                with atomic_path(path) as temporary:
                    _write(temporary, station, stamps, values, kinds)
            written.add(path, new)
            progress("simulate", len(written.paths), len(days) * len(stations))
    return written, pd.DataFrame(planted, columns=list(PLANTED))


def _hours(station: Station, day: date) -> tuple[list[str], np.ndarray]:
    """Return the hours that begin in a station's local day: stamps of their ends as written, and their starts (UTC)."""
    zone = ZoneInfo(station.timezone)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - 15 * _HOUR
    stamps = []
    hours = []
    for k in range(15 + 24 + 13):
        begin = first + k * _HOUR
        if begin.astimezone(zone).date() == day:
            stamps.append((begin + _HOUR).astimezone(zone).isoformat())
            hours.append((begin - _ORIGIN) // _HOUR)
    return stamps, np.array(hours)


def _plan(
    seed: int, station: Station, day: date, dirt: Dirt | None, missing: np.ndarray
) -> np.ndarray:
    """Return the kind of fault in each hour ("" for none), independent of whether the file is written."""
    size = missing.size
    kinds = np.full(size, "", "U9")
    if dirt is None or station.twin_of is not None:
        return kinds
    random = np.random.default_rng([seed, 9, station.id, day.toordinal()])
    shares = random.random(size)
    of_day = random.random(2)
    start = random.random()
    length = int(random.integers(8, 13))
    low = 0.0
    for kind in ("sentinel", "duplicate", "negative"):
        high = low + getattr(dirt, kind)
        kinds[(shares >= low) & (shares < high)] = kind
        low = high
    if of_day[0] < dirt.units:
        kinds[:] = "units"
    elif of_day[1] < dirt.constant:
        first = int(start * (size - length + 1))
        kinds[first : first + length] = "constant"
    kinds[missing] = ""
    return kinds


def _write(
    path: Path,
    station: Station,
    stamps: list[str],
    values: np.ndarray,
    kinds: np.ndarray,
) -> None:
    lines = [",".join(COLUMNS), *_rows(station, stamps, values, kinds), ""]
    # no date in the header: the same data give the same bytes
    packed = gzip.compress("\n".join(lines).encode(), 6, mtime=0)
    path.write_bytes(packed)


def _rows(
    station: Station, stamps: list[str], values: np.ndarray, kinds: np.ndarray
) -> Iterator[str]:
    def row(stamp: str, sensor: int, parameter: str, units: str, value: object) -> str:
        name = f'"{station.name}-{station.id}"'
        return (
            f"{station.id},{station.id * 10 + sensor},{name},{stamp},"
            f"{station.latitude},{station.longitude},{parameter},{units},{value}"
        )

    steady = None
    for stamp, value, kind in zip(stamps, values.tolist(), kinds.tolist(), strict=True):
        if np.isnan(value):
            continue
        units = "µg/m³"
        written = value
        if kind == "constant":
            steady = value if steady is None else steady
            written = steady
        elif kind == "units":
            units = "ppm"
            written = round(value / 1000, 4)
        elif kind == "sentinel":
            written = -999.0
        elif kind == "negative":
            written = -round(0.1 + value / 10, 1)
        yield row(stamp, 2, "pm25", units, written)
        if kind == "duplicate":
            yield row(stamp, 2, "pm25", units, written)
        if station.id % 2:
            yield row(stamp, 1, "pm10", "µg/m³", f"{value * 1.6:.1f}")
