"""Simulated stations in the layout of OpenAQ's archive: one small csv.gz per location and local day.

On request with the dirt that the real archive holds, and a table of exactly what was planted.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.files.atomic import atomic_path
from deepcams.simulation.station_network import Station, absent, measure
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
    """Where the archive keeps a station's local day."""
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
    first, last = (
        pd.Timestamp(moment).date()
        for moment in (period.start, period.end - np.timedelta64(1, "ns"))
    )
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    written, planted = Written(), _Planted()
    for station in stations:
        if station.twin_of is not None:
            planted.add(station.id, "", "twin", f"of {station.twin_of}")
    truth = _Truth(seed, stations)
    for day in days:
        for index, station in enumerate(stations):
            path = openaq_path(folder, station.id, day)
            stamps, hours = _hours(station, day)
            kinds = _plan(seed, station, day, dirt, absent(seed, station, hours))
            for k in np.flatnonzero(kinds != ""):
                planted.add(
                    station.id, str(stamps[k]), str(kinds[k]), _DETAIL.get(str(kinds[k]), "")
                )
            new = overwrite or not path.exists()
            if new:
                values = measure(seed, station, truth.means(hours, index), hours)
                with atomic_path(path) as temporary:
                    _write(temporary, station, stamps, values, kinds)
            written.add(path, new)
            progress("simulate", written.files + written.kept, len(days) * len(stations))
        truth.forget(day)
    return written, planted.table()


class _Planted:
    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str, str]] = []

    def add(self, station: int, stamp: str, kind: str, detail: str = "") -> None:
        self._rows.append((station, stamp, kind, detail))

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=list(PLANTED))


class _Truth:
    """Hourly means at all stations, computed once and forgotten day by day."""

    def __init__(self, seed: int, stations: list[Station]) -> None:
        self._seed = seed
        self._latitude = np.array([station.latitude for station in stations])
        self._longitude = np.array([station.longitude for station in stations])
        self._instants: dict[float, np.ndarray] = {}

    def means(self, hours: np.ndarray, index: int) -> np.ndarray:
        """Means over the hours that begin at ``hours`` (since 2000-01-01) at one station."""
        # Simpson's rule, as in SimulatedWorld.field(mean=True).
        return np.array(
            [
                (
                    self._at(h)[index]
                    + np.float32(4) * self._at(h + 0.5)[index]
                    + self._at(h + 1)[index]
                )
                * np.float32(1 / 6)
                for h in hours.tolist()
            ]
        )

    def _at(self, hour: float) -> np.ndarray:
        if hour not in self._instants:
            from deepcams.simulation.world import Moment

            self._instants[hour] = Moment(self._seed, float(hour)).points(
                self._latitude, self._longitude
            )
        return self._instants[hour]

    def forget(self, day: date) -> None:
        """Let go of what no later day needs: local days begin at most 14 hours before the UTC day."""
        before = (datetime(day.year, day.month, day.day, tzinfo=UTC) - _ORIGIN) / _HOUR + 24 - 15
        self._instants = {hour: values for hour, values in self._instants.items() if hour >= before}


def _hours(station: Station, day: date) -> tuple[np.ndarray, np.ndarray]:
    """The UTC hours that begin in a station's local day: stamps of their ends as written, and their begins."""
    zone = ZoneInfo(station.timezone)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    stamps, hours = [], []
    for k in range(15 + 24 + 13):
        moment = begin + k * _HOUR
        if moment.astimezone(zone).date() == day:
            stamps.append((moment + _HOUR).astimezone(zone).isoformat())
            hours.append(round((moment - _ORIGIN) / _HOUR))
    return np.array(stamps), np.array(hours)


def _plan(
    seed: int, station: Station, day: date, dirt: Dirt | None, missing: np.ndarray
) -> np.ndarray:
    """The kind of dirt in each hour ("" for none); the same with or without writing the file."""
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
