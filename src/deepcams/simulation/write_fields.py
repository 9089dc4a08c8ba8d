"""Writer of the simulated truth: hourly instants, one netCDF per day; and common parts of all writers."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
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

STATE = f"{FOLDER}-simulation"
"""Hidden folder of simulated files; ``.deepcams`` would mark them as an output of deepcams instead of an input."""

_SINCE = np.datetime64("2003-01-01", "ns")
_COMPRESSION = {"zlib": True, "complevel": 1, "shuffle": True}


@dataclass
class Written:
    """The result of a writer.

    Attributes:
        files: number of files written now.
        kept: number of files that were already complete.
        bytes: size of the files written now.
        paths: paths of all files, in order.
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


def write_file(
    field: xr.DataArray,
    path: Path,
    write: Callable[[xr.DataArray, Path], None],
    overwrite: bool,
    progress: Progress,
    world: str,
) -> bool:
    """Compute a field chunk by chunk in time and write its file, which appears only when it is complete.

    Each chunk is stored until the file is written, so a run that was killed within a file resumes within it.

    Args:
        field: canonical field, lazy.
        path: path of the file.
        write: function that writes the computed field to a temporary path.
        overwrite: replace the file if it exists; otherwise it is not touched.
        progress: called with the number of times done.
        world: everything that determines the field's values besides places and times; empty: chunks are not stored.

    Returns:
        whether the file was written now.
    """
    if path.exists() and not overwrite:
        return False
    folder = path.parent / STATE / f"{path.name}.blocks"
    parts = []
    for times in time_chunks(field):
        block = field[times]
        parts.append(_stored(block, folder, world) if world else block.values)
        progress("simulate", times.stop, field.sizes["time"])
    with atomic_path(path) as temporary:
        write(field.copy(data=np.concatenate(parts)), temporary)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def time_chunks(field: xr.DataArray) -> Iterator[slice]:
    """Yield the times of each chunk of a lazy field, or all times of a field in memory."""
    start = 0
    for length in field.chunks[0] if field.chunks else (field.sizes["time"],):
        yield slice(start, start + length)
        start += length


def _stored(block: xr.DataArray, folder: Path, world: str) -> np.ndarray:
    """Read a block computed by an earlier run; compute and store it if it is missing or damaged."""
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


def write_calendar(
    field: xr.DataArray,
    unit: str,
    write: Callable[[xr.DataArray, Progress], tuple[Path, bool]],
    progress: Progress,
) -> Written:
    """Write one file for each day (``D``) or month (``M``) of a field.

    Args:
        field: canonical field, lazy.
        unit: ``D`` or ``M``.
        write: function that writes one part, and returns the path and whether the file was written now.
        progress: called with the number of times done.
    """
    written = Written()
    done = 0
    total = field.sizes["time"]
    labels = field.time.values.astype(f"datetime64[{unit}]")
    for label in np.unique(labels):
        part = field.isel(time=np.flatnonzero(labels == label))
        written.add(*write(part, shifted(progress, done, total)))
        done += part.sizes["time"]
        progress("simulate", done, total)
    return written


def from_180_west(field: xr.DataArray) -> xr.DataArray:
    """Return a field with longitudes in -180..180, the globe from 180 W eastward."""
    longitude = field.longitude.values
    if grid_of(field).periodic:
        turned = (longitude + 180) % 360 - 180
        return field.assign_coords(longitude=turned).sortby("longitude")
    if longitude[0] >= 180:
        return field.assign_coords(longitude=longitude - 360)
    return field


def save_netcdf(
    dataset: xr.Dataset, path: Path, unlimited: str = "", **encoding: Any
) -> None:
    """Write a dataset as netCDF-4, compressed; ``encoding`` is that of all its variables."""
    plain: dict[Any, Any] = {
        coordinate: {"_FillValue": None} for coordinate in dataset.coords
    }
    plain |= {name: {**_COMPRESSION, **encoding} for name in dataset.data_vars}
    dataset.to_netcdf(
        path,
        engine="netcdf4",
        encoding=plain,
        unlimited_dims=[unlimited] if unlimited else None,
    )


def write_days(
    field: xr.DataArray,
    folder: Path | str,
    overwrite: bool = False,
    progress: Progress = no_progress,
    world: str = "",
) -> Written:
    """Write a field as one netCDF per day (``simulated_YYYYMMDD.nc``); each appears only when complete.

    Args:
        field: canonical field with times on full minutes.
        folder: folder of the files.
        overwrite: replace files that exist; otherwise they are not touched.
        progress: called with the number of times done.
        world: see :func:`write_file`.

    Raises:
        OutputError: a file cannot be written.
    """
    grid_of(field)

    def write(day: xr.DataArray, progress: Progress) -> tuple[Path, bool]:
        date = str(day.time.dt.strftime("%Y%m%d").values[0])
        if day.sizes["time"] != 24:
            # The file name of a partial day has its hours, to distinguish it from a longer one.
            first, last = day.time.dt.strftime("%H").values[[0, -1]]
            date += f"T{first}-{last}"
        path = Path(folder) / f"simulated_{date}.nc"
        return path, write_file(day, path, _write, overwrite, progress, world)

    return write_calendar(field, "D", write, progress)


def _write(field: xr.DataArray, path: Path) -> None:
    minutes = (field.time.values - _SINCE) // MINUTE
    clock = {
        "standard_name": "time",
        "units": "minutes since 2003-01-01 00:00:00",
        "calendar": "standard",
    }
    north = {"standard_name": "latitude", "units": "degrees_north"}
    east = {"standard_name": "longitude", "units": "degrees_east"}
    about = ("standard_name", "long_name", "units", "cell_methods")
    attrs = {name: field.attrs[name] for name in about}
    dataset = xr.Dataset(
        {"pm2p5": (DIMS, field.values, attrs)},
        {
            "time": ("time", minutes, clock),
            "latitude": ("latitude", field.latitude.values, north),
            "longitude": ("longitude", field.longitude.values, east),
        },
        {
            "Conventions": "CF-1.11",
            "source": field.attrs["source"],
            "title": "Simulated PM2.5: no real data",
        },
    )
    chunks = (1, *field.shape[1:])
    save_netcdf(dataset, path, chunksizes=chunks, _FillValue=np.float32(np.nan))
