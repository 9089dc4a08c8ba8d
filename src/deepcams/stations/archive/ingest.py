"""Read observations from any number of files into a database, from which the sorted copy is written.

Each batch of files is read in one transaction, so a killed run resumes with the batch that it was reading.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError
from deepcams.files.optional import need
from deepcams.stations.archive.layouts import COLUMNS, find_columns, missing_columns
from deepcams.stations.archive.row_loader import RowLoader
from deepcams.stations.archive.sorted_copy import MEMORY, VERSION, write
from deepcams.stations.archive.station_files import (
    StationFile,
    as_lines,
    join_tables,
    parquet_columns,
    sql_text,
)

BATCH_FILES, BATCH_BYTES = 1000, 64 << 20
"""Largest number of small files read together, and their largest total size in bytes."""
_NUMBER = "number_of_file"
"""Column of joined tables that holds the file's number."""
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (station INTEGER, stamp BIGINT, value DOUBLE, unit SMALLINT, number BIGINT);
CREATE TABLE IF NOT EXISTS stations (station INTEGER, key VARCHAR, id VARCHAR, sensor VARCHAR, name VARCHAR,
  is_monitor BOOLEAN, is_mobile BOOLEAN);
CREATE TABLE IF NOT EXISTS places (station INTEGER, latitude DOUBLE, longitude DOUBLE, number BIGINT);
CREATE TABLE IF NOT EXISTS clocks (station INTEGER, ahead INTEGER);
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
    """Sort all rows into ``folder``, for :func:`deepcams.stations.archive.sorted_copy.load`.

    Args:
        files: see :func:`deepcams.stations.archive.station_files.find_station_files`.
        parameter: the species (``pm25``).
        assume_utc: whether to treat timestamps without an offset as UTC.
        folder: output folder; an interrupted call with the same files is resumed.
        key: identifier of these files.
        progress: callback, called with the number of rows read so far.

    Returns:
        the archive's counts; without rows nothing is written.

    Raises:
        InputError: a file is damaged, lacks columns, has timestamps without an offset, or has more than
            :data:`deepcams.stations.archive.row_loader.UNREADABLE_SHARE` of unreadable rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.parquet"):
        left.unlink()
    database = _open(folder / "rows.duckdb", folder)
    try:
        reader = _Reader(database, RowLoader(database, parameter, assume_utc), folder)
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
    except duckdb.Error:  # left incomplete by a killed run
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
    """Group consecutive files with the same layout into batches for one query."""
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
        taker: loader of their rows.
        folder: folder for copies of files in other encodings.
    """

    def __init__(self, database: Any, taker: RowLoader, folder: Path) -> None:
        self.database, self.taker, self.folder = database, taker, folder
        self.files, self.lacking = 0, list[str]()

    def rows(self) -> int:
        """Number of rows so far."""
        return int(self.database.execute("SELECT count(*) FROM rows").fetchone()[0])

    def counts(self) -> dict[str, Any]:
        """Return the counts of all batches, in the archive's form."""
        run = self.database.execute
        units = [
            text for (text,) in run("SELECT text FROM units ORDER BY unit").fetchall()
        ]
        other, skipped = 0, list[str]()
        unreadable: dict[str, list[Any]] = {}
        batches = run(
            "SELECT other, skipped, unreadable FROM batches ORDER BY batch"
        ).fetchall()
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
            zip(
                (str(copy.path) for copy in copies),
                (file.path for file in batch),
                strict=True,
            )
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
                other, problems = self.taker.take(given)
                self.database.execute(
                    "INSERT INTO batches VALUES (?, ?, '[]', ?)",
                    [number, other, json.dumps(problems)],
                )
            self.database.commit()
        except BaseException:
            self.database.rollback()
            raise
        finally:
            for copy in self.folder.glob("copy-*"):
                copy.unlink()

    def _columns(self, file: StationFile) -> list[str]:
        if file.kind != "parquet":
            return list(file.names)
        return parquet_columns(self.database, file.path)

    def _without(
        self,
        number: int,
        batch: list[StationFile],
        missing: list[str],
        columns: list[str],
    ) -> None:
        """Skip files whose columns are not observations; raise for those that the user named."""
        named = next((file for file in batch if file.named), None)
        if named is not None:
            found = f"no {', '.join(missing)} among {', '.join(columns[:12])}"
            raise InputError(named.path, "the columns of OpenAQ's tables", found)
        self.lacking = missing
        skipped = json.dumps([str(file.path) for file in batch])
        self.database.execute(
            "INSERT INTO batches VALUES (?, 0, ?, '{}')", [number, skipped]
        )

    def _load(self, files: list[StationFile], columns: list[str]) -> None:
        """Read files into the table ``batch``, all columns as text, with standard names."""
        for table in ("batch", "rejected", "scanned", "unparsed"):
            self.database.execute(f"DROP TABLE IF EXISTS {table}")
        first = files[0]
        paths = "[" + ", ".join(sql_text(file.path) for file in files) + "]"
        packing = "gzip" if first.packed else "none"
        name = "filename"
        if first.kind == "parquet":
            source = f"read_parquet({paths}, union_by_name=true, filename=true)"
            form = 'CAST("{}" AS VARCHAR)'
        elif first.kind == "json":
            source = f"read_ndjson_objects({paths}, filename=true, compression='{packing}', ignore_errors=true)"
            form = "json_extract_string(json, '$.{}')"
        else:
            form = '"{}"'
            joined = self.folder / "copy-joined.csv"
            if len(files) > 1 and join_tables(files, joined):
                name = f"{paths}[{_NUMBER}::INTEGER + 1]"
                source = _csv(
                    sql_text(joined), [_NUMBER, *columns], first.separator, head=False
                )
            else:
                source = _csv(paths, columns, first.separator, packing)
        meanings = []
        for column, given in (
            (each, find_columns(columns, first.path).get(each)) for each in COLUMNS
        ):
            texts = [form.format(text.replace('"', '""')) for text in given or []]
            trimmed = ", ".join(f"nullif(trim({text}), '')" for text in texts)
            meanings.append(
                f"{f'coalesce({trimmed})' if trimmed else 'NULL'}::VARCHAR AS {column}"
            )
        self.database.execute(
            f"CREATE TEMP TABLE batch AS SELECT {', '.join(meanings)}, {name} AS filename FROM {source}"
        )
        if first.kind == "csv":
            self._keep_unparsed(paths if name != "filename" else "", first.separator)

    def _keep_unparsed(self, paths: str, separator: str) -> None:
        """Create the table ``unparsed`` of lines with a wrong number of columns, each with its file.

        Args:
            paths: list of the joined files; empty if they were read separately.
            separator: column separator.
        """
        file, line = "s.file_path", "r.csv_line"
        if paths:
            mark = sql_text(separator)
            file = (
                f"{paths}[try_cast(split_part(r.csv_line, {mark}, 1) AS INTEGER) + 1]"
            )
            line = f"substr(r.csv_line, strpos(r.csv_line, {mark}) + 1)"
        self.database.execute(
            f"CREATE TEMP TABLE unparsed AS SELECT {file} AS filename, r.line AS line, any_value({line}) AS text "
            "FROM rejected r JOIN scanned s USING (scan_id, file_id) GROUP BY ALL"
        )

    def _damaged(
        self,
        files: list[StationFile],
        given: dict[str, Path],
        columns: list[str],
        error: Exception,
    ) -> InputError:
        """Return an error that names the unreadable file of a batch."""
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
            given[str(culprit.path)],
            f"a readable {kind} file",
            found,
            "download it again",
        )


def _csv(
    paths: str,
    columns: list[str],
    separator: str,
    packing: str = "none",
    head: bool = True,
) -> str:
    """Return the SQL call that reads CSV, all columns as text; malformed lines go to the table ``rejected``."""
    types = ", ".join(f"{sql_text(name)}: 'VARCHAR'" for name in columns)
    return (
        f"read_csv({paths}, auto_detect=false, header={str(head).lower()}, columns={{{types}}}, "
        f"delim={sql_text(separator)}, quote='\"', escape='\"', compression='{packing}', "
        "filename=true, ignore_errors=true, strict_mode=false, "
        "store_rejects=true, rejects_table='rejected', rejects_scan='scanned', rejects_limit=0)"
    )
