"""Simulated stations in the layout of OpenAQ's archive: one small csv.gz per location and local day.

On request with the dirt that the real archive holds, and a table of exactly what was planted.
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
from deepcams.simulation.world import Moment
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
    """How much of what goes wrong in real archives is planted.

    Attributes:
        sentinel, duplicate, negative: share of rows that read -999, stand twice, or lie below zero.
        constant: share of station days with a run of 8 to 12 equal values.
        units: share of station days reported in ppm.
        twins: share of stations listed twice within 100 m (planted where the stations are placed).
    """

    sentinel: float = 0.01
    duplicate: float = 0.02
    negative: float = 0.01
    constant: float = 0.05
    units: float = 0.03
    twins: float = 0.1


def openaq_path(folder: Path, station: int, day: date) -> Path:
    """Return the path of a station's local day in the archive."""
    return (
        folder
        / "records"
        / "csv.gz"
        / f"locationid={station}"
        / f"year={day:%Y}"
        / f"month={day:%m}"
        / f"location-{station}-{day:%Y%m%d}.csv.gz"
    )


def write_openaq(
    seed: int,
    stations: list[Station],
    period: Period,
    folder: Path | str,
    dirt: Dirt | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> tuple[Written, pd.DataFrame]:
    """Write what simulated stations measure, for all local days that the period touches (by its UTC dates).

    Values are hourly means of the simulated truth at the station's place, with each instrument's own factor, noise
    and absent hours. ``datetime`` is the hour's end in local time with offset. Half of the stations also report PM10.

    Args:
        seed: of the world.
        stations: see :func:`place_stations`.
        period: its first and last UTC date are the first and last local day.
        folder: the archive's root; files go to ``records/csv.gz/locationid=../year=../month=..``.
        dirt: what to plant; ``None`` for clean files.
        overwrite: replace files that are there; otherwise they are kept.
        progress: called after each file.

    Returns:
        what was written, and one row per planted thing: location_id, datetime (as in the file; empty for a twin),
        kind (sentinel, duplicate, negative, constant, units, twin) and detail; kept files' dirt included.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    first = pd.Timestamp(period.start).date()
    last = pd.Timestamp(period.end - np.timedelta64(1, "ns")).date()
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
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

    def mean(hour: int, index: int) -> np.float32:
        """Return the mean over an hour by Simpson's rule, as in SimulatedWorld.field(mean=True)."""
        before, middle, after = (truth(hour + part)[index] for part in (0, 0.5, 1))
        result: np.float32 = (before + np.float32(4) * middle + after) * np.float32(1 / 6)
        return result

    for day in days:
        for index, station in enumerate(stations):
            path = openaq_path(folder, station.id, day)
            stamps, hours = _hours(station, day)
            kinds = _plan(seed, station, day, dirt, absent(seed, station, hours))
            for stamp, kind in zip(stamps.tolist(), kinds.tolist(), strict=True):
                if kind:
                    planted.append((station.id, stamp, kind, _DETAIL.get(kind, "")))
            new = overwrite or not path.exists()
            if new:
                means = np.array([mean(hour, index) for hour in hours.tolist()])
                with atomic_path(path) as temporary:
                    _write(temporary, station, stamps, measure(seed, station, means, hours), kinds)
            written.add(path, new)
            progress("simulate", len(written.paths), len(days) * len(stations))
    return written, pd.DataFrame(planted, columns=list(PLANTED))


def _hours(station: Station, day: date) -> tuple[np.ndarray, np.ndarray]:
    """Return the UTC hours that begin in a station's local day: stamps of their ends as written, and their begins."""
    zone = ZoneInfo(station.timezone)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    moments = [begin + k * _HOUR for k in range(15 + 24 + 13)]
    moments = [moment for moment in moments if moment.astimezone(zone).date() == day]
    stamps = [(moment + _HOUR).astimezone(zone).isoformat() for moment in moments]
    return np.array(stamps), np.array([round((moment - _ORIGIN) / _HOUR) for moment in moments])


def _plan(
    seed: int, station: Station, day: date, dirt: Dirt | None, missing: np.ndarray
) -> np.ndarray:
    """Return the kind of dirt in each hour ("" for none); the same with or without writing the file."""
    size = missing.size
    kinds = np.full(size, "", "U9")
    if dirt is None or station.twin_of is not None:
        return kinds
    random = np.random.default_rng([seed, 9, station.id, day.toordinal()])
    shares = random.random(size)
    day_kind, start, length = random.random(2), random.random(), int(random.integers(8, 13))
    low = 0.0
    for kind in ("sentinel", "duplicate", "negative"):
        high = low + getattr(dirt, kind)
        kinds[(shares >= low) & (shares < high)] = kind
        low = high
    if day_kind[0] < dirt.units:
        kinds[:] = "units"
    elif day_kind[1] < dirt.constant:
        first = int(start * (size - length + 1))
        kinds[first : first + length] = "constant"
    kinds[missing] = ""
    return kinds


def _write(
    path: Path, station: Station, stamps: np.ndarray, values: np.ndarray, kinds: np.ndarray
) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as file,
    ):  # no date: same data, same bytes
        file.write((",".join(COLUMNS) + "\n").encode())
        for row in _rows(station, stamps, values, kinds):
            file.write((",".join(row) + "\n").encode())


def _rows(
    station: Station, stamps: np.ndarray, values: np.ndarray, kinds: np.ndarray
) -> Iterator[tuple[str, ...]]:
    name = f'"{station.name}-{station.id}"'
    place = f"{station.latitude}", f"{station.longitude}"
    steady = None
    for stamp, value, kind in zip(stamps.tolist(), values.tolist(), kinds.tolist(), strict=True):
        units, written = "µg/m³", value
        if np.isnan(value):
            continue
        if kind == "constant":
            steady = value if steady is None else steady
            written = steady
        elif kind == "units":
            units, written = "ppm", round(value / 1000, 4)
        else:
            written = {"sentinel": -999.0, "negative": -round(0.1 + value / 10, 1)}.get(kind, value)
        head = str(station.id), str(station.id * 10 + 2), name, stamp, *place
        for _ in range(2 if kind == "duplicate" else 1):
            yield *head, "pm25", units, f"{written}"
        if station.id % 2:
            yield (
                str(station.id),
                str(station.id * 10 + 1),
                name,
                stamp,
                *place,
                "pm10",
                "µg/m³",
                f"{value * 1.6:.1f}",
            )
