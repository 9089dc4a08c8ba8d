"""Detection of changes to the shown files: times are read on opening, but values only on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from deepcams.core.errors import DeepcamsError
from deepcams.readers.formats.detect import DataFile

_Stamp = tuple[int, int, int, int]


class ChangedError(DeepcamsError):
    """A shown file was deleted or replaced.

    Args:
        file: the file.
        gone: whether it was deleted without replacement.
    """

    def __init__(self, file: object, gone: bool) -> None:
        self.gone = gone
        found = "was deleted" if gone else "was replaced or changed"
        super().__init__(
            f"{file} {found} since it was opened; stop deepcams view and start it again"
        )


class Watch:
    """A snapshot of the state of files.

    For Zarr stores only the metadata are checked: a running downscaling adds chunks, but leaves the metadata unchanged.

    Args:
        files: files that will be shown.
    """

    def __init__(self, files: Sequence[DataFile] = ()) -> None:
        self._stamps = [
            (file, path, _stamp(path)) for file in files for path in _parts(file)
        ]

    def check(self) -> None:
        """Compare the files with the snapshot.

        Raises:
            ChangedError: a file was deleted or replaced.
        """
        for file, path, before in self._stamps:
            now = _stamp(path)
            if now != before:
                raise ChangedError(file, now is None)


def _parts(file: DataFile) -> Iterator[Path]:
    if file.kind != "zarr":
        places = dict.fromkeys([file.given, file.path])
        yield from (place for place in places if isinstance(place, Path))
        return
    for name in ("zarr.json", ".zgroup", ".zmetadata", ".zattrs", ".zarray"):
        yield from (
            path
            for path in (file.local / name, *file.local.glob(f"*/{name}"))
            if path.is_file()
        )


def _stamp(path: Path) -> _Stamp | None:
    """Return a stamp unique to a file: a copy may share modification time and inode, but not the change time."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
