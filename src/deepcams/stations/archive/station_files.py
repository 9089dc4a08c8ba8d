"""Files of observations: finding them, detecting their kind by content, and reading their column names."""

from __future__ import annotations

import glob
import gzip
import importlib.util
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deepcams.core.errors import InputError, MissingExtraError
from deepcams.core.text import from_json, size
from deepcams.files.optional import need
from deepcams.readers.protocols import Paths, listed

FileKind = Literal["csv", "json", "parquet"]
_SUFFIXES = (
    ".csv",
    ".csv.gz",
    ".parquet",
    ".ndjson",
    ".ndjson.gz",
    ".jsonl",
    ".jsonl.gz",
)
_HEAD = 1 << 16
_DOCUMENT = 128 << 20
"""Largest JSON document in characters, and largest file read as a whole in bytes; larger ones are read by line."""
_ROWS_A_BYTE = 100
"""Largest plausible number of rows per byte of a Parquet file; only equal rows compress to less than a byte."""
_DEEPEST = 20
"""Largest nesting depth of a measurement in JSON; OpenAQ has three."""
_GZIP = b"\x1f\x8b"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class StationFile:
    """One file of observations.

    Attributes:
        path: its path.
        kind: kind by content; ``json`` has one measurement per line, or a list of them.
        named: whether the user named it directly, rather than a folder that contains it.
        packed: whether it is a gzip file.
        encoding: text encoding.
        names: column names (for JSON: paths to the values of the first measurement).
        separator: column separator.
    """

    path: Path
    kind: FileKind
    named: bool
    packed: bool = False
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    separator: str = ","

    @property
    def layout(self) -> tuple[Any, ...]:
        """Key that is equal for files that can be read together."""
        return self.kind, self.packed, self.encoding, self.names, self.separator


def find_station_files(paths: Paths) -> Iterator[StationFile]:
    """Find all files that match ``paths``, sorted by name; folders are searched recursively, hidden files left out.

    Raises:
        InputError: a path does not exist, or a file is empty, damaged, or not a table (in folders, files that are not
            tables are skipped).
        MissingExtraError: DuckDB is not installed.
    """
    given = listed(paths)
    if not given:
        raise InputError("stations", "at least one file", "none")
    if importlib.util.find_spec("duckdb") is None:
        raise MissingExtraError("reading stations", "stations")
    for one in given:
        path = Path(one).expanduser()
        matches = [path]
        if not path.exists():
            found = glob.glob(str(path), recursive=True)  # noqa: PTH207
            matches = [Path(match) for match in sorted(found)]
        if not matches:
            expected = "a file, folder or glob of observations"
            raise InputError(path, expected, "nothing of this name", "check the path")
        for match in matches:
            yield from _files(match)


def _files(path: Path) -> Iterator[StationFile]:
    if not path.is_dir():
        file = describe(path, named=True)
        if file is None:
            expected = "CSV, csv.gz, JSON lines or Parquet"
            raise InputError(path, expected, _looks_like(path), "download it again")
        yield file
        return
    found = [
        file
        for inner in _walk(path)
        if (file := describe(inner, named=False)) is not None
    ]
    if not found:
        expected = "a folder with .csv, .csv.gz, .ndjson or .parquet files"
        raise InputError(path, expected, "none in it")
    yield from found


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        listed = sorted((entry.name, entry.is_dir()) for entry in visible)
    for name, is_folder in listed:
        if is_folder:
            yield from _walk(folder / name)
        elif name.lower().endswith(_SUFFIXES):
            yield folder / name


def is_table(path: Path) -> bool:
    """Return whether a file is a table of any supported kind, by its content."""
    return describe(path, named=True) is not None


def describe(path: Path, named: bool) -> StationFile | None:
    """Detect a file's kind from its first bytes; ``None`` if it is not a table.

    Raises:
        InputError: the file is empty, or a gzip file that cannot be unpacked.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    packed = head[:2] == _GZIP
    if packed:
        try:
            with gzip.open(path) as stream:
                head = stream.read(_HEAD)
        except (OSError, EOFError, zlib.error) as error:
            found = f"a damaged one ({str(error)[:80]})"
            raise InputError(
                path, "a whole gzip file", found, "download it again"
            ) from error
    if not head:
        raise InputError(
            path, "a table of observations", "an empty file", "download it again"
        )
    if head[:4] == b"PAR1":
        return StationFile(path, "parquet", named)
    encoding = _MARKS.get(head[:2]) or _encoding(head)
    text = head.decode(encoding, "ignore").lstrip("\ufeff")
    start = text.lstrip()[:1]
    if "\0" in text or start == "<":
        return None
    if start in ("{", "["):
        names = _json_names(text)
        return (
            StationFile(path, "json", named, packed, encoding, names) if names else None
        )
    line = text.splitlines()[0] if text.splitlines() else ""
    if not any(mark in line for mark in ",;\t"):
        return None
    separator = max(",;\t", key=line.count)
    names = tuple(name.strip().strip('"').strip() for name in line.split(separator))
    return StationFile(path, "csv", named, packed, encoding, names, separator)


def _encoding(head: bytes) -> str:
    """Return UTF-8, or Latin-1 for old exports, whose micro sign is one byte."""
    try:
        head[: len(head) - 4 if len(head) == _HEAD else None].decode("utf-8")
    except UnicodeDecodeError as error:
        return "latin-1" if error.start < len(head) - 4 else "utf-8"
    return "utf-8"


def _json_names(text: str) -> tuple[str, ...]:
    """Return the paths of the first measurement's values: ``date.utc``, ``value``, .."""
    try:
        first = from_json(text.splitlines()[0])
    except ValueError:
        return ("",) if '"results"' in text or text.lstrip().startswith("[") else ()
    if not isinstance(first, dict) or "results" in first:
        return ("",)
    return tuple(_paths(first))


def _paths(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, inner in value.items():
        if isinstance(inner, dict) and above.count(".") < _DEEPEST:
            yield from _paths(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def as_lines(file: StationFile, folder: Path) -> StationFile:
    """Return a file that DuckDB can read, in UTF-8 and with one measurement per line in JSON; a copy if needed.

    Args:
        file: any file.
        folder: folder for the copy.

    Raises:
        InputError: JSON is neither lines nor a list of measurements.
    """
    listed = file.kind == "json" and file.names == ("",)
    if file.kind == "parquet" or (file.encoding == "utf-8" and not listed):
        return file
    opened: Any = gzip.open if file.packed else open
    copy = folder / f"copy-{file.path.name.removesuffix('.gz')}"
    with opened(file.path, "rt", encoding=file.encoding, newline="") as source:
        if not listed:
            with copy.open("w", encoding="utf-8", newline="") as target:
                while piece := source.read(1 << 20):
                    target.write(piece.lstrip("\ufeff"))
            return StationFile(
                copy, file.kind, file.named, False, "utf-8", file.names, file.separator
            )
        text = source.read(_DOCUMENT + 1)
        if len(text) > _DOCUMENT:
            expected = f"JSON of at most {size(_DOCUMENT)}, or one measurement a line"
            raise InputError(file.path, expected, "a longer document")
        try:
            document = from_json(text)
        except ValueError as error:
            raise InputError(
                file.path, "JSON", str(error)[:80], "download it again"
            ) from error
    rows = (
        document.get("results", [document]) if isinstance(document, dict) else document
    )
    if not isinstance(rows, list):
        expected = "JSON with a list of measurements"
        raise InputError(file.path, expected, type(rows).__name__)
    rows = [row for row in rows if isinstance(row, dict)]
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    names = tuple(_paths(rows[0])) if rows else ()
    return StationFile(copy, "json", file.named, False, "utf-8", names)


def parquet_columns(database: Any, path: Path) -> list[str]:
    """Return the names of a Parquet file's columns.

    Raises:
        InputError: the file cannot be read, or declares more rows than it can hold.
    """
    duckdb = need("duckdb")
    name = sql_text(path)
    try:
        found = database.execute(f"DESCRIBE SELECT * FROM read_parquet({name})")
        columns = [str(row[0]) for row in found.fetchall()]
        sums = f"SELECT sum(num_rows) FROM parquet_file_metadata({name})"
        rows = int(database.execute(sums).fetchone()[0] or 0)
    except duckdb.Error as error:
        message = " ".join(str(error).split())[:100]
        raise InputError(
            path, "a readable Parquet file", message, "download it again"
        ) from error
    length = path.stat().st_size
    if rows > _ROWS_A_BYTE * length:
        raise InputError(path, "Parquet", f"{rows:,} rows in {length:,} bytes")
    return columns


def sql_text(value: object) -> str:
    """Return a text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def join_tables(files: Sequence[StationFile], path: Path) -> bool:
    """Join small CSV files of one layout without their headers; each line is preceded by the number of its file.

    DuckDB needs half a millisecond for each file that it opens, five times what reading it here takes.

    Args:
        files: files in UTF-8.
        path: output file.

    Returns:
        whether it succeeded: False if a file is damaged or too long, or a row spans several lines.
    """
    with path.open("wb") as target:
        for number, file in enumerate(files):
            opened: Any = gzip.open if file.packed else open
            try:
                with opened(file.path, "rb") as source:
                    data = source.read(_DOCUMENT + 1)
            except (OSError, EOFError, zlib.error):
                return False
            if len(data) > _DOCUMENT:
                return False
            lines = data.replace(b"\r\n", b"\n").split(b"\n")
            if b"\r" in data and any(b"\r" in line for line in lines):
                return False
            if b'"' in data and any(line.count(b'"') % 2 for line in lines):
                return False
            mark = f"{number}{file.separator}".encode()
            target.writelines(mark + line + b"\n" for line in lines[1:] if line)
    return True


def _looks_like(path: Path) -> str:
    from deepcams.readers.formats.detect import looks_like

    with path.open("rb") as file:
        return looks_like(file.read(1024))
