"""The export itself: file by file, each atomic; what is there already and unchanged is not written again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.core.progress import Progress, no_progress
from deepcams.core.url import Place, place_of
from deepcams.downscaling.output_identity import keep_apart
from deepcams.export.geotiff import write_cog
from deepcams.export.netcdf import write_netcdf
from deepcams.export.source import By, Piece, Source, open_source, pieces_of
from deepcams.files.atomic import (
    atomic_path,
    os_errors_explained,
    remove_unfinished,
)
from deepcams.files.lock import locked
from deepcams.files.optional import need
from deepcams.files.records import FOLDER, Record, Records, file_digest, inside
from deepcams.readers.frames import combine

Write = Callable[[Path, Source, Piece, Iterable[tuple[int, np.ndarray]]], None]


@dataclass(frozen=True)
class Form:
    """A format of files.

    Attributes:
        suffix: of their names.
        write: writes one.
        module: the optional library that it needs; empty for none.
    """

    suffix: str
    write: Write
    module: str = ""


FORMS = {
    "cog": Form(".tif", write_cog, "rasterio"),
    "netcdf": Form(".nc", write_netcdf),
}
"""Formats by name."""


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        path: the file or folder.
        files: how many there are now.
        written: how many of them this run wrote.
        renewed: how many of these were there with other values.
        hours: times in all of them.
        bytes: their size.
    """

    path: Path
    files: int
    written: int
    renewed: int
    hours: int
    bytes: int


def export(
    paths: Sequence[str | Place],
    out: str | Path,
    to: str,
    *,
    by: By | None = None,
    variable: str | None = None,
    period: str | None = None,
    bbox: Sequence[float] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    command: str = "deepcams export",
) -> Exported:
    """Write a field in another format.

    Args:
        paths: of the field, see :func:`deepcams.open_field`.
        out: a file with the format's ending, or a folder.
        to: one of :data:`FORMS`.
        by: how much time goes into a file of a folder; default a day.
        variable, period, bbox, command: see :func:`~deepcams.export.source.open_source`.
        overwrite: replace an existing file, or a folder of other settings.
        progress: told of the stage ``export``, in hours.

    Returns:
        what was written.

    Raises:
        InputError: an argument is not what was expected; no time or node is left.
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
    source = open_source(paths, variable, period=period, bbox=bbox, command=command)
    keep_apart(path, [place_of(each) for each in paths])
    if one_file:
        return _one_file(source, path, form, overwrite, progress)
    return _folder(source, path, to, by or "day", overwrite, progress)


def _is_file(path: Path, form: Form, to: str, by: By | None) -> bool:
    """Return whether the output is one file.

    Raises:
        InputError: the name does not fit the format.
    """
    if path.is_dir() and path.suffix != form.suffix:
        return False
    suffix = path.suffix.lower()
    if suffix == form.suffix:
        if by is not None:
            raise InputError(
                f"--by {by}",
                "a folder as output",
                f"{path}",
                "name a folder, or leave --by out for one file of all times",
            )
        return True
    known = {each.suffix for each in FORMS.values()} | {".zarr"}
    if suffix in known or path.is_file():
        raise InputError(
            f"output {path}",
            f"a folder, or a name ending in {form.suffix} for --to {to}",
            f"the ending {suffix}" if suffix else "a file",
        )
    return False


def _one_file(
    source: Source, path: Path, form: Form, overwrite: bool, progress: Progress
) -> Exported:
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists; choose another name, or replace it with --overwrite"
        )
    (piece,) = pieces_of(source.times, None)
    with locked(path.with_name(f".{path.name}.lock"), path):
        _write(source, piece, path, form, progress, 0)
    size = path.stat().st_size
    return Exported(path, 1, 1, 0, piece.hours, size)


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

    with atomic_path(path, durable=True) as temporary:
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
    return Exported(folder, len(pieces), written, renewed, total, size)


def _is_same(record: Record, path: Path, source: Source, piece: Piece) -> bool:
    """Return whether a file is as it was written, of the values that the input has now."""
    return (
        path.exists()
        and file_digest(path) == record.digest
        and source.fingerprint(piece) == record.inputs
    )


def _discard(folder: Path, records: Records) -> None:
    """Remove the files that the records name, and the records."""
    with os_errors_explained(folder):
        for name in list(records.names()):
            inside(folder, name).unlink(missing_ok=True)
            records.forget(name)
        (folder / FOLDER / "identity.json").unlink(missing_ok=True)
