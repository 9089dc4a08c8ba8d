"""Zarr v3 stores with sharding: one shard per work item, laid out first, then filled."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from deepcams.core.errors import OutputError
from deepcams.core.field import DIMS
from deepcams.core.progress import Progress, no_progress
from deepcams.files.atomic import UNFINISHED, remove_unfinished, sync
from deepcams.files.records import FOLDER, Identity, Record, file_digest
from deepcams.writers.layout import RUN, STATUS, Item, Layout
from deepcams.writers.target import Contents, Target, blosc


class ZarrTarget(Target):
    """A Zarr v3 store. Records are in its hidden folder, which no reader of Zarr looks into.

    Args:
        path: the store, ending in ``.zarr``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, path / FOLDER, path.with_name(f".{path.name}.lock"))
        self._new = path.with_name(f".{path.name}{UNFINISHED}")
        self._old = path.with_name(f".{path.name}.old{UNFINISHED}")

    def exists(self) -> bool:
        """Return whether there is a store."""
        return self.path.exists()

    def identity(self) -> Identity | None:
        """See :meth:`Target.identity`."""
        try:
            metadata = json.loads((self.path / "zarr.json").read_text(encoding="utf-8"))
            found: Identity = json.loads(metadata["attributes"][RUN])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def create(
        self, layout: Layout, items: tuple[Item, ...], identity: Identity
    ) -> None:
        """Lay the store out under a temporary name, then rename it: it is never seen half laid out."""
        if self.path.exists() and not _is_zarr(self.path) and any(self.path.iterdir()):
            raise OutputError(
                f"{self.path} is no Zarr store and will not be replaced; choose another name"
            )
        self._remove_leftovers()
        try:
            lay_out(self._new, layout, {RUN: json.dumps(identity, sort_keys=True)})
            # A group, so that listing the store without its consolidated metadata finds nothing strange in it.
            about = {"about": "completion records of deepcams"}
            zarr.create_group(self._new / FOLDER, zarr_format=3, attributes=about)
            if self.path.exists():
                self.path.replace(self._old)
            self._new.replace(self.path)
            sync(self.path.parent)
        finally:
            self._remove_leftovers()
        self._layout = layout

    def resume(
        self, layout: Layout, items: tuple[Item, ...], alone: bool = True
    ) -> None:
        """See :meth:`Target.resume`."""
        self._remove_leftovers()
        if alone:
            remove_unfinished(self.path)
        self._layout = layout

    def _remove_leftovers(self) -> None:
        for leftover in (self._new, self._old):
            if leftover.exists():
                shutil.rmtree(leftover)

    def _files(self, item: Item) -> tuple[Path, Path]:
        """Return the item's shard of values and its chunk of the status."""
        shard = self.path / self.layout.name / "c" / str(item.index) / "0" / "0"
        return shard, self.path / "status" / "c" / str(item.index)

    def has_data(self, item: Item, record: Record) -> bool:
        """See :meth:`Target.has_data`; a shard that holds only missing values is not stored."""
        empty = not any(Contents.of(record).hours[1:])
        return (
            empty
            or self._layout is None
            or all(file.exists() for file in self._files(item))
        )

    def write(
        self, item: Item, values: np.ndarray, status: np.ndarray, record: Record
    ) -> None:
        """Write the item's shard and its status, force them to disk, then put the record."""
        files = self._files(item)
        for file in files:  # of a killed run: written, but without a record
            file.unlink(missing_ok=True)
        for array, data in ((self.layout.name, values), ("status", status)):
            zarr.open_array(self.path / array, mode="r+")[item.start : item.stop] = data
        for file in files:
            if file.exists():
                sync(file)
                sync(file.parent)
        self.records.put(replace(record, digest=file_digest(*files)))

    def finish(self, progress: Progress = no_progress) -> None:
        """Force the store's entries to disk; each shard is in its place already."""
        sync(self.path)

    def discard(self) -> None:
        """Remove the store."""
        shutil.rmtree(self.path, ignore_errors=True)

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
        files = (file for file in self.path.rglob("*") if FOLDER not in file.parts)
        return sum(file.stat().st_size for file in files if file.is_file())


def _is_zarr(path: Path) -> bool:
    return any(
        (path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")
    )


def lay_out(path: Path, layout: Layout, attributes: dict[str, str]) -> None:
    """Write a store's metadata and coordinates, and its values and status as empty arrays."""
    import dask.array as da

    shard = layout.shard
    dataset = layout.frame().assign_attrs(attributes)
    empty = da.full(layout.shape, np.nan, dtype=np.float32, chunks=shard)  # type: ignore[no-untyped-call]
    dataset[layout.name] = (DIMS, empty, layout.variable_attributes())
    # Attributes have no types in Zarr: as 64-bit integers the flags equal flag_values in type wherever they go.
    flags = da.zeros(layout.times.size, dtype=np.int64, chunks=shard[0])
    dataset["status"] = ("time", flags, dict(STATUS))
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"_FillValue": None} for name in dataset.variables
    }
    encoding[layout.name] = {
        "chunks": layout.chunks,
        "shards": shard,
        "compressors": BloscCodec(
            cname="zstd", clevel=1, shuffle="bitshuffle"
        ),  # see blosc()
        "_FillValue": np.float32(np.nan),
    }
    encoding["status"]["chunks"] = (shard[0],)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Consolidated metadata is currently not part"
        )
        dataset.to_zarr(
            path,
            mode="w",
            compute=False,
            consolidated=True,
            zarr_format=3,
            encoding=encoding,
        )
