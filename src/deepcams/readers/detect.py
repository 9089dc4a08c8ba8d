"""Which files paths stand for, what their content is (never mind the name), and how each is opened, lazily."""

from __future__ import annotations

import glob
import importlib.util
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, InputError, MissingExtraError, notice
from deepcams.core.field import DIMS
from deepcams.core.text import counted
from deepcams.readers.archive import unpack
from deepcams.readers.netcdf_handles import open_netcdf
from deepcams.readers.protocols import Paths
from deepcams.readers.truncation import shortfall
from deepcams.writers.own import Written, is_ours, written

Kind = Literal["netcdf3", "hdf5", "grib", "zarr", "zip"]

KINDS = {
    "netcdf3": "classic netCDF",
    "hdf5": "netCDF-4",
    "grib": "GRIB",
    "zarr": "Zarr",
    "zip": "zip",
}
"""Kinds of content in people's words."""
CHUNK_BYTES = 4 << 20
"""What a lazy chunk should hold in memory as float32: nine frames of CAMS, one of GEOS-CF."""
MAX_CHUNK_BYTES = 64 << 20
"""How far a chunk may grow so that a file's own (compressed) chunks are not read again and again."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 1024
_WHOLE_LENGTH = "deepcams_times"
"""Attribute of an unfinished store, once it is opened: times with those that are not written."""
_TIME_NAMES = ("time", "valid_time", "t")


@dataclass(frozen=True)
class DataFile:
    """One file (or Zarr store) with data.

    Attributes:
        path: where its bytes lie (for a member of a zip: in the cache).
        kind: what its content is.
        given: the path as the user knows it.
        member: the member's name where ``given`` is a zip.
    """

    path: Path
    kind: Kind
    given: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.given} ({self.member})" if self.member else str(self.given)


def kind_of(head: bytes) -> Kind | None:
    """What content begins with these bytes; ``None`` for anything that is no data."""
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"):
        return "netcdf3"
    if head[:8] == _HDF5 or head[512:520] == _HDF5:
        return "hdf5"
    if b"GRIB" in head[:64]:
        return "grib"
    return "zip" if head[:4] in (b"PK\x03\x04", b"PK\x05\x06") else None


def looks_like(head: bytes) -> str:
    """What content that is no data looks like, in words."""
    if not head:
        return "an empty file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = text[:512].lower()
    if lower.startswith((b"<!doctype html", b"<html")) or b"<html" in lower:
        title = re.search(rb"<title[^>]*>(.*?)</title>", head, re.I | re.S)
        name = " ".join(title[1].decode("utf-8", "replace").split())[:60] if title else ""
        return (
            "an HTML page"
            + (f" ({name!r})" if name else "")
            + ", perhaps an error message of the server"
        )
    for start, words in (
        (b"\x1f\x8b", "a gzip file (unpack it first)"),
        (b"BZh", "a bzip2 file (unpack it first)"),
        (b"%PDF", "a PDF"),
        (b"\x89PNG", "a PNG picture"),
        (b"<?xml", "an XML document"),
        (b"\x0e\x03\x13\x01", "an HDF4 file"),
    ):
        if text.startswith(start):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive (unpack it first)"
    if not head.strip(b"\0"):
        return "only zero bytes"
    try:
        line = head.decode("utf-8").strip().splitlines()[0][:60]
    except (UnicodeDecodeError, IndexError):
        return f"unknown content (it begins with {head[:8].hex(' ')})"
    return f"{'JSON text' if text.startswith(b'{') else 'text'} ({line!r})"


def _head(path: Path) -> bytes:
    """A file's first bytes.

    Raises:
        InputError: a link that leads nowhere, or what is no file: reading a pipe would wait for ever.
    """
    if not path.exists():
        raise InputError(
            path,
            "a file",
            f"a link to {path.readlink()}, which is not there",
            "mend or remove the link",
        )
    if not path.is_file():
        raise InputError(
            path, "a file, folder or store", "a pipe, socket or device", "save it to a file first"
        )
    with path.open("rb") as file:
        return file.read(_HEAD)


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def _expand(path: Path) -> Iterator[tuple[Path, bool]]:
    """Files and stores that one path stands for, each with whether it was found in a folder."""
    if path.is_dir():
        if _is_zarr(path):
            yield path, False
            return
        found = sorted(_walk(path))
        if not found:
            raise InputError(
                path,
                "a folder with data files",
                "an empty one",
                "give files, a glob or another folder",
            )
        for inner in found:
            yield inner, True
    elif path.exists() or path.is_symlink():
        yield path, False
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not matches:
            raise InputError(path, "files that match", "none", "check the pattern")
        for match in matches:
            yield from _expand(Path(match))
    else:
        raise InputError(path, "a file, folder or glob", "nothing of this name", "check the path")


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    above = (*above, folder.resolve())
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.suffix == ".idx":
            continue
        if (
            entry / ".deepcams"
        ).is_dir():  # what deepcams wrote beside its input is no input; name it to open it
            continue
        if (
            not entry.exists() or entry.is_file() or _is_zarr(entry)
        ):  # (a link to nothing is told of, not left out)
            yield entry
        elif (
            entry.is_dir() and entry.resolve() not in above
        ):  # a link to a folder above would never end
            yield from _walk(entry, above)


def find_files(paths: Paths) -> list[DataFile]:
    """All data files that ``paths`` stand for; zips are unpacked (once, into the cache), folders walked.

    A file given by name or glob must hold data; in a folder what is no data is left out, with a notice.

    Raises:
        InputError: nothing there, no data, or a damaged file, saying which and what it looks like.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise InputError("input", "at least one file", "none")
    files: list[DataFile] = []
    other: list[Path] = []
    seen: set[Path] = set()
    for one in given:
        for path, in_folder in _expand(Path(one).expanduser()):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            kind: Kind | None = "zarr" if path.is_dir() else kind_of(_head(path))
            if kind is None and in_folder:
                other.append(path)
                continue
            files.extend(_recognised(path, kind))
    if not files:
        raise InputError(
            given[0], "a folder with netCDF or GRIB files", counted(len(other), "other file")
        )
    if other:
        names = ", ".join(path.name for path in other[:3]) + (", .." if len(other) > 3 else "")
        left = f"{counted(len(other), 'file')} without data {'is' if len(other) == 1 else 'are'} left out"
        notice(f"{other[0].parent}: {left} ({names})")
    return files


def _recognised(path: Path, kind: Kind | None) -> list[DataFile]:
    if kind is None:
        raise InputError(
            path,
            "netCDF, GRIB, Zarr or a zip of them",
            looks_like(_head(path)),
            "download it again",
        )
    if kind == "zip":
        inner = []
        for member, file in unpack(path, lambda head: kind_of(head) not in (None, "zip")):
            member_kind = kind_of(_head(file))
            assert member_kind is not None
            inner.append(DataFile(file, member_kind, path, member))
        return inner
    return [DataFile(path, kind, path)]


def open_datasets(file: DataFile) -> list[xr.Dataset]:
    """Open one data file; nothing but its coordinates is read, and no file stays open.

    Returns:
        one dataset; several for a GRIB file whose variables have different times or levels.

    Raises:
        InputError: the file is truncated or cannot be read as what it is.
        MissingExtraError: GRIB, and cfgrib is not installed.
    """
    short = "" if file.kind == "zarr" else shortfall(file.path, file.kind)
    if short:
        raise InputError(file, "a whole file", f"a truncated one ({short})", _again(file.path))
    options: dict[str, Any] = {"cache": False, "decode_timedelta": False}
    if file.kind == "grib":
        if (
            importlib.util.find_spec("cfgrib") is None
            or importlib.util.find_spec("eccodes") is None
        ):
            raise MissingExtraError(f"{file}: reading GRIB", "grib")
        no_index_file = {"indexpath": "", "errors": "raise"}
        options |= {"engine": "cfgrib", "backend_kwargs": no_index_file}
    elif file.kind == "zarr":
        options |= {"engine": "zarr", "consolidated": False}
    else:
        options |= {"engine": "netcdf4"}
    try:
        opener = _open_grib if file.kind == "grib" else _open_one
        datasets = opener(file.path, options)
        for dataset in datasets:
            for coordinate in dataset.coords.values():
                coordinate.load()
            dataset.close()  # reading opens it again; meanwhile thousands of files hold no handle
        if file.kind == "zarr":
            datasets = [_only_written(dataset, file) for dataset in datasets]
    except DeepcamsError:
        raise
    except Exception as error:  # every library underneath has its own
        if found := re.search(r"unable to decode time units (['\"])(.*?)\1", str(error)):
            do = "write the times as CF has it: hours since 1970-01-01"
            raise InputError(f"{file}: time", "units of time", repr(found[2]), do) from error
        raise InputError(
            file, f"a readable {KINDS[file.kind]} file", reason(error), _again(file.path)
        ) from error
    return datasets


def unfinished(file: DataFile, dataset: xr.Dataset) -> Written | None:
    """What is written of a Zarr output of deepcams; ``None`` where all is, or the file is something else."""
    names = [name for name, array in field_variables(dataset).items() if array.dims == DIMS]
    if file.kind != "zarr" or len(names) != 1:
        return None
    length = dataset.attrs.get(_WHOLE_LENGTH, dataset.sizes["time"])
    found = written(file.path, names[0], length)
    return None if found is None or found.whole else found


def _only_written(dataset: xr.Dataset, file: DataFile) -> xr.Dataset:
    """The dataset without the times of an unfinished store that nobody has written.

    Raises:
        InputError: none is written.
    """
    found = unfinished(file, dataset)
    if found is None:
        return dataset
    if not found.items.any():
        do = "give the command that began it again"
        raise InputError(
            file,
            "a store with hours",
            f"an unfinished one: 0 of {found.items.size} parts are written",
            do,
        )
    there = np.flatnonzero(found.times)
    prefix = there.size == there[-1] + 1  # a slice is read faster than places one by one
    return dataset.isel(time=slice(0, there.size) if prefix else there).assign_attrs(
        {_WHOLE_LENGTH: found.times.size}
    )


def _open_one(path: Path, options: dict[str, Any]) -> list[xr.Dataset]:
    if options["engine"] != "netcdf4":
        return [xr.open_dataset(path, **options)]
    return [open_netcdf(path, **{key: value for key, value in options.items() if key != "engine"})]


def _open_grib(path: Path, options: dict[str, Any]) -> list[xr.Dataset]:
    import cfgrib

    try:
        return [xr.open_dataset(path, **options)]
    except cfgrib.DatasetBuildError:  # its variables do not share their times or levels
        options = {key: value for key, value in options.items() if key != "engine"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of cfgrib's use of xarray
            return list(cfgrib.open_datasets(str(path), **options))


def field_variables(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """The data variables that may be fields: two dimensions or more, and no cell bounds."""
    bounds = {
        array.attrs.get("bounds", array.encoding.get("bounds"))
        for array in dataset.variables.values()
    }
    return {
        str(name): array
        for name, array in dataset.data_vars.items()
        if array.ndim >= 2
        and name not in bounds
        and not str(name).lower().endswith(("_bnds", "_bounds"))
    }


def reason(error: BaseException) -> str:
    """An error of a library in a few words."""
    words = str(error.args[1] if isinstance(error, OSError) and len(error.args) > 1 else error)
    return f"{type(error).__name__}: {' '.join(words.split())[:160].rstrip('.')}"


def _again(path: Path) -> str:
    """What to do about a damaged file: nobody can download what deepcams has made."""
    return "make it again" if is_ours(path) else "download it again"


class _Reader:
    """A file's variable as an array for Dask, whose reading errors name the file."""

    def __init__(self, variable: xr.Variable, file: DataFile) -> None:
        self._variable, self._where, self._path = variable, str(file), file.path
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        # Dask hands on the part that is asked for; what is no slice is taken from memory (files are slow at it).
        plain = tuple(k if isinstance(k, slice | int | np.integer) else slice(None) for k in key)
        rest = [k for k in key if not isinstance(k, int | np.integer)]
        try:
            values = np.asarray(self._variable[plain].values)
            for axis, k in enumerate(rest):
                if not isinstance(k, slice):
                    values = np.take(values, np.asarray(k), axis=axis)
            return values
        except Exception as error:
            raise InputError(
                self._where, "readable values", reason(error), _again(self._path)
            ) from error


def lazy(array: xr.DataArray, file: DataFile) -> xr.DataArray:
    """The array backed by Dask: whole maps, a few times a chunk, aligned with the file's own chunks.

    Args:
        array: a variable of one of :func:`open_datasets`.
        file: the file it lies in.
    """
    import dask.array as da
    from dask.base import tokenize

    stamp = file.path.stat()
    chunks = _chunks(array)
    token = tokenize(str(file.path.resolve()), stamp.st_mtime_ns, stamp.st_size, array.name, chunks)
    data = da.from_array(  # type: ignore[no-untyped-call]
        _Reader(array.variable, file),
        chunks=chunks,
        name=f"{array.name}-{token}",
        lock=False,
        asarray=False,
        meta=np.empty((0,) * array.ndim, array.dtype),
    )
    return array.copy(data=data)


def pieces(array: xr.DataArray, file: DataFile) -> Iterator[np.ndarray]:
    """A variable's values, chunk after chunk of :func:`lazy`; never more than one in memory.

    Raises:
        InputError: values that cannot be read.
    """
    if not array.size:
        return
    reader, chunks = _Reader(array.variable, file), _chunks(array)
    starts = (range(0, size, chunk) for size, chunk in zip(array.shape, chunks, strict=True))
    for corner in itertools.product(*starts):
        yield reader[tuple(slice(at, at + chunk) for at, chunk in zip(corner, chunks, strict=True))]


def _chunks(array: xr.DataArray) -> tuple[int, ...]:
    """Lengths along each dimension: some times (else of the longest dimension beside the map), all of the others."""
    named = [axis for axis, name in enumerate(array.dims) if name in _TIME_NAMES]
    outer = range(array.ndim if array.ndim < 3 else array.ndim - 2)
    axis = named[0] if named else max(outer, key=lambda axis: array.shape[axis])
    per_time = 4 * max(array.size // array.shape[axis], 1) if array.shape[axis] else 1
    length = max(CHUNK_BYTES // per_time, 1)
    own = dict(array.encoding.get("preferred_chunks") or {}).get(array.dims[axis])
    if isinstance(own, int) and own > 0:
        wanted = -(-length // own) * own
        length = (
            wanted if wanted * per_time <= MAX_CHUNK_BYTES else max(MAX_CHUNK_BYTES // per_time, 1)
        )
    sizes = list(array.shape)
    sizes[axis] = min(length, sizes[axis])
    return tuple(sizes)
