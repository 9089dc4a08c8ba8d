"""Rows of the objects of OpenAQ's archive, joined into one Parquet file per year."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from deepcams.core.text import from_json, size
from deepcams.files.atomic import atomic_path

_DEFLATE_RATIO, _MOST_UNPACKED = 1032, 64 << 20
"""Maximum compression ratio of deflate, and maximum unpacked size of an object, bytes."""


_NUMBERS = ("lat", "lon", "value")
_COLUMNS = (
    "location_id",
    "location",
    "datetime",
    "lat",
    "lon",
    "parameter",
    "units",
    "value",
)
UNREADABLE = (zlib.error, EOFError, OSError, ValueError)
_GROUP_ROWS = 1 << 19
_JOINED = b"deepcams.merged"
"""Metadata key of the list of parts in a file."""


def _schema(metadata: dict[bytes, str] | None = None) -> Any:
    kinds = {name: pa.float64() for name in _NUMBERS}
    return pa.schema(
        [(name, kinds.get(name, pa.string())) for name in _COLUMNS], metadata
    )


def _plain(parameter: str) -> str:
    """Normalise a species' name: pm25 for PM2.5, pm2p5 and pm25."""
    return re.sub(r"[^a-z0-9]", "", parameter.lower().replace("2p5", "25"))


def is_readable(content: bytes) -> bool:
    """Return whether the rows of an object can be read."""
    try:
        read_rows([content])
    except UNREADABLE:
        return False
    return True


def unpacked(data: bytes) -> bytes:
    """Unpack an object (one day of one location), with a size limit that protects the memory.

    Raises:
        zlib.error, EOFError, OSError: the object is damaged, or unpacks to more than :data:`_MOST_UNPACKED`.
    """
    if len(data) * _DEFLATE_RATIO <= _MOST_UNPACKED:
        return gzip.decompress(data)
    with gzip.open(io.BytesIO(data)) as stream:
        text = stream.read(_MOST_UNPACKED + 1)
    if len(text) > _MOST_UNPACKED:
        raise OSError(f"it unpacks to more than {size(_MOST_UNPACKED)}")
    return text


def read_rows(contents: Iterable[bytes], parameter: str | None = None) -> Any:
    """Read the rows of some objects (of one parameter) into an Arrow table of the archive's columns.

    Raises:
        zlib.error, EOFError, OSError: an object is damaged.
        ValueError: an object is not a table of the archive, or a row is invalid.
    """
    bodies = defaultdict[bytes, list[bytes]](list)
    for content in contents:
        text = unpacked(content).removeprefix(b"\xef\xbb\xbf")
        header, _, body = text.partition(b"\n")
        if body.strip():
            bodies[header.strip()].append(body.rstrip(b"\n"))
    tables = [_read_csv(header, b"\n".join(some)) for header, some in bodies.items()]
    table = pa.concat_tables([_schema().empty_table(), *tables])
    if parameter is None:
        return table
    known = pc.unique(table["parameter"]).to_pylist()
    wanted = [name for name in known if _plain(name) == _plain(parameter)]
    return table.filter(pc.is_in(table["parameter"], pa.array(wanted, pa.string())))


def _read_csv(header: bytes, body: bytes) -> Any:
    """Parse rows with a separate header."""
    names = [name.strip(' "') for name in header.decode("latin-1").split(",")]
    absent = [name for name in _COLUMNS if name not in names and name != "location"]
    if absent:
        raise ValueError(f"no {', '.join(absent)}")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:  # old exports have a one-byte micro sign
        body = body.decode("latin-1").encode()
    return csv.read_csv(
        io.BytesIO(body),
        csv.ReadOptions(
            use_threads=False, column_names=names, block_size=len(body) + 1
        ),
        convert_options=csv.ConvertOptions(
            column_types=_schema(),
            include_columns=list(_COLUMNS),
            include_missing_columns=True,
            strings_can_be_null=False,
            null_values=[
                "",
                "NA",
                "N/A",
                "n/a",
                "NaN",
                "nan",
                "null",
                "NULL",
                "None",
                "-",
                "\\N",
            ],
        ),
    )


def join_parts(parts: Path, final: Path) -> int:
    """Join a year's parts and the existing file of the year into one Parquet file, and remove the parts.

    The file lists the parts it holds, so that parts left behind by a killed run are not joined twice.

    Returns:
        the number of rows in the file.
    """
    joined: list[str] = []
    if final.exists():
        joined = from_json((pq.read_schema(final).metadata or {}).get(_JOINED, b"[]"))
    found = sorted(
        parts.glob("*.parquet"),
        key=lambda path: (int(path.stem.split("_")[0]), path.stem),
    )
    new = [path for path in found if path.stem not in set(joined)]
    if new:
        schema = _schema({_JOINED: json.dumps(joined + [path.stem for path in new])})
        before = [final] if final.exists() else []
        with (
            atomic_path(final, durable=True) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for table in _row_groups([*before, *new]):
                writer.write_table(table.cast(schema), row_group_size=_GROUP_ROWS)
    for path in found:
        path.unlink()
    with suppress(OSError):  # not empty: unfinished locations
        parts.rmdir()
        parts.parent.rmdir()
    return int(pq.read_metadata(final).num_rows)


def _row_groups(paths: Iterable[Path]) -> Iterator[Any]:
    """Yield the rows of some files in large groups, in constant memory."""
    held, rows = list[Any](), 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP_ROWS):
                held.append(
                    pa.Table.from_batches([batch]).replace_schema_metadata(None)
                )
                rows += batch.num_rows
                if rows >= _GROUP_ROWS:
                    yield pa.concat_tables(held)
                    held, rows = [], 0
    if held:
        yield pa.concat_tables(held)
