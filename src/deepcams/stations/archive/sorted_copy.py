"""The sorted copy of observations in the cache: the stations, and one Parquet file per year by station and time.

Stations are numbered by location (those of one 0.25 degree cell, and those within a few hundred metres, are
consecutive), so a batch of neighbours is one contiguous part of each file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.core.box import eastward
from deepcams.core.text import from_json
from deepcams.core.times import HOUR_SECONDS, stamp_seconds
from deepcams.files.optional import need

VERSION = 4
"""Version of the files' layout."""
MEMORY = "500MB"
"""Memory limit of DuckDB before it spills to disk; half of it takes a tenth more time, twice as much a tenth less."""
NEAR = 0.25
"""Size of the cells by which stations are numbered, degrees."""
KINDS = ("is_monitor", "is_mobile")
"""Optional flags of stations in files."""
_STATIONS = """
WITH spots AS (SELECT station, latitude, longitude, min(number) AS number FROM places GROUP BY ALL),
  main AS (SELECT DISTINCT ON (station) station, latitude, longitude FROM spots ORDER BY station, number),
  offsets AS (SELECT station, s.latitude, s.latitude - m.latitude AS north, s.longitude - m.longitude AS east
    FROM spots s JOIN main m USING (station)),
  apart AS (SELECT station, max(111.2 * sqrt(north ** 2 +
    ((east - 360 * floor((east + 180) / 360)) * cos(radians(latitude))) ** 2)) AS km FROM offsets GROUP BY station),
  counts AS (SELECT station, count(*) AS rows FROM rows GROUP BY station),
  ahead AS (SELECT station, min(ahead) / 3600 AS utc_offset FROM clocks GROUP BY station)
SELECT station, CASE WHEN count(DISTINCT sensor) OVER (PARTITION BY id) > 1
    THEN id || ':' || coalesce(sensor, '') ELSE id END AS id, coalesce(name, id) AS name, latitude, longitude,
  coalesce(km, 0.0) AS spread_km, coalesce(rows, 0) AS rows, id AS location_id, is_monitor, is_mobile, utc_offset
FROM stations LEFT JOIN main USING (station) LEFT JOIN apart USING (station) LEFT JOIN counts USING (station)
  LEFT JOIN ahead USING (station)
ORDER BY station
"""
"""Query for the station table; sensors of one location are separate stations."""


@dataclass
class Rows:
    """Rows as reported, unchecked and in their original units, sorted by station and timestamp.

    Attributes:
        station: (n,), int32.
        end: (n,), int64, timestamp, seconds since 1970 UTC.
        value: (n,), float64.
        unit: (n,), int16, index in the archive's ``units``.
    """

    station: np.ndarray
    end: np.ndarray
    value: np.ndarray
    unit: np.ndarray

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.value.size

    @property
    def slot(self) -> np.ndarray:
        """(n,), int64: the UTC hour that contains each timestamp, in hours since 1970: 3 is (02:00, 03:00]."""
        return -(-self.end // HOUR_SECONDS)

    def where(self, keep: np.ndarray) -> Rows:
        """Return the rows selected by ``keep`` (boolean, or indices)."""
        return Rows(
            self.station[keep], self.end[keep], self.value[keep], self.unit[keep]
        )


@dataclass
class StationArchive:
    """Opened observations: stations are in memory, rows are read on request.

    Attributes:
        stations: one row per station, numbered from 0 so that neighbours are consecutive: ``id``, ``name``,
            ``latitude``, ``longitude`` (NaN if unknown), ``spread_km`` (largest distance between its coordinates),
            ``rows``, ``location_id``; if known, ``utc_offset`` (hours; the smallest of several, i.e. without daylight
            saving), ``is_monitor``, ``is_mobile``; and from metadata ``country``, ``altitude`` (m), ``provider``.
        folder: folder of the sorted copy.
        units: unit texts that occur.
        rows: number of rows of the parameter.
        other: number of rows of other parameters, which are left out.
        files: number of files read.
        unreadable: number of unreadable rows that were left out, and one example, by reason.
        skipped: files in folders whose columns are not observations; ``lacking``: columns that the last of them lacks.
        years: years with rows.
        first, last: earliest and latest timestamp, seconds since 1970 UTC.
    """

    stations: pd.DataFrame
    folder: Path
    units: list[str]
    rows: int = 0
    other: int = 0
    files: int = 0
    unreadable: dict[str, list[Any]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    years: list[int] = field(default_factory=list)
    first: int = 0
    last: int = 0

    def read(
        self,
        stations: np.ndarray | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Rows:
        """Read the rows of some stations, sorted by station and timestamp; only their parts of the files are read.

        Args:
            stations: station numbers; default all.
            start, end: range of timestamps (both included), seconds since 1970 UTC.
        """
        wanted = (
            np.arange(len(self.stations)) if stations is None else np.asarray(stations)
        )
        span = self.first if start is None else start, self.last if end is None else end
        stretch = (
            int(wanted.min(initial=len(self.stations))),
            int(wanted.max(initial=-1)),
        )
        files = [str(self.folder / f"{year}.parquet") for year in self.years]
        with need("duckdb").connect() as database:
            database.execute(f"SET memory_limit='{MEMORY}'")
            found = database.execute(
                'SELECT station, "end", value, unit FROM read_parquet(?) '
                'WHERE station BETWEEN ? AND ? AND "end" BETWEEN ? AND ?',
                [files, *stretch, *span],
            ).fetchnumpy()
        rows = Rows(
            *(
                np.ma.getdata(found[name])
                for name in ("station", "end", "value", "unit")
            )
        )
        rows = rows.where(np.isin(rows.station, wanted))
        return rows.where(np.lexsort((rows.end, rows.station)))

    @property
    def identity(self) -> str:
        """Identifier of the files in the state in which they were opened."""
        return self.folder.name

    def span(self) -> str:
        """Return the time range of the timestamps as text."""
        return f"{stamp_seconds(self.first)} to {stamp_seconds(self.last)} UTC"


def write(database: Any, about: dict[str, Any], folder: Path) -> None:
    """Number the stations by location, and write the years, the stations, and last the file that :func:`load` needs.

    Args:
        database: see :mod:`deepcams.stations.archive.ingest`; with at least one row.
        about: the archive's counts, ``version`` and ``key``.
        folder: output folder.
    """
    run = database.execute
    table = run(_STATIONS).df()
    table["longitude"] = eastward(table["longitude"].to_numpy(float))
    latitude, longitude = (
        table["latitude"].to_numpy(float),
        table["longitude"].to_numpy(),
    )
    row, column = np.floor((90 - latitude) / NEAR), np.floor((longitude + 180) / NEAR)
    # Sort by cell, then by location; stations without coordinates last.
    order = np.lexsort((longitude, latitude, column, row))
    unsaid = [name for name in (*KINDS, "utc_offset") if table[name].isna().all()]
    table = table.iloc[order].drop(columns=unsaid).assign(place=np.arange(order.size))
    database.register("ordered", table)
    run(
        "COPY (SELECT * EXCLUDE (station, place) FROM ordered) TO ?",
        [_path(folder, "stations")],
    )
    # An hour that ends with the year belongs to that year.
    year = "year(make_timestamp((stamp - 1) * 1000000))"
    years = [
        found
        for (found,) in run(
            f"SELECT DISTINCT {year} AS y FROM rows ORDER BY y"
        ).fetchall()
    ]
    for each in years:
        run(
            'COPY (SELECT place::INTEGER AS station, stamp AS "end", value, unit '
            f"FROM rows JOIN ordered USING (station) WHERE {year} = {each} ORDER BY place, stamp, number) "
            "TO ? (COMPRESSION zstd, ROW_GROUP_SIZE 122880)",
            [_path(folder, each)],
        )
    first, last = run("SELECT min(stamp), max(stamp) FROM rows").fetchone()
    about = about | {"years": years, "first": first, "last": last}
    (folder / "about.json").write_text(
        json.dumps(about, indent=1) + "\n", encoding="utf-8"
    )


def _path(folder: Path, name: object) -> str:
    return str(folder / f"{name}.parquet")


def load(folder: Path, key: str) -> StationArchive | None:
    """Open the sorted copy of exactly these files; ``None`` if there is none, or it is unusable."""
    duckdb = need("duckdb")
    try:
        about = from_json((folder / "about.json").read_text(encoding="utf-8"))
        if about.pop("version") != VERSION or about.pop("key") != key:
            return None
        if not all(Path(_path(folder, year)).is_file() for year in about["years"]):
            return None
        with duckdb.connect() as database:
            stations = database.read_parquet(_path(folder, "stations")).df()
        kinds = dict.fromkeys((name for name in KINDS if name in stations), "boolean")
        return StationArchive(stations.astype(kinds), folder, **about)
    except (OSError, ValueError, KeyError, TypeError, duckdb.Error):
        return None
