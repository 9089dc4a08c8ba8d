"""Stations from OpenAQ's archive, or any files with its columns: one door for trees, tables and Parquet."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.text import counted
from deepcams.core.times import stamp_seconds
from deepcams.files.cache import cache_dir, folder_to_build, forget_old, identity, writable
from deepcams.readers.protocols import Paths
from deepcams.stations import ingest
from deepcams.stations.ingest import Built, Rows
from deepcams.stations.metadata import add_metadata
from deepcams.stations.station_files import StationFile, find_station_files

KEEP_DAYS = 30
"""Sorted copies that were not used for so long are removed when another is made."""

Progress = Callable[[int], None]
"""Called with the number of rows read so far."""


@dataclass
class StationArchive:
    """Opened observations: the stations are in memory, the rows are read as they are needed.

    Attributes:
        stations: one row a station, numbered from 0 so that neighbours follow each other: ``id``, ``name``,
            ``latitude``, ``longitude`` (NaN where the files do not say), ``spread_km``, ``rows``, and from metadata
            ``is_monitor``, ``is_mobile``, ``country``, ``altitude`` (m), ``provider``.
        units: the texts that occur.
        rows: how many rows of the parameter there are.
        other: rows of other parameters, which are left out.
        files: how many files were read.
        first, last: earliest and latest stamp, seconds since 1970 UTC.
        where: the input in the user's words.
    """

    stations: pd.DataFrame
    units: list[str]
    rows: int
    other: int
    files: int
    first: int
    last: int
    where: str
    _folder: Path = field(repr=False)
    _built: Built = field(repr=False)

    def read(
        self, stations: np.ndarray | None = None, start: int | None = None, end: int | None = None
    ) -> Rows:
        """Rows of some stations, sorted by station and stamp.

        Args:
            stations: numbers; default all of them.
            start, end: only stamps in [start, end], seconds since 1970 UTC.
        """
        wanted = (
            np.arange(len(self.stations)) if stations is None else np.asarray(stations, np.int64)
        )
        low = self.first if start is None else start
        high = self.last if end is None else end
        return ingest.read_stations(self._folder, self._built, wanted, low, high)

    @property
    def identity(self) -> str:
        """A name for exactly these files, as they were when they were opened."""
        return self._folder.name

    def span(self) -> str:
        """The time that the stamps cover, for people."""
        return f"{stamp_seconds(self.first)} to {stamp_seconds(self.last)} UTC"


def open_openaq(
    paths: Paths,
    *,
    parameter: str = "pm25",
    assume_utc: bool = False,
    metadata: Paths | None = None,
    progress: Progress | None = None,
) -> StationArchive:
    """Open observations in the columns of OpenAQ's archive; nothing is judged yet.

    The rows are sorted by station and time once, into one Parquet file a year in the cache
    (``$DEEPCAMS_CACHE/stations``), and read from there; the same files open at once the next time. A run that is killed
    before all is read goes on where it was.

    Args:
        paths: the archive's tree (``records/csv.gz/locationid=../year=../month=..``), tables as CSV, csv.gz, JSON lines
            or Parquet, folders or globs of them, in any order. Columns are found by name
            (:data:`deepcams.stations.layouts.COLUMNS`); further ones are ignored.
        parameter: which species; rows of others are counted and left out.
        assume_utc: take times without an offset for UTC instead of refusing them.
        metadata: see :func:`deepcams.stations.metadata.add_metadata`.
        progress: called with the number of rows read.

    Raises:
        InputError: no rows of the parameter, missing columns, times without an offset, a damaged or an empty file.
        MissingExtraError: DuckDB is not installed.
    """
    progress = progress or (lambda rows: None)
    where = _words(paths)
    key, files = _fingerprint(find_station_files(paths), parameter, assume_utc)
    root = cache_dir() / "stations"
    temporary = None
    if not writable(root):
        temporary = tempfile.TemporaryDirectory(prefix="deepcams-stations-")
        root = Path(temporary.name)
    folder = root / key
    built = ingest.load(folder, key)
    if built is None:
        forget_old(root, KEEP_DAYS)
        built = _build(paths, parameter, assume_utc, folder, key, where, progress)
    else:
        folder.touch()
    stations = built.stations
    if metadata is not None:
        stations = add_metadata(stations, metadata)
    archive = StationArchive(
        stations,
        built.units,
        built.read,
        built.other,
        files,
        built.first,
        built.last,
        where,
        folder,
        built,
    )
    if temporary is not None:
        weakref.finalize(archive, temporary.cleanup)
    return archive


def _words(paths: Paths) -> str:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return str(given[0]) + (f" and {len(given) - 1} more" if len(given) > 1 else "")


def _fingerprint(files: Iterable[StationFile], parameter: str, assume_utc: bool) -> tuple[str, int]:
    """A name for exactly these files as they are now, and how many there are."""
    digest, count = hashlib.sha256(f"{ingest.VERSION} {parameter} {assume_utc}".encode()), 0
    for file in files:
        for line in identity(file.path):
            digest.update(line)
        count += 1
    return digest.hexdigest()[:32], count


def _build(
    paths: Paths,
    parameter: str,
    assume_utc: bool,
    folder: Path,
    key: str,
    where: str,
    progress: Progress,
) -> Built:
    try:
        with folder_to_build(folder) as part:
            built = ingest.load(folder, key)  # another process may have made it meanwhile
            if built is not None:
                return built
            files = find_station_files(paths)
            built = ingest.build(files, parameter, assume_utc, part, progress)
            if not built.read:
                _refuse_empty(parameter, built, where)
            ingest.save(built, part, key)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{where} cannot be sorted into {folder.parent}: {reason}; set DEEPCAMS_CACHE"
        ) from error
    if built.skipped:
        names = ", ".join(Path(path).name for path in built.skipped[:3])
        more = ", .." if len(built.skipped) > 3 else ""
        number = counted(len(built.skipped), "file")
        verb = "is" if len(built.skipped) == 1 else "are"
        notice(f"{where}: {number} without observations {verb} left out ({names}{more})")
    unreadable = ingest.unreadable_words(built)
    if unreadable:
        notice(f"{where}: {unreadable}")
    return built


def _refuse_empty(parameter: str, built: Built, where: str) -> None:
    if built.lacking and not built.other:
        found = f"{len(built.skipped)} without {', '.join(built.lacking)}"
        raise InputError(where, "files with the columns of OpenAQ's tables", found)
    if built.other:
        found, do = f"{built.other} rows of other parameters", "choose another with --parameter"
    else:
        found, do = "none", "download it again"
    raise InputError(where, f"rows of {parameter}", found, do)
