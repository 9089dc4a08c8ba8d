"""What has come of one location and year, object by object; then its rows; then one Parquet file a year."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError
from deepcams.fetch.openaq_archive import Day, unpacked
from deepcams.files.atomic import atomic_path, os_errors_explained
from deepcams.stations.layouts import COLUMNS, plain_parameter, read_csv

PARTS = ".parts"
_HELD_ROWS = 1 << 19
_MERGED = b"deepcams.merged"


class Pack:
    """Objects as they came, one after another in one file; what a kill cut off at its end is dropped.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[str, int, int]] = {}
        self._file: Any = None
        self._end = 0
        if path.exists():
            self._scan()

    def _scan(self) -> None:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            while line := file.readline():
                try:
                    about = json.loads(line)
                    key, tag, length = str(about["key"]), str(about["tag"]), int(about["bytes"])
                except (ValueError, KeyError, TypeError):
                    break
                at = file.tell()
                if at + length > size:
                    break
                self._places[key] = tag, at, length
                self._end = file.seek(at + length)

    def has(self, day: Day) -> bool:
        """Whether the object is there, in the version that the server has now."""
        place = self._places.get(day.key)
        return place is not None and place[0] == day.tag and place[2] == day.bytes

    def add(self, day: Day, data: bytes) -> None:
        """Put an object at the end."""
        with os_errors_explained(self.path):
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("r+b" if self.path.exists() else "w+b")
                self._file.truncate(self._end)
                self._file.seek(self._end)
            head = json.dumps({"key": day.key, "tag": day.tag, "bytes": len(data)}).encode() + b"\n"
            self._file.write(head + data)
            self._file.flush()
        self._places[day.key] = day.tag, self._end + len(head), len(data)
        self._end += len(head) + len(data)

    def read(self, key: str) -> bytes:
        """One object."""
        _, at, length = self._places[key]
        with self.path.open("rb") as file:
            file.seek(at)
            return file.read(length)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove it; its rows are elsewhere."""
        self.close()
        self.path.unlink(missing_ok=True)


def rows_of(pack: Pack, days: Iterable[Day], parameter: str) -> tuple[Any, list[str]]:
    """The wanted parameter's rows, in order of the objects.

    Returns:
        an Arrow table of the archive's columns, and the objects that could not be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    bodies: dict[bytes, list[tuple[str, bytes]]] = {}
    damaged = []
    for day in days:
        try:
            header, _, body = (
                unpacked(pack.read(day.key)).removeprefix(b"\xef\xbb\xbf").partition(b"\n")
            )
        except (zlib.error, EOFError, OSError):
            damaged.append(day.key)
            continue
        if body.strip():
            bodies.setdefault(header.strip(), []).append(
                (day.key, body if body.endswith(b"\n") else body + b"\n")
            )
    tables = []
    for header, pieces in bodies.items():
        try:
            tables.append(_parsed(header, b"".join(body for _, body in pieces)))
        except (ValueError, InputError):
            for key, body in pieces:
                try:
                    tables.append(_parsed(header, body))
                except (ValueError, InputError):
                    damaged.append(key)
    if not tables:
        return _schema().empty_table(), damaged
    table = pa.concat_tables(tables)
    names = pc.unique(table["parameter"]).to_pylist()
    wanted = [
        name for name in names if name and plain_parameter(name) == plain_parameter(parameter)
    ]
    return table.filter(pc.is_in(table["parameter"], pa.array(wanted, pa.string()))), damaged


def _parsed(header: bytes, body: bytes) -> Any:
    import pyarrow as pa

    table = read_csv(header, body)
    missing = [name for name in COLUMNS if name not in table.column_names and name != "location"]
    if missing:
        raise InputError(
            "archive", "the columns " + ", ".join(COLUMNS), f"none of {', '.join(missing)}"
        )
    if "location" not in table.column_names:
        table = table.append_column("location", pa.nulls(table.num_rows, pa.string()))
    return table.select([field.name for field in _schema()]).cast(_schema())


def _schema() -> Any:
    import pyarrow as pa

    kinds = {"lat": pa.float64(), "lon": pa.float64(), "value": pa.float64()}
    names = ("location_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])


def write_part(table: Any, path: Path) -> None:
    """Write a location's rows; the file appears when it is whole and on disk."""
    import pyarrow.parquet as pq

    with atomic_path(path, durable=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def place_of(pack: Pack, day: Day) -> tuple[float, float] | None:
    """Latitude and longitude of an object's first row that has both."""
    try:
        header, _, body = unpacked(pack.read(day.key)).partition(b"\n")
        table = _parsed(header.strip(), body).select(["lat", "lon"]).drop_null()
    except (zlib.error, EOFError, OSError, ValueError, InputError):
        return None
    return (table["lat"][0].as_py(), table["lon"][0].as_py()) if table.num_rows else None


def merge(parts: Path, final: Path) -> int:
    """Join a year's parts, and the year's file that is there already, into one Parquet file.

    Parts are removed in the end; what a kill left between is recognised by what the file says it holds.

    Returns:
        rows of the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    merged: list[str] = []
    if final.exists():
        with pq.ParquetFile(final) as before:
            merged = json.loads((before.schema_arrow.metadata or {}).get(_MERGED, b"[]"))
    known = set(merged)
    new = sorted((path for path in parts.glob("*.parquet") if path.stem not in known), key=_order)
    if new:
        names = merged + [path.stem for path in new]
        schema = _schema().with_metadata({_MERGED: json.dumps(names).encode()})
        with (
            atomic_path(final, durable=True) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for group in _groups(_tables(final, new)):
                writer.write_table(pa.concat_tables(group).cast(schema), row_group_size=_HELD_ROWS)
    for path in parts.glob("*.parquet"):
        path.unlink()
    with suppress(OSError):
        parts.rmdir()
    with pq.ParquetFile(final) as written:
        return int(written.metadata.num_rows)


def _order(path: Path) -> tuple[int, str]:
    location, _, rest = path.stem.partition("_")
    return int(location), rest


def _tables(final: Path, parts: list[Path]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if final.exists():
        with pq.ParquetFile(final) as before:
            for batch in before.iter_batches(_HELD_ROWS):
                yield pa.Table.from_batches([batch])
    for path in parts:
        yield pq.read_table(path)


def _groups(tables: Iterator[Any]) -> Iterator[list[Any]]:
    """Some tables at a time, so that memory stays level."""
    held: list[Any] = []
    rows = 0
    for table in tables:
        held.append(table.replace_schema_metadata(None))
        rows += table.num_rows
        if rows >= _HELD_ROWS:
            yield held
            held, rows = [], 0
    if held:
        yield held
