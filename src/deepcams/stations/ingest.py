"""Read observations of any number of files into a database, from which the sorted copy is written.

The database holds the rows while files are read, a batch of files a transaction; so a killed run goes on with the batch
that it was reading.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from deepcams.core.errors import InputError
from deepcams.core.text import counted
from deepcams.files.optional import need
from deepcams.stations.layouts import (
    COLUMNS,
    find_columns,
    missing_columns,
    parse_stamp,
    plain_parameter,
)
from deepcams.stations.sorted_copy import MEMORY, VERSION, write
from deepcams.stations.station_files import StationFile, as_lines

BATCH_FILES, BATCH_BYTES = 1000, 64 << 20
"""Small files that are read together."""
UNREADABLE_SHARE = 0.1
"""A file of which more than this share of the rows cannot be read is refused."""
REASONS = {
    "time": ("times such as 2019-12-31T15:00:00+08:00", "no time"),
    "value": ("numbers", "no number"),
    "columns": ("rows of one length", "another number of columns"),
    "station": ("an id or a name in every row", "no id"),
}
"""Why a row cannot be read -> what was expected, and what it has."""
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "\\n")
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (station INTEGER, stamp BIGINT, value DOUBLE, unit SMALLINT, number BIGINT);
CREATE TABLE IF NOT EXISTS stations (station INTEGER, key VARCHAR, id VARCHAR, sensor VARCHAR, name VARCHAR,
  is_monitor BOOLEAN, is_mobile BOOLEAN);
CREATE TABLE IF NOT EXISTS places (station INTEGER, latitude DOUBLE, longitude DOUBLE, number BIGINT);
CREATE TABLE IF NOT EXISTS units (unit SMALLINT, text VARCHAR);
CREATE TABLE IF NOT EXISTS batches (batch INTEGER, other BIGINT, skipped VARCHAR, unreadable VARCHAR);
"""


def build(
    files: Iterable[StationFile],
    parameter: str,
    assume_utc: bool,
    folder: Path,
    key: str,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Sort all rows into ``folder``, for :func:`deepcams.stations.sorted_copy.load`.

    Args:
        files: see :func:`deepcams.stations.station_files.find_station_files`.
        parameter: the species (``pm25``).
        assume_utc: take stamps without an offset for UTC.
        folder: what an interrupted call with the same files left there is gone on with.
        key: a name for these files.
        progress: called with the number of rows read so far.

    Returns:
        the archive's counts; without rows nothing is written.

    Raises:
        InputError: a damaged file, missing columns, stamps without an offset, or a file of which more than
            :data:`UNREADABLE_SHARE` of the rows cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.parquet"):
        left.unlink()
    database = _open(folder / "rows.duckdb", folder)
    try:
        reader = _Reader(database, plain_parameter(parameter), assume_utc, folder)
        known, last = database.execute(
            "SELECT count(*), coalesce(max(batch), -1) FROM batches"
        ).fetchone()
        if known:
            progress(reader.rows())
        for number, batch in enumerate(_batches(files)):
            reader.files += len(batch)
            if number > last:
                reader.read(number, batch)
                progress(reader.rows())
        about = reader.counts()
        if about["rows"]:
            write(database, {"version": VERSION, "key": key, **about}, folder)
    finally:
        database.close()
    for left in (*folder.glob("rows.duckdb*"), folder / "spill"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return about


def _open(path: Path, folder: Path) -> Any:
    duckdb = need("duckdb")
    try:
        database = duckdb.connect(str(path))
    except duckdb.Error:  # a kill while it was made
        path.unlink(missing_ok=True)
        database = duckdb.connect(str(path))
    for setting in (
        f"memory_limit='{MEMORY}'",
        f"temp_directory='{folder / 'spill'}'",
        "TimeZone='UTC'",
    ):
        database.execute(f"SET {setting}")
    database.execute(_TABLES)
    return database


def _batches(files: Iterable[StationFile]) -> Iterator[list[StationFile]]:
    """Files that follow each other in one layout, as many as one query should read."""
    batch: list[StationFile] = []
    size = 0
    for file in files:
        own = file.path.stat().st_size
        full = len(batch) >= BATCH_FILES or size + own > BATCH_BYTES
        if batch and (full or file.layout != batch[0].layout):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += own
    if batch:
        yield batch


class _Reader:
    """Reads batches of files into the database.

    Args:
        database: see :data:`_TABLES`.
        parameter: the wanted species, plain.
        assume_utc: take stamps without an offset for UTC.
        folder: for copies of files in other encodings.
    """

    def __init__(self, database: Any, parameter: str, assume_utc: bool, folder: Path) -> None:
        self.database, self.parameter = database, parameter
        self.assume_utc, self.folder, self.files = assume_utc, folder, 0
        self.lacking: list[str] = []
        self._stamps: dict[str, tuple[int, bool] | None] = {}

    def rows(self) -> int:
        """How many rows there are so far."""
        return int(self.database.execute("SELECT count(*) FROM rows").fetchone()[0])

    def counts(self) -> dict[str, Any]:
        """Return what was found in all batches, as the archive has it."""
        run = self.database.execute
        units = [text for (text,) in run("SELECT text FROM units ORDER BY unit").fetchall()]
        other, skipped = 0, list[str]()
        unreadable: dict[str, list[Any]] = {}
        batches = run("SELECT other, skipped, unreadable FROM batches ORDER BY batch").fetchall()
        for more, names, problems in batches:
            other += more
            skipped += json.loads(names)
            for reason, (count, example) in json.loads(problems).items():
                unreadable.setdefault(reason, [0, example])[0] += count
        return {
            "units": units,
            "rows": self.rows(),
            "other": other,
            "files": self.files,
            "unreadable": unreadable,
            "skipped": skipped,
            "lacking": self.lacking,
        }

    def read(self, number: int, batch: list[StationFile]) -> None:
        """Read a batch, in one transaction.

        Raises:
            InputError: see :func:`build`.
        """
        duckdb = need("duckdb")
        copies = [as_lines(file, self.folder) for file in batch]
        given = dict(
            zip((str(copy.path) for copy in copies), (file.path for file in batch), strict=True)
        )
        self.database.begin()
        try:
            columns = self._columns(copies[0])
            missing = missing_columns(find_columns(columns, given[str(copies[0].path)]))
            if missing:
                self._without(number, batch, missing, columns)
            else:
                try:
                    self._load(copies, columns)
                except duckdb.Error as error:
                    raise self._damaged(copies, given, columns, error) from error
                other, problems = self._take(given)
                self.database.execute(
                    "INSERT INTO batches VALUES (?, ?, '[]', ?)",
                    [number, other, json.dumps(problems)],
                )
            self.database.commit()
        except BaseException:
            self.database.rollback()
            raise
        finally:
            for copy in copies:
                if copy.path.parent == self.folder:
                    copy.path.unlink(missing_ok=True)

    def _columns(self, file: StationFile) -> list[str]:
        if file.kind != "parquet":
            return list(file.names)
        duckdb = need("duckdb")
        try:
            found = self.database.execute(
                f"DESCRIBE SELECT * FROM read_parquet({_text(file.path)})"
            ).fetchall()
        except duckdb.Error as error:
            message = " ".join(str(error).split())[:100]
            raise InputError(
                file.path, "a readable Parquet file", message, "download it again"
            ) from error
        return [str(row[0]) for row in found]

    def _without(
        self, number: int, batch: list[StationFile], missing: list[str], columns: list[str]
    ) -> None:
        """Pass over files whose columns are no observations, but for those that the user named."""
        named = next((file for file in batch if file.named), None)
        if named is not None:
            found = f"no {', '.join(missing)} among {', '.join(columns[:12])}"
            raise InputError(named.path, "the columns of OpenAQ's tables", found)
        self.lacking = missing
        skipped = json.dumps([str(file.path) for file in batch])
        self.database.execute("INSERT INTO batches VALUES (?, 0, ?, '{}')", [number, skipped])

    def _load(self, files: list[StationFile], columns: list[str]) -> None:
        """Read files into the table ``batch``, all columns as text, under their meanings."""
        first = files[0]
        paths = "[" + ", ".join(_text(file.path) for file in files) + "]"
        found = find_columns(columns, first.path)
        packing = "gzip" if first.packed else "none"
        if first.kind == "parquet":
            source, form = (
                f"read_parquet({paths}, union_by_name=true, filename=true)",
                'CAST("{}" AS VARCHAR)',
            )
        elif first.kind == "json":
            source = f"read_ndjson_objects({paths}, filename=true, compression='{packing}', ignore_errors=true)"
            form = "json_extract_string(json, '$.{}')"
        else:
            types = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in columns)
            source = (
                f"read_csv({paths}, auto_detect=false, header=true, columns={{{types}}}, "
                f"delim={_text(first.separator)}, quote='\"', escape='\"', compression='{packing}', "
                "filename=true, ignore_errors=true, strict_mode=false, "
                "store_rejects=true, rejects_table='rejected', rejects_scan='scanned', rejects_limit=0)"
            )
            form = '"{}"'
        meanings = []
        for column in COLUMNS:
            names = [form.format(name.replace('"', '""')) for name in found.get(column, [])]
            trimmed = [f"nullif(trim({name}), '')" for name in names]
            meanings.append(
                f"{'coalesce(' + ', '.join(trimmed) + ')' if trimmed else 'NULL'}::VARCHAR AS {column}"
            )
        for table in ("batch", "rejected", "scanned"):
            self.database.execute(f"DROP TABLE IF EXISTS {table}")
        self.database.execute(
            f"CREATE TEMP TABLE batch AS SELECT {', '.join(meanings)}, filename FROM {source}"
        )

    def _damaged(
        self, files: list[StationFile], given: dict[str, Path], columns: list[str], error: Exception
    ) -> InputError:
        """Name the file of a batch that cannot be read."""
        duckdb = need("duckdb")
        self.database.rollback()
        self.database.begin()
        culprit = files[0]
        for file in files:
            try:
                self._load([file], columns)
            except duckdb.Error as own:
                culprit, error = file, own
                break
        found = f"a damaged one ({' '.join(str(error).split())[:100]})"
        kind = {"csv": "CSV", "json": "JSON", "parquet": "Parquet"}[culprit.kind]
        return InputError(
            given[str(culprit.path)], f"a readable {kind} file", found, "download it again"
        )

    def _take(self, given: dict[str, Path]) -> tuple[int, dict[str, list[Any]]]:
        """Move the wanted rows of ``batch`` into the tables.

        Returns:
            rows of other parameters, and for each reason how many rows cannot be read and the text of one.
        """
        run = self.database.execute
        names = [row[0] for row in run("SELECT DISTINCT parameter FROM batch").fetchall()]
        wanted = [name for name in names if name and plain_parameter(name) == self.parameter]
        heads = [*COLUMNS["parameter"], *COLUMNS["value"]]
        run("CREATE OR REPLACE TEMP TABLE wanted (parameter VARCHAR)")
        for name in wanted:
            run("INSERT INTO wanted VALUES (?)", [name])
        marks = ", ".join(_text(head) for head in heads)
        repeated = f"(lower(parameter) IN ({marks}) AND lower(value) IN ({marks}))"
        other = run(
            f"SELECT count(*) FROM batch WHERE parameter IS NOT NULL AND NOT {repeated} "
            "AND parameter NOT IN (SELECT parameter FROM wanted)"
        ).fetchone()[0]
        self._parse_stamps(given)
        plain = "CASE WHEN regexp_matches(value, '^[+-]?\\d+,\\d+$') THEN replace(value, ',', '.') ELSE value END"
        missing = ", ".join(_text(text) for text in _MISSING)
        run(f"""
            CREATE OR REPLACE TEMP TABLE parsed AS
            SELECT b.*, b.rowid AS number, s.seconds,
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
        """Make the table ``stamps``: each text of a time in seconds; NULL where it is none.

        Raises:
            InputError: a stamp without an offset.
        """
        run = self.database.execute
        texts = run(
            "SELECT DISTINCT coalesce(utc, time), utc IS NOT NULL FROM batch "
            "WHERE parameter IN (SELECT parameter FROM wanted)"
        ).fetchall()
        parsed = []
        for text, is_utc in texts:
            if text is None:
                continue
            if text not in self._stamps:
                try:
                    self._stamps[text] = parse_stamp(text)
                except ValueError:
                    self._stamps[text] = None
            known = self._stamps[text]
            if known is not None and not (known[1] or is_utc or self.assume_utc):
                file = run("SELECT min(filename) FROM batch WHERE time = ?", [text]).fetchone()[0]
                do = "add --assume-utc (from Python: assume_utc=True) if they are UTC"
                found = f"{text!r}, which has none"
                where = f"{given.get(file, file)}: datetime"
                raise InputError(where, "times with an offset or Z", found, do)
            parsed.append((text, is_utc, None if known is None else known[0]))
        if len(self._stamps) > 1_000_000:
            self._stamps.clear()
        frame = pd.DataFrame(parsed, columns=["text", "utc", "seconds"])
        frame = frame.astype({"text": "string", "utc": "bool", "seconds": "Int64"})
        self.database.register("stamp_frame", frame)
        run("CREATE OR REPLACE TEMP TABLE stamps AS SELECT * FROM stamp_frame")
        self.database.unregister("stamp_frame")

    def _unreadable(self, given: dict[str, Path]) -> dict[str, list[Any]]:
        """Count the rows that cannot be read by reason; refuse a file that has too many."""
        run = self.database.execute
        query = (
            "SELECT filename, reason, count(*), min(culprit) FROM parsed WHERE reason IS NOT NULL "
            "GROUP BY filename, reason ORDER BY filename, list_position(['time', 'value', 'station'], reason)"
        )
        found = run(query).fetchall()
        if run("FROM duckdb_tables() WHERE table_name = 'rejected'").fetchone():
            query = (
                "SELECT s.file_path, 'columns', count(DISTINCT r.line), coalesce(min(r.csv_line), '')[:60] "
                "FROM rejected r JOIN scanned s USING (scan_id, file_id) GROUP BY s.file_path"
            )
            found += run(query).fetchall()
        sizes = dict(run("SELECT filename, count(*) FROM parsed GROUP BY filename").fetchall())
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
        """Give stations, places and units their numbers, and keep the rows."""
        run = self.database.execute
        start = self.rows()
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
            SELECT s.station, p.seconds, p.numeric, u.unit, {start} + p.number AS number,
              try_cast(replace(p.latitude, ',', '.') AS DOUBLE) AS latitude,
              try_cast(replace(p.longitude, ',', '.') AS DOUBLE) AS longitude
            FROM parsed p JOIN stations s ON s.key = p.location || chr(0) || coalesce(p.sensor, '')
            JOIN units u ON u.text = coalesce(p.unit, '')
        """)
        run("""
            INSERT INTO places SELECT station, latitude, longitude, min(number) FROM numbered
            WHERE abs(latitude) <= 90 AND abs(longitude) <= 360 AND (latitude != 0 OR longitude != 0) GROUP BY ALL
        """)
        run("INSERT INTO rows SELECT station, seconds, numeric, unit, number FROM numbered")


def _text(value: object) -> str:
    """A text in SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def unreadable_words(unreadable: dict[str, list[Any]]) -> str:
    """Return in words which rows were left out because they cannot be read; empty where none were."""
    total = sum(count for count, _ in unreadable.values())
    if not total:
        return ""
    parts = [
        f"{count} with {REASONS[reason][1]} ({example!r})"
        for reason, (count, example) in unreadable.items()
    ]
    verb = "is" if total == 1 else "are"
    return f"{counted(total, 'row')} cannot be read and {verb} left out: {', '.join(parts)}"
