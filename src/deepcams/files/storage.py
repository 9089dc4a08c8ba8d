"""Storage of outputs and records: a local folder or a folder in an object store, with one interface.

In either, an object appears under its key only when it is complete and permanently stored.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from deepcams.core.url import Place, Url
from deepcams.files.atomic import UNFINISHED, sync, write_atomically

if TYPE_CHECKING:
    from deepcams.files.object_storage import ObjectStorage


class Storage(ABC):
    """A folder of objects. Keys are names with slashes between folders.

    If the storage fails, methods raise ``OSError`` (a local folder) or :class:`~deepcams.core.errors.OutputError` (an
    object store); ``str`` of a storage is its path or URL without credentials.
    """

    @property
    @abstractmethod
    def place(self) -> Place:
        """Path or URL of the folder."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return an object's content, or ``None`` if it does not exist."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object atomically: readers see either the old or the new content."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write an object only if absent; return whether it was absent or already had the same content."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object if it exists."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Return the sorted keys of all objects in a folder and its subfolders, without unfinished ones.

        Args:
            prefix: key of the folder; empty for the whole storage.
        """

    @abstractmethod
    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the sizes in bytes of the objects of :meth:`list`, by key."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether an object exists."""

    @abstractmethod
    def zarr(self, key: str = "", *, read_only: bool = False) -> Any:
        """Return a folder of this storage in a form that Zarr accepts as a store."""

    @abstractmethod
    def inner(self, key: str) -> Storage:
        """Return a subfolder as a storage."""

    @abstractmethod
    def lock_place(self, key: str) -> LockPlace:
        """Return the place of the lock with this name, for :func:`deepcams.files.lock.locked`."""

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True)
class ObjectKey:
    """One object of an object store.

    Attributes:
        storage: folder of the object.
        key: key in the folder.
    """

    storage: ObjectStorage
    key: str

    def __str__(self) -> str:
        return f"{self.storage}/{self.key}"


LockPlace: TypeAlias = Path | ObjectKey
"""Place of a lock: a file or an object."""


class LocalStorage(Storage):
    """A folder on this machine.

    Args:
        folder: path; created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        """Pickle with an absolute path."""
        return {"folder": self.folder.absolute()}

    @property
    def place(self) -> Path:
        """See :attr:`Storage.place`."""
        return self.folder

    def get(self, key: str) -> bytes | None:
        """See :meth:`Storage.get`."""
        try:
            return (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """See :meth:`Storage.put`."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)

    def create(self, key: str, data: bytes) -> bool:
        """See :meth:`Storage.create`."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{UNFINISHED}")
        try:
            temporary.write_bytes(data)
            sync(temporary)
            try:
                os.link(temporary, path)  # fails if the name is taken
            except FileExistsError:
                return path.read_bytes() == data
            except OSError:  # no hard links: the output's lock must suffice
                if path.exists():
                    return path.read_bytes() == data
                temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def delete(self, key: str) -> None:
        """See :meth:`Storage.delete`."""
        with suppress(NotADirectoryError):
            (self.folder / key).unlink(missing_ok=True)

    def list(self, prefix: str = "") -> Iterator[str]:
        """See :meth:`Storage.list`."""
        paths = (
            path.relative_to(self.folder).as_posix() for path in self._walk(prefix)
        )
        yield from sorted(paths)

    def _walk(self, prefix: str) -> Iterator[Path]:
        for folder, _, names in os.walk(self.folder / prefix):
            for name in names:
                if not name.endswith(UNFINISHED):
                    yield Path(folder, name)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """See :meth:`Storage.sizes`."""
        return {
            path.relative_to(self.folder).as_posix(): path.lstat().st_size
            for path in self._walk(prefix)
        }

    def exists(self, key: str) -> bool:
        """See :meth:`Storage.exists`."""
        return (self.folder / key).is_file()

    def zarr(self, key: str = "", *, read_only: bool = False) -> Any:
        """See :meth:`Storage.zarr`."""
        return self.folder / key

    def inner(self, key: str) -> LocalStorage:
        """See :meth:`Storage.inner`."""
        return LocalStorage(self.folder / key)

    def lock_place(self, key: str) -> Path:
        """See :meth:`Storage.lock_place`."""
        return self.folder / key

    def remove(self) -> None:
        """Remove the folder and its contents."""
        shutil.rmtree(self.folder, ignore_errors=True)


def storage_at(place: Place) -> Storage:
    """Return the storage of a folder or a URL.

    Raises:
        MissingExtraError: the place is a URL and obstore is not installed.
        InputError: obstore rejects settings in the environment.
    """
    if isinstance(place, Url):
        from deepcams.files.object_storage import ObjectStorage

        return ObjectStorage(place)
    return LocalStorage(place)


def bytes_at(url: Url) -> int:
    """Return the size of an object, or of all objects in a folder (on the web: of a Zarr store's metadata)."""
    from deepcams.files.object_storage import objects_at

    return sum(about.bytes for about in objects_at(url).values())


def state_at(url: Url) -> str:
    """Return a text that changes when the object at a URL, or any object in the folder, changes."""
    from deepcams.files.object_storage import objects_at

    states = [f"{key} {about.state}" for key, about in sorted(objects_at(url).items())]
    return hashlib.sha256("\n".join([str(url), *states]).encode()).hexdigest()
