"""Load a batch's rows into the database's tables; unreadable rows are counted by reason."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from deepcams.core.errors import InputError
from deepcams.core.text import counted
from deepcams.stations.archive.layouts import (
    COLUMNS,
    offset_of,
    parse_stamp,
    plain_parameter,
)
from deepcams.stations.archive.station_files import sql_text

UNREADABLE_SHARE = 0.1
"""Largest fraction of unreadable rows in a file."""
REASONS = {
    "time": ("times such as 2019-12-31T15:00:00+08:00", "no time"),
    "value": ("numbers", "no number"),
    "columns": ("rows of one length", "another number of columns"),
    "station": ("an id or a name in every row", "no id"),
}
"""What was expected and what was found, by reason why a row is unreadable."""
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "\\n")


class RowLoader:
    """Moves rows from the table ``batch`` into ``rows``, ``stations``, ``places``, ``clocks`` and ``units``.

    Args:
        database: see :mod:`deepcams.stations.archive.ingest`.
        parameter: species to load.
        assume_utc: whether to treat timestamps without an offset as UTC.
    """

    def __init__(self, database: Any, parameter: str, assume_utc: bool) -> None:
        self.database, self.assume_utc = database, assume_utc
        self.parameter = plain_parameter(parameter)

    def take(self, given: dict[str, Path]) -> tuple[int, dict[str, list[Any]]]:
        """Move the rows of the species from ``batch`` into the tables.

        Returns:
            the number of rows of other parameters, and for each reason the number of unreadable rows and one example.
        """
        run = self.database.execute
        run("CREATE OR REPLACE TEMP TABLE wanted (parameter VARCHAR)")
        for (name,) in run("SELECT DISTINCT parameter FROM batch").fetchall():
            if name and plain_parameter(name) == self.parameter:
                run("INSERT INTO wanted VALUES (?)", [name])
        heads = [*COLUMNS["parameter"], *COLUMNS["value"]]
        marks = ", ".join(sql_text(head) for head in heads)
        repeated = f"(lower(parameter) IN ({marks}) AND lower(value) IN ({marks}))"
        other = run(
            f"SELECT count(*) FROM batch WHERE parameter IS NOT NULL AND NOT {repeated} "
            "AND parameter NOT IN (SELECT parameter FROM wanted)"
        ).fetchone()[0]
        self._parse_stamps(given)
        plain = "CASE WHEN regexp_matches(value, '^[+-]?\\d+,\\d+$') THEN replace(value, ',', '.') ELSE value END"
        missing = ", ".join(sql_text(text) for text in _MISSING)
        run(f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            SELECT b.*, b.rowid AS number, s.seconds, s.ahead,
              CASE WHEN value IS NULL OR lower(value) IN ({missing}) THEN 'nan'::DOUBLE
                   ELSE try_cast({plain} AS DOUBLE) END AS numeric,
              coalesce(id, name || ' @ ' || coalesce(latitude, '') || ', ' || coalesce(longitude, '')) AS location,
              CASE WHEN seconds IS NULL THEN 'time' WHEN numeric IS NULL THEN 'value'
                   WHEN location IS NULL THEN 'station' END AS reason,
              CASE reason WHEN 'time' THEN coalesce(b.utc, time, 'a row without one') WHEN 'value' THEN value
                   WHEN 'station' THEN 'no id' END AS culprit
            FROM batch b LEFT JOIN stamps s ON coalesce(b.utc, b.time) = s.text AND (b.utc IS NOT NULL) = s.utc
            WHERE parameter IN (SELECT parameter FROM wanted)
        """)
        problems = self._unreadable(given)
        run("DELETE FROM parsed WHERE reason IS NOT NULL")
        self._number_rows()
        return int(other), problems

    def _parse_stamps(self, given: dict[str, Path]) -> None:
        """Create the table ``stamps``: each time text in seconds (NULL if invalid), and its UTC offset.

        Raises:
            InputError: a timestamp has no offset.
        """
        run = self.database.execute
        texts = run(
            "SELECT DISTINCT coalesce(utc, time) AS text, utc IS NOT NULL FROM batch "
            "WHERE text IS NOT NULL AND parameter IN (SELECT parameter FROM wanted)"
        ).fetchall()
        parsed = []
        for text, is_utc in texts:
            seconds, has_offset, ahead = _parsed(text)
            if seconds is not None and not (has_offset or is_utc or self.assume_utc):
                file = run(
                    "SELECT min(filename) FROM batch WHERE time = ?", [text]
                ).fetchone()[0]
                do = "add --assume-utc (from Python: assume_utc=True) if they are UTC"
                found = f"{text!r}, which has none"
                where = f"{given.get(file, file)}: datetime"
                raise InputError(where, "times with an offset or Z", found, do)
            parsed.append((text, is_utc, seconds, None if is_utc else ahead))
        frame = pd.DataFrame(parsed, columns=["text", "utc", "seconds", "ahead"])
        kinds = {"text": "string", "utc": "bool", "seconds": "Int64", "ahead": "Int32"}
        frame = frame.astype(kinds)
        self.database.register("stamp_frame", frame)
        run("CREATE OR REPLACE TEMP TABLE stamps AS SELECT * FROM stamp_frame")
        self.database.unregister("stamp_frame")

    def _unreadable(self, given: dict[str, Path]) -> dict[str, list[Any]]:
        """Count unreadable rows by reason; raise for a file with too many."""
        run = self.database.execute
        query = (
            "SELECT filename, reason, count(*), min(culprit) FROM parsed WHERE reason IS NOT NULL "
            "GROUP BY filename, reason ORDER BY filename, list_position(['time', 'value', 'station'], reason)"
        )
        found = run(query).fetchall()
        if run("FROM duckdb_tables() WHERE table_name = 'unparsed'").fetchone():
            query = "SELECT filename, 'columns', count(*), coalesce(min(text), '')[:60] FROM unparsed GROUP BY filename"
            found += run(query).fetchall()
        sizes = dict(
            run("SELECT filename, count(*) FROM parsed GROUP BY filename").fetchall()
        )
        files: dict[str, dict[str, list[Any]]] = {}
        total: dict[str, list[Any]] = {}
        for file, reason, count, example in found:
            files.setdefault(file, {})[reason] = [count, example]
            total.setdefault(reason, [0, example])[0] += count
        for file, own in files.items():
            count = sum(number for number, _ in own.values())
            size = sizes.get(file, 0) + own.get("columns", [0])[0]
            if count > UNREADABLE_SHARE * size:
                reason, (_, example) = next(iter(own.items()))
                more = f" (and {count - 1} more of {size} rows)" if count > 1 else ""
                raise InputError(
                    f"{given.get(file, file)}: {reason}",
                    REASONS[reason][0],
                    f"{example!r}{more}",
                    "correct or remove those rows",
                )
        return total

    def _number_rows(self) -> None:
        """Number stations, places and units, and store the rows."""
        run = self.database.execute
        start = run("SELECT count(*) FROM rows").fetchone()[0]
        run("""
            INSERT INTO stations
            SELECT (SELECT coalesce(max(station), -1) FROM stations) + row_number() OVER (ORDER BY first),
              key, location, sensor, name, is_monitor, is_mobile
            FROM (SELECT location || chr(0) || coalesce(sensor, '') AS key, any_value(location) AS location,
                    any_value(sensor) AS sensor, coalesce(first(name ORDER BY number), any_value(location)) AS name,
                    bool_or(lower(is_monitor) IN ('true', '1', 'yes', 't')) AS is_monitor,
                    bool_or(lower(is_mobile) IN ('true', '1', 'yes', 't')) AS is_mobile, min(number) AS first
                  FROM parsed GROUP BY ALL)
            WHERE key NOT IN (SELECT key FROM stations)
        """)
        run("""
            INSERT INTO units
            SELECT (SELECT coalesce(max(unit), -1) FROM units) + row_number() OVER (ORDER BY first), text
            FROM (SELECT coalesce(unit, '') AS text, min(number) AS first FROM parsed GROUP BY ALL)
            WHERE text NOT IN (SELECT text FROM units)
        """)
        run(f"""
            CREATE OR REPLACE TEMP TABLE numbered AS
            SELECT s.station, p.seconds, p.ahead, p.numeric, u.unit, {start} + p.number AS number,
              try_cast(replace(p.latitude, ',', '.') AS DOUBLE) AS latitude,
              try_cast(replace(p.longitude, ',', '.') AS DOUBLE) AS longitude
            FROM parsed p JOIN stations s ON s.key = p.location || chr(0) || coalesce(p.sensor, '')
            JOIN units u ON u.text = coalesce(p.unit, '')
        """)
        run("""
            INSERT INTO places SELECT station, latitude, longitude, min(number) FROM numbered
            WHERE abs(latitude) <= 90 AND abs(longitude) <= 360 AND (latitude != 0 OR longitude != 0) GROUP BY ALL
        """)
        run(
            "INSERT INTO clocks SELECT DISTINCT station, ahead FROM numbered WHERE ahead IS NOT NULL"
        )
        run(
            "INSERT INTO rows SELECT station, seconds, numeric, unit, number FROM numbered"
        )


@lru_cache(maxsize=1_000_000)
def _parsed(text: str) -> tuple[int | None, bool, int | None]:
    """Parse a timestamp: seconds (``None`` if invalid), whether it has an offset, and the offset. Cached."""
    try:
        return *parse_stamp(text), offset_of(text)
    except ValueError:
        return None, False, None


def unreadable_words(unreadable: dict[str, list[Any]]) -> str:
    """Describe the unreadable rows that were left out; empty if there were none."""
    total = sum(count for count, _ in unreadable.values())
    if not total:
        return ""
    parts = [
        f"{count} with {REASONS[reason][1]} ({example!r})"
        for reason, (count, example) in unreadable.items()
    ]
    verb = "is" if total == 1 else "are"
    return f"{counted(total, 'row')} cannot be read and {verb} left out: {', '.join(parts)}"
