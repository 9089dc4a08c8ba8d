"""Zarr v3 stores with sharding: one shard per work item, laid out first, then filled."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from deepcams.core.errors import OutputError
from deepcams.files.atomic import remove_unfinished, sync
from deepcams.files.records import Identity
from deepcams.writers.item_records import Record, Records
from deepcams.writers.layout import RUN, Item, Layout, Split
from deepcams.writers.written import STATE

_LEVEL = 1
"""Of zstd within Blosc, after shuffling bits: bits of rounded values compress best beside bits of the same weight.
A higher level gains 2 % and takes twice as long."""


class ZarrTarget:
    """A Zarr v3 store. Completion records live in its hidden folder, which no reader of Zarr looks into.

    Args:
        path: the store, ending in ``.zarr``.
    """

    split: Split | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = path.with_name(f".{path.name}.new")
        self.lock = path.with_name(f".{path.name}.lock")
        self._old = path.with_name(f".{path.name}.old")
        self._records = Records(path / STATE)
        self._layout: Layout | None = None

    def exists(self) -> bool:
        """Whether the store stands."""
        return self.path.exists()

    def identity(self) -> Identity | None:
        """See :meth:`Target.identity`."""
        try:
            text = json.loads((self.path / "zarr.json").read_text(encoding="utf-8"))["attributes"][
                RUN
            ]
            found: Identity = json.loads(text)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def create(self, layout: Layout, items: tuple[Item, ...], identity: Identity) -> None:
        """Lay the store out beside its place, then put it there: it is never seen half laid out."""
        if self.path.exists() and not (_is_zarr(self.path) or not any(self.path.iterdir())):
            raise OutputError(
                f"{self.path} is no Zarr store and will not be replaced; choose another name"
            )
        self._clear()
        try:
            lay_out(self._new, layout, {RUN: json.dumps(identity, sort_keys=True)})
            # A group, so that listing the store without its consolidated metadata finds nothing strange in it.
            about = {"about": "completion records of deepcams"}
            zarr.create_group(self._new / STATE, zarr_format=3, attributes=about)
            if self.path.exists():
                self.path.replace(self._old)
            self._new.replace(self.path)
            sync(self.path.parent)
        finally:
            self._clear()
        self._layout = layout

    def resume(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """See :meth:`Target.resume`."""
        self._clear()
        remove_unfinished(self.path)
        self._layout = layout

    def _clear(self) -> None:
        for leftover in (self._new, self._old):
            if leftover.exists():
                shutil.rmtree(leftover)

    def _files(self, item: Item, name: str) -> tuple[Path, Path]:
        return self.path / name / "c" / str(
            item.index
        ) / "0" / "0", self.path / "status" / "c" / str(item.index)

    def record(self, item: Item) -> Record | None:
        """The item's record, unless its shard has gone missing."""
        record = self._records.get(item.index)
        if record is not None and self._layout is not None and any(record.hours[1:]):
            return record if all(f.exists() for f in self._files(item, self._layout.name)) else None
        return record

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """All records merged, once every item is finished."""
        records = [self.record(item) for item in items]
        finished = [record for record in records if record is not None]
        return Record.merge(finished) if len(finished) == len(records) else None

    def write(self, item: Item, values: np.ndarray, status: np.ndarray, record: Record) -> None:
        """Write the item's shard and its status, force them to disk, then put the record."""
        assert self._layout is not None
        name = self._layout.name
        files = self._files(item, name)
        for file in files:  # of a killed run: written, but without a record
            file.unlink(missing_ok=True)
        for array, data in ((name, values), ("status", status)):
            zarr.open_array(self.path / array, mode="r+")[item.start : item.stop] = data
        for file in files:
            if (
                file.exists()
            ):  # a shard or a chunk that holds nothing but missing values is not stored
                sync(file)
                sync(file.parent)
        self._records.put(item.index, record)

    def finish(self, progress: Callable[[int], None] | None = None) -> None:
        """Nothing is left to do: each shard stands where it belongs."""
        sync(self.path)

    def discard(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.path, ignore_errors=True)

    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """See :meth:`Target.measure`."""
        from numcodecs.blosc import Blosc

        codec = Blosc(cname="zstd", clevel=_LEVEL, shuffle=Blosc.BITSHUFFLE)
        steps = [
            range(0, size, chunk) for size, chunk in zip(values.shape, layout.chunks, strict=True)
        ]
        t, r, c = layout.chunks
        blocks = (
            np.ascontiguousarray(values[i : i + t, j : j + r, k : k + c])
            for i, j, k in product(*steps)
        )
        return sum(len(codec.encode(block)) for block in blocks)

    def size(self) -> int:
        """Bytes on disk, records excluded."""
        return sum(
            f.stat().st_size for f in self.path.rglob("*") if f.is_file() and STATE not in f.parts
        )


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def lay_out(path: Path, layout: Layout, attributes: dict[str, str]) -> None:
    """Write a store's metadata and coordinates; its values and its status are there, and empty."""
    import dask.array as da

    shard = layout.shard
    dataset = layout.frame().assign_attrs(attributes)
    empty = da.full(layout.shape, np.nan, dtype=np.float32, chunks=shard)  # type: ignore[no-untyped-call]
    dataset[layout.name] = (("time", "latitude", "longitude"), empty, layout.variable_attributes())
    # Attributes have no types in Zarr: as 64-bit integers the flags equal flag_values in type wherever they go.
    flags = da.zeros(layout.times.size, dtype=np.int64, chunks=shard[0])
    dataset["status"] = ("time", flags, layout.status_attributes())
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"_FillValue": None} for name in dataset.variables
    }
    encoding[layout.name] = {
        "chunks": layout.chunks,
        "shards": shard,
        "compressors": BloscCodec(cname="zstd", clevel=_LEVEL, shuffle="bitshuffle"),
        "_FillValue": np.float32(np.nan),
    }
    encoding["status"]["chunks"] = (shard[0],)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        dataset.to_zarr(
            path, mode="w", compute=False, consolidated=True, zarr_format=3, encoding=encoding
        )
