"""Open stations from OpenAQ's archive, or any files with its columns: folder trees, tables and Parquet."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deepcams.core.errors import InputError, OutputError, notice
from deepcams.core.stages import staged
from deepcams.core.text import counted
from deepcams.files.cache import (
    cache_dir,
    folder_to_build,
    forget_old,
    identity,
    writable,
)
from deepcams.readers.protocols import Paths, listed
from deepcams.stations.archive.ingest import build
from deepcams.stations.archive.metadata import add_metadata
from deepcams.stations.archive.row_loader import unreadable_words
from deepcams.stations.archive.sorted_copy import VERSION, StationArchive, load
from deepcams.stations.archive.station_files import StationFile, find_station_files

KEEP_DAYS = 30
"""Age in days after which unused sorted copies are removed when another is made."""

Progress = Callable[[int], None]
"""Callback, called with the number of rows read so far."""


@staged("sort")
def open_openaq(
    paths: Paths,
    *,
    parameter: str = "pm25",
    assume_utc: bool = False,
    metadata: Paths | None = None,
    progress: Progress | None = None,
) -> StationArchive:
    """Open observations with the columns of OpenAQ's archive, without quality control.

    The rows are sorted once by station and time into one Parquet file per year in the cache
    (``$DEEPCAMS_CACHE/stations``) and read from there, so the same files open at once the next time. A killed run is
    resumed.

    Args:
        paths: the archive's tree (``records/csv.gz/locationid=../year=../month=..``), tables as CSV, csv.gz, JSON lines
            or Parquet, folders or globs of them, in any order. Columns are found by name
            (:data:`deepcams.stations.archive.layouts.COLUMNS`); further ones are ignored.
        parameter: species; rows of others are counted and left out.
        assume_utc: whether to treat times without an offset as UTC instead of raising.
        metadata: see :func:`deepcams.stations.archive.metadata.add_metadata`.
        progress: callback, called with the number of rows read.

    Raises:
        InputError: there are no rows of the parameter, columns are missing, times have no offset, or a file is damaged
            or empty.
        MissingExtraError: DuckDB is not installed.
    """
    key, number = _fingerprint(find_station_files(paths), parameter, assume_utc)
    where = _words(paths)
    root = cache_dir() / "stations"
    temporary = None
    if not writable(root):
        temporary = tempfile.TemporaryDirectory(prefix="deepcams-stations-")
        root = Path(temporary.name)
    folder = root / key
    archive = load(folder, key)
    if archive is None:
        forget_old(root, KEEP_DAYS)
        try:
            archive = _build(
                paths, parameter, assume_utc, folder, progress or (lambda rows: None)
            )
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(
                f"{where} cannot be sorted into {root}: {reason}; set DEEPCAMS_CACHE"
            ) from error
        _note_left_out(archive, where)
    else:
        folder.touch()
    archive.files = number
    if metadata is not None:
        archive.stations = add_metadata(archive.stations, metadata)
    if temporary is not None:
        weakref.finalize(archive, temporary.cleanup)
    return archive


def _words(paths: Paths) -> str:
    first, *others = listed(paths)
    return str(first) + (f" and {len(others)} more" if others else "")


def _fingerprint(
    files: Iterable[StationFile], parameter: str, assume_utc: bool
) -> tuple[str, int]:
    """Return a hash of the files in their current state, and their number."""
    digest, count = hashlib.sha256(f"{VERSION} {parameter} {assume_utc}".encode()), 0
    for file in files:
        for line in identity(file.path):
            digest.update(line)
        count += 1
    return digest.hexdigest()[:32], count


def _build(
    paths: Paths, parameter: str, assume_utc: bool, folder: Path, progress: Progress
) -> StationArchive:
    """Create the sorted copy and open it."""
    key = folder.name
    with folder_to_build(folder) as part:
        archive = load(folder, key)  # another process may have made it meanwhile
        if archive is None:
            files = find_station_files(paths)
            about = build(files, parameter, assume_utc, part, key, progress)
            if not about["rows"]:
                raise _nothing(parameter, about, _words(paths))
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
            archive = load(folder, key)
    if archive is None:
        raise OSError("what was written cannot be read")
    return archive


def _note_left_out(archive: StationArchive, where: str) -> None:
    skipped = archive.skipped
    if skipped:
        names = ", ".join(Path(path).name for path in skipped[:3])
        more = ", .." if len(skipped) > 3 else ""
        verb = "is" if len(skipped) == 1 else "are"
        number = counted(len(skipped), "file")
        notice(
            f"{where}: {number} without observations {verb} left out ({names}{more})"
        )
    unreadable = unreadable_words(archive.unreadable)
    if unreadable:
        notice(f"{where}: {unreadable}")


def _nothing(parameter: str, about: dict[str, Any], where: str) -> InputError:
    """Return the error for files without a row of the parameter."""
    if about["other"]:
        found, do = (
            f"{about['other']} rows of other parameters",
            "choose another with --parameter",
        )
    elif about["lacking"]:
        found = f"{len(about['skipped'])} without {', '.join(about['lacking'])}"
        return InputError(where, "files with the columns of OpenAQ's tables", found)
    else:
        found, do = "none", "download it again"
    return InputError(where, f"rows of {parameter}", found, do)
