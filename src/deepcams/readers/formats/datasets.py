"""Open one data file as xarray datasets, reading only its coordinates and leaving no file open."""

from __future__ import annotations

import importlib.util
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, InputError, MissingExtraError
from deepcams.core.field import DIMS
from deepcams.core.species import COORDINATE_NAMES
from deepcams.core.url import Place, Url
from deepcams.files.storage import storage_at
from deepcams.readers.formats.detect import KINDS, DataFile
from deepcams.readers.formats.truncation import shortfall
from deepcams.writers.target import Written, is_ours, written

CHUNK_BYTES = 4 << 20
"""Target size in memory of a lazy float32 chunk, bytes: nine frames of CAMS, one of GEOS-CF."""
MAX_CHUNK_BYTES = 64 << 20
"""Maximum size of a lazy chunk, bytes, when it is enlarged so that compressed chunks of the file are read once."""
MOST_PLACES = 1 << 26
"""Maximum number of values of a map, and a quarter of that of a chunk; a tiny file can declare any size."""
MOST_STEPS = 1 << 24
"""Maximum number of values of a coordinate."""
_WHOLE_LENGTH = "deepcams_times"
"""Attribute set on an opened unfinished store: its number of times, including those not yet written."""
_KNOWN = ("time", "latitude", "longitude", "lat", "lon")


def opened(file: DataFile) -> DataFile:
    """Return a file with its opened datasets, so that it is opened only once."""
    return replace(file, datasets=open_datasets(file))


def open_datasets(file: DataFile) -> tuple[xr.Dataset, ...]:
    """Open one data file, unless it is already open.

    Returns:
        one dataset; for a GRIB file one for each variable and grid.

    Raises:
        InputError: the file is truncated or cannot be read.
        MissingExtraError: the file is GRIB and ecCodes is not installed.
    """
    if file.datasets:
        return file.datasets
    check_whole(file)
    with opening(file):
        if file.kind == "grib":
            from deepcams.readers.formats.grib import open_grib

            return tuple(open_grib([file.local], file))
        if file.kind == "zarr":
            return (_only_written(_loaded(_open_zarr(file.path), file), file),)
        return (_loaded(_open_netcdf(file.local, file), file),)


@contextmanager
def opening(file: DataFile, where: object = None) -> Iterator[None]:
    """Convert any library's error while a file is opened to one line.

    Args:
        file: the file being opened.
        where: name in the message if it represents several files (default: the file).

    Raises:
        InputError: the file cannot be read.
    """
    where = where or file
    try:
        yield
    except DeepcamsError:
        raise
    except Exception as error:  # every library underneath has its own
        if found := re.search(
            r"unable to decode time units (['\"])(.*?)\1", str(error)
        ):
            do = "write the times as CF has it: hours since 1970-01-01"
            raise InputError(
                f"{where}: time", "units of time", repr(found[2]), do
            ) from error
        expected, do = f"a readable {KINDS[file.kind]} file", again(file.path)
        raise InputError(where, expected, reason(error), do) from error


def check_whole(file: DataFile) -> None:
    """Refuse a truncated file, and a GRIB file if ecCodes is not installed.

    Raises:
        InputError, MissingExtraError: see :func:`open_datasets`.
    """
    short = "" if file.kind == "zarr" else shortfall(file.local, file.kind)
    if short:
        raise InputError(
            file, "a whole file", f"a truncated one ({short})", again(file.path)
        )
    if file.kind == "grib" and importlib.util.find_spec("eccodes") is None:
        raise MissingExtraError(f"{file}: reading GRIB", "grib")


def _loaded(dataset: xr.Dataset, file: DataFile) -> xr.Dataset:
    """Load the coordinates and close the file; it is reopened on reading, so thousands of files need no handles."""
    _check_sizes(dataset, file)
    dataset.attrs = _plain_values(dataset.attrs)
    for variable in dataset.variables.values():
        variable.attrs = _plain_values(variable.attrs)
        if "bounds" in variable.encoding:
            variable.encoding["bounds"] = _plain(variable.encoding["bounds"])
    for coordinate in dataset.coords.values():
        coordinate.load()
    dataset.close()
    for name in dataset.dims:
        if name in dataset.coords and name not in dataset.xindexes:
            dataset = dataset.set_xindex([name])
    return dataset


def _plain_values(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): _plain(value) for key, value in attributes.items()}


def _plain(value: Any) -> Any:
    """Convert an attribute of any type to a text or a number, so that it can be compared and looked up."""
    return value if isinstance(value, str | int | float | np.number) else str(value)


def _check_sizes(dataset: xr.Dataset, file: DataFile) -> None:
    """Refuse a dataset that would exhaust the memory, before anything is read.

    Raises:
        InputError: a coordinate, map or chunk is implausibly large.
    """
    for key, variable in dataset.variables.items():
        if key in dataset.coords or variable.ndim < 2:
            check_size(file, f"coordinate {key}", variable.size, MOST_STEPS)
        chunk = variable.encoding.get("chunks", variable.encoding.get("chunksizes"))
        if isinstance(chunk, Sequence) and all(isinstance(n, int) for n in chunk):
            check_size(file, f"chunk of {key}", math.prod(chunk), 4 * MOST_PLACES)
    for name, array in field_variables(dataset).items():
        check_size(file, f"map of {name}", math.prod(array.shape[-2:]), MOST_PLACES)


def check_size(file: object, what: str, found: int, most: int) -> None:
    """Refuse more than ``most`` values.

    Raises:
        InputError: ``found`` exceeds ``most``.
    """
    if found > most:
        raise InputError(file, f"a {what} of at most {most:,} values", f"{found:,}")


def _open_zarr(place: Place) -> xr.Dataset:
    """Open a Zarr store lazily; at a URL through consolidated metadata, if any: web servers cannot be listed."""
    storage = storage_at(place)
    consolidated = False
    if isinstance(place, Url):
        root = storage.get("zarr.json")
        consolidated = (
            b'"consolidated_metadata"' in root
            if root is not None
            else storage.exists(".zmetadata")
        )
    from xarray.backends import ZarrBackendEntrypoint

    options: dict[str, Any] = {"consolidated": consolidated, "cache": False}
    store = storage.zarr(read_only=True)
    return xr.open_dataset(
        store,
        engine=ZarrBackendEntrypoint,  # see _open_netcdf
        decode_timedelta=False,
        create_default_indexes=False,
        **options,
    )


def _open_netcdf(path: Path, file: DataFile) -> xr.Dataset:
    """Open a netCDF file lazily, with one shared handle per file.

    A second handle of a file with string variables, such as the data store's ``expver`` or times as text, may crash the
    process (Unidata/netcdf4-python 1444). Handles are keyed by file size and modification time, so that a new version
    is read again.
    """
    import netCDF4
    from xarray.backends import (
        CachingFileManager,
        NetCDF4DataStore,
        StoreBackendEntrypoint,
    )
    from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

    state = path.stat()
    which = (str(path.resolve()), state.st_ino, state.st_size, state.st_mtime_ns)
    options: dict[str, Any] = {
        "mode": "r",
        "lock": NETCDF4_PYTHON_LOCK,
        "manager_id": which,
    }
    manager: Any = CachingFileManager(netCDF4.Dataset, str(path), **options)
    store = NetCDF4DataStore(manager, mode="r")  # type: ignore[no-untyped-call]
    for name, variable in store.ds.variables.items():
        # text may be read on opening, of several dimensions too
        if variable.ndim < 2 or variable.dtype is str or variable.dtype == "S1":
            check_size(file, f"coordinate {name}", variable.size, MOST_STEPS)
    # To find the engine, xarray would import all that are installed: cfgrib takes as long as everything else.
    dataset = xr.open_dataset(
        store,
        engine=StoreBackendEntrypoint,
        cache=False,
        decode_timedelta=False,
        create_default_indexes=False,
    )
    dataset.encoding["source"] = str(path)
    names = {str(name) for name in (*dataset.dims, *dataset.variables)}
    plain = {
        name: name.lower()
        for name in names
        if name.lower() in _KNOWN and name.lower() not in names
    }
    return dataset.rename(plain) if len(set(plain.values())) == len(plain) else dataset


def unfinished(file: DataFile, dataset: xr.Dataset) -> Written | None:
    """Return the written part of an unfinished Zarr output of deepcams; ``None`` for anything else."""
    names = [
        name for name, array in field_variables(dataset).items() if array.dims == DIMS
    ]
    if file.kind != "zarr" or not names:
        return None
    length = dataset.attrs.get(_WHOLE_LENGTH, dataset.sizes["time"])
    found = written(file.path, names[0], length)
    return None if found is None or found.whole else found


def _only_written(dataset: xr.Dataset, file: DataFile) -> xr.Dataset:
    """Drop the times of an unfinished store that are not yet written.

    Raises:
        InputError: no time is written yet.
    """
    found = unfinished(file, dataset)
    if found is None:
        return dataset
    if not found.items.any():
        words = f"an unfinished one: 0 of {found.items.size} parts are written"
        do = "give the command that began it again"
        raise InputError(file, "a store with hours", words, do)
    times = np.flatnonzero(found.times)
    prefix = times.size == times[-1] + 1  # a slice is read faster than an index array
    part = dataset.isel(time=slice(0, times.size) if prefix else times)
    return part.assign_attrs({_WHOLE_LENGTH: found.times.size})


def field_variables(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the data variables that may be fields: at least two dimensions, and not cell bounds."""
    bounds = {
        array.attrs.get("bounds", array.encoding.get("bounds"))
        for array in dataset.variables.values()
    }
    found: dict[str, xr.DataArray] = {}
    for key, array in dataset.data_vars.items():
        name = str(key)
        is_bounds = name in bounds or name.lower().endswith(("_bnds", "_bounds"))
        if array.ndim >= 2 and not is_bounds:
            found[name] = array
    return found


def reason(error: BaseException) -> str:
    """Summarise an error of a library in a few words."""
    words = str(
        error.args[1] if isinstance(error, OSError) and len(error.args) > 1 else error
    )
    return f"{type(error).__name__}: {' '.join(words.split())[:160].rstrip('.')}"


def again(path: Place) -> str:
    """Return the advice for a damaged file: output of deepcams cannot be downloaded again."""
    return "make it again" if is_ours(path) else "download it again"


def pieces(array: xr.DataArray, file: DataFile) -> Iterator[np.ndarray]:
    """Read a variable's values, a few times per block.

    Raises:
        InputError: values cannot be read.
    """
    if not array.size:
        return
    variable, chunks = array.variable, chunk_sizes(array)
    starts = (
        range(0, size, chunk) for size, chunk in zip(array.shape, chunks, strict=True)
    )
    for corner in itertools.product(*starts):
        key = tuple(
            slice(at, at + chunk) for at, chunk in zip(corner, chunks, strict=True)
        )
        try:
            yield np.asarray(variable[key].values)
        except Exception as error:  # every library underneath has its own
            do = again(file.path)
            raise InputError(file, "readable values", reason(error), do) from error


def chunk_sizes(array: xr.DataArray) -> tuple[int, ...]:
    """Return a chunk's length along each dimension: whole maps, for some times (else along the longest dimension)."""
    named = [
        axis for axis, name in enumerate(array.dims) if name in COORDINATE_NAMES["time"]
    ]
    outer = range(array.ndim if array.ndim < 3 else array.ndim - 2)
    axis = named[0] if named else max(outer, key=lambda axis: array.shape[axis])
    per_time = 4 * max(array.size // array.shape[axis], 1) if array.shape[axis] else 1
    own = dict(array.encoding.get("preferred_chunks") or {}).get(array.dims[axis])
    sizes = list(array.shape)
    sizes[axis] = min(chunk_length(per_time, own), sizes[axis])
    return tuple(sizes)


def chunk_length(per_time: int, own: Any) -> int:
    """Return the number of times in a chunk.

    Args:
        per_time: size of one map as float32, bytes.
        own: number of times in the file's own chunks, if it has any.
    """
    length = max(CHUNK_BYTES // per_time, 1)
    if not isinstance(own, int) or own <= 0:
        return length
    wanted = -(-length // own) * own
    return (
        wanted
        if wanted * per_time <= MAX_CHUNK_BYTES
        else max(MAX_CHUNK_BYTES // per_time, 1)
    )
