"""The simulated truth itself: hourly instants, one netCDF a day; and what all writers of simulated fields share."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import OutputError
from deepcams.core.field import DIMS, grid_of
from deepcams.core.progress import Progress, no_progress, shifted
from deepcams.core.times import MINUTE
from deepcams.files.atomic import atomic_path, os_errors_explained, write_atomically
from deepcams.files.records import FOLDER, Record, Records, fingerprint

Blocks = Iterator[tuple[slice, np.ndarray]]
"""Which times, and their values (hours, rows, columns)."""

STATE = f"{FOLDER}-simulation"
"""Hidden folder of simulated files; ``.deepcams`` itself would make them an output of deepcams, which is no input."""

_SINCE = np.datetime64("2003-01-01", "ns")


@dataclass
class Written:
    """What a writer did.

    Attributes:
        files: number of files written now.
        kept: number of files that were complete before, and left as they were.
        bytes: size of the files written now.
        paths: of all of them, in order.
    """

    files: int = 0
    kept: int = 0
    bytes: int = 0
    paths: list[Path] = field(default_factory=list)

    def add(self, path: Path, new: bool) -> None:
        """Count one file."""
        self.paths.append(path)
        if new:
            self.files += 1
            self.bytes += path.stat().st_size
        else:
            self.kept += 1


@contextmanager
def blocks_of(field: xr.DataArray, path: Path, world: str, progress: Progress) -> Iterator[Blocks]:
    """Compute a field chunk by chunk in time; store each chunk until the field's file is written.

    So a run that is killed within a file goes on within it.

    Args:
        field: canonical; lazy.
        path: of the file; it is not touched.
        world: everything that the field's values depend on besides their places and times; empty: nothing is stored.
        progress: called with the number of times done.
    """
    folder = path.parent / STATE / f"{path.name}.blocks"
    yield _blocks(field, folder, world, progress)
    shutil.rmtree(folder, ignore_errors=True)


def _blocks(field: xr.DataArray, folder: Path, world: str, progress: Progress) -> Blocks:
    end = 0
    for length in field.chunks[0] if field.chunks else (field.sizes["time"],):
        times = slice(end, end + length)
        end += length
        block = field[times]
        yield times, _stored(block, folder, world) if world else block.values
        progress("simulate", end, field.sizes["time"])


def _stored(block: xr.DataArray, folder: Path, world: str) -> np.ndarray:
    """Read a block that an earlier run has computed; compute and store it where there is none, or a damaged one."""
    item = str(block.time.values[0])
    places = (block[name].values for name in DIMS)
    inputs = fingerprint(world, *places)
    path, records = folder / f"{inputs}.npy", Records(folder)
    with suppress(OSError, OutputError, ValueError, EOFError):
        record = records.get(item)
        stored: np.ndarray = np.load(path)
        if record == Record(item, inputs, fingerprint(stored)):
            return stored
    values = np.asarray(block.values)
    buffer = io.BytesIO()
    np.save(buffer, values)
    with os_errors_explained(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    records.put(Record(item, inputs, fingerprint(values)))
    return values


def by_calendar(field: xr.DataArray, unit: str) -> Iterator[xr.DataArray]:
    """Divide a field into its days (``D``) or months (``M``)."""
    labels = field.time.values.astype(f"datetime64[{unit}]")
    for label in np.unique(labels):
        yield field.isel(time=np.flatnonzero(labels == label))


def from_180_west(longitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of columns from 180 W eastward on the globe, and their longitudes (-180..180) in that order."""
    step = longitudes[1] - longitudes[0]
    order = np.arange(longitudes.size)
    if longitudes.size * step > 360 - step / 2:
        order = np.argsort((longitudes + 180) % 360, kind="stable")
        return order, (longitudes[order] + 180) % 360 - 180
    return order, longitudes - 360 if longitudes[0] >= 180 else longitudes


def add_variable(
    file: Any,
    name: str,
    kind: str,
    dims: tuple[str, ...] = (),
    attrs: Mapping[str, Any] | None = None,
    values: Any = None,
    **options: Any,
) -> Any:
    """Add a variable to an open netCDF file.

    Args:
        file: a ``netCDF4.Dataset``.
        name, kind, dims, options: see ``netCDF4.Dataset.createVariable``.
        attrs: its attributes, in order.
        values: all of its values; default: none are written.

    Returns:
        the ``netCDF4.Variable``.
    """
    variable = file.createVariable(name, kind, dims, **options)
    variable.setncatts(attrs or {})
    if values is not None:
        variable[...] = values
    return variable


def write_days(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
    world: str = "",
) -> Written:
    """Write a field as one netCDF a day (``simulated_YYYYMMDD.nc``); each appears only when complete.

    Args:
        field: canonical field; times on whole minutes.
        folder: where the files go.
        overwrite: replace files that are there; otherwise they are kept.
        progress: called with the number of times done.
        world: see :func:`blocks_of`.

    Raises:
        OutputError: a file cannot be written.
    """
    grid_of(field)
    written, done, total = Written(), 0, field.sizes["time"]
    for day in by_calendar(field, "D"):
        stamps = day.time.values.astype("datetime64[h]").astype(str)
        # A part of a day has its hours in the name, so that it is not taken for a longer one.
        hours = "" if stamps.size == 24 else f"T{stamps[0][11:13]}-{stamps[-1][11:13]}"
        path = Path(folder) / f"simulated_{stamps[0][:10].replace('-', '')}{hours}.nc"
        new = overwrite or not path.exists()
        if new:
            part = shifted(progress, done, total)
            with blocks_of(day, path, world, part) as blocks, atomic_path(path) as temporary:
                _write(day, temporary, blocks)
        written.add(path, new)
        done += stamps.size
        progress("simulate", done, total)
    return written


def _write(field: xr.DataArray, path: Path, blocks: Blocks) -> None:
    import netCDF4

    minutes = (field.time.values - _SINCE) // MINUTE
    axes = (
        ("time", "i8", "minutes since 2003-01-01 00:00:00", minutes),
        ("latitude", "f8", "degrees_north", field.latitude.values),
        ("longitude", "f8", "degrees_east", field.longitude.values),
    )
    about = ("standard_name", "long_name", "units", "cell_methods")
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.11",
                "source": field.attrs["source"],
                "title": "Simulated PM2.5: no real data",
            }
        )
        for name, size in zip(DIMS, field.shape, strict=True):
            file.createDimension(name, size)
        for name, kind, units, values in axes:
            add_variable(file, name, kind, (name,), {"standard_name": name, "units": units}, values)
        file["time"].setncattr("calendar", "standard")
        variable = add_variable(
            file,
            "pm2p5",
            "f4",
            DIMS,
            {key: field.attrs[key] for key in about},
            zlib=True,
            complevel=1,
            shuffle=True,
            chunksizes=(1, *field.shape[1:]),
            fill_value=np.float32(np.nan),
        )
        for times, block in blocks:
            variable[times] = block
