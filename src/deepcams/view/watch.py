"""Whether what is shown is still what was opened: its values are read when asked for, its times were read before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from deepcams.core.errors import DeepcamsError
from deepcams.readers.formats.detect import DataFile

_Stamp = tuple[int, int, int, int]


class ChangedError(DeepcamsError):
    """What is shown was deleted or replaced.

    Args:
        file: that was.
        gone: whether nothing is in its place.
    """

    def __init__(self, file: object, gone: bool) -> None:
        self.gone = gone
        found = "was deleted" if gone else "was replaced or changed"
        super().__init__(
            f"{file} {found} since it was opened; stop deepcams view and start it again"
        )


class Watch:
    """Remembers files as they are now.

    Of a Zarr store, the metadata count: a run that goes on adds chunks to it, and leaves them as they are.

    Args:
        files: what will be shown.
    """

    def __init__(self, files: Sequence[DataFile] = ()) -> None:
        self._stamps = [
            (file, path, _stamp(path)) for file in files for path in _parts(file)
        ]

    def check(self) -> None:
        """Look again.

        Raises:
            ChangedError: a file is gone, or another one is in its place.
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
    """What no other file has: a copy may bear the first one's times and number, but not its time of change."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
