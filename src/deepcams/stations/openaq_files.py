"""OpenAQ's files: which paths they are, and their rows, block by block, whatever their size or number.

A CSV (packed or not) or a Parquet file is read by column name; columns that other versions of the archive add are
ignored. Small files with the same header are read together, large ones in pieces, so that neither millions of files
nor millions of rows need memory.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deepcams.core.errors import InputError, MissingExtraError
from deepcams.readers.protocols import Paths
from deepcams.stations.openaq_columns import (
    COLUMNS,
    OPTIONAL,
    canonical_name,
    find_columns,
    header_names,
    numbers,
    parse_stamp,
    plain_parameter,
    read_csv,
    texts,
)

_BLOCK = 16 << 20
FileKind = Literal["csv", "gzip", "parquet"]


@dataclass(frozen=True)
class StationFile:
    """One file of observations.

    Attributes:
        path: where it lies.
        kind: by its content.
        named: whether the user named it, rather than a folder that holds it.
    """

    path: Path
    kind: FileKind
    named: bool


@dataclass
class Block:
    """Rows as read: nothing is dropped yet but other parameters.

    Attributes:
        ids, names: what ``location_id`` and ``location`` say, one each for every ``code``.
        code: (n,) which of the ids a row has.
        end: (n,), int64, seconds since 1970 UTC: the stamp.
        latitude, longitude, value: (n,), float64; NaN where there is none.
        units: the texts that occur; ``unit``: (n,), which of them a row has.
        other: rows of other parameters, left out.
    """

    ids: list[str]
    names: list[str]
    code: np.ndarray
    end: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    value: np.ndarray
    units: list[str]
    unit: np.ndarray
    other: int


def find_station_files(paths: Paths) -> Iterator[StationFile]:
    """All files that ``paths`` stand for, in order of their names; folders are walked, hidden files left out.

    Raises:
        InputError: nothing there, an empty file, or one that is neither CSV, csv.gz nor Parquet (in a folder, other
            files than those are passed over).
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise InputError("stations", "at least one file", "none")
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("reading stations", "stations")
    import glob

    for one in given:
        path = Path(one).expanduser()
        matches = [path]
        if not path.exists():
            matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
            if not matches:
                raise InputError(
                    path, "a file, folder or glob of observations", "nothing of this name"
                )
        for match in matches:
            if match.is_dir():
                found = False
                for inner in _walk(match):
                    kind = _kind(inner)
                    if kind is not None:
                        found = True
                        yield StationFile(inner, kind, named=False)
                if not found:
                    raise InputError(
                        match, "a folder with .csv, .csv.gz or .parquet files", "none in it"
                    )
                continue
            kind = _kind(match)
            if kind is None:
                raise InputError(
                    match, "CSV, csv.gz or Parquet", _looks_like(match), "download it again"
                )
            yield StationFile(match, kind, named=True)


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        listed = sorted(
            (entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")
        )
    for name, is_folder in listed:
        if is_folder:
            yield from _walk(folder / name)
        elif name.lower().endswith((".csv", ".csv.gz", ".parquet")):
            yield folder / name


def is_table(path: Path) -> bool:
    """Whether a file is a CSV, packed or not, or Parquet, by its content."""
    return _kind(path) is not None


def _kind(path: Path) -> FileKind | None:
    with path.open("rb") as file:
        head = file.read(512)
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] == b"PAR1":
        return "parquet"
    line = head.lstrip(b"\xef\xbb\xbf").split(b"\n")[0]
    text = bool(head) and b"\0" not in head and not head.lstrip().startswith((b"<", b"{", b"["))
    return "csv" if text and any(mark in line for mark in b",;\t") else None


def _looks_like(path: Path) -> str:
    from deepcams.readers.detect import looks_like

    with path.open("rb") as file:
        return looks_like(file.read(1024))


class BlockReader:
    """Reads the rows of one parameter out of any number of files.

    Args:
        parameter: the species' name in the archive (``pm25``).
        assume_utc: take stamps without an offset for UTC.
        block: bytes of text that are parsed together.

    Attributes:
        skipped: files in folders whose columns are no observations.
        last_missing: the columns that the last of them lacks.
        files: how many were met.
        place: with each block, how many files have been given out whole, and how many blocks of the next one: where
            :meth:`blocks` of another reader goes on.
    """

    def __init__(
        self, parameter: str = "pm25", assume_utc: bool = False, block: int = _BLOCK
    ) -> None:
        self.parameter, self.assume_utc, self.block = parameter, assume_utc, block
        self.skipped: list[Path] = []
        self.last_missing: list[str] = []
        self.files = 0
        self.place = (0, 0)
        self._stamps: dict[str, int] = {}

    def blocks(
        self, files: Iterable[StationFile], place: tuple[int, int] = (0, 0)
    ) -> Iterator[Block]:
        """Rows of all files, in their order; a block holds whole small files, or a part of one large file.

        Args:
            files: see :func:`find_station_files`.
            place: where an earlier reader of the same files was; what it gave out is left out.

        Raises:
            InputError: a damaged file, missing columns, a stamp without an offset, a value that is no number; the
                file is named.
        """
        pending: list[tuple[StationFile, bytes]] = []
        header, size = b"", 0
        for file in files:
            self.files += 1
            if self.files <= place[0]:
                continue
            pieces = iter(()) if file.kind == "parquet" else self._pieces(file)
            start = list(islice(pieces, 2))
            small = file.kind != "parquet" and len(start) < 2
            if small and not start:
                continue
            if pending and not (
                small and start[0][0] == header and size + len(start[0][1]) <= self.block
            ):
                self.place = (self.files - 1, 0)
                yield self._parse(header, pending)
                pending, size = [], 0
            if small:
                header = start[0][0]
                pending.append((file, start[0][1]))
                size += len(start[0][1])
                continue
            given = place[1] if self.files == place[0] + 1 else 0
            for block in self._large(file, chain(start, pieces), given):
                given += 1
                self.place = (self.files - 1, given)
                yield block
        self.place = (self.files, 0)
        if pending:
            yield self._parse(header, pending)

    def _large(
        self, file: StationFile, pieces: Iterable[tuple[bytes, bytes]], given: int
    ) -> Iterator[Block]:
        """The blocks of one file but for the first few."""
        if file.kind == "parquet":
            yield from islice(self._parquet(file), given, None)
        else:
            for header, body in islice(pieces, given, None):
                yield self._parse(header, [(file, body)])

    def _pieces(self, file: StationFile) -> Iterator[tuple[bytes, bytes]]:
        """A file's header line and its rows, in pieces of whole lines."""
        try:
            with gzip.open(file.path) if file.kind == "gzip" else file.path.open("rb") as stream:
                header = stream.readline().lstrip(b"\xef\xbb\xbf").rstrip(b"\r\n")
                if not header.strip():
                    raise InputError(
                        file.path, "a header line and rows", "an empty file", "download it again"
                    )
                if not self._usable(file, header):
                    return
                rest = b""
                while piece := stream.read(self.block):
                    cut = piece.rfind(b"\n") + 1
                    if not cut:
                        rest += piece
                        continue
                    yield header, rest + piece[:cut]
                    rest = piece[cut:]
                if rest.strip():
                    yield header, rest + b"\n"
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                file.path, "a whole gzip file", f"a damaged one ({error})", "download it again"
            ) from error

    def _usable(self, file: StationFile, header: bytes) -> bool:
        names = header_names(header)
        columns = find_columns(names)
        missing = [name for name in COLUMNS if name not in OPTIONAL and name not in columns]
        if not missing:
            known = [name.lower() for name in names]
            for own in columns.values():
                if (number := known.count(own.lower())) > 1:
                    raise InputError(
                        file.path,
                        f"one column {own}",
                        f"{number} of that name",
                        "rename the others",
                    )
            return True
        if file.named:
            found = ", ".join(names)[:120]
            raise InputError(
                file.path,
                "the columns of OpenAQ's archive",
                f"no {', '.join(missing)} among {found}",
            )
        self.skipped.append(file.path)
        self.last_missing = missing
        return False

    def _parse(self, header: bytes, pieces: list[tuple[StationFile, bytes]]) -> Block:
        try:
            return self._rows(
                read_csv(header, b"".join(body for _, body in pieces)), pieces[0][0].path
            )
        except (ValueError, InputError) as error:
            if len(pieces) > 1:  # which of them it is
                for piece in pieces:
                    self._parse(header, [piece])
            if isinstance(error, InputError):
                raise
            found = " ".join(str(error).split())[:160]
            raise InputError(
                pieces[0][0].path, "readable rows", found, "download it again, or mend that row"
            ) from error

    def _parquet(self, file: StationFile) -> Iterator[Block]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # What is buffered ahead stays until the file is closed, and so all of it in the end.
            with pq.ParquetFile(file.path, pre_buffer=False) as opened:
                names = list(opened.schema_arrow.names)
                if not self._usable(file, ",".join(names).encode()):
                    return
                columns = find_columns(names)
                for batch in opened.iter_batches(1 << 20, columns=list(columns.values())):
                    table = pa.Table.from_batches([batch])
                    table = table.rename_columns(
                        [canonical_name(columns, name) for name in table.column_names]
                    )
                    yield self._rows(table, file.path)
        except (pa.ArrowException, OSError) as error:
            found = " ".join(str(error).split())[:120]
            raise InputError(
                file.path, "a whole Parquet file", f"a damaged one ({found})", "make it again"
            ) from error

    def _rows(self, table: Any, where: Path) -> Block:
        """The wanted parameter's rows of an Arrow table with canonical column names."""
        import pyarrow as pa

        names, which = texts(table["parameter"])
        wanted = np.array(
            [plain_parameter(name) == plain_parameter(self.parameter) for name in names], bool
        )
        keep = wanted[which] if len(names) else np.zeros(0, bool)
        other = int(keep.size - keep.sum())
        if other:
            table = table.filter(pa.array(keep))
        ids, code = texts(table["location_id"])
        units, unit = texts(table["units"])
        if "location" in table.column_names:
            called, name_code = texts(table["location"])
            first = np.full(len(ids), -1)
            first[code[::-1]] = name_code[::-1]
            labels = [called[k] for k in first]
        else:
            labels = ids
        return Block(
            ids=ids,
            names=labels,
            code=code,
            end=self._ends(table["datetime"], where),
            latitude=numbers(table["lat"]),
            longitude=numbers(table["lon"]),
            value=numbers(table["value"]),
            units=units,
            unit=unit,
            other=other,
        )

    def _ends(self, column: Any, where: Path) -> np.ndarray:
        import pyarrow as pa

        if pa.types.is_timestamp(column.type):
            if column.type.tz is None and not self.assume_utc:
                self._refuse(where, "timestamps without a time zone")
            seconds = column.cast(pa.timestamp("s", column.type.tz), safe=False).cast(pa.int64())
            if seconds.null_count:
                raise InputError(
                    f"{where}: datetime",
                    "a time in every row",
                    "rows without one",
                    "leave them out",
                )
            return np.asarray(seconds.combine_chunks(), np.int64)
        stamps, code = texts(column)
        return np.array([self._seconds(text, where) for text in stamps], np.int64)[code]

    def _seconds(self, text: str, where: Path) -> int:
        known = self._stamps.get(text)
        if known is None:
            known, has_offset = parse_stamp(text, where)
            if not has_offset and not self.assume_utc:
                self._refuse(where, repr(text))
            if len(self._stamps) > 1_000_000:
                self._stamps.clear()
            self._stamps[text] = known
        return known

    @staticmethod
    def _refuse(where: Path, found: str) -> None:
        do = "add --assume-utc (from Python: assume_utc=True) if they are UTC"
        raise InputError(
            f"{where}: datetime", "times with an offset or Z", f"{found}, which has none", do
        )
