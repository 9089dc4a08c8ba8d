"""Find the data at a URL: a Zarr store (read in place), files (copied), or a folder of either."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass

from deepcams.core.errors import InputError
from deepcams.core.url import Url
from deepcams.files.object_storage import About, ObjectStorage, StorageError

ZARR = ("zarr.json", ".zgroup", ".zmetadata")
"""File names, one of which is in the root of every Zarr store."""
_HEAD = 1024


@dataclass(frozen=True)
class Remote:
    """A Zarr store or a file at a URL.

    Attributes:
        url: URL of the store or file.
        about: metadata of the file; ``None`` for a Zarr store.
        folder: folder in which it was found; ``None`` if it was named itself.
    """

    url: Url
    about: About | None
    folder: Url | None = None

    def head(self) -> bytes:
        """Return the file's first bytes."""
        return ObjectStorage(self.url.parent).head(self.url.name, _HEAD)


def find_remote(url: Url) -> Iterator[Remote]:
    """Yield the stores and files that a URL stands for.

    Args:
        url: URL of a Zarr store or a file; in an object store also of a folder, or with ``*`` in its last parts.

    Raises:
        InputError: nothing is found, or the server refuses access.
    """
    if "*" in url.path and not url.is_web:
        yield from _matching(url)
        return
    if not url.has_key:
        yield from _in_folder(url)
        return
    storage = ObjectStorage(url)
    if _has(storage, "zarr.json"):
        yield Remote(url, None)
        return
    about = _about(url)
    if about is not None:
        yield Remote(url, about)
    elif any(_has(storage, name) for name in ZARR):
        yield Remote(url, None)
    elif url.is_web:
        raise InputError(
            url,
            "a file, or a Zarr store with consolidated metadata",
            "nothing of this name",
            "check the address",
        )
    else:
        yield from _in_folder(url)


def _has(storage: ObjectStorage, name: str) -> bool:
    """Return whether an object exists; a web server may answer requests for missing objects with a refusal."""
    try:
        return storage.exists(name)
    except StorageError as error:
        if storage.url.is_web:
            return False
        raise StorageError(storage.url, error.found) from None  # as it was typed


def _about(url: Url) -> About | None:
    try:
        storage = ObjectStorage(url.parent)
        try:
            return storage.about(url.name)
        except StorageError:
            if not url.is_web:
                raise
            # The URL may be signed for reading only.
            return storage.about_by_reading(url.name)
    except StorageError as error:
        raise StorageError(url, error.found) from None


def _in_folder(url: Url) -> Iterator[Remote]:
    found = list(_sorted_out(url, ObjectStorage(url).all_about()))
    if not found:
        raise InputError(
            url,
            "a file, a Zarr store or a folder with data files",
            "nothing of this name",
            "check the URL",
        )
    yield from found


def _matching(url: Url) -> Iterator[Remote]:
    parts = url.path.split("/")
    fixed = next(i for i, part in enumerate(parts) if "*" in part)
    if fixed == 0:
        raise InputError(url, "the name of a bucket", parts[0], "name one bucket")
    folder = Url(f"{url.scheme}://{'/'.join(parts[:fixed])}")
    patterns, found = parts[fixed:], False
    for one in _sorted_out(folder, ObjectStorage(folder).all_about()):
        names = str(one.url).removeprefix(f"{folder}/").split("/")
        if len(names) == len(patterns) and all(
            map(fnmatch.fnmatchcase, names, patterns)
        ):
            found = True
            yield Remote(one.url, one.about)
    if not found:
        raise InputError(url, "files that match", "none", "check the pattern")


def _sorted_out(folder: Url, objects: dict[str, About]) -> Iterator[Remote]:
    """Yield a folder's Zarr stores and files, without hidden files, GRIB indexes and the contents of stores."""
    stores: list[str] = []
    roots = {
        key.rpartition("/")[0] for key in objects if key.rpartition("/")[2] in ZARR
    }
    for root in sorted(roots):
        if not any(f"{root}/".startswith(f"{store}/") for store in stores):
            stores.append(root)
            if not _hidden(root):
                yield Remote(folder / root, None, folder)
    for key, about in sorted(objects.items()):
        inside = any(key.startswith(f"{store}/") for store in stores)
        if not inside and not _hidden(key) and not key.endswith(".idx"):
            above = key.rpartition("/")[0]
            yield Remote(folder / key, about, folder / above if above else folder)


def _hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))
