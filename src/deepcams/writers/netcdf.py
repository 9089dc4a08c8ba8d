"""Target of netCDF-4 files, one in total or one per day or month; each appears under its name only when complete.

An HDF5 file is corrupted if the process is killed while it grows. So items are written as compressed pieces to a hidden
folder until the last item of their file is finished; then the file is written at once, flushed to disk and renamed.
"""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

# HDF5 is not thread-safe; xarray reads under this lock too.
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from deepcams.core.errors import OutputError
from deepcams.core.field import DIMS
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import from_json
from deepcams.files.atomic import (
    UNFINISHED,
    remove_unfinished,
    replace_atomically,
    write_atomically,
)
from deepcams.files.records import (
    FOLDER,
    Identity,
    Record,
    damaged_explained,
    fingerprint,
    inside,
)
from deepcams.writers.layout import RUN, Item, Layout, Split, fill_of
from deepcams.writers.target import FILES, Target, blosc, merge_records

TOTAL = "deepcams_record"
"""Name of the global attribute of a complete file that holds the merged records of its items, as JSON."""

_COMPRESSION: dict[str, Any] = {"compression": "zlib", "complevel": 1, "shuffle": True}
"""Compression supported by every netCDF-4 reader; a higher level gains 2 % and takes a fifth longer."""

_Block = tuple[np.ndarray, ...]
"""Values (hours, rows, columns) of each variable, then the status (hours)."""


class NetcdfTarget(Target):
    """netCDF files.

    Args:
        path: the file, or the folder if ``split`` is given.
        split: one file per ``day`` or ``month``.
    """

    path: Path

    def __init__(self, path: Path, split: Split | None = None) -> None:
        state = path / FOLDER if split else path.with_name(f".{path.name}{FOLDER}")
        lock = path.with_name(f".{path.name}.lock")
        if split and not path.is_file():
            lock = path / f"{FOLDER}.lock"
        super().__init__(path, state, lock, split)
        self._state = state
        self._files: dict[str, list[Item]] = {}

    def _file(self, date: str) -> Path:
        return self.path / f"{self.layout.name}_{date}.nc" if self.split else self.path

    def _piece(self, item: Item) -> Path:
        return self._state / f"{item.name}.piece"

    def exists(self) -> bool:
        """Return whether there is a file, a non-empty folder, or an unfinished run."""
        if not self.split:
            return self.path.exists() or self._state.exists()
        if not self.path.is_dir():
            return self.path.exists()
        lock = Path(str(self.lock)).name  # of the output and its parts
        entries = self.path.iterdir()
        return any(not entry.name.startswith(lock) for entry in entries)

    def identity(self) -> Identity | None:
        """See :meth:`Target.identity`."""
        if self.split or not self.path.exists():
            return self.records.identity()
        try:
            with netCDF4.Dataset(self.path) as file:
                found: Identity = from_json(file.getncattr(RUN))
        except (OSError, ValueError, AttributeError):
            return None
        return found

    def create(
        self, layout: Layout, items: tuple[Item, ...], identity: Identity
    ) -> None:
        """Record the identity of the output; the files themselves appear when they are complete."""
        if self.path.exists() and self.path.is_dir() != bool(self.split):
            kind = "folder" if self.path.is_dir() else "file"
            raise OutputError(f"{self.path} is a {kind}; choose another name")
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
        self.use(layout, items)
        names = [self._file(date).name for date in self._files]
        try:
            self.records.begin(identity, self.path, "use --overwrite")
            self.records.put(Record(FILES, facts={"names": names}))
        except OutputError:
            self._forget()
            raise
        if not self.split:
            self.path.unlink(missing_ok=True)

    def resume(
        self, layout: Layout, items: tuple[Item, ...], alone: bool = True
    ) -> None:
        """See :meth:`Target.resume`."""
        self.use(layout, items)
        if alone and self._state.exists():
            remove_unfinished(self._state)

    def use(self, layout: Layout, items: tuple[Item, ...]) -> None:
        """See :meth:`Target.use`."""
        self._layout = layout
        self._files = {}
        for item in items:
            self._files.setdefault(item.date, []).append(item)

    def has_data(self, item: Item, record: Record) -> bool:
        """Return whether the item's piece or its file exists."""
        return self._piece(item).exists() or self._file(item.date).exists()

    def total(self, items: tuple[Item, ...]) -> Record | None:
        """See :meth:`Target.total`."""
        if not all(self._file(item.date).exists() for item in items):
            return None
        if self.split:
            return super().total(items)
        with damaged_explained(self.path), netCDF4.Dataset(self.path) as file:
            return Record.from_json(file.getncattr(TOTAL))

    def write(
        self,
        item: Item,
        values: np.ndarray,
        status: np.ndarray,
        record: Record,
        others: Sequence[np.ndarray] = (),
    ) -> None:
        """Write the item's piece, or its file if the item is the only one in it."""
        siblings = self._files[item.date]
        block = (values, *others, status.astype(np.int8))
        record = replace(record, digest=fingerprint(*block))
        if self.split and len(siblings) == 1:
            self._write_file(item.date, [block], [record])
            self.records.put(record)
            return
        piece = self._piece(item)
        encoded = b"".join(map(blosc().encode, block[:-1]))
        write_atomically(piece, encoded + status.tobytes())
        self.records.put(record)

    def settle(self, item: Item) -> None:
        """Write the item's file if all items of the file are finished."""
        if not self.split or self._file(item.date).exists():
            return
        if all(self.record(sibling) for sibling in self._files[item.date]):
            self._assemble(item.date)

    def finish(self, progress: Progress = no_progress) -> None:
        """Write each missing file whose items are all finished; remove what is no longer needed."""
        for date, items in self._files.items():
            finished = all(self.record(item) for item in items)
            if finished and not self._file(date).exists():
                self._assemble(date, progress)
        if not self.split and self.path.exists() and self._state.exists():
            shutil.rmtree(self._state)
        elif self._state.exists():
            remove_unfinished(self._state)  # of workers that were killed

    def _assemble(self, date: str, progress: Progress = no_progress) -> None:
        """Write a file from its items' pieces."""
        items = self._files[date]
        records = [self.records.get(item.name) for item in items]
        finished = [record for record in records if record is not None]
        self._write_file(date, self._read(items, progress), finished)
        for item in items:
            self._piece(item).unlink(missing_ok=True)

    def _read(self, items: list[Item], progress: Progress) -> Iterator[_Block]:
        start, stop = items[0].start, items[-1].stop
        for item in items:
            data = self._piece(item).read_bytes()
            flags = np.frombuffer(data[-item.hours :], np.int8)
            shape, start_of, block = (item.hours, *self.layout.grid.shape), 0, []
            for dtype in self.layout.dtypes:
                # The header of each piece holds its length.
                length = int.from_bytes(data[start_of + 12 : start_of + 16], "little")
                piece = blosc().decode(data[start_of : start_of + length])
                block.append(np.frombuffer(piece, dtype).reshape(shape))
                start_of += length
            yield *block, flags
            progress("write", item.stop - start, stop - start)

    def _write_file(
        self, date: str, blocks: Iterable[_Block], records: list[Record]
    ) -> None:
        """Write one file under a temporary name, flush it to disk, and rename it."""
        items, final = self._files[date], self._file(date)
        attributes = {
            RUN: json.dumps(self.records.identity(), sort_keys=True),
            TOTAL: merge_records(records).to_json().strip(),
        }
        temporary = self._state / f"{final.name}.{uuid.uuid4().hex}{UNFINISHED}"
        hours = slice(items[0].start, items[-1].stop)
        try:
            with (
                replace_atomically(final, temporary),
                NETCDF4_PYTHON_LOCK,
                netCDF4.Dataset(temporary, "w", format="NETCDF4") as file,
            ):
                variables = lay_out(file, self.layout, hours, attributes)
                if len(items) > 1:
                    # A partly filled chunk is kept for the next item, so that no chunk is compressed twice.
                    layer = math.prod(self.layout.grid.shape) * self.layout.chunks[0]
                    for variable in variables[:-1]:
                        variable.set_var_chunk_cache(size=5 * layer, preemption=1.0)
                done = 0
                for block in blocks:
                    stop = done + len(block[-1])
                    for variable, data in zip(variables, block, strict=True):
                        variable[done:stop] = data
                    done = stop
        except RuntimeError as error:  # netCDF's error for a failed system call
            raise OSError(0, f"{error} (is the disk full?)", str(final)) from error

    def digest(self, item: Item) -> str:
        """See :meth:`Target.digest`; it covers values and status, whether in a piece or in a file."""
        return fingerprint(*self._block(item))

    def read(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`Target.read`."""
        values, *_, status = self._block(item)
        return values, status

    def _block(self, item: Item) -> _Block:
        if self._piece(item).exists():
            return next(self._read([item], no_progress))
        start = item.start - self._files[item.date][0].start
        hours = slice(start, start + item.hours)
        with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(self._file(item.date)) as file:
            file.set_auto_mask(False)
            return tuple(file[name][hours] for name in (*self.layout.names, "status"))

    def damage_of_layout(self) -> list[str]:
        """See :meth:`Target.damage_of_layout`: of the coordinates."""
        return [
            f"{self._file(date)}: {words}"
            for date, items in self._files.items()
            if self._file(date).exists()
            for words in self._damage_of_file(date, items)
        ]

    def _damage_of_file(self, date: str, items: list[Item]) -> Iterator[str]:
        frame = self.layout.frame(slice(items[0].start, items[-1].stop))
        try:
            with NETCDF4_PYTHON_LOCK, netCDF4.Dataset(self._file(date)) as file:
                file.set_auto_mask(False)
                for name, variable in frame.variables.items():
                    if not np.array_equal(file[str(name)][...], variable.values):
                        yield f"{name} was changed"
        except (OSError, RuntimeError, IndexError, KeyError) as error:
            yield f"cannot be read ({error})"

    def restore_layout(self, layout: Layout, identity: Identity) -> None:
        """Remove the damaged files, so that they are written again."""
        for date, items in self._files.items():
            if any(self._damage_of_file(date, items)):
                self.forget(items[0])

    def forget(self, item: Item) -> None:
        """Remove the item's file, and the records of all items that are stored only in it."""
        if not self._file(item.date).exists():
            self.records.forget(item.name)
            return
        for sibling in self._files[item.date]:
            self.records.forget(sibling.name)
        self._file(item.date).unlink()

    def discard(self) -> None:
        """Remove deepcams' files and records, and the folder if it is then empty."""
        if self.split:
            for name in self._names():
                (self.path / name).unlink(missing_ok=True)
        else:
            self.path.unlink(missing_ok=True)
        self._forget()

    def _names(self) -> list[str]:
        """Return the recorded names of the output's files."""
        try:
            record = self.records.get(FILES)
            names = [] if record is None else list(record.facts["names"])
            return [inside(self.path, name).name for name in names]
        except (OutputError, KeyError, TypeError):
            return []

    def _forget(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)
        if self.split and self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def measure(self, layout: Layout, values: np.ndarray) -> int:
        """See :meth:`Target.measure`."""
        file = netCDF4.Dataset("measure", "w", memory=values.nbytes)
        for name, size in zip(DIMS, (None, *values.shape[1:]), strict=True):
            file.createDimension(name, size)
        _variable(file, "v", layout, "float32", len(values))[:] = values
        return len(file.close())

    def size(self) -> int:
        """See :meth:`Target.size`."""
        files = (self._file(date) for date in self._files)
        return sum(file.stat().st_size for file in files if file.exists())


def lay_out(
    file: Any, layout: Layout, hours: slice, attributes: dict[str, str]
) -> list[Any]:
    """Define everything in an open netCDF file and write the coordinates.

    Returns:
        the variables to fill: values of each, then the status if the layout has one.
    """
    frame = layout.frame(hours)
    file.setncatts({**frame.attrs, **attributes})
    for name, size in frame.sizes.items():
        file.createDimension(name, None if name == "time" else size)
    for name, variable in frame.variables.items():
        made = file.createVariable(name, variable.dtype, variable.dims)
        made.setncatts(variable.attrs)
        made[...] = variable.values
    attributes_of_all = [
        layout.variable_attributes(),
        *map(layout.attributes_of, layout.others),
    ]
    variables = []
    for name, dtype, about in zip(
        layout.names, layout.dtypes, attributes_of_all, strict=True
    ):
        variable = _variable(file, name, layout, dtype, frame.sizes["time"])
        variable.setncatts(about)
        variable.set_auto_maskandscale(False)
        variables.append(variable)
    if not layout.has_status:
        return variables
    status = file.createVariable("status", "i1", ("time",))
    status.setncatts(layout.status)
    return [*variables, status]


def _variable(file: Any, name: str, layout: Layout, dtype: str, times: int) -> Any:
    chunks = layout.chunks
    return file.createVariable(
        name,
        dtype,
        DIMS,
        chunksizes=(min(chunks[0], times), *chunks[1:]),
        fill_value=fill_of(dtype),
        **_COMPRESSION,
    )
