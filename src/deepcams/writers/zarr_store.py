"""Zarr v3 stores with sharding: one shard per work item, laid out first, then filled."""

from __future__ import annotations

import base64
import json
import shutil
import struct
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import DIMS
from deepcams.core.progress import Progress, no_progress
from deepcams.core.stages import staged
from deepcams.core.text import from_json
from deepcams.core.url import Place
from deepcams.files.atomic import (
    UNFINISHED,
    os_errors_explained,
    remove_unfinished,
    sync,
)
from deepcams.files.records import FOLDER, Identity, Record, Records, data_digest
from deepcams.files.storage import storage_at
from deepcams.writers.layout import RUN, Item, Layout
from deepcams.writers.target import LAYOUT, Contents, Target, blosc

TIMES_CHUNK = 24 * 366
"""Length of the chunks of the time coordinate."""
_ROOT = "zarr.json"
_MARK = f"{FOLDER}/{_ROOT}"
"""Object that is written first and removed last: it marks an incomplete store without a root as deepcams' own."""

_MISSING = base64.standard_b64encode(struct.pack("<d", np.nan)).decode()
"""NaN in xarray's encoding of fill-value attributes."""

_LAYING_OUT = threading.Lock()
"""Lock for the layout: items may be written concurrently, but warning filters are global."""


class ZarrTarget(Target):
    """A Zarr v3 store. Records are in its hidden folder, which Zarr readers ignore.

    A local store is laid out under a temporary name, then renamed. Object stores cannot rename: there the hidden folder
    is written first and the root metadata last, and without a root there is no store yet.

    Args:
        path: the store, ending in ``.zarr``.
    """

    def __init__(self, path: Place) -> None:
        self.storage = storage_at(path)
        beside = storage_at(path.parent)
        lock = beside.lock_place(f".{path.name}.lock")
        super().__init__(path, self.storage.inner(FOLDER), lock)
        self._arrays: dict[str, bytes] | None = None

    def exists(self) -> bool:
        """Return whether there is a store, or anything other than an incomplete layout of deepcams."""
        if isinstance(self.path, Path):
            return self.path.exists()
        if self.storage.exists(_ROOT):
            return True
        return not self.storage.exists(_MARK) and any(self.storage.list())

    def identity(self) -> Identity | None:
        """See :meth:`Target.identity`."""
        try:
            metadata = from_json(self.storage.get(_ROOT) or b"")
            found: Identity = from_json(metadata["attributes"][RUN])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    @staged("write")
    def create(
        self, layout: Layout, items: tuple[Item, ...], identity: Identity
    ) -> None:
        """Lay out the store without data; a partial layout is never visible."""
        if self.exists() and not self._is_replaceable():
            raise OutputError(
                f"{self.path} is no Zarr store and will not be replaced; choose another name"
            )
        attributes = _attributes(identity)
        if isinstance(self.path, Path):
            self._create_folder(self.path, layout, attributes)
        else:
            self._create_objects(layout, attributes)
        self._layout = layout

    def _is_replaceable(self) -> bool:
        names = (_ROOT, ".zgroup", ".zmetadata")
        return any(map(self.storage.exists, names)) or (
            isinstance(self.path, Path) and not any(self.path.iterdir())
        )

    def _create_folder(
        self, path: Path, layout: Layout, attributes: dict[str, str]
    ) -> None:
        new, old = _temporary(path)
        _remove_leftovers(path)
        try:
            objects = lay_out(layout, attributes)
            storage = storage_at(new)
            for key, data in objects.items():
                storage.put(key, data)
            Records(storage.inner(FOLDER)).put(_layout_record(objects))
            if path.exists():
                path.replace(old)
            new.replace(path)
            sync(path.parent)
        finally:
            _remove_leftovers(path)

    def _create_objects(self, layout: Layout, attributes: dict[str, str]) -> None:
        objects = lay_out(layout, attributes)
        self._remove_objects()
        self._put_layout(objects)

    def _put_layout(self, objects: dict[str, bytes]) -> None:
        """Write metadata and coordinates: the mark of deepcams first, the root last."""
        for key in sorted(objects, key=lambda key: (key == _ROOT, key != _MARK, key)):
            self.guard()
            if key == _ROOT:
                self.records.put(_layout_record(objects))
            self.storage.put(key, objects[key])

    def _remove_objects(self) -> None:
        """Remove all objects: the root first, the mark of deepcams last."""
        if not self.storage.exists(_MARK):
            self.storage.put(_MARK, b"{}")
        keys = set(self.storage.list())
        for key in sorted(keys, key=lambda key: (key != _ROOT, key == _MARK)):
            self.guard()
            self.storage.delete(key)

    def resume(
        self, layout: Layout, items: tuple[Item, ...], alone: bool = True
    ) -> None:
        """See :meth:`Target.resume`."""
        if isinstance(self.path, Path):
            _remove_leftovers(self.path)
            if alone:
                remove_unfinished(self.path)
        self._layout = layout

    def keys(self, item: Item) -> tuple[str, ...]:
        """Return the keys of the item's shards of values and of its chunk of the status."""
        shards = (f"{name}/c/{item.index}/0/0" for name in self.layout.names)
        return *shards, f"status/c/{item.index}"

    def has_data(self, item: Item, record: Record) -> bool:
        """See :meth:`Target.has_data`; a shard that holds only missing values is not stored."""
        empty = not any(Contents.of(record).hours[1:])
        return (
            empty
            or self._layout is None
            or all(map(self.storage.exists, self.keys(item)))
        )

    @staged("write")
    def write(
        self,
        item: Item,
        values: np.ndarray,
        status: np.ndarray,
        record: Record,
        others: Sequence[np.ndarray] = (),
    ) -> None:
        """Write the item's shards and its status, then create the record."""
        self.store(item, self.encoded(item, values, status, others), record)

    def store(
        self, item: Item, contents: dict[str, bytes | None], record: Record
    ) -> None:
        """Store the objects from :meth:`encoded`, then create the item's record."""
        self.guard()
        self.records.forget(item.name)  # its data are missing or damaged
        for key, data in contents.items():
            if data is None:  # only missing values
                self.storage.delete(key)
            else:
                self.storage.put(key, data)
        self.guard()
        digest = data_digest(*contents.values())
        self.records.create(replace(record, digest=digest))

    @staged("compress")
    def encoded(
        self,
        item: Item,
        values: np.ndarray,
        status: np.ndarray,
        others: Sequence[np.ndarray] = (),
    ) -> dict[str, bytes | None]:
        """Return the item's objects as Zarr writes them, by key; ``None`` if Zarr writes none."""
        with _LAYING_OUT:
            if self._arrays is None:
                self._arrays = lay_out(self.layout, {})
        arrays = (*self.layout.names, "status")
        names = [f"{array}/{_ROOT}" for array in arrays]
        objects: dict[str, Buffer] = {
            name: default_buffer_prototype().buffer.from_bytes(self._arrays[name])
            for name in names
        }
        store = MemoryStore(objects)
        for array, data in zip(arrays, (values, *others, status), strict=True):
            zarr.open_array(store, path=array, mode="r+")[item.start : item.stop] = data
        found = {key: objects.get(key) for key in self.keys(item)}
        return {
            key: None if data is None else data.to_bytes()
            for key, data in found.items()
        }

    def digest(self, item: Item) -> str:
        """See :meth:`Target.digest`."""
        return data_digest(*map(self.storage.get, self.keys(item)))

    def read(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`Target.read`."""
        names = (self.layout.name, "status")
        found: list[Any] = [
            zarr.open_array(self.storage.zarr(name), mode="r")[item.start : item.stop]
            for name in names
        ]
        return np.asarray(found[0]), np.asarray(found[1])

    def damage_of_layout(self) -> list[str]:
        """See :meth:`Target.damage_of_layout`."""
        try:
            record = self.records.get(LAYOUT)
        except OutputError as error:
            return [str(error).partition(";")[0]]
        if record is None:
            return [f"{self.path}: the record of its metadata is missing"]
        return [
            f"{self.path}/{key}: changed or missing"
            for key, digest in record.facts.items()
            if data_digest(self.storage.get(key)) != digest
        ]

    def restore_layout(self, layout: Layout, identity: Identity) -> None:
        """See :meth:`Target.restore_layout`; readers see the old or the new store, because the root is written last."""
        self._layout, self._arrays = layout, None
        with os_errors_explained(self.path):
            self._put_layout(lay_out(layout, _attributes(identity)))

    def before(self) -> tuple[np.ndarray, dict[str, Any]]:
        """See :meth:`Target.before`."""
        import xarray as xr

        try:
            with xr.open_zarr(self.storage.zarr(read_only=True)) as dataset:
                times = dataset.time.values.astype("datetime64[ns]")
                return times, dict(dataset.attrs)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"--extend {self.path}",
                "a store of deepcams downscale",
                "none that can be opened",
                "see deepcams verify",
            ) from error

    def forget(self, item: Item) -> None:
        """See :meth:`Target.forget`."""
        self.records.forget(item.name)

    @staged("write")
    def finish(self, progress: Progress = no_progress) -> None:
        """Remove leftovers of killed workers, and flush folder entries to disk; the shards are already in place."""
        if isinstance(self.path, Path):
            remove_unfinished(self.path)
            sync(self.path)

    def discard(self) -> None:
        """Remove the store."""
        if isinstance(self.path, Path):
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self._remove_objects()

    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """See :meth:`Target.measure`."""
        codec = blosc()
        sizes = zip(values.shape, layout.chunks, strict=True)
        starts = [range(0, size, chunk) for size, chunk in sizes]
        t, r, c = layout.chunks
        chunks = (
            values[i : i + t, j : j + r, k : k + c] for i, j, k in product(*starts)
        )
        return sum(len(codec.encode(np.ascontiguousarray(chunk))) for chunk in chunks)

    def size(self) -> int:
        """See :meth:`Target.size`."""
        sizes = self.storage.sizes()
        return sum(size for key, size in sizes.items() if FOLDER not in key.split("/"))


def _temporary(path: Path) -> tuple[Path, Path]:
    """Return the temporary path of a new store, and that of the old store while it is replaced."""
    new = path.with_name(f".{path.name}{UNFINISHED}")
    return new, path.with_name(f".{path.name}.old{UNFINISHED}")


def _remove_leftovers(path: Path) -> None:
    for leftover in _temporary(path):
        if leftover.exists():
            shutil.rmtree(leftover)


def _attributes(identity: Identity) -> dict[str, str]:
    return {RUN: json.dumps(identity, sort_keys=True)}


def _layout_record(objects: dict[str, bytes]) -> Record:
    """Return the record of metadata and coordinates."""
    return Record(
        LAYOUT, facts={key: data_digest(data) for key, data in objects.items()}
    )


def lay_out(layout: Layout, marks: dict[str, str]) -> dict[str, bytes]:
    """Return the objects of a store without data: metadata, coordinates, and the folder of records.

    It is written with Zarr directly: xarray would import Dask, which takes longer to import than xarray itself.
    """
    objects: dict[str, Buffer] = {}
    store = MemoryStore(objects)
    shard = layout.shard
    dataset = layout.frame().assign_attrs(marks)
    group = zarr.create_group(
        store, zarr_format=3, attributes=plain_attributes(dataset.attrs)
    )
    # The chunk length is fixed, so that a store can grow while others read it.
    chunks = {"time": (TIMES_CHUNK,), "time_bounds": (TIMES_CHUNK, 2)}
    for name, variable in dataset.variables.items():
        array = group.create_array(
            str(name),
            shape=variable.shape,
            dtype=variable.dtype,
            chunks=chunks.get(str(name), variable.shape),
            fill_value=np.nan if variable.dtype.kind == "f" else 0,
            attributes=plain_attributes(variable.attrs),
            dimension_names=tuple(map(str, variable.dims)) or None,
        )
        array[...] = variable.values
    attributes = [
        layout.variable_attributes(),
        *map(layout.attributes_of, layout.others),
    ]
    for name, dtype, about in zip(layout.names, layout.dtypes, attributes, strict=True):
        counts = dtype != "float32"
        group.create_array(
            name,
            shape=layout.shape,
            dtype=dtype,
            # Counts compress so well that small chunks would cost more than their contents.
            chunks=(shard[0], *layout.chunks[1:]) if counts else layout.chunks,
            shards=shard,
            compressors=BloscCodec(
                cname="zstd", clevel=1, shuffle="bitshuffle"
            ),  # see blosc()
            fill_value=-1 if counts else np.nan,
            attributes={
                **plain_attributes(about),
                "_FillValue": -1 if counts else _MISSING,
            },
            dimension_names=DIMS,
        )
    # Zarr attributes are untyped: with 64-bit integers the flags have the same type as flag_values.
    group.create_array(
        "status",
        shape=layout.shape[:1],
        dtype=np.int64,
        chunks=shard[:1],
        fill_value=0,
        attributes=plain_attributes(layout.status),
        dimension_names=DIMS[:1],
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Consolidated metadata is currently not part"
        )
        zarr.consolidate_metadata(store, zarr_format=3)
    # A group, so that listing the store without consolidated metadata finds only valid members.
    about = {"about": "completion records of deepcams"}
    zarr.create_group(store, path=FOLDER, zarr_format=3, attributes=about)
    return {key: data.to_bytes() for key, data in objects.items()}


def plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Convert attributes to JSON types."""
    return {
        str(name): value.tolist()
        if isinstance(value, np.ndarray | np.generic)
        else value
        for name, value in attributes.items()
    }
