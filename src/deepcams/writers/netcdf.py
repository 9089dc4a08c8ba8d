"""netCDF-4 files, one for all or one a day or month; each appears under its name only when it is complete.

HDF5 files do not survive a kill while they grow. So items are kept as compressed parts in a hidden folder until their
file's last one is there; then the file is written in one go beside its place, forced to disk and renamed.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from xarray.backends.netCDF4_ import (
    NETCDF4_PYTHON_LOCK,
)  # HDF5 is not thread-safe; xarray reads under this lock too

from deepcams.core.errors import OutputError
from deepcams.files.atomic import (
    UNFINISHED,
    remove_unfinished,
    replace_atomically,
    write_atomically,
)
from deepcams.files.records import Identity
from deepcams.writers.item_records import Record, Records
from deepcams.writers.layout import RUN, Item, Layout, Split

TOTAL = "deepcams_record"
"""Global attribute of a complete single file: all items' records, merged, as JSON."""

_COMPRESSION: dict[str, Any] = {"compression": "zlib", "complevel": 1, "shuffle": True}
"""What every reader of netCDF-4 understands; a higher level gains 2 % and costs a fifth more time."""


class NetcdfTarget:
    """netCDF files.

    Args:
        path: the file, or the folder if ``split`` is given.
        split: one file a ``day`` or a ``month``.
    """

    def __init__(self, path: Path, split: Split | None = None) -> None:
        self.path, self.split = path, split
        self._state = path / ".deepcams" if split else path.with_name(f".{path.name}.deepcams")
        self._records = Records(self._state)
        beside = not split or path.is_file()
        self.lock = path.with_name(f".{path.name}.lock") if beside else path / ".deepcams.lock"
        self._layout: Layout | None = None
        self._files: dict[str, list[Item]] = {}

    def _file(self, part: str) -> Path:
        assert self._layout is not None
        return self.path / f"{self._layout.name}_{part}.nc" if self.split else self.path

    def _part(self, item: Item) -> Path:
        return self._state / f"item-{item.index:06d}.part"

    def exists(self) -> bool:
        """Whether the file, a folder with anything in it, or an unfinished run stands there."""
        if self.split:
            return self.path.is_file() or (
                self.path.is_dir() and any(one != self.lock for one in self.path.iterdir())
            )
        return self.path.exists() or self._state.exists()

    def identity(self) -> Identity | None:
        """See :meth:`Target.identity`."""
        try:
            if not self.split and self.path.exists():
                with netCDF4.Dataset(self.path) as file:
                    text = file.getncattr(RUN)
            else:
                text = (self._state / "run.json").read_text(encoding="utf-8")
            found: Identity = json.loads(text)
        except (OSError, ValueError, AttributeError):
            return None
        return found

    def create(self, layout: Layout, items: tuple[Item, ...], identity: Identity) -> None:
        """Remember what is to be written; the files themselves come when they are complete."""
        if self.path.exists() and (self.path.is_dir() != bool(self.split)):
            raise OutputError(
                f"{self.path} is a {'folder' if self.path.is_dir() else 'file'}; choose another name"
            )
        if self.split and self.exists():
            if self.identity() is None:
                raise OutputError(
                    f"{self.path} holds other files and will not be replaced; choose another folder"
                )
            self.discard()
        if self._state.exists():
            shutil.rmtree(self._state)
        if self.split:
            self.path.mkdir(exist_ok=True)
        self._begin(layout, items)
        kept = {"files": [self._file(part).name for part in self._files]}
        try:
            self._state.mkdir()
            write_atomically(self._state / "files.json", json.dumps(kept).encode())
            write_atomically(
                self._state / "run.json", json.dumps(identity, sort_keys=True).encode()
            )
        except OSError:
            self._forget()
            raise
        if not self.split:
            self.path.unlink(missing_ok=True)

    def resume(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """See :meth:`Target.resume`."""
        self._begin(layout, items)
        if self._state.exists():
            remove_unfinished(self._state)

    def _begin(self, layout: Layout, items: tuple[Item, ...]) -> None:
        self._layout = layout
        self._files = {}
        for item in items:
            self._files.setdefault(item.part, []).append(item)

    def record(self, item: Item) -> Record | None:
        """The item's record, unless neither its part nor its file is there."""
        record = self._records.get(item.index)
        there = self._part(item).exists() or self._file(item.part).exists()
        return record if there else None

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """See :meth:`Target.total`."""
        if not self.split:
            if not self.path.exists():
                return None
            with netCDF4.Dataset(self.path) as file:
                return Record.from_json(file.getncattr(TOTAL))
        records = [self.record(item) if self._file(item.part).exists() else None for item in items]
        finished = [record for record in records if record is not None]
        return Record.merge(finished) if len(finished) == len(records) else None

    def write(self, item: Item, values: np.ndarray, status: np.ndarray, record: Record) -> None:
        """Keep the item; write its file if it was the file's last."""
        siblings = self._files[item.part]
        if self.split and len(siblings) == 1:
            self._put(item.part, iter([(values, status)]), [record])
            self._records.put(item.index, record)
            return
        write_atomically(self._part(item), _codec().encode(values) + status.tobytes())
        self._records.put(item.index, record)
        if self.split and all(self.record(sibling) for sibling in siblings):
            self._assemble(item.part, None)

    def finish(self, progress: Callable[[int], None] | None = None) -> None:
        """Write each file that has all its parts and is not there yet; remove what is no longer needed."""
        for part in self._files:
            if not self._file(part).exists():
                self._assemble(part, progress)
        if not self.split and self._state.exists():
            shutil.rmtree(self._state)

    def _assemble(self, part: str, progress: Callable[[int], None] | None) -> None:
        items = self._files[part]
        records = [
            record for item in items if (record := self._records.get(item.index)) is not None
        ]
        self._put(part, self._read(items, progress), records)
        for item in items:
            self._part(item).unlink(missing_ok=True)

    def _read(
        self, items: list[Item], progress: Callable[[int], None] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        assert self._layout is not None
        rows, columns = self._layout.grid.shape
        for item in items:
            data = self._part(item).read_bytes()
            flags = np.frombuffer(data[-item.hours :], np.int8)
            values = np.frombuffer(_codec().decode(data[: -item.hours]), np.float32)
            yield values.reshape(item.hours, rows, columns), flags
            if progress is not None:
                progress(item.hours)

    def _put(
        self, part: str, blocks: Iterator[tuple[np.ndarray, np.ndarray]], records: list[Record]
    ) -> None:
        """Write one whole file beside its place, force it to disk, and rename it."""
        assert self._layout is not None
        items, final = self._files[part], self._file(part)
        partial = self._state / f"{final.name}.{uuid.uuid4().hex}{UNFINISHED}"
        run = (self._state / "run.json").read_text(encoding="utf-8")
        attributes = {RUN: run, TOTAL: Record.merge(records).to_json().strip()}
        try:
            with (
                replace_atomically(final, partial),
                NETCDF4_PYTHON_LOCK,
                netCDF4.Dataset(partial, "w", format="NETCDF4") as file,
            ):
                values, status = lay_out(
                    file, self._layout, slice(items[0].start, items[-1].stop), attributes
                )
                done = 0
                for block, flags in aligned(blocks, self._layout.chunks[0]):
                    values[done : done + len(flags)] = block
                    status[done : done + len(flags)] = flags
                    done += len(flags)
        except RuntimeError as error:  # how netCDF reports what the operating system refused
            raise OSError(0, f"{error} (is the disk full?)", str(final)) from error

    def discard(self) -> None:
        """Remove our files and records, and the folder if nothing else is in it."""
        if self.split:
            try:
                names = json.loads((self._state / "files.json").read_text(encoding="utf-8"))[
                    "files"
                ]
            except (OSError, ValueError, KeyError):
                names = []
            for name in names:
                (self.path / name).unlink(missing_ok=True)
        else:
            self.path.unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)
        if self.split and self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """See :meth:`Target.measure`."""
        file = netCDF4.Dataset("measure", "w", memory=values.nbytes)
        for name, size in zip("tyx", values.shape, strict=True):
            file.createDimension(name, size)
        chunks = tuple(map(min, layout.chunks, values.shape))
        file.createVariable(
            "v", "f4", tuple("tyx"), chunksizes=chunks, fill_value=np.nan, **_COMPRESSION
        )[:] = values
        return len(file.close())

    def size(self) -> int:
        """Bytes on disk."""
        files = (self._file(part) for part in self._files)
        return sum(file.stat().st_size for file in files if file.exists())


def _codec() -> Any:
    from numcodecs.blosc import Blosc

    return Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)


def aligned(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]], step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Regroup blocks so that each but the last has a multiple of ``step`` hours: no chunk is compressed twice."""
    kept: tuple[np.ndarray, np.ndarray] | None = None
    for block in blocks:
        if kept is not None:
            block = (np.concatenate([kept[0], block[0]]), np.concatenate([kept[1], block[1]]))
        whole = len(block[1]) // step * step
        if whole:
            yield block[0][:whole], block[1][:whole]
        kept = (block[0][whole:].copy(), block[1][whole:].copy()) if whole < len(block[1]) else None
    if kept is not None:
        yield kept


def lay_out(file: Any, layout: Layout, part: slice, attributes: dict[str, str]) -> tuple[Any, Any]:
    """Define everything in an open netCDF file and write the coordinates; returns the two variables to fill."""
    frame = layout.frame(part)
    file.setncatts({**frame.attrs, **attributes})
    for name, size in (*frame.sizes.items(), ("bounds", 2)):
        if name not in file.dimensions:
            file.createDimension(name, None if name == "time" else size)
    for name, variable in frame.variables.items():
        made = file.createVariable(name, variable.dtype, variable.dims)
        made.setncatts(variable.attrs)
        made[...] = variable.values
    values = file.createVariable(
        layout.name,
        "f4",
        ("time", "latitude", "longitude"),
        chunksizes=(layout.chunks[0], *map(min, layout.chunks[1:], layout.grid.shape)),
        fill_value=np.float32(np.nan),
        **_COMPRESSION,
    )
    values.setncatts(layout.variable_attributes())
    values.set_auto_maskandscale(False)
    status = file.createVariable("status", "i1", ("time",))
    status.setncatts(layout.status_attributes())
    return values, status
