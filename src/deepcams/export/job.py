"""Export runs: each file is written atomically, and existing unchanged files are not written again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.url import place_of
from deepcams.downscaling.output_identity import keep_apart
from deepcams.export.geotiff import write_cog
from deepcams.export.netcdf import write_netcdf
from deepcams.export.source import By, Piece, Source, open_source, pieces_of
from deepcams.export.table import describe_csv, write_csv, write_parquet
from deepcams.export.zarr2 import write_zarr2
from deepcams.files.atomic import (
    UNFINISHED,
    atomic_path,
    os_errors_explained,
    remove_unfinished,
    sync,
    write_atomically,
)
from deepcams.files.lock import locked
from deepcams.files.optional import need
from deepcams.files.records import FOLDER, Record, Records, file_digest, inside
from deepcams.readers.frames import combine
from deepcams.readers.protocols import Paths

Write = Callable[[Path, Source, Piece, Iterable[tuple[int, np.ndarray]]], None]


@dataclass(frozen=True)
class Form:
    """A format of files.

    Attributes:
        suffix: suffix of the file names.
        write: function that writes one file.
        module: optional library that it needs; empty if none.
        describe: function that returns the content of an additional metadata file; ``None`` if there is none.
        is_store: whether the output is a folder that holds all times.
    """

    suffix: str
    write: Write
    module: str = ""
    describe: Callable[[Source], bytes] | None = None
    is_store: bool = False


FORMS = {
    "cog": Form(".tif", write_cog, "rasterio"),
    "csv": Form(".csv", write_csv, describe=describe_csv),
    "netcdf": Form(".nc", write_netcdf),
    "parquet": Form(".parquet", write_parquet, "pyarrow"),
    "zarr2": Form(".zarr", write_zarr2, is_store=True),
}
"""Formats by name."""


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        path: the file or folder.
        files: total number of files.
        written: number of files written by this run.
        renewed: number of written files that existed with other values.
        hours: number of times in all files.
        bytes: total size.
    """

    path: Path
    files: int
    written: int
    renewed: int
    hours: int
    bytes: int


def export_to(
    source: xr.DataArray | Paths,
    out: str | Path,
    to: str,
    *,
    by: By | None = None,
    variable: str | None = None,
    period: Period | str | None = None,
    bbox: Sequence[float] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    command: str = "deepcams.export.export_to",
) -> Exported:
    """Write a field in another format.

    Args:
        source: a field, or paths that :func:`deepcams.open_field` opens.
        out: a file with the format's suffix, or a folder.
        to: one of :data:`FORMS`.
        by: period covered by each file of a folder; default: a day.
        variable: name of the variable in the files; ``None``: PM2.5.
        period: only these hours, UTC (a :class:`deepcams.Period` or its text, ``2019-03``).
        bbox: (west, south, east, north): only the nodes in this box; west > east crosses the dateline.
        overwrite: replace an existing file, or a folder with other settings.
        progress: called with the stage ``export``, in hours.
        command: command line for the history attribute.

    Returns:
        a summary of what was written.

    Raises:
        InputError: an argument is invalid, or no time or node is selected.
        OutputError: the output exists, is being written by another process, or cannot be written.
        MissingExtraError: the format needs a library that is not installed.
    """
    form = FORMS[choose("--to", to, FORMS)]
    if by is not None:
        choose("--by", by, get_args(By))
    path = Path(out)
    one_file = _is_file(path, form, to, by)
    if form.module:
        need(form.module)
    chosen = open_source(source, variable, period=period, bbox=bbox, command=command)
    inputs = chosen.field.encoding.get("source_files", ())
    keep_apart(path, [place_of(each) for each in inputs])
    if one_file:
        return _one_file(chosen, path, form, overwrite, progress)
    return _folder(chosen, path, to, by or "day", overwrite, progress)


def _is_file(path: Path, form: Form, to: str, by: By | None) -> bool:
    """Return whether the output is one file or store.

    Raises:
        InputError: the name does not fit the format.
    """
    suffix = path.suffix.lower()
    if suffix == form.suffix and (form.is_store or not path.is_dir()):
        if by is not None:
            do = "leave --by out for one of all times"
            if not form.is_store:
                do = f"name a folder, or {do}"
            raise InputError(f"--by {by}", "a folder of files as output", f"{path}", do)
        return True
    others = {each.suffix for each in FORMS.values()}
    if form.is_store or path.is_file() or (suffix in others and not path.is_dir()):
        folder = "" if form.is_store else "a folder, or "
        raise InputError(
            f"output {path}",
            f"{folder}a name ending in {form.suffix} for --to {to}",
            f"the ending {suffix}" if suffix else "another",
        )
    return False


def _one_file(
    source: Source, path: Path, form: Form, overwrite: bool, progress: Progress
) -> Exported:
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists; choose another name, or replace it with --overwrite"
        )
    if form.is_store and path.exists() and not _is_store(path):
        raise OutputError(
            f"{path} is no Zarr store and will not be replaced; choose another name"
        )
    (piece,) = pieces_of(source.times, None)
    with locked(path.with_name(f".{path.name}.lock"), path):
        _write(source, piece, path, form, progress, 0)
        _describe(source, path.with_name(f"{path.name}-metadata.json"), form)
    files = [each for each in path.rglob("*") if each.is_file()] or [path]
    size = sum(each.stat().st_size for each in files)
    return Exported(path, 1, 1, 0, piece.hours, size)


def _is_store(path: Path) -> bool:
    names = (".zgroup", "zarr.json")
    return any((path / name).exists() for name in names)


def _describe(source: Source, path: Path, form: Form) -> None:
    """Write the additional metadata file of a format that cannot hold metadata itself."""
    if form.describe is not None:
        with os_errors_explained(path):
            write_atomically(path, form.describe(source))


@contextmanager
def _atomic_store(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed to ``path`` at the end, or removed on an error."""
    new, old = (
        path.with_name(f".{path.name}{more}{UNFINISHED}") for more in ("", ".old")
    )
    with os_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)
            yield new
            if path.exists():
                path.replace(old)
            new.replace(path)
            sync(path.parent)
        finally:
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)


def _write(
    source: Source,
    piece: Piece,
    path: Path,
    form: Form,
    progress: Progress,
    before: int,
) -> str:
    """Write one file atomically; return the fingerprint of its values."""
    digests: list[str] = []

    def watched() -> Iterator[tuple[int, np.ndarray]]:
        for start, values in source.blocks(piece):
            digests.extend(source.digests(piece, start, values))
            yield start, values
            done = before + start + len(values)
            progress("export", done, source.times.size)

    atomic = _atomic_store(path) if form.is_store else atomic_path(path, durable=True)
    with atomic as temporary:
        form.write(temporary, source, piece, watched())
    return combine(digests)


def _folder(
    source: Source, folder: Path, to: str, by: By, overwrite: bool, progress: Progress
) -> Exported:
    form, total = FORMS[to], source.times.size
    records = Records(folder / FOLDER)
    pieces = pieces_of(source.times, by)
    identity = {
        "export": to,
        "by": by,
        "variable": source.name,
        "grid": source.grid.describe(),
    }
    written = renewed = size = 0
    with locked(records.lock, folder):
        if overwrite:
            _discard(folder, records)
        do = "choose another folder, or replace its files with --overwrite"
        records.begin(identity, folder, do)
        remove_unfinished(folder)
        for piece in pieces:
            name = f"{source.name}_{piece.date}{form.suffix}"
            path = folder / name
            record = records.get(name)
            if record is None and path.exists() and not overwrite:
                raise OutputError(
                    f"{path} exists and was not written by this command; {do}"
                )
            if record is None or not _is_same(record, path, source, piece):
                inputs = _write(source, piece, path, form, progress, piece.start)
                records.put(Record(name, inputs, file_digest(path)))
                written += 1
                renewed += record is not None
            with os_errors_explained(path):
                size += path.stat().st_size
            progress("export", piece.stop, total)
        _describe(source, folder / "csv-metadata.json", form)
    return Exported(folder, len(pieces), written, renewed, total, size)


def _is_same(record: Record, path: Path, source: Source, piece: Piece) -> bool:
    """Return whether a file is unchanged since it was written, and its input too."""
    return (
        path.exists()
        and file_digest(path) == record.digest
        and source.fingerprint(piece) == record.inputs
    )


def _discard(folder: Path, records: Records) -> None:
    """Remove the files named in the records, and the records."""
    with os_errors_explained(folder):
        for name in list(records.names()):
            inside(folder, name).unlink(missing_ok=True)
            records.forget(name)
        (folder / FOLDER / "identity.json").unlink(missing_ok=True)
