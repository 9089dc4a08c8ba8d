"""The sorted copy of observations in the cache: one Parquet file a year by station and time, and the stations.

Stations are numbered by place (those of one 0.25 degree cell, and those within a few hundred metres, follow each
other): a batch of neighbours is one stretch of each file.
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
"""Counts up when the files' layout changes."""
MEMORY = "500MB"
"""What DuckDB may use before it goes on disk; half of this costs a tenth more time, twice this saves a tenth."""
NEAR = 0.25
"""Stations are numbered by cells of this many degrees."""
KINDS = ("is_monitor", "is_mobile")
"""What files may say of their stations."""
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
"""Sensors of one location are stations of their own."""


@dataclass
class Rows:
    """Rows as reported, sorted by station and stamp; values are in their own units, and nothing is checked.

    Attributes:
        station: (n,), int32.
        end: (n,), int64, seconds since 1970 UTC: the stamp.
        value: (n,), float64.
        unit: (n,), int16: which of the archive's ``units``.
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
        """(n,), int64: the UTC hour that holds each stamp, in hours since 1970: 3 is (02:00, 03:00]."""
        return -(-self.end // HOUR_SECONDS)

    def where(self, keep: np.ndarray) -> Rows:
        """Return the rows for which ``keep`` (boolean, or indices) holds."""
        return Rows(
            self.station[keep], self.end[keep], self.value[keep], self.unit[keep]
        )


@dataclass
class StationArchive:
    """Opened observations: the stations are in memory, the rows are read as they are needed.

    Attributes:
        stations: one row a station, numbered from 0 so that neighbours follow each other: ``id``, ``name``,
            ``latitude``, ``longitude`` (NaN where the files do not say), ``spread_km`` (how far apart its places lie),
            ``rows``, ``location_id``, where files say so ``utc_offset`` (hours of their clocks ahead of UTC; of several
            the least, which daylight saving leaves out), where files or metadata say so ``is_monitor``, ``is_mobile``,
            and from metadata ``country``, ``altitude`` (m), ``provider``.
        folder: of the sorted copy.
        units: the texts that occur.
        rows: how many rows of the parameter there are.
        other: rows of other parameters, which are left out.
        files: how many files were read.
        unreadable: rows left out because they cannot be read: reason -> how many, and the text of one.
        skipped: files in folders whose columns are no observations; ``lacking``: what the last of them lacks.
        years: those that have rows.
        first, last: earliest and latest stamp, seconds since 1970 UTC.
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
        """Read the rows of some stations, sorted by station and stamp; only their stretches of the files are read.

        Args:
            stations: numbers; default all of them.
            start, end: only stamps in [start, end], seconds since 1970 UTC.
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
        """A name for exactly these files, as they were when they were opened."""
        return self.folder.name

    def span(self) -> str:
        """Return the time that the stamps cover, for people."""
        return f"{stamp_seconds(self.first)} to {stamp_seconds(self.last)} UTC"


def write(database: Any, about: dict[str, Any], folder: Path) -> None:
    """Number the stations by place, and write the years, the stations, and last of all what :func:`load` begins with.

    Args:
        database: see :mod:`deepcams.stations.archive.ingest`; with at least one row.
        about: the archive's counts; ``version`` and ``key``.
        folder: where to.
    """
    run = database.execute
    table = run(_STATIONS).df()
    table["longitude"] = eastward(table["longitude"].to_numpy(float))
    latitude, longitude = (
        table["latitude"].to_numpy(float),
        table["longitude"].to_numpy(),
    )
    row, column = np.floor((90 - latitude) / NEAR), np.floor((longitude + 180) / NEAR)
    # Neighbours follow each other: by cells, within them by place; without a place last.
    order = np.lexsort((longitude, latitude, column, row))
    unsaid = [name for name in (*KINDS, "utc_offset") if table[name].isna().all()]
    table = table.iloc[order].drop(columns=unsaid).assign(place=np.arange(order.size))
    database.register("ordered", table)
    run(
        "COPY (SELECT * EXCLUDE (station, place) FROM ordered) TO ?",
        [_path(folder, "stations")],
    )
    # An hour that ends with the year belongs to it.
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
    """Return what was built from these very files before; ``None`` where nothing usable is there."""
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
