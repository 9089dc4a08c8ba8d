"""Open one data file as xarray datasets: only its coordinates are read, and no file stays open."""

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
"""What a lazy chunk should hold in memory as float32: nine frames of CAMS, one of GEOS-CF."""
MAX_CHUNK_BYTES = 64 << 20
"""How far a chunk may grow so that a file's own (compressed) chunks are not read again and again."""
MOST_PLACES = 1 << 26
"""Values of a map, and a quarter of a chunk's; a file of a few bytes can promise any number of them."""
MOST_STEPS = 1 << 24
"""Values of a coordinate."""
_WHOLE_LENGTH = "deepcams_times"
"""Attribute of an unfinished store, once it is opened: times with those that are not written."""
_KNOWN = ("time", "latitude", "longitude", "lat", "lon")


def opened(file: DataFile) -> DataFile:
    """Return a file with its datasets, so that it is opened once."""
    return replace(file, datasets=open_datasets(file))


def open_datasets(file: DataFile) -> tuple[xr.Dataset, ...]:
    """Open one data file, unless it is opened already.

    Returns:
        one dataset; for a GRIB file one for each variable and grid.

    Raises:
        InputError: the file is truncated or cannot be read as what it is.
        MissingExtraError: GRIB, and ecCodes is not installed.
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
    """Turn whatever a library raises while a file is opened into one line.

    Args:
        file: that is opened.
        where: for the message, where it stands for several (default: the file).

    Raises:
        InputError: it cannot be read as what it is.
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
    """Refuse a truncated file, and GRIB without ecCodes.

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
    """Read the coordinates, and close the file: reading opens it again, so thousands of files hold no handle."""
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
    """Return an attribute as a text or a number, whatever type a file gives it: they are compared and looked up."""
    return value if isinstance(value, str | int | float | np.number) else str(value)


def _check_sizes(dataset: xr.Dataset, file: DataFile) -> None:
    """Refuse what would take all memory to read, before any of it is read.

    Raises:
        InputError: a coordinate, a map or a chunk of more values than any real one.
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
    """Refuse more values than ``most``.

    Raises:
        InputError: there are more.
    """
    if found > most:
        raise InputError(file, f"a {what} of at most {most:,} values", f"{found:,}")


def _open_zarr(place: Place) -> xr.Dataset:
    """Open a Zarr store lazily; at a URL by its consolidated metadata if it has any, as web servers list nothing."""
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
    """Open a netCDF file lazily, with one handle for all who have it open.

    A second handle of a file that holds texts, as the data store's ``expver`` or times in words, may crash the process
    (Unidata/netcdf4-python 1444). Handles go by the file's size and time of change, so a new version is read anew.
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
        if variable.ndim < 2:  # of texts all may be read while it is opened
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
    """Return what is written of an unfinished Zarr output of deepcams; ``None`` for anything else."""
    names = [
        name for name, array in field_variables(dataset).items() if array.dims == DIMS
    ]
    if file.kind != "zarr" or not names:
        return None
    length = dataset.attrs.get(_WHOLE_LENGTH, dataset.sizes["time"])
    found = written(file.path, names[0], length)
    return None if found is None or found.whole else found


def _only_written(dataset: xr.Dataset, file: DataFile) -> xr.Dataset:
    """Leave out the times of an unfinished store that were not written yet.

    Raises:
        InputError: none was.
    """
    found = unfinished(file, dataset)
    if found is None:
        return dataset
    if not found.items.any():
        words = f"an unfinished one: 0 of {found.items.size} parts are written"
        do = "give the command that began it again"
        raise InputError(file, "a store with hours", words, do)
    times = np.flatnonzero(found.times)
    prefix = (
        times.size == times[-1] + 1
    )  # a slice is read faster than places one by one
    part = dataset.isel(time=slice(0, times.size) if prefix else times)
    return part.assign_attrs({_WHOLE_LENGTH: found.times.size})


def field_variables(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the data variables that may be fields: two dimensions or more, and no cell bounds."""
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
    """Return an error of a library in a few words."""
    words = str(
        error.args[1] if isinstance(error, OSError) and len(error.args) > 1 else error
    )
    return f"{type(error).__name__}: {' '.join(words.split())[:160].rstrip('.')}"


def again(path: Place) -> str:
    """Return what to do about a damaged file: an output of deepcams cannot be downloaded."""
    return "make it again" if is_ours(path) else "download it again"


def pieces(array: xr.DataArray, file: DataFile) -> Iterator[np.ndarray]:
    """Read a variable's values, a few times at once.

    Raises:
        InputError: values that cannot be read.
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
    """Return a chunk's length along each dimension: some times (else of the longest other dimension), whole maps."""
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
    """Return how many times a chunk holds.

    Args:
        per_time: bytes of one map as float32.
        own: times in the file's own chunks, if it has any.
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
