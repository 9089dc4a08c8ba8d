"""Sort observations of any number of files by station and time: once, with DuckDB, into one Parquet file a year.

A database in the cache holds the rows while files are read, a batch of files a transaction; so a killed run goes on
with the batch that it was reading. Stations are numbered by place (those of one 0.25 degree cell, and those within a
few hundred metres, follow each other): a batch of neighbours is one stretch of each file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.core.box import eastward
from deepcams.core.errors import InputError
from deepcams.core.text import counted
from deepcams.core.times import HOUR_SECONDS
from deepcams.files.optional import need
from deepcams.stations.layouts import (
    COLUMNS,
    find_columns,
    missing_columns,
    parse_stamp,
    plain_parameter,
)
from deepcams.stations.station_files import StationFile, as_lines

VERSION = 2
"""Counts up when the files' layout changes."""
BATCH_FILES, BATCH_BYTES = 1000, 64 << 20
"""Small files that are read together."""
UNREADABLE_SHARE = 0.1
"""A file of which more than this share of the rows cannot be read is refused."""
MEMORY = "1GB"
NEAR = 0.25
"""Stations are numbered by cells of this many degrees."""
KM_A_DEGREE = 111.2
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "\\n")
_TABLES = """
CREATE TABLE IF NOT EXISTS rows (station INTEGER, stamp BIGINT, value DOUBLE, unit SMALLINT, number BIGINT);
CREATE TABLE IF NOT EXISTS stations (station INTEGER, key VARCHAR, id VARCHAR, sensor VARCHAR, name VARCHAR,
  is_monitor BOOLEAN, is_mobile BOOLEAN);
CREATE TABLE IF NOT EXISTS places (station INTEGER, latitude DOUBLE, longitude DOUBLE, number BIGINT);
CREATE TABLE IF NOT EXISTS units (unit SMALLINT, text VARCHAR);
CREATE TABLE IF NOT EXISTS batches (batch INTEGER, other BIGINT, skipped VARCHAR, unreadable VARCHAR);
"""


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
        return Rows(self.station[keep], self.end[keep], self.value[keep], self.unit[keep])


@dataclass
class Built:
    """What :func:`build` made.

    Attributes:
        stations: id, name, latitude, longitude (NaN where unknown), spread_km (how far apart its places lie), rows,
            location_id, and ``is_monitor``, ``is_mobile`` where the files say so.
        units: the texts that occur.
        read: rows of the wanted parameter; ``other``: rows of others; ``files``: how many.
        unreadable: rows left out because they cannot be read, by reason.
        examples: a text of each reason.
        skipped: files in folders whose columns are no observations; ``lacking``: what the last of them lacks.
        years: those that have rows.
        first, last: earliest and latest stamp, seconds since 1970 UTC.
    """

    stations: pd.DataFrame
    units: list[str]
    read: int = 0
    other: int = 0
    files: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    years: list[int] = field(default_factory=list)
    first: int = 0
    last: int = 0


def build(
    files: Iterable[StationFile],
    parameter: str,
    assume_utc: bool,
    folder: Path,
    progress: Callable[[int], None],
) -> Built:
    """Sort all rows into yearly Parquet files in ``folder``.

    Args:
        files: see :func:`deepcams.stations.station_files.find_station_files`.
        parameter: the species (``pm25``).
        assume_utc: take stamps without an offset for UTC.
        folder: what an interrupted call with the same files left there is gone on with.
        progress: called with the number of rows read so far.

    Raises:
        InputError: a damaged file, missing columns, stamps without an offset, or a file of which more than
            :data:`UNREADABLE_SHARE` of the rows cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.parquet"):
        left.unlink()
    path = folder / "rows.duckdb"
    database = _open(path, folder)
    try:
        reader = _Reader(database, plain_parameter(parameter), assume_utc, folder)
        known = database.execute(
            "SELECT count(*), coalesce(max(batch), -1) FROM batches"
        ).fetchone()
        if known[0]:
            progress(reader.rows())
        for number, batch in enumerate(_batches(files)):
            reader.files += len(batch)
            if number > known[1]:
                reader.read(number, batch)
                progress(reader.rows())
        built = _sorted(database, reader, folder)
    finally:
        database.close()
    for left in (*folder.glob("rows.duckdb*"), folder / "spill"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return built


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
        for file in files if len(files) > 1 else []:
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
              coalesce(id, name || ' @ ' || coalesce(latitude, '') || ', ' || coalesce(longitude, '')) AS location
            FROM batch b LEFT JOIN stamps s ON coalesce(b.utc, b.time) = s.text AND (b.utc IS NOT NULL) = s.utc
            WHERE parameter IN (SELECT parameter FROM wanted)
        """)
        problems = self._unreadable(given)
        run("DELETE FROM parsed WHERE seconds IS NULL OR numeric IS NULL OR location IS NULL")
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
        found: dict[str, dict[str, list[Any]]] = {}
        reasons = {
            "time": ("seconds IS NULL", "coalesce(utc, time, 'a row without one')"),
            "value": ("seconds IS NOT NULL AND numeric IS NULL", "value"),
            "station": (
                "seconds IS NOT NULL AND numeric IS NOT NULL AND location IS NULL",
                "'no id'",
            ),
        }
        for reason, (condition, text) in reasons.items():
            query = f"SELECT filename, count(*), min({text}) FROM parsed WHERE {condition} GROUP BY filename"
            for file, count, example in run(query).fetchall():
                found.setdefault(file, {})[reason] = [count, example]
        tables = {row[0] for row in run("SHOW TABLES").fetchall()}
        if "rejected" in tables:
            query = (
                "SELECT s.file_path, count(DISTINCT r.line), min(r.csv_line) FROM rejected r JOIN scanned s "
                "USING (scan_id, file_id) GROUP BY s.file_path"
            )
            for file, count, example in run(query).fetchall():
                found.setdefault(file, {})["columns"] = [count, (example or "")[:60]]
        if not found:
            return {}
        sizes = dict(run("SELECT filename, count(*) FROM parsed GROUP BY filename").fetchall())
        total: dict[str, list[Any]] = {}
        for file, own in found.items():
            count = sum(each[0] for each in own.values())
            size = max(sizes.get(file, 0), 0) + own.get("columns", [0])[0]
            if count > UNREADABLE_SHARE * size:
                reason, (_, example) = next(iter(own.items()))
                raise self._refusal(given.get(file, Path(file)), reason, example, count, size)
            for reason, (number, example) in own.items():
                total.setdefault(reason, [0, example])[0] += number
        return total

    @staticmethod
    def _refusal(file: Path, reason: str, example: str, count: int, size: int) -> InputError:
        expected = {
            "time": "times such as 2019-12-31T15:00:00+08:00",
            "value": "numbers",
            "columns": "rows of one length",
            "station": "an id or a name in every row",
        }[reason]
        found = f"{example!r} (and {count - 1} more of {size} rows)" if count > 1 else repr(example)
        return InputError(f"{file}: {reason}", expected, found, "correct or remove those rows")

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


def _sorted(database: Any, reader: _Reader, folder: Path) -> Built:
    """Number the stations by place and write the years."""
    run = database.execute
    built = Built(
        _stations(database),
        [row[0] for row in run("SELECT text FROM units ORDER BY unit").fetchall()],
    )
    built.files, built.read, built.lacking = reader.files, reader.rows(), reader.lacking
    for other, skipped, unreadable in run(
        "SELECT other, skipped, unreadable FROM batches"
    ).fetchall():
        built.other += other
        built.skipped += json.loads(skipped)
        for reason, (count, example) in json.loads(unreadable).items():
            built.unreadable[reason] = built.unreadable.get(reason, 0) + count
            built.examples.setdefault(reason, example)
    if not built.read:
        return built
    order = pd.DataFrame(
        {"station": built.stations.pop("station"), "place": np.arange(len(built.stations))}
    )
    database.register("place_order", order)
    # An hour that ends with the year belongs to it.
    year = "year(make_timestamp((stamp - 1) * 1000000))"
    built.first, built.last = run("SELECT min(stamp), max(stamp) FROM rows").fetchone()
    built.years = [
        row[0] for row in run(f"SELECT DISTINCT {year} AS y FROM rows ORDER BY y").fetchall()
    ]
    for each in built.years:
        run(f"""
            COPY (SELECT place::INTEGER AS station, stamp AS "end", value, unit
                  FROM rows JOIN place_order USING (station)
                  WHERE {year} = {each} ORDER BY place, stamp, number)
            TO {_text(folder / f"{each}.parquet")} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)
        """)
    return built


def _stations(database: Any) -> pd.DataFrame:
    """The table of stations, neighbours after each other; sensors of one location are stations of their own."""
    run = database.execute
    table = run("""
        SELECT s.*, r.rows FROM stations s LEFT JOIN (SELECT station, count(*) AS rows FROM rows GROUP BY station) r
        USING (station) ORDER BY station
    """).df()
    places = run(
        "SELECT station, latitude, longitude FROM (SELECT station, latitude, longitude, min(number) AS number "
        "FROM places GROUP BY ALL) ORDER BY station, number"
    ).df()
    first = places.groupby("station").first()
    table = table.join(first, on="station")
    apart = places.merge(first, on="station", suffixes=("", "_first"))
    east = (apart.longitude - apart.longitude_first + 180) % 360 - 180
    north = apart.latitude - apart.latitude_first
    apart["km"] = KM_A_DEGREE * np.hypot(north, east * np.cos(np.deg2rad(apart.latitude)))
    table["spread_km"] = table.station.map(apart.groupby("station").km.max()).fillna(0.0)
    several = table.groupby("id").sensor.transform("nunique") > 1
    table["location_id"] = table["id"]
    table.loc[several, "id"] = table["id"] + ":" + table.sensor.fillna("")
    table["name"] = table["name"].fillna(table["location_id"])
    table["longitude"] = [eastward(value) for value in table.longitude]
    kinds = [name for name in ("is_monitor", "is_mobile") if table[name].notna().any()]
    table = table.astype(dict.fromkeys(kinds, "boolean") | {"rows": "int64"})
    order = place_order(table.latitude.to_numpy(float), table.longitude.to_numpy(float))
    names = [
        "station",
        "id",
        "name",
        "latitude",
        "longitude",
        "spread_km",
        "rows",
        "location_id",
        *kinds,
    ]
    return table.iloc[order][names].reset_index(drop=True)


def place_order(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return an order in which neighbours follow each other: by cells, within them by place; without a place last."""
    row, column = np.floor((90 - latitude) / NEAR), np.floor((longitude + 180) / NEAR)
    return np.lexsort((longitude, latitude, column, row))


def unreadable_words(built: Built) -> str:
    """Return in words which rows were left out because they cannot be read; empty where none were."""
    words = {
        "time": "no time",
        "value": "no number",
        "columns": "another number of columns",
        "station": "no id",
    }
    parts = [
        f"{count} with {words[reason]} ({built.examples[reason]!r})"
        for reason, count in built.unreadable.items()
    ]
    total = sum(built.unreadable.values())
    if not total:
        return ""
    verb = "is" if total == 1 else "are"
    return f"{counted(total, 'row')} cannot be read and {verb} left out: {', '.join(parts)}"


def save(built: Built, folder: Path, key: str) -> None:
    """Write what :func:`load` reads; last of all, so that a folder with it is complete."""
    about = {f.name: getattr(built, f.name) for f in fields(built) if f.name != "stations"}
    text = built.stations.to_json(orient="split", double_precision=15)
    (folder / "stations.json").write_text(text, encoding="utf-8")
    about |= {"version": VERSION, "key": key}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, key: str) -> Built | None:
    """Return what was built from these very files before; ``None`` where nothing usable is there."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if about.pop("version") != VERSION or about.pop("key") != key:
            return None
        types: dict[str, Any] = dict.fromkeys(("id", "name", "location_id"), str)
        # Else whole numbers would become integers, and the table's text another than that of the first opening.
        types |= dict.fromkeys(("latitude", "longitude", "spread_km"), float)
        stations = pd.read_json(
            folder / "stations.json", orient="split", dtype=types, precise_float=True
        )
        for name in ("is_monitor", "is_mobile"):
            if name in stations:
                stations[name] = stations[name].astype("boolean")
        if not all((folder / f"{year}.parquet").is_file() for year in about["years"]):
            return None
        return Built(stations, **about)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_stations(folder: Path, built: Built, wanted: np.ndarray, start: int, end: int) -> Rows:
    """Read the rows of some stations whose stamps lie in [start, end]; only their stretches of the files are read.

    Args:
        folder: see :func:`build`.
        built: its result.
        wanted: station numbers.
        start, end: seconds since 1970 UTC.
    """
    files = [
        _text(folder / f"{year}.parquet")
        for year in built.years
        if _year_start(year) <= end and _year_start(year + 1) >= start
    ]
    empty = Rows(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int16))
    if not files or not len(wanted):
        return empty
    with need("duckdb").connect() as database:
        database.execute(f"SET memory_limit='{MEMORY}'")
        found = database.execute(
            f'SELECT station, "end", value, unit FROM read_parquet([{", ".join(files)}]) '
            'WHERE station BETWEEN ? AND ? AND "end" BETWEEN ? AND ?',
            [int(np.min(wanted)), int(np.max(wanted)), start, end],
        ).fetchnumpy()
    columns = [np.ma.getdata(found[name]) for name in ("station", "end", "value", "unit")]
    member = np.zeros(max(len(built.stations), int(np.max(wanted)) + 1), bool)
    member[wanted] = True
    keep = np.flatnonzero(member[columns[0]])
    order = keep[np.lexsort((columns[1][keep], columns[0][keep]))]
    return Rows(*(column[order] for column in columns))


def _year_start(year: int) -> int:
    return int(np.datetime64(str(year), "s").astype(np.int64))
