"""Stations from OpenAQ's archive, or any files with its columns: one door for trees, tables and Parquet."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.times import stamp_seconds
from deepcams.files.cache import cache_dir, folder_to_build, forget_old, identity, writable
from deepcams.readers.protocols import Paths
from deepcams.stations import openaq_sort as cache
from deepcams.stations.metadata import add_metadata
from deepcams.stations.openaq_files import BlockReader, StationFile, find_station_files
from deepcams.stations.openaq_sort import Built, Rows

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
        return cache.read_stations(self._folder, self._built, wanted, low, high)

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
        paths: the archive's tree (``records/csv.gz/locationid=../year=../month=..``), CSV, csv.gz or Parquet files,
            folders or globs of them, in any order. Columns are found by name; further ones are ignored.
        parameter: which species; rows of others are counted and left out.
        assume_utc: take times without an offset for UTC instead of refusing them.
        metadata: see :func:`deepcams.stations.metadata.add_metadata`.
        progress: called with the number of rows read.

    Raises:
        InputError: no rows of the parameter, missing columns, times without an offset, a damaged or an empty file.
        MissingExtraError: pyarrow is not installed.
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
    built = cache.load(folder, key)
    if built is None:
        forget_old(root, KEEP_DAYS)
        built = _build(
            BlockReader(parameter, assume_utc),
            find_station_files(paths),
            folder,
            key,
            where,
            progress,
        )
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
    digest, count = hashlib.sha256(f"{cache.VERSION} {parameter} {assume_utc}".encode()), 0
    for file in files:
        for line in identity(file.path):
            digest.update(line)
        count += 1
    return digest.hexdigest()[:32], count


def _build(
    reader: BlockReader,
    files: Iterator[StationFile],
    folder: Path,
    key: str,
    where: str,
    progress: Progress,
) -> Built:
    try:
        with folder_to_build(folder) as part:
            # Another process may have been at it when the cache was looked into.
            built = cache.load(folder, key)
            if built is not None:
                return built
            built = cache.build(reader, files, part, progress)
            if not built.read:
                _refuse_empty(reader, built, where)
            cache.save(built, part, key)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        raise OutputError(
            f"{where} cannot be sorted into {folder.parent}: {error.strerror or error}; set DEEPCAMS_CACHE"
        ) from error
    if reader.skipped:
        names = ", ".join(path.name for path in reader.skipped[:3]) + (
            ", .." if len(reader.skipped) > 3 else ""
        )
        count = len(reader.skipped)
        number = (
            f"{count} file{'s' * (count > 1)} without observations {'are' if count > 1 else 'is'}"
        )
        notice(f"{where}: {number} left out ({names})")
    return built


def _refuse_empty(reader: BlockReader, built: Built, where: str) -> None:
    if reader.last_missing and not built.other:
        found = f"{len(reader.skipped)} without {', '.join(reader.last_missing)}"
        raise InputError(where, "files with the columns of OpenAQ's archive", found)
    found = f"{built.other} rows of other parameters" if built.other else "none"
    do = "choose another with --parameter" if built.other else "download it again"
    raise InputError(where, f"rows of {reader.parameter}", found, do)
