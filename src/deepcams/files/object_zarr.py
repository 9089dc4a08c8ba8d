"""Zarr stores in object stores, read in place: broken responses are retried, lasting errors reported in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from deepcams.core.url import Url
from deepcams.files import object_storage

_T = TypeVar("_T")


class RetryingStore(ObjectStore[Any]):
    """Zarr's obstore-based store, with retries after broken responses and one-line errors."""

    url: Url

    @classmethod
    def of(
        cls, storage: object_storage.ObjectStorage, *, read_only: bool
    ) -> RetryingStore:
        """Make the Zarr store of a storage."""
        store = cls(storage._store, read_only=read_only)
        store.url = storage.url
        return store

    def with_read_only(self, read_only: bool = False) -> RetryingStore:
        """See Zarr."""
        store = type(self)(self.store, read_only=read_only)
        store.url = self.url
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the URL only; the other process reads its own credentials."""
        return _reopened, (self.url, self.read_only)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """See Zarr."""
        plain = super().get
        return await self._do(lambda: plain(key, prototype, byte_range), key)

    async def exists(self, key: str) -> bool:
        """See Zarr."""
        plain = super().exists
        return await self._do(lambda: plain(key), key)

    async def set(self, key: str, value: Buffer) -> None:
        """See Zarr."""
        plain = super().set
        await self._do(lambda: plain(key, value), key)

    async def delete(self, key: str) -> None:
        """See Zarr."""
        plain = super().delete
        await self._do(lambda: plain(key), key)

    def __str__(self) -> str:
        return str(self.url)

    async def _do(self, work: Callable[[], Awaitable[_T]], key: str) -> _T:
        obstore = object_storage.need_obstore(self.url)
        for wait in (*object_storage.WAITS, None):
            try:
                return await work()
            except FileNotFoundError:
                raise
            except Exception as error:
                if object_storage.is_final(error, obstore) or wait is None:
                    name = f"{self.url}/{key}"
                    raise object_storage.explained(
                        error, self.url, name, obstore
                    ) from None
            await asyncio.sleep(wait)
        raise AssertionError


def _reopened(url: Url, read_only: bool) -> RetryingStore:
    return RetryingStore.of(object_storage.ObjectStorage(url), read_only=read_only)
